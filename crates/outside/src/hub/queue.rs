//! The frames that wait for one seat: bounded, and what is dropped is told.
//!
//! A seat whose worker does not read keeps at most [`MAX_QUEUE`] bytes. Then the oldest messages go; before the next
//! frame the seat is told once for each topic that something is missing. Answers to questions are never dropped: a
//! worker has few questions open, and those that would bring much wait outside of the queue (`core.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Frame, FrameKind};

/// Bytes that wait for one seat at most, the memory of each entry included.
pub const MAX_QUEUE: usize = 8 << 20;
/// Bytes of memory that an entry takes beside its frame.
pub(super) const ENTRY: usize = 64;
/// Topics of which a seat is told one by one that something is missing; with more, it is told of all topics at once.
const MAX_GAPS: usize = 1024;
/// Frames that are written with one call.
const MAX_SLICES: usize = 64;

/// The topic, epoch and number of a message.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) topic: Arc<str>,
    pub(super) epoch: u64,
    pub(super) number: u64,
}

#[derive(Debug)]
struct Entry {
    frame: Bytes,
    /// `None`: an answer, which is never dropped.
    position: Option<Position>,
}

/// The frames that wait for one seat.
#[derive(Debug, Default)]
pub(super) struct SeatQueue {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Bytes of the first frame that the socket has taken.
    sent: usize,
    /// The last dropped message of each topic, not told yet.
    gaps: BTreeMap<Arc<str>, (u64, u64)>,
    /// Whether messages of too many topics were dropped to name them all.
    has_gap_everywhere: bool,
    /// Messages that were dropped in all.
    pub(super) dropped: u64,
}

impl SeatQueue {
    /// Adds a message, which may be dropped later.
    pub(super) fn push_message(&mut self, frame: Bytes, position: Position) {
        self.push(Entry { frame, position: Some(position) });
        while self.bytes > MAX_QUEUE && self.drop_oldest() {}
    }

    /// Adds an answer, which is never dropped.
    pub(super) fn push_answer(&mut self, frame: Bytes) {
        self.push(Entry { frame, position: None });
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.frame.len() + ENTRY;
        self.entries.push_back(entry);
    }

    fn drop_oldest(&mut self) -> bool {
        // Of a frame that is being sent, the rest has to follow.
        let first = usize::from(self.sent > 0);
        let oldest = self.entries.iter().skip(first).position(|entry| entry.position.is_some());
        let Some(Entry { frame, position: Some(lost) }) = oldest.and_then(|at| self.entries.remove(first + at)) else {
            return false;
        };
        self.bytes -= frame.len() + ENTRY;
        self.dropped += 1;
        if self.gaps.len() < MAX_GAPS || self.gaps.contains_key(&lost.topic) {
            self.gaps.insert(lost.topic, (lost.epoch, lost.number));
        } else {
            self.has_gap_everywhere = true;
        }
        true
    }

    /// Puts the gaps before all other frames: called when the seat reads again, so that each topic has one.
    pub(super) fn tell_gaps(&mut self) {
        if self.gaps.is_empty() {
            return;
        }
        let begun = (self.sent > 0).then(|| self.entries.pop_front()).flatten();
        let gaps = std::mem::take(&mut self.gaps);
        let mut frames: Vec<Bytes> = gaps
            .iter()
            .map(|(topic, &(epoch, number))| Frame { epoch, number, ..Frame::new(FrameKind::Gap, topic) }.to_bytes())
            .collect();
        if std::mem::take(&mut self.has_gap_everywhere) {
            frames = vec![Frame::new(FrameKind::Gap, "").to_bytes()];
        }
        for frame in frames.into_iter().rev() {
            self.bytes += frame.len() + ENTRY;
            self.entries.push_front(Entry { frame, position: None });
        }
        if let Some(begun) = begun {
            self.entries.push_front(begun);
        }
    }

    /// The next bytes, as slices for one call of `writev`.
    pub(super) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(self.entries.len().min(MAX_SLICES));
        for (index, entry) in self.entries.iter().take(MAX_SLICES).enumerate() {
            slices.push(IoSlice::new(&entry.frame[if index == 0 { self.sent } else { 0 }..]));
        }
        slices
    }

    /// Notes that this number of bytes has been taken.
    pub(super) fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(first) = self.entries.front() else { return };
            let left = first.frame.len() - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.bytes -= first.frame.len() + ENTRY;
            self.sent = 0;
            self.entries.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
