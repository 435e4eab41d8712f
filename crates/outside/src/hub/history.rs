//! The last messages of topics, for clients that come back: how many of which topic, and the memory of all together.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

/// Bytes that all histories of a machine take at most.
pub const MAX_HISTORY: usize = 64 << 20;
/// Bytes of memory that a kept message takes beside its frame.
const ENTRY: usize = 64;
/// Bytes of memory that a topic with kept messages takes.
const TOPIC: usize = 512;

/// How much of a topic is kept; both bounds hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Messages.
    pub messages: usize,
    /// Bytes of memory.
    pub bytes: usize,
}

/// Which topics are kept: names, or beginnings of names with a `*` behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepRules {
    names: HashMap<String, Keep>,
    /// Longest first.
    beginnings: Vec<(String, Keep)>,
}

impl KeepRules {
    /// Adds a rule. A later one for the same topics replaces it.
    pub fn add(&mut self, pattern: &str, keep: Keep) {
        match pattern.strip_suffix('*') {
            None => drop(self.names.insert(pattern.to_owned(), keep)),
            Some(beginning) => {
                self.beginnings.retain(|(known, _)| known != beginning);
                self.beginnings.push((beginning.to_owned(), keep));
                self.beginnings.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
            }
        }
    }

    /// Whether no topic is kept.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.beginnings.is_empty()
    }

    /// The rule of a topic: its name, or the longest beginning.
    pub fn of(&self, topic: &str) -> Option<Keep> {
        let of_name = self.names.get(topic);
        of_name
            .or_else(|| self.beginnings.iter().find(|(start, _)| topic.starts_with(start)).map(|(_, keep)| keep))
            .copied()
    }

    /// As lines: messages, bytes and pattern.
    pub fn to_text(&self) -> String {
        let of_names = self.names.iter().map(|(name, keep)| (name.clone(), keep));
        let of_beginnings = self.beginnings.iter().map(|(beginning, keep)| (format!("{beginning}*"), keep));
        let lines = of_names.chain(of_beginnings);
        lines.map(|(pattern, keep)| format!("{} {} {pattern}\n", keep.messages, keep.bytes)).collect()
    }

    /// Reads [`KeepRules::to_text`]; lines of another form are left out.
    pub fn from_text(text: &str) -> Self {
        let mut rules = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ' ');
            let mut number = || parts.next().and_then(|part| part.parse().ok());
            if let (Some(messages), Some(bytes)) = (number(), number())
                && let Some(pattern) = parts.next()
            {
                rules.add(pattern, Keep { messages, bytes });
            }
        }
        rules
    }
}

/// The last messages of one topic, with numbers that follow one another.
#[derive(Debug, Default)]
pub(super) struct Ring {
    kept: VecDeque<(u64, Bytes)>,
    bytes: usize,
    /// The place of the topic in the order of their last messages; 0: it has none.
    stamp: u64,
}

impl Ring {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The messages after this number, the oldest first.
    pub(super) fn after(&self, number: u64) -> impl DoubleEndedIterator<Item = &(u64, Bytes)> {
        let first = self.kept.partition_point(|(kept, _)| *kept <= number);
        self.kept.range(first..)
    }
}

/// The account of all rings.
#[derive(Debug, Default)]
pub(super) struct KeptMessages {
    bytes: usize,
    last_stamp: u64,
    by_age: BTreeMap<u64, Arc<str>>,
}

impl KeptMessages {
    /// Keeps a message as the newest one of its topic.
    pub(super) fn add(&mut self, ring: &mut Ring, topic: &Arc<str>, number: u64, frame: Bytes, keep: Keep) {
        self.bytes += if ring.stamp == 0 { TOPIC + topic.len() } else { 0 };
        self.by_age.remove(&ring.stamp);
        self.last_stamp += 1;
        ring.stamp = self.last_stamp;
        self.by_age.insert(ring.stamp, Arc::clone(topic));
        let cost = frame.len() + ENTRY;
        ring.kept.push_back((number, frame));
        ring.bytes += cost;
        self.bytes += cost;
        while ring.kept.len() > keep.messages || ring.bytes > keep.bytes.min(MAX_HISTORY / 2) {
            self.drop_oldest(ring);
        }
    }

    fn drop_oldest(&mut self, ring: &mut Ring) {
        if let Some((_, frame)) = ring.kept.pop_front() {
            ring.bytes -= frame.len() + ENTRY;
            self.bytes -= frame.len() + ENTRY;
        }
    }

    /// Drops all messages of a topic.
    pub(super) fn clear(&mut self, ring: &mut Ring, topic: &str) {
        while !ring.is_empty() {
            self.drop_oldest(ring);
        }
        if ring.stamp != 0 {
            self.by_age.remove(&ring.stamp);
            self.bytes -= TOPIC + topic.len();
        }
        *ring = Ring::default();
    }

    /// The topic to clear next, while all together take too much: the one whose last message is the oldest.
    pub(super) fn excess(&self) -> Option<Arc<str>> {
        (self.bytes > MAX_HISTORY).then(|| self.by_age.values().next().cloned()).flatten()
    }

    /// Bytes that all rings take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
