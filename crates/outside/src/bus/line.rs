//! Commands on their way to a broker that is there, and the answers that are expected: bounded, in one order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::engine::{Engine, KeptPublication};
use crate::hub::{Frame, KeepRules};
use crate::shared::Operation;
use crate::websocket::{Admission, MessageId, Topics};

/// Bytes that wait to be sent at most.
pub(super) const MAX_SENDING: usize = 8 << 20;
/// Bytes of one piece of memory, unless a command is larger.
const CHUNK: usize = 64 << 10;

/// The meaning of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing depends on it.
    Anything,
    /// A subscription to the channel of a topic. `tells_gap`: messages were missed before it.
    Subscription { topic: Arc<str>, tells_gap: bool },
    /// A message to a topic; a ticket if a thread waits for its id.
    Publication { topic: Arc<str>, ticket: u64 },
    /// The question about subscribers under this ticket.
    Count { ticket: u64 },
    /// The operation on shared state under this ticket.
    Operation { ticket: u64 },
    /// The question about missed messages under this ticket.
    Replay { ticket: u64 },
}

/// A connection on which commands may be sent.
pub(super) struct Line {
    pub(super) engine: Arc<dyn Engine>,
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Bytes of them that the bounds of the topics know of.
    counted: usize,
    expected: VecDeque<Expected>,
    /// Memory that is used again: the name of a channel, and the bytes of a frame.
    channel: String,
    frame: Vec<u8>,
}

impl Line {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        let (channel, frame) = (String::new(), Vec::new());
        Self { engine, chunks: VecDeque::new(), bytes: 0, counted: 0, expected: VecDeque::new(), channel, frame }
    }

    pub(super) fn subscribe(&mut self, topic: &Arc<str>, tells_gap: bool) {
        self.command(Expected::Subscription { topic: Arc::clone(topic), tells_gap }, Some(&**topic), |line, out| {
            line.engine.subscribe(&line.channel, out);
        });
    }

    pub(super) fn unsubscribe(&mut self, topic: &str) {
        self.command(Expected::Anything, Some(topic), |line, out| line.engine.unsubscribe(&line.channel, out));
    }

    /// Sends a message. Returns `false` if there is no room for it.
    pub(super) fn publish(
        &mut self,
        frame: &Frame<'_>,
        ticket: u64,
        rules: &KeepRules,
        new_epoch: u64,
        topics: &Topics,
    ) -> bool {
        let length = frame.topic.len() + frame.payload.len() + 128;
        // The first one is not counted: it is sent at once.
        if !self.chunks.is_empty() {
            let admission = if self.bytes + length > MAX_SENDING { Admission::Dropped } else { topics.admit(length) };
            match admission {
                Admission::Counted => self.counted += length,
                Admission::Uncounted => {}
                Admission::Dropped => return false,
            }
        }
        let expected = Expected::Publication { topic: frame.topic.into(), ticket };
        match rules.of(frame.topic) {
            None => self.send(expected, None, frame),
            Some(keep) => {
                self.encode(&Frame { epoch: 0, number: 0, ..*frame });
                self.command(expected, Some(frame.topic), |line, out| {
                    let (channel, name, frame) = (&*line.channel, frame.topic, &*line.frame);
                    line.engine.publish_kept(&KeptPublication { channel, name, frame, keep, new_epoch }, out);
                });
            }
        }
        true
    }

    /// Sends a frame to the channel of its topic, or to this one.
    pub(super) fn send(&mut self, expected: Expected, channel: Option<&str>, frame: &Frame<'_>) {
        self.encode(frame);
        let topic = if channel.is_none() { Some(frame.topic) } else { None };
        self.command(expected, topic, |line, out| {
            line.engine.publish(channel.unwrap_or(&line.channel), &line.frame, out);
        });
    }

    pub(super) fn replay(&mut self, topic: &str, after: MessageId, ticket: u64) {
        self.command(Expected::Replay { ticket }, None, |line, out| line.engine.replay(topic, after, out));
    }

    /// Asks for nothing, under the ticket of a replay: the answer comes behind those of commands before it.
    pub(super) fn replay_nothing(&mut self, ticket: u64) {
        self.command(Expected::Replay { ticket }, None, |line, out| line.engine.ping(out));
    }

    pub(super) fn operate(&mut self, operation: &Operation<'_>, owner: u64, ticket: u64) {
        self.command(Expected::Operation { ticket }, None, |line, out| line.engine.operate(operation, owner, out));
    }

    pub(super) fn stay_alive(&mut self, owner: u64) {
        self.command(Expected::Anything, None, |line, out| line.engine.stay_alive(owner, out));
    }

    pub(super) fn ping(&mut self) {
        self.command(Expected::Anything, None, |line, out| line.engine.ping(out));
    }

    fn encode(&mut self, frame: &Frame<'_>) {
        self.frame.clear();
        frame.encode(&mut self.frame);
    }

    fn command(&mut self, expected: Expected, topic: Option<&str>, encode: impl FnOnce(&Self, &mut Vec<u8>)) {
        if let Some(topic) = topic {
            self.channel.clear();
            push_channel(&mut self.channel, self.engine.prefix(), topic);
        }
        let mut chunk = match self.chunks.pop_back() {
            Some(chunk) if chunk.len() < CHUNK => chunk,
            full => {
                self.chunks.extend(full);
                Vec::new()
            }
        };
        let before = chunk.len();
        encode(self, &mut chunk);
        self.bytes += chunk.len() - before;
        self.chunks.push_back(chunk);
        self.expected.push_back(expected);
        if self.frame.capacity() > CHUNK {
            // A large message has passed: its memory is not kept.
            self.frame = Vec::new();
        }
    }

    /// The next bytes to send, and how many of those that the bounds of the topics know of leave with them.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, usize)> {
        let chunk = self.chunks.pop_front()?;
        self.bytes -= chunk.len();
        let leaving = self.counted.saturating_sub(self.bytes);
        self.counted -= leaving;
        Some((chunk, leaving))
    }

    pub(super) fn has_commands(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Whether enough has left that what was dropped can be told.
    pub(super) fn has_room(&self) -> bool {
        self.bytes <= MAX_SENDING / 2
    }

    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.bytes
    }

    /// The meaning of the next answer; `None` if none is expected.
    pub(super) fn take_expected(&mut self) -> Option<Expected> {
        self.expected.pop_front()
    }

    pub(super) fn expects_answers(&self) -> bool {
        !self.expected.is_empty()
    }

    /// The answers that will not come, at the end of the connection.
    pub(super) fn into_expected(self) -> impl Iterator<Item = Expected> {
        self.expected.into_iter()
    }
}

/// The name of a topic's channel.
fn push_channel(out: &mut String, prefix: &str, topic: &str) {
    out.push_str(prefix);
    out.push_str(":t:");
    out.push_str(topic);
}

/// The topic of a channel.
pub(super) fn topic_of<'a>(prefix: &str, channel: &'a str) -> Option<&'a str> {
    channel.strip_prefix(prefix)?.strip_prefix(":t:")
}

/// The channel of news for all processes.
pub(super) fn channel_of_all(prefix: &str) -> String {
    format!("{prefix}:all")
}

/// The channel of one process.
pub(super) fn channel_of_process(prefix: &str, origin: u64) -> String {
    format!("{prefix}:to:{origin:x}")
}
