//! Topics of which other processes have missed messages of this one: they are told as soon as the broker takes commands.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Topics that are told one by one; with more, all topics have a gap.
const MAX_TOPICS: usize = 1024;

/// The processes whose subscribers have missed messages. A later one includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum GapReach {
    /// The messages went by the bus of this machine.
    OtherMachines,
    /// The fate of the messages is not known; this process has told its own subscribers.
    OtherProcesses,
    /// The messages were dropped here.
    AllProcesses,
}

/// The gaps that are not told yet.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    topics: BTreeMap<Arc<str>, GapReach>,
    all_topics: Option<GapReach>,
}

impl Gaps {
    pub(super) fn note(&mut self, topic: &str, reach: GapReach) {
        if let Some(known) = self.topics.get_mut(topic) {
            *known = (*known).max(reach);
        } else if self.topics.len() < MAX_TOPICS {
            self.topics.insert(topic.into(), reach);
        } else {
            self.all_topics = self.all_topics.max(Some(reach));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.all_topics.is_none()
    }

    /// The gaps of topics, or the one of all topics, whose name is empty.
    pub(super) fn take(&mut self) -> Vec<(Arc<str>, GapReach)> {
        let topics = std::mem::take(&mut self.topics);
        match self.all_topics.take() {
            Some(reach) => vec![("".into(), topics.into_values().fold(reach, GapReach::max))],
            None => topics.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_told_once_and_not_too_many() {
        let mut gaps = Gaps::default();
        gaps.note("a", GapReach::OtherProcesses);
        gaps.note("a", GapReach::OtherMachines);
        gaps.note("b", GapReach::OtherMachines);
        assert_eq!(gaps.take(), [("a".into(), GapReach::OtherProcesses), ("b".into(), GapReach::OtherMachines)]);
        assert!(gaps.is_empty());
        for number in 0..5000 {
            gaps.note(&number.to_string(), GapReach::OtherMachines);
        }
        gaps.note("7", GapReach::AllProcesses);
        assert_eq!(gaps.take(), [("".into(), GapReach::AllProcesses)]);
        assert!(gaps.is_empty());
    }
}
