//! What comes from the hub, whichever way: messages and gaps go to the topics of this process, answers to the threads
//! that wait for them.

use std::collections::HashMap;

use bytes::Bytes;

use super::frame::{Frame, FrameError, FrameKind, FrameReader, decode};
use crate::shared::{OnOutcome, Outcome, StoreError, decode_outcome};
use crate::websocket::{Delivery, Joining, MessageId, Topics};

/// The answer to a question: an id, a count, or an outcome.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) epoch: u64,
    pub(super) number: u64,
    /// The outcome of an operation on shared state.
    pub(super) outcome: Option<Outcome>,
}

/// The questions of one process to the hub, and the part of a frame that has come.
#[derive(Default)]
pub(super) struct SeatClient {
    reader: FrameReader,
    questions: Questions,
}

#[derive(Default)]
struct Questions {
    last: u64,
    /// `None`: the answer has not come yet.
    answers: HashMap<u64, Option<Answer>>,
    replays: HashMap<u64, Replay>,
    /// Questions about shared state for which no thread waits.
    calls: HashMap<u64, OnOutcome>,
}

/// Missed messages on their way.
struct Replay {
    joining: Joining,
    frames: Vec<Bytes>,
}

impl SeatClient {
    /// Takes bytes of the hub.
    ///
    /// # Errors
    /// They are no frames.
    pub(super) fn receive(&mut self, bytes: &[u8], topics: &Topics) -> Result<(), FrameError> {
        let Self { reader, questions } = self;
        reader.receive(bytes, |frame| questions.handle(frame, topics))
    }

    /// The id of a new question.
    pub(super) fn expect_answer(&mut self) -> u64 {
        self.questions.last += 1;
        self.questions.answers.insert(self.questions.last, None);
        self.questions.last
    }

    /// The id of a question for missed messages.
    pub(super) fn expect_replay(&mut self, joining: Joining) -> u64 {
        self.questions.last += 1;
        self.questions.replays.insert(self.questions.last, Replay { joining, frames: Vec::new() });
        self.questions.last
    }

    /// The id of a question about shared state.
    pub(super) fn expect_outcome(&mut self, on_outcome: OnOutcome) -> u64 {
        self.questions.last += 1;
        self.questions.calls.insert(self.questions.last, on_outcome);
        self.questions.last
    }

    /// The other end is gone: no question will be answered.
    pub(super) fn end(&mut self) {
        for (_, on_outcome) in self.questions.calls.drain() {
            on_outcome(Err(StoreError::Ended));
        }
    }

    /// The answer, if it has come.
    pub(super) fn take_answer(&mut self, id: u64) -> Option<Answer> {
        match self.questions.answers.remove(&id)? {
            Some(answer) => Some(answer),
            None => {
                self.questions.answers.insert(id, None);
                None
            }
        }
    }

    /// Its thread waits no longer.
    pub(super) fn forget_answer(&mut self, id: u64) {
        self.questions.answers.remove(&id);
    }

    /// Whether an answer waits for its thread.
    pub(super) fn has_answers(&self) -> bool {
        self.questions.answers.values().any(Option::is_some)
    }
}

impl Questions {
    fn handle(&mut self, frame: &Frame<'_>, topics: &Topics) {
        match frame.kind {
            FrameKind::Message => topics.deliver(&delivery(frame)),
            FrameKind::Gap => topics.deliver_gap((!frame.topic.is_empty()).then_some(frame.topic)),
            FrameKind::Published | FrameKind::Counted => {
                // An answer that came too late has no question any more.
                if let Some(answer) = self.answers.get_mut(&frame.id) {
                    *answer = Some(Answer { epoch: frame.epoch, number: frame.number, outcome: None });
                }
            }
            FrameKind::Outcome => {
                // Without a readable outcome there is none.
                let outcome = decode_outcome(frame.payload).ok();
                if let Some(answer) = self.answers.get_mut(&frame.id) {
                    *answer = Some(Answer { epoch: 0, number: 0, outcome });
                } else if let Some(on_outcome) = self.calls.remove(&frame.id) {
                    on_outcome(outcome.ok_or(StoreError::Ended));
                }
            }
            FrameKind::Replay => {
                if let Some(replay) = self.replays.get_mut(&frame.id) {
                    replay.frames.push(frame.to_bytes());
                }
            }
            FrameKind::Replayed => {
                if let Some(Replay { joining, frames }) = self.replays.remove(&frame.id) {
                    let decoded: Vec<_> = frames.iter().filter_map(|bytes| decode(bytes).ok().flatten()).collect();
                    let missed: Vec<_> = decoded.iter().map(|(frame, _)| delivery(frame)).collect();
                    topics.join(frame.topic, joining, &missed, frame.has_gap);
                }
            }
            // Frames of workers; the hub sends none.
            _ => {}
        }
    }
}

fn delivery<'a>(frame: &Frame<'a>) -> Delivery<'a> {
    let id = MessageId { epoch: frame.epoch, number: frame.number };
    Delivery { topic: frame.topic, id, is_text: frame.is_text, payload: frame.payload }
}
