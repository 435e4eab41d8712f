//! Counts the frames of a client on their way to `h2`, which has no bound for most of them (docs/security.md S16 to S20).
//!
//! Only heads of frames are read, and field blocks: see [`FieldBlocks`]. Frames that cost work and bring no content use
//! up a budget, which time and useful bytes refill. The streams of such frames are remembered, so that a cancelled
//! request is noticed without polling every stream.

use super::field_blocks::{BlockStep, FieldBlocks};
use super::frame_head::{CONTINUATION, END_HEADERS, END_STREAM, HEAD, HEADERS, Http2FrameHead};

/// Reads a client's bytes, beginning with the preface.
#[derive(Debug)]
pub(crate) struct FrameCounter {
    preface_left: usize,
    payload_left: usize,
    blocks: FieldBlocks,
    /// The budget, in [`UNIT`]s of a token.
    budget: u64,
    /// Time of the last refill, in milliseconds.
    filled: u64,
    is_spent: bool,
    /// Whether a header block has begun and not ended.
    is_in_block: bool,
    highest_stream: u32,
    /// Number of streams that were opened.
    opened: u64,
    touched: Vec<u32>,
}

/// The part of the bytes that is passed on to `h2`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Bytes that are passed on unchanged.
    pub(crate) count: usize,
    /// Bytes that are passed on in place of this number of following ones.
    pub(crate) instead: Option<(usize, Vec<u8>)>,
}

/// Parts of a token. One useful byte is worth one part.
const UNIT: u64 = 1024;
/// Tokens of a full budget.
const MOST: u64 = 4096;
/// Parts of a token that a millisecond adds: a hundred tokens a second.
const PER_MILLISECOND: u64 = 102;
/// Streams that are remembered one by one.
const MOST_TOUCHED: usize = 256;

const DATA: u8 = 0;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

impl FrameCounter {
    /// For a connection whose preface has not been read; `now` in milliseconds. Paths that `h2` cannot take are kept up
    /// to `longest_path` bytes.
    pub(crate) fn new(now: u64, longest_path: usize) -> Self {
        Self {
            preface_left: super::PREFACE.len(),
            payload_left: 0,
            blocks: FieldBlocks::new(longest_path),
            budget: MOST * UNIT,
            filled: now,
            is_spent: false,
            is_in_block: false,
            highest_stream: 0,
            opened: 0,
            touched: Vec::new(),
        }
    }

    /// Reads bytes that have arrived and were not passed on yet. Heads and field blocks are passed on when complete,
    /// and no bytes behind a frame that has exceeded the budget.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: u64) -> Passage {
        self.fill(now.saturating_sub(self.filled).saturating_mul(PER_MILLISECOND));
        self.filled = now;
        let mut count = self.preface_left.min(bytes.len());
        self.preface_left -= count;
        loop {
            let payload = self.payload_left.min(bytes.len() - count);
            self.payload_left -= payload;
            count += payload;
            let rest = &bytes[count..];
            let Some(head) = Http2FrameHead::parse(rest).filter(|_| !self.is_spent) else {
                return Passage { count, instead: None };
            };
            if head.kind == HEADERS && !self.blocks.are_broken() {
                match self.step(&head, rest) {
                    BlockStep::Passes(length) => count += length,
                    BlockStep::Changed(length, frames) => return Passage { count, instead: Some((length, frames)) },
                    BlockStep::Waits => return Passage { count, instead: None },
                    BlockStep::Counts(_) | BlockStep::Broken => {}
                }
                continue;
            }
            self.count(&head);
            self.payload_left = head.length;
            count += HEAD;
        }
    }

    /// Reads as much of a field block as has arrived.
    fn step(&mut self, head: &Http2FrameHead, bytes: &[u8]) -> BlockStep {
        if let Some(step) = self.blocks.whole(head, bytes) {
            self.count(head);
            return step;
        }
        loop {
            match self.blocks.step(bytes) {
                BlockStep::Counts(head) => self.count(&head),
                step => return step,
            }
        }
    }

    /// The checker of field blocks.
    pub(crate) fn blocks(&mut self) -> &mut FieldBlocks {
        &mut self.blocks
    }

    /// Number of streams that were opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened
    }

    /// Refills the budget for bytes of answers that were sent: a client that takes them may send window updates.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.fill(bytes as u64);
    }

    /// Whether the budget is exceeded.
    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Whether a header block has begun and is not complete.
    pub(crate) fn is_in_block(&self) -> bool {
        self.is_in_block || self.blocks.is_waiting()
    }

    /// The streams with frames other than the one that opened them, since the last call.
    pub(crate) fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched)
    }

    /// Whether there are any.
    pub(crate) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Counts a frame against the budget.
    ///
    /// Frames that only make work cost a token, and those of known attacks ten: empty DATA, resets (rapid reset),
    /// SETTINGS and PING (each of which `h2` answers). Frames that bring content or a request refill the budget, and so
    /// do time and answers that were sent, whose client has to send window updates. So an honest client never runs out.
    fn count(&mut self, head: &Http2FrameHead) {
        let Http2FrameHead { length, kind, flags, stream } = *head;
        let tokens = match kind {
            DATA if length == 0 && flags & END_STREAM == 0 => 10,
            DATA => {
                self.fill(length as u64);
                0
            }
            HEADERS => {
                self.is_in_block = flags & END_HEADERS == 0;
                self.fill(UNIT);
                0
            }
            CONTINUATION => {
                self.is_in_block = flags & END_HEADERS == 0;
                1
            }
            PRIORITY | WINDOW_UPDATE => 1,
            RST_STREAM | SETTINGS | PING | GOAWAY => 10,
            // Unknown extensions are ignored (section 5.5).
            _ => 2,
        };
        match self.budget.checked_sub(tokens * UNIT) {
            Some(left) => self.budget = left,
            None => self.is_spent = true,
        }
        if kind == HEADERS && stream > self.highest_stream {
            self.highest_stream = stream;
            self.opened += 1;
        } else if stream > 0 && self.touched.last() != Some(&stream) && self.touched.len() < MOST_TOUCHED {
            self.touched.push(stream);
        }
    }

    fn fill(&mut self, parts: u64) {
        self.budget = self.budget.saturating_add(parts).min(MOST * UNIT);
    }
}

/// The streams of malformed messages that `h2` resets, found in frames that `h2` has written.
pub(crate) fn resets_of(frames: &[u8]) -> impl Iterator<Item = u32> {
    const PROTOCOL_ERROR: [u8; 4] = [0, 0, 0, 1];
    let mut rest = frames;
    std::iter::from_fn(move || {
        while let Some(head) = Http2FrameHead::parse(rest) {
            let frame = rest.get(HEAD..HEAD + head.length);
            rest = rest.get(HEAD + head.length..).unwrap_or_default();
            if head.kind == RST_STREAM && frame == Some(&PROTOCOL_ERROR) {
                return Some(head.stream);
            }
        }
        None
    })
}

/// Replaces the limit in the SETTINGS frame that a server sends first (RFC 9113 section 6.5.2). The advertised limit is
/// less than the enforced one, so that a request between the two gets an error page.
pub(crate) fn advertise(frame: &mut [u8], max_header_list_size: u32) {
    const MAX_HEADER_LIST_SIZE: [u8; 2] = [0, 6];
    if frame.get(3) != Some(&SETTINGS) {
        return;
    }
    let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
    let settings = frame.get_mut(HEAD..HEAD + length).unwrap_or_default();
    for setting in settings.chunks_exact_mut(6).filter(|setting| setting[..2] == MAX_HEADER_LIST_SIZE) {
        setting[2..].copy_from_slice(&max_header_list_size.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    fn begun() -> FrameCounter {
        let mut counter = FrameCounter::new(0, 100);
        counter.receive(crate::protocol::http2::PREFACE, 0);
        counter
    }

    /// Number of these frames that are accepted at one moment.
    fn taken(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> usize {
        let (mut counter, bytes) = (begun(), frame(kind, flags, stream, payload));
        (0..20_000)
            .take_while(|_| {
                counter.receive(&bytes, 0);
                !counter.is_spent()
            })
            .count()
    }

    #[test]
    fn frames_that_bring_nothing_are_bounded() {
        for (kind, payload, most) in [
            (PRIORITY, &[0; 5][..], 4096),
            (RST_STREAM, &[0; 4], 409),
            (SETTINGS, &[], 409),
            (PING, &[0; 8], 409),
            (WINDOW_UPDATE, &[0, 0, 0, 1], 4096),
            (CONTINUATION, &[], 4096),
            (DATA, &[], 409),
            (0xfa, b"anything", 2048),
        ] {
            assert_eq!(taken(kind, 0, 1, payload), most, "frames of type {kind}");
        }
        assert_eq!(taken(HEADERS, END_HEADERS, 1, &[0x82]), 20_000);
        assert_eq!(taken(DATA, 0, 1, &[7; 64]), 20_000);
    }

    #[test]
    fn time_and_useful_bytes_fill_it_again() {
        let mut counter = begun();
        let ping = frame(PING, 0, 0, &[0; 8]);
        for second in 0..1000 {
            counter.receive(&ping.repeat(9), second * 1000);
        }
        assert!(!counter.is_spent(), "nine pings a second");
        let (mut counter, update) = (begun(), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 64, 0]));
        for _ in 0..100_000 {
            counter.sent(16 << 10);
            counter.receive(&update.repeat(2), 0);
        }
        assert!(!counter.is_spent(), "two window updates for each full frame");
    }

    #[test]
    fn frames_in_pieces_are_the_same_frames() {
        let blocks = [
            crate::protocol::http2::PREFACE.to_vec(),
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
            frame(HEADERS, 0, 1, &[0x82; 40]),
            frame(CONTINUATION, END_HEADERS, 1, &[0x82; 10]),
            frame(DATA, 0, 1, &[7; 300]),
            frame(HEADERS, END_HEADERS, 3, &[0x82; 3]),
            frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]),
        ]
        .concat();
        for size in 1..=blocks.len() {
            let (mut counter, mut held, mut passed) = (FrameCounter::new(0, 100), Vec::new(), Vec::new());
            for piece in blocks.chunks(size) {
                held.extend_from_slice(piece);
                loop {
                    let Passage { count, instead } = counter.receive(&held, 0);
                    passed.extend(held.drain(..count));
                    let Some((length, frames)) = instead else { break };
                    held.drain(..length);
                    passed.extend(frames);
                }
            }
            assert_eq!(counter.take_touched(), [1, 3], "pieces of {size}");
            assert!(!counter.is_in_block() && !counter.has_touched() && held.is_empty());
            assert_eq!((counter.payload_left, counter.preface_left, counter.opened), (0, 0, 2));
            // A block of two frames goes on as one.
            let whole = [frame(HEADERS, 0, 1, &[0x82; 40]), frame(CONTINUATION, END_HEADERS, 1, &[0x82; 10])].concat();
            let at = passed.windows(9).position(|head| head[3] == HEADERS).unwrap();
            let begins = frame(HEADERS, END_HEADERS, 1, &[0x82; 50]);
            assert_eq!(passed[at..at + begins.len()], begins);
            assert_eq!(passed[at + begins.len()..], blocks[at + whole.len()..]);
        }
        let mut counter = begun();
        assert_eq!(counter.receive(&frame(HEADERS, 0, 1, &[]), 0).count, 0);
        assert!(counter.is_in_block());
        let mut counter = begun();
        counter.receive(&frame(HEADERS, END_HEADERS, 1, &[0x82; 40])[..20], 0);
        assert!(counter.is_in_block(), "a frame that is not whole");
    }

    #[test]
    fn resets_are_found_among_other_frames() {
        let all = [
            frame(DATA, 0, 1, &[0, 0, 4, RST_STREAM, 0, 0, 0, 0, 7, 0, 0, 0, 1]),
            frame(RST_STREAM, 0, 3, &[0, 0, 0, 1]),
            frame(RST_STREAM, 0, 5, &[0, 0, 0, 8]),
            frame(RST_STREAM, 0, 9, &[0, 0, 0, 1]),
            vec![0, 0, 9],
        ];
        assert_eq!(resets_of(&all.concat()).collect::<Vec<_>>(), [3, 9]);
    }

    #[test]
    fn only_the_one_setting_is_changed() {
        let mut settings = frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0, 0, 6, 0, 0, 128, 0]);
        advertise(&mut settings, 16 << 10);
        assert_eq!(settings, frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0, 0, 6, 0, 0, 64, 0]));
        let mut other = frame(PING, 0, 0, &[0, 6, 0, 0, 0, 0, 0, 0]);
        advertise(&mut other, 1);
        advertise(&mut other[..4], 1);
        assert_eq!(other, frame(PING, 0, 0, &[0, 6, 0, 0, 0, 0, 0, 0]));
    }
}
