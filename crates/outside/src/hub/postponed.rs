//! The questions of a seat for kept messages that wait until there is room for their answers.

use std::collections::VecDeque;

use super::frame::{Frame, FrameKind};

/// Questions that wait for one seat: one for each event stream that a client has opened.
const MAX_POSTPONED: usize = 1 << 14;

/// A question for the kept messages of a topic after a position.
#[derive(Debug)]
pub(super) struct ReplayQuestion {
    id: u64,
    topic: Box<str>,
    epoch: u64,
    number: u64,
}

impl ReplayQuestion {
    /// As the worker has sent it.
    pub(super) fn frame(&self) -> Frame<'_> {
        let Self { id, epoch, number, .. } = *self;
        Frame { id, epoch, number, ..Frame::new(FrameKind::After, &self.topic) }
    }
}

/// The questions in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct PostponedQuestions(VecDeque<ReplayQuestion>);

impl PostponedQuestions {
    /// Keeps a question; `false` if there are too many.
    pub(super) fn push(&mut self, frame: &Frame<'_>) -> bool {
        let has_room = self.0.len() < MAX_POSTPONED;
        if has_room {
            let Frame { id, topic, epoch, number, .. } = *frame;
            self.0.push_back(ReplayQuestion { id, topic: topic.into(), epoch, number });
        }
        has_room
    }

    pub(super) fn pop(&mut self) -> Option<ReplayQuestion> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
