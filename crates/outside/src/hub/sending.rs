//! The frames of one worker that the socket of its seat has not taken: bounded, and the topics of which messages were
//! dropped.

use std::collections::{BTreeMap, VecDeque};

use super::frame::{Frame, FrameKind, HEAD};
use super::interest_frame;
use crate::websocket::{Admission, TopicInterest, Topics};

/// Bytes that wait to be sent at most.
const MAX_SENDING: usize = 8 << 20;
/// Bytes above which interests are not queued one by one.
const MANY: usize = MAX_SENDING + (1 << 20);
/// Bytes of one piece of memory, unless a frame is larger.
const CHUNK: usize = 64 << 10;
/// Topics whose lost messages are counted apart.
const MAX_LOST: usize = 1024;

#[derive(Default)]
pub(super) struct Sending {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that the socket has taken.
    sent: usize,
    bytes: usize,
    /// Bytes of them that the bounds of the topics know of.
    counted: usize,
    leaving: usize,
    spare: Vec<u8>,
    /// Dropped messages by topic, of which the hub does not know yet.
    lost: BTreeMap<String, u64>,
    lost_in_all: u64,
    /// Interests that have changed while too much waited.
    interests: BTreeMap<String, TopicInterest>,
    has_ended: bool,
}

impl Sending {
    /// Adds a frame. Returns `false` if it is a message that there is no room for.
    pub(super) fn push(&mut self, frame: &Frame<'_>, topics: &Topics) -> bool {
        if self.has_ended {
            return true;
        }
        let length = HEAD + frame.topic.len() + frame.payload.len();
        // The first one is not counted: the socket takes it at once.
        if frame.kind == FrameKind::Publish && !self.chunks.is_empty() {
            let admission = if self.bytes + length > MAX_SENDING { Admission::Dropped } else { topics.admit(length) };
            match admission {
                Admission::Counted => self.counted += length,
                Admission::Uncounted => {}
                Admission::Dropped => {
                    self.note_lost(frame.topic);
                    return false;
                }
            }
        }
        self.catch_up();
        self.append(frame);
        true
    }

    /// Adds the interest of this process in a topic.
    pub(super) fn push_interest(&mut self, topic: &str, interest: TopicInterest) {
        if self.bytes > MANY || self.interests.contains_key(topic) {
            self.interests.insert(topic.to_owned(), interest);
        } else if !self.has_ended {
            self.append(&interest_frame(topic, interest));
        }
    }

    fn note_lost(&mut self, topic: &str) {
        self.lost_in_all += 1;
        if let Some(count) = self.lost.get_mut(topic) {
            *count += 1;
        } else if self.lost.len() < MAX_LOST {
            self.lost.insert(topic.to_owned(), 1);
        }
    }

    /// Adds what was put off while too much waited, once there is room.
    fn catch_up(&mut self) {
        if self.bytes > MAX_SENDING / 2 || (self.lost.is_empty() && self.interests.is_empty()) {
            return;
        }
        for (topic, interest) in std::mem::take(&mut self.interests) {
            self.append(&interest_frame(&topic, interest));
        }
        for (topic, number) in std::mem::take(&mut self.lost) {
            self.append(&Frame { number, ..Frame::new(FrameKind::Lost, &topic) });
        }
    }

    fn append(&mut self, frame: &Frame<'_>) {
        let length = HEAD + frame.topic.len() + frame.payload.len();
        if self.chunks.back().is_none_or(|chunk| chunk.len() + length > CHUNK) {
            self.chunks.push_back(std::mem::take(&mut self.spare));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            frame.encode(chunk);
            self.bytes += length;
        }
    }

    /// The next bytes to send.
    pub(super) fn next(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| &chunk[self.sent..])
    }

    /// Notes that the socket has taken this number of bytes of [`Sending::next`].
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        self.bytes -= count;
        // Bytes that are counted are those at the end.
        let leaving = self.counted.saturating_sub(self.bytes);
        self.counted -= leaving;
        self.leaving += leaving;
        if self.chunks.front().is_some_and(|chunk| chunk.len() == self.sent) {
            self.sent = 0;
            if let Some(mut chunk) = self.chunks.pop_front()
                && chunk.capacity() <= CHUNK
            {
                chunk.clear();
                self.spare = chunk;
            }
            self.catch_up();
        }
    }

    /// The other end is gone: nothing will be sent any more.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.chunks.clear();
        (self.sent, self.bytes) = (0, 0);
        self.leaving += std::mem::take(&mut self.counted);
    }

    /// Counted bytes that have left since the last call. The bounds are told without the lock of this queue, because
    /// they may take the lock of a connection.
    pub(super) fn take_leaving(&mut self) -> usize {
        std::mem::take(&mut self.leaving)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.bytes
    }

    /// Bytes that wait and that the bounds of the topics know of.
    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// Whether the queue is so long that no question is added to it.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > MANY
    }

    /// Messages that were dropped in all.
    pub(super) fn lost(&self) -> u64 {
        self.lost_in_all
    }
}
