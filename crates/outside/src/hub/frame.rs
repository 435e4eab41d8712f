//! The frames between a worker process and the hub: bytes to values and back.
//!
//! A frame is a head of 36 bytes, the topic, and the payload. The head: the length of the whole frame (4 bytes), kind,
//! flags, the length of the topic (2), id (8), epoch (8), number (8), and four bytes that are zero; integers are
//! little-endian. A reader that gets only a part of a frame keeps it; a part that no rest follows is dropped with its
//! stream.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// Bytes of a frame before its topic.
pub const HEAD: usize = 36;
/// Bytes of the largest payload: half of the queue of a seat, so that one message never empties it.
pub const MAX_PAYLOAD: usize = 4 << 20;
/// Bytes of the longest topic.
pub const MAX_TOPIC: usize = u16::MAX as usize;
const MAX_FRAME: usize = HEAD + MAX_TOPIC + MAX_PAYLOAD;

/// Flag: the payload is a text.
const TEXT: u8 = 1;
/// Flag: something of the topic is missing.
const GAP: u8 = 2;

/// The meaning of a frame. The first ten go to the hub, the others come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A message for a topic; with an id, the sender wants to know its number.
    Publish = 1,
    /// The sender has this many subscribers of the topic (`number`).
    Interest = 2,
    /// The sender has dropped this many messages to the topic (`number`).
    Lost = 3,
    /// The sender asks for the messages of the topic after `epoch` and `number`.
    After = 4,
    /// The sender asks how many subscribers the topic has.
    Count = 5,
    /// The topics whose last messages are kept, as lines of the payload.
    Keep = 6,
    /// An operation on shared state: the topic is the key, the payload the action. With an id, the sender wants to know
    /// the outcome.
    Shared = 7,
    /// Shared values may take this many bytes (`number`).
    SharedBound = 8,
    /// One more connection of this address (`number`), if it has fewer than `epoch` in all processes; with an id, as all
    /// that wait for an answer.
    Connected = 9,
    /// One connection less of this address (`number`).
    Disconnected = 10,
    /// A message of a topic, with its number.
    Message = 32,
    /// A message of a topic that was asked for by `After`; the id is that of the question.
    Replay = 33,
    /// The end of an answer to `After`: later messages have higher numbers. Flag: something is missing.
    Replayed = 34,
    /// Messages of the topic up to this number were dropped; an empty topic means every topic.
    Gap = 35,
    /// The epoch and number of a message that was published with an id.
    Published = 36,
    /// The number of subscribers.
    Counted = 37,
    /// The outcome of an operation on shared state.
    Outcome = 38,
}

impl FrameKind {
    fn of(byte: u8) -> Option<Self> {
        use FrameKind::*;
        let of_workers =
            [Publish, Interest, Lost, After, Count, Keep, Shared, SharedBound, Connected, Disconnected].into_iter();
        let of_hub = [Message, Replay, Replayed, Gap, Published, Counted, Outcome];
        of_workers.chain(of_hub).find(|kind| *kind as u8 == byte)
    }
}

/// A frame whose bytes lie elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The meaning of the frame.
    pub kind: FrameKind,
    /// The question that this frame asks or answers; 0: none.
    pub id: u64,
    /// The life of a topic in which its numbers count.
    pub epoch: u64,
    /// The number of a message within its topic, or a count.
    pub number: u64,
    /// The name of the topic.
    pub topic: &'a str,
    /// Whether the payload is a text.
    pub is_text: bool,
    /// Whether something of the topic is missing.
    pub has_gap: bool,
    /// The bytes of the message.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A frame of a topic without a payload.
    pub fn new(kind: FrameKind, topic: &'a str) -> Self {
        Self { kind, id: 0, epoch: 0, number: 0, topic, is_text: false, has_gap: false, payload: &[] }
    }

    /// Adds the bytes of the frame. A topic that is too long is cut by the caller's check, never here.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let length = HEAD + self.topic.len() + self.payload.len();
        let flags = if self.is_text { TEXT } else { 0 } | if self.has_gap { GAP } else { 0 };
        out.reserve(length);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, flags]);
        out.extend_from_slice(&u16::try_from(self.topic.len()).unwrap_or(u16::MAX).to_le_bytes());
        for value in [self.id, self.epoch, self.number] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(self.payload);
    }

    /// The bytes of the frame, to be shared by several queues.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.encode(&mut out);
        out.into()
    }
}

/// The stream is not one of frames: it cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError(&'static str);

impl FrameError {
    pub(super) const OF_WORKER: Self = Self("a frame that no worker sends");
    pub(super) const OF_SHARED: Self = Self("a frame about shared state that is malformed");
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads the frame at the beginning of these bytes, and says how many bytes it takes. `None`: the frame is not complete.
///
/// # Errors
/// The bytes are no frame.
pub fn decode(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return match bytes.first_chunk::<4>() {
            Some(length) => check_length(u32::from_le_bytes(*length)).map(|_| None),
            None => Ok(None),
        };
    };
    let length = check_length(u32::from_le_bytes([head[0], head[1], head[2], head[3]]))?;
    let kind = FrameKind::of(head[4]).ok_or(FrameError("a frame of an unknown kind"))?;
    let flags = head[5];
    if flags & !(TEXT | GAP) != 0 || head[32..] != [0; 4] {
        return Err(FrameError("a frame with unknown flags"));
    }
    let topic_length = usize::from(u16::from_le_bytes([head[6], head[7]]));
    let Some(payload_length) = (length - HEAD).checked_sub(topic_length) else {
        return Err(FrameError("a frame that is shorter than its topic"));
    };
    if payload_length > MAX_PAYLOAD {
        return Err(FrameError("a frame whose payload is too long"));
    }
    let Some(content) = rest.get(..length - HEAD) else { return Ok(None) };
    let (topic, payload) = content.split_at(topic_length);
    let topic = std::str::from_utf8(topic).map_err(|_| FrameError("a topic that is not UTF-8"))?;
    let value = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (is_text, has_gap) = (flags & TEXT != 0, flags & GAP != 0);
    let frame = Frame { kind, id: value(8), epoch: value(16), number: value(24), topic, is_text, has_gap, payload };
    Ok(Some((frame, length)))
}

fn check_length(length: u32) -> Result<usize, FrameError> {
    match usize::try_from(length) {
        Ok(length @ HEAD..=MAX_FRAME) => Ok(length),
        _ => Err(FrameError("a frame of an impossible length")),
    }
}

/// The bytes of one stream that no frame has taken yet.
#[derive(Debug, Default)]
pub struct FrameReader {
    kept: BytesMut,
}

impl FrameReader {
    /// Takes bytes of the stream, and calls the function for each frame that is complete.
    ///
    /// # Errors
    /// The stream is not one of frames.
    pub fn receive(&mut self, bytes: &[u8], mut on_frame: impl FnMut(&Frame<'_>)) -> Result<(), FrameError> {
        if self.kept.is_empty() {
            let taken = each(bytes, &mut on_frame)?;
            self.kept.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        self.kept.extend_from_slice(bytes);
        let taken = each(&self.kept, &mut on_frame)?;
        drop(self.kept.split_to(taken));
        if self.kept.is_empty() {
            // A large frame has passed: its memory is not kept.
            self.kept = BytesMut::new();
        }
        Ok(())
    }

    /// Bytes that wait for the rest of their frame.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether the stream stands between two frames.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Calls the function for each complete frame; returns how many bytes they take.
fn each(bytes: &[u8], on_frame: &mut impl FnMut(&Frame<'_>)) -> Result<usize, FrameError> {
    let mut taken = 0;
    while let Some((frame, length)) = decode(&bytes[taken..])? {
        taken += length;
        on_frame(&frame);
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_frame() -> Vec<Vec<u8>> {
        (0..=255)
            .filter_map(FrameKind::of)
            .map(|kind| {
                let number = kind as u64;
                let mut bytes = Vec::new();
                let frame =
                    Frame { id: 7, epoch: u64::MAX, number, payload: b"payload", ..Frame::new(kind, "raum/ü") };
                Frame { is_text: number.is_multiple_of(2), has_gap: number.is_multiple_of(3), ..frame }
                    .encode(&mut bytes);
                bytes
            })
            .collect()
    }

    #[test]
    fn a_frame_survives_the_way() {
        for bytes in every_frame() {
            let (frame, length) = decode(&bytes).unwrap().unwrap();
            let mut again = Vec::new();
            frame.encode(&mut again);
            assert_eq!((again, length), (bytes.clone(), bytes.len()));
        }
    }

    #[test]
    fn a_stream_may_be_cut_anywhere() {
        let stream = every_frame().concat();
        for size in [1, 2, 35, 36, 37, 100, stream.len()] {
            let (mut reader, mut again) = (FrameReader::default(), Vec::new());
            for piece in stream.chunks(size) {
                reader.receive(piece, |frame| frame.encode(&mut again)).unwrap();
            }
            assert_eq!(again, stream, "pieces of {size}");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn bytes_that_are_no_frame_end_the_stream() {
        let good = Frame { payload: b"x", ..Frame::new(FrameKind::Publish, "t") }.to_bytes();
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = good.to_vec();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            bad
        };
        for (bad, verdict) in [
            (with(0, &[0, 0, 0, 0]), "a frame of an impossible length"),
            (with(0, &[255; 4]), "a frame of an impossible length"),
            (with(0, &[35, 0, 0, 0])[..4].to_vec(), "a frame of an impossible length"),
            (with(4, &[0]), "a frame of an unknown kind"),
            (with(5, &[4]), "a frame with unknown flags"),
            (with(35, &[1]), "a frame with unknown flags"),
            (with(6, &[3, 0]), "a frame that is shorter than its topic"),
            (with(36, &[0xff]), "a topic that is not UTF-8"),
        ] {
            assert_eq!(decode(&bad).unwrap_err().to_string(), verdict, "{bad:?}");
        }
        assert_eq!(decode(&good[..good.len() - 1]), Ok(None));
    }
}
