//! Field blocks of a connection on their way to `h2`: each is held until it is complete, checked, and passed on as one
//! frame.
//!
//! If a block comes in several frames and the first of them breaks a rule, `h2` forgets the rest of the block, and the
//! next frame ends the connection. That is another reason to pass on one frame.

use super::block::{Changed, request_line};
use super::fields::{Checked, FieldChecker};
use super::frame_head::{CONTINUATION, END_HEADERS, END_STREAM, HEAD, HEADERS, Http2FrameHead};

/// The current block, and the facts about blocks that are kept from `h2`.
#[derive(Debug)]
pub(crate) struct FieldBlocks {
    checker: FieldChecker,
    held: PartialBlock,
    /// Whether the compression is broken, or another error has ended the connection: then no more bytes are checked.
    are_broken: bool,
    /// Paths that are passed beside the blocks of their streams.
    paths: Vec<(u32, Box<str>)>,
    malformed: Vec<Malformed>,
    longest_path: usize,
}

/// A message that breaks the rules, with the known parts of its request line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) stream: u32,
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
}

/// A block that is not complete.
#[derive(Debug, Default)]
struct PartialBlock {
    /// Bytes up to the end of the last frame whose head was read.
    seen: usize,
    frames: usize,
    first: Http2FrameHead,
    is_last: bool,
}

/// The result of checking a part of a block.
pub(super) enum BlockStep {
    /// Another frame of the block has begun.
    Counts(Http2FrameHead),
    /// The block is not complete.
    Waits,
    /// This number of bytes is passed on unchanged.
    Passes(usize),
    /// These bytes are passed on in place of this number of bytes.
    Changed(usize, Vec<u8>),
    /// The connection ends; `h2` will notice the same error.
    Broken,
}

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// Bytes that PRIORITY adds to a frame.
const PRIORITY_LENGTH: usize = 5;
/// Bytes of the largest frame (RFC 9113 section 4.2), and of the largest block that `h2` accepts.
const LARGEST: usize = 16 << 10;
const MOST_FRAMES: usize = 7;
/// Paths and messages that are remembered at most; `h2` does not bear more faults.
const MOST_REMEMBERED: usize = 128;

impl FieldBlocks {
    pub(super) fn new(longest_path: usize) -> Self {
        Self {
            checker: FieldChecker::new(longest_path),
            held: PartialBlock::default(),
            are_broken: false,
            paths: Vec::new(),
            malformed: Vec::new(),
            longest_path,
        }
    }

    pub(super) fn are_broken(&self) -> bool {
        self.are_broken
    }

    /// Whether a block has begun and is not complete.
    pub(super) fn is_waiting(&self) -> bool {
        self.held.seen > 0
    }

    /// The path of this stream, if it was passed beside its block. Streams ask in the order in which they were opened.
    pub(crate) fn take_path(&mut self, stream: u32) -> Option<Box<str>> {
        self.paths.retain(|(other, _)| *other >= stream);
        let at = self.paths.iter().position(|(other, _)| *other == stream)?;
        Some(self.paths.swap_remove(at).1)
    }

    /// The malformed messages since the last call.
    pub(crate) fn take_malformed(&mut self) -> Vec<Malformed> {
        std::mem::take(&mut self.malformed)
    }

    /// Whether there are any.
    pub(crate) fn has_malformed(&self) -> bool {
        !self.malformed.is_empty()
    }

    /// Checks a block that is one frame and has arrived completely, as most have; `None` for any other.
    pub(super) fn whole(&mut self, head: &Http2FrameHead, bytes: &[u8]) -> Option<BlockStep> {
        let is_simple = head.flags & (END_HEADERS | PADDED | PRIORITY) == END_HEADERS;
        if !is_simple || self.held.frames > 0 || head.length > LARGEST {
            return None;
        }
        let block = bytes.get(HEAD..HEAD + head.length)?;
        Some(match self.checker.check(block) {
            Checked::Right => BlockStep::Passes(HEAD + head.length),
            Checked::Changed(changed) => self.change(head, HEAD + head.length, block, changed, b""),
            Checked::Broken => self.break_off(),
        })
    }

    /// Takes one step with a block that begins here.
    pub(super) fn step(&mut self, bytes: &[u8]) -> BlockStep {
        if !self.held.is_last {
            let Some(head) = bytes.get(self.held.seen..).and_then(Http2FrameHead::parse) else {
                return BlockStep::Waits;
            };
            let is_first = self.held.frames == 0;
            let follows = head.kind == CONTINUATION && head.stream == self.held.first.stream;
            if !(is_first || follows) || head.length > LARGEST || self.held.frames == MOST_FRAMES {
                return self.break_off();
            }
            if is_first {
                self.held.first = head;
            }
            self.held.frames += 1;
            self.held.seen += HEAD + head.length;
            self.held.is_last = head.flags & END_HEADERS != 0;
            return BlockStep::Counts(head);
        }
        let Some(frames) = bytes.get(..self.held.seen) else { return BlockStep::Waits };
        let held = std::mem::take(&mut self.held);
        let Some((block, priority)) = gather(frames) else { return self.break_off() };
        match self.checker.check(&block) {
            Checked::Right if held.frames == 1 => BlockStep::Passes(frames.len()),
            Checked::Right => BlockStep::Changed(frames.len(), frames_of(&held.first, &block, &priority)),
            Checked::Changed(changed) => self.change(&held.first, frames.len(), &block, changed, &priority),
            Checked::Broken => self.break_off(),
        }
    }

    fn break_off(&mut self) -> BlockStep {
        self.are_broken = true;
        self.held = PartialBlock::default();
        BlockStep::Broken
    }

    fn change(
        &mut self,
        first: &Http2FrameHead,
        length: usize,
        block: &[u8],
        changed: Changed,
        priority: &[u8],
    ) -> BlockStep {
        if changed.is_malformed && self.malformed.len() < MOST_REMEMBERED {
            let (mut method, mut target) = request_line(block);
            method.truncate(self.longest_path);
            target.truncate(self.longest_path);
            self.malformed.push(Malformed { stream: first.stream, method, target });
        } else if let Some(path) = changed.path {
            if self.paths.len() == MOST_REMEMBERED {
                self.paths.remove(0);
            }
            self.paths.push((first.stream, path));
        }
        BlockStep::Changed(length, frames_of(first, &changed.block, priority))
    }
}

/// The block of these frames, and the priority in the first; `None` if they are malformed (RFC 9113 section 6.2).
fn gather(frames: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut block, mut priority, mut rest) = (Vec::new(), Vec::new(), frames);
    while let Some(head) = Http2FrameHead::parse(rest) {
        let mut payload = rest.get(HEAD..HEAD + head.length)?;
        rest = &rest[HEAD + head.length..];
        if head.kind == HEADERS {
            if head.flags & PADDED != 0 {
                let (&padding, padded) = payload.split_first()?;
                payload = padded.get(..padded.len().checked_sub(usize::from(padding))?)?;
            }
            if head.flags & PRIORITY != 0 {
                let (first, other) = payload.split_at_checked(PRIORITY_LENGTH)?;
                (priority, payload) = (first.to_vec(), other);
            }
        }
        block.extend_from_slice(payload);
    }
    Some((block, priority))
}

/// The block in as few frames as possible.
fn frames_of(first: &Http2FrameHead, block: &[u8], priority: &[u8]) -> Vec<u8> {
    let (begins, rest) = block.split_at(block.len().min(LARGEST - priority.len()));
    let end = |is_last| if is_last { END_HEADERS } else { 0 };
    let mut out = Vec::with_capacity(block.len() + 2 * HEAD + priority.len());
    let kept = first.flags & END_STREAM | if priority.is_empty() { 0 } else { PRIORITY };
    let flags = kept | end(rest.is_empty());
    Http2FrameHead { length: priority.len() + begins.len(), kind: HEADERS, flags, stream: first.stream }.put(&mut out);
    out.extend_from_slice(priority);
    out.extend_from_slice(begins);
    let mut pieces = rest.chunks(LARGEST).peekable();
    while let Some(piece) = pieces.next() {
        let flags = end(pieces.peek().is_none());
        Http2FrameHead { length: piece.len(), kind: CONTINUATION, flags, stream: first.stream }.put(&mut out);
        out.extend_from_slice(piece);
    }
    out
}
