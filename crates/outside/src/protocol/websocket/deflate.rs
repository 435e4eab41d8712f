//! permessage-deflate in both directions (RFC 7692 section 7.2).
//!
//! Messages are inflated piece by piece as they arrive, and never past their bound. Without context takeover a
//! connection between two messages holds no window: it borrows one from a [`DeflatePool`] for the time of a message.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::extension::DeflateTerms;
use super::failure::Failure;
use super::frame::{MessageKind, Opcode, encode_frame, encode_frame_head, frame_head_length};

/// The end of every compressed message, which is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Unused windows, for all connections that agreed on the same settings.
#[derive(Default)]
pub(crate) struct DeflatePool {
    inflates: Mutex<Vec<Inflate>>,
    deflates: Mutex<Vec<(u8, Deflate)>>,
}

/// Spare windows of each kind that are kept: an inflating one takes 42 KiB, a deflating one up to 300 KiB.
const MOST_SPARE: usize = 8;

/// The memory level of a compressor, as zlib counts it.
const MEMORY_LEVEL: i32 = 6;

impl DeflatePool {
    fn inflate(&self) -> Inflate {
        // The largest window also reads messages of smaller ones, and costs no more here.
        lock(&self.inflates).pop().unwrap_or_else(|| Inflate::new(false, 15))
    }

    fn give_inflate(&self, mut inflate: Inflate) {
        let mut spare = lock(&self.inflates);
        if spare.len() < MOST_SPARE {
            inflate.reset(false);
            spare.push(inflate);
        }
    }

    fn deflate(&self, window_bits: u8, level: u8) -> Deflate {
        let mut spare = lock(&self.deflates);
        match spare.iter().rposition(|(bits, _)| *bits == window_bits) {
            Some(place) => spare.swap_remove(place).1,
            None => Deflate::new_with_config(DeflateConfig {
                level: i32::from(level),
                // Negative: no header and no checksum.
                window_bits: -i32::from(window_bits),
                mem_level: MEMORY_LEVEL,
                ..DeflateConfig::default()
            }),
        }
    }

    fn give_deflate(&self, window_bits: u8, mut deflate: Deflate) {
        let mut spare = lock(&self.deflates);
        if spare.len() < MOST_SPARE {
            deflate.reset();
            spare.push((window_bits, deflate));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for DeflatePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeflatePool").finish_non_exhaustive()
    }
}

/// Inflates the messages of one client.
pub(crate) struct Inflater {
    stream: Option<Inflate>,
    /// Whether the client may refer to earlier messages.
    takeover: bool,
    /// Whether the stream has ended, so that further bytes begin a new one (section 7.2.3.5).
    ended: bool,
    pool: Arc<DeflatePool>,
    /// Compressed bytes of this message so far.
    compressed: u64,
}

impl Inflater {
    pub(crate) fn new(terms: &DeflateTerms, pool: Arc<DeflatePool>) -> Self {
        let takeover = !terms.client_no_context_takeover;
        Self { stream: None, takeover, ended: false, pool, compressed: 0 }
    }

    /// Inflates a piece of a message and appends it to `message`, which may hold `max` bytes at most.
    pub(crate) fn receive(&mut self, piece: &[u8], message: &mut Vec<u8>, max: usize) -> Result<(), Failure> {
        let mut length = message.len();
        let result = self.inflate(piece, message, &mut length, max);
        message.truncate(length);
        result
    }

    /// The first `length` bytes of `message` are content, the rest is room.
    fn inflate(
        &mut self,
        mut rest: &[u8],
        message: &mut Vec<u8>,
        length: &mut usize,
        max: usize,
    ) -> Result<(), Failure> {
        let stream = self.stream.get_or_insert_with(|| self.pool.inflate());
        let mut room = rest.len().saturating_mul(4);
        loop {
            if *length == message.len() {
                make_room(message, room, max);
                room = room.saturating_mul(2);
            }
            let (before_in, before_out) = (stream.total_in(), stream.total_out());
            let status = stream.decompress(rest, &mut message[*length..], InflateFlush::SyncFlush);
            let consumed = (stream.total_in() - before_in) as usize;
            let produced = (stream.total_out() - before_out) as usize;
            *length += produced;
            rest = &rest[consumed..];
            self.compressed += consumed as u64;
            if *length > max {
                return Err(Failure::too_big("a message larger than max_message"));
            }
            if *length > RATIO_FLOOR && *length as u64 / MOST_RATIO > self.compressed {
                return Err(Failure::too_big("a message that inflates to more than ten times its size"));
            }
            match status {
                Ok(Status::StreamEnd) => {
                    stream.reset(false);
                    self.ended = true;
                }
                Ok(_) => self.ended &= consumed == 0,
                Err(_) => return Err(Failure::invalid_data("a message that cannot be inflated")),
            }
            // All input is consumed, and no output waits for room.
            if rest.is_empty() && (*length < message.len() || self.ended) {
                return Ok(());
            }
            if consumed == 0 && produced == 0 {
                return Err(Failure::invalid_data("a message that cannot be inflated"));
            }
        }
    }

    /// Inflates the rest of a message at its end.
    pub(crate) fn finish(&mut self, message: &mut Vec<u8>, max: usize) -> Result<(), Failure> {
        // A stream that ended with the message needs no tail, and neither does an empty message.
        if !self.ended && self.compressed > 0 {
            self.receive(&TAIL, message, max)?;
        }
        self.compressed = 0;
        if !self.takeover
            && let Some(stream) = self.stream.take()
        {
            self.pool.give_inflate(stream);
            self.ended = false;
        }
        Ok(())
    }

    /// Compressed bytes of the unfinished message so far.
    pub(crate) const fn compressed(&self) -> u64 {
        self.compressed
    }
}

/// Extends the message for further output, hardly past the bound: one byte more shows whether it would be exceeded.
fn make_room(message: &mut Vec<u8>, room: usize, max: usize) {
    let start = message.len();
    let most = (max - start).saturating_add(1);
    let room = room.clamp(512, 256 << 10).min(most);
    if message.capacity() - start < room {
        message.reserve_exact(start.max(room).min(most));
    }
    message.resize(start + room, 0);
}

/// Bytes below which any compression ratio is allowed: a page of spaces is no attack.
const RATIO_FLOOR: usize = 1 << 20;
const MOST_RATIO: u64 = 10;

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}

/// Deflates the messages to one client, or to all that agreed on the same terms without context takeover.
pub(crate) struct Deflater {
    stream: Option<Deflate>,
    /// Whether later messages may refer to earlier ones.
    takeover: bool,
    window_bits: u8,
    level: u8,
    threshold: usize,
    pool: Arc<DeflatePool>,
}

impl Deflater {
    pub(crate) fn new(terms: &DeflateTerms, pool: Arc<DeflatePool>) -> Self {
        // A window of 9 bits refers back by at most 512 - 262 bytes, so it is within one of 8 bits, which zlib does not
        // offer.
        let window_bits = terms.server_max_window_bits.unwrap_or(15).max(9);
        let takeover = !terms.server_no_context_takeover;
        Self { stream: None, takeover, window_bits, level: terms.level, threshold: terms.threshold, pool }
    }

    /// Appends a message as one frame: compressed, unless it is below the threshold or would only grow.
    pub(crate) fn encode_message(&mut self, out: &mut Vec<u8>, kind: MessageKind, payload: &[u8]) {
        let start = out.len();
        if payload.len() >= self.threshold {
            let head = frame_head_length(payload.len());
            out.resize(start + head, 0);
            let stream = self.stream.get_or_insert_with(|| self.pool.deflate(self.window_bits, self.level));
            let deflated = deflate(stream, payload, out);
            if !self.takeover
                && let Some(stream) = self.stream.take()
            {
                self.pool.give_deflate(self.window_bits, stream);
            }
            let length = out.len() - start - head;
            // With takeover the window has advanced, and the client's must follow.
            if deflated && (self.takeover || length < payload.len()) {
                place_head(out, start, head, kind, length);
                return;
            }
            out.truncate(start);
            if !deflated {
                // A new stream refers to no earlier bytes, which the client may lack.
                self.stream = None;
            }
        }
        encode_frame(out, kind.into(), payload);
    }
}

/// Appends the compressed payload without its tail. Returns whether that succeeded; it always does.
fn deflate(stream: &mut Deflate, payload: &[u8], out: &mut Vec<u8>) -> bool {
    if payload.is_empty() {
        // Section 7.2.3.6: a flush of nothing may give nothing.
        out.push(0);
        return true;
    }
    let mut rest = payload;
    // Most messages shrink; six bytes more let the flush end in one step.
    let mut room = payload.len() + 16;
    loop {
        let end = out.len();
        out.resize(end + room, 0);
        let (before_in, before_out) = (stream.total_in(), stream.total_out());
        let status = stream.compress(rest, &mut out[end..], DeflateFlush::SyncFlush);
        rest = &rest[(stream.total_in() - before_in) as usize..];
        let produced = (stream.total_out() - before_out) as usize;
        out.truncate(end + produced);
        if status.is_err() {
            return false;
        }
        if produced < room {
            break;
        }
        room = room / 8 + 64;
    }
    let ends = rest.is_empty() && out.ends_with(&TAIL);
    out.truncate(out.len() - if ends { TAIL.len() } else { 0 });
    ends
}

/// Writes the head into the room before the payload. The payload moves if it became so short that its head does too.
fn place_head(out: &mut Vec<u8>, start: usize, room: usize, kind: MessageKind, length: usize) {
    let mut head = Vec::with_capacity(room);
    encode_frame_head(&mut head, Opcode::from(kind), true, length);
    out.splice(start..start + room, head);
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("takeover", &self.takeover).field("window_bits", &self.window_bits).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(takeover: bool, window_bits: u8) -> DeflateTerms {
        DeflateTerms {
            server_no_context_takeover: !takeover,
            client_no_context_takeover: !takeover,
            server_max_window_bits: Some(window_bits),
            client_max_window_bits: None,
            level: 6,
            threshold: 0,
        }
    }

    fn inflate(inflater: &mut Inflater, compressed: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        inflater.receive(compressed, &mut message, 1 << 22).unwrap();
        inflater.finish(&mut message, 1 << 22).unwrap();
        message
    }

    /// The payload of a frame that was just encoded, and whether it is compressed.
    fn payload(frame: &[u8]) -> (bool, &[u8]) {
        let (head, length) = match frame[1] {
            126 => (4, usize::from(u16::from_be_bytes([frame[2], frame[3]]))),
            127 => (10, u64::from_be_bytes(frame[2..10].try_into().unwrap()) as usize),
            length => (2, usize::from(length)),
        };
        assert_eq!(frame.len(), head + length);
        (frame[0] & 0x40 != 0, &frame[head..])
    }

    /// Text in which words recur at any distance, and bytes that never do.
    fn samples() -> Vec<Vec<u8>> {
        let mut state = 1_u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as u8
        };
        let noise: Vec<u8> = (0..70_000).map(|_| next()).collect();
        let words: Vec<u8> = noise.iter().flat_map(|byte| format!("word{} ", byte % 40).into_bytes()).collect();
        let lengths = [0, 1, 5, 125, 126, 300, 70_000];
        lengths.iter().flat_map(|&length| [words[..length].to_vec(), noise[..length].to_vec()]).collect()
    }

    #[test]
    fn messages_come_back_as_they_went() {
        let pool = Arc::new(DeflatePool::default());
        for (takeover, window_bits) in [(true, 15), (false, 15), (true, 9), (false, 12), (true, 8)] {
            let terms = terms(takeover, window_bits);
            let (mut deflater, mut inflater) =
                (Deflater::new(&terms, Arc::clone(&pool)), Inflater::new(&terms, Arc::clone(&pool)));
            for sample in samples().iter().chain(&samples()) {
                let mut out = b"before".to_vec();
                deflater.encode_message(&mut out, MessageKind::Binary, sample);
                let (compressed, payload) = payload(&out[6..]);
                let back = if compressed { inflate(&mut inflater, payload) } else { payload.to_vec() };
                assert!(back == *sample, "{} bytes, {terms:?}", sample.len());
                assert!(!takeover || compressed);
            }
        }
    }

    #[test]
    fn a_window_of_the_agreed_size_reads_everything() {
        for window_bits in 8..=15 {
            let mut deflater = Deflater::new(&terms(true, window_bits), Arc::default());
            let mut reader = Inflate::new(false, window_bits);
            for sample in samples() {
                let mut out = Vec::new();
                deflater.encode_message(&mut out, MessageKind::Binary, &sample);
                let mut rest = &[payload(&out).1, &TAIL].concat()[..];
                let mut back = Vec::new();
                // One byte at a time, so that only the window can be referred to.
                loop {
                    let (mut byte, before_in, before_out) = ([0], reader.total_in(), reader.total_out());
                    reader.decompress(rest, &mut byte, InflateFlush::NoFlush).unwrap();
                    rest = &rest[(reader.total_in() - before_in) as usize..];
                    if reader.total_out() == before_out {
                        break;
                    }
                    back.push(byte[0]);
                }
                assert!(rest.is_empty() && back == sample, "{window_bits} bits, {} bytes", sample.len());
            }
        }
    }

    #[test]
    fn small_messages_and_noise_go_as_they_are() {
        let terms = DeflateTerms { threshold: 64, ..terms(false, 15) };
        let mut deflater = Deflater::new(&terms, Arc::default());
        let mut encode = |payload: &[u8]| {
            let mut out = Vec::new();
            deflater.encode_message(&mut out, MessageKind::Text, payload);
            out[0]
        };
        assert_eq!((encode(&[b'a'; 63]), encode(&[b'a'; 64])), (0x81, 0xc1));
        let noise = samples().pop().unwrap();
        assert_eq!(encode(&noise[..1000]), 0x81);
    }

    /// RFC 7692 section 7.2.3.
    #[test]
    fn examples_of_the_rfc() {
        let takeover = || Inflater::new(&terms(true, 15), Arc::default());
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let mut inflater = takeover();
        assert_eq!(inflate(&mut inflater, &hello), b"Hello");
        assert_eq!(inflate(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00]), b"Hello", "from the window");
        let fresh: &[&[u8]] = &[
            // Without compression, with BFINAL, and in two blocks.
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            // The same with BFINAL, and the stream's end at the end of the message.
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        ];
        for compressed in fresh {
            let mut inflater = takeover();
            for _ in 0..3 {
                assert_eq!(inflate(&mut inflater, compressed), b"Hello", "{compressed:x?}");
            }
            assert_eq!(inflate(&mut inflater, &[0]), b"");
            assert_eq!(inflate(&mut inflater, b""), b"");
            assert_eq!(inflate(&mut inflater, &hello), b"Hello");
        }
        let (mut deflater, mut out) = (Deflater::new(&terms(true, 15), Arc::default()), Vec::new());
        for text in ["Hello", "Hello", ""] {
            deflater.encode_message(&mut out, MessageKind::Text, text.as_bytes());
        }
        assert_eq!(out, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00\xc1\x01\x00");
    }
}
