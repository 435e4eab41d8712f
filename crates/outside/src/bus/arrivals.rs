//! What comes from a broker, in the thread of the connection: messages go to the topics of this process, answers to the
//! threads that wait for them.

use super::carrier::BrokerBus;
use super::engine::{BrokerAnswer, KeptFrames};
use super::gaps::GapReach;
use super::line::{Expected, Line, channel_of_process, topic_of};
use super::operations::is_of_operation;
use super::questions::PendingReplay;
use crate::hub::{Frame, FrameKind, decode};
use crate::websocket::{Delivery, MessageId, Topics};

/// Something about a command that belongs into the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Complaint {
    /// The broker has refused a command, with this code and text.
    Refused { subject: &'static str, code: String, text: String },
    /// A message on a channel of ours that is no message of this server.
    Foreign,
}

/// The connection cannot be used any further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineFault {
    /// An answer without a command.
    Unasked,
    /// The broker has forgotten its scripts.
    LostScripts,
}

impl BrokerBus {
    /// Handles a message on a channel of this server.
    pub(super) fn handle_message(
        &self,
        topics: &Topics,
        prefix: &str,
        channel: &[u8],
        payload: &[u8],
    ) -> Option<Complaint> {
        let Ok(Some((frame, length))) = decode(payload) else { return Some(Complaint::Foreign) };
        let topic = std::str::from_utf8(channel).ok().and_then(|channel| topic_of(prefix, channel));
        // On channels of no topic, a frame has none either.
        if length != payload.len() || topic.unwrap_or_default() != frame.topic {
            return Some(Complaint::Foreign);
        }
        match frame.kind {
            FrameKind::Message if topic.is_some() => match delivery(&frame) {
                Some(delivery) => topics.deliver(&delivery),
                None => return Some(Complaint::Foreign),
            },
            FrameKind::Gap => self.handle_gap(topics, &frame),
            FrameKind::Count if topic.is_some() => self.answer_count(&frame),
            FrameKind::Counted => {
                self.lock().questions.add_count(frame.id, frame.number);
                self.answered.notify_all();
            }
            _ => return Some(Complaint::Foreign),
        }
        None
    }

    fn handle_gap(&self, topics: &Topics, frame: &Frame<'_>) {
        let is_of_this_process = frame.id != 0 && frame.id == self.lock().origin;
        let is_of_this_machine = frame.epoch != 0 && frame.epoch == self.machine_number;
        if !is_of_this_process && !is_of_this_machine {
            topics.deliver_gap((!frame.topic.is_empty()).then_some(frame.topic));
        }
    }

    fn answer_count(&self, frame: &Frame<'_>) {
        let mut state = self.lock();
        let subscribers = state.interests.get(frame.topic).map_or(0, |interest| interest.subscribers);
        if let Some(line) = state.line.as_mut().filter(|line| line.has_room()) {
            let channel = channel_of_process(line.engine.prefix(), frame.epoch);
            let number = u64::try_from(subscribers).unwrap_or(u64::MAX);
            let answer = Frame { id: frame.id, number, ..Frame::new(FrameKind::Counted, "") };
            line.send(Expected::Anything, Some(&channel), &answer);
        }
    }

    /// Handles the answer to a subscription.
    ///
    /// # Errors
    /// There was none to answer.
    pub(super) fn handle_subscribed(&self, topics: &Topics) -> Result<(), LineFault> {
        match self.take_expected()? {
            Expected::Subscription { topic, tells_gap: true } => topics.deliver_gap(Some(&topic)),
            Expected::Subscription { .. } | Expected::Anything => {}
            _ => return Err(LineFault::Unasked),
        }
        Ok(())
    }

    /// Handles an answer.
    ///
    /// # Errors
    /// There was no command to answer, or the connection has to begin again.
    pub(super) fn handle_answer(
        &self,
        topics: &Topics,
        answer: &BrokerAnswer<'_>,
    ) -> Result<Option<Complaint>, LineFault> {
        let expected = self.take_expected()?;
        if let BrokerAnswer::Refused { code, text } = answer
            && !is_of_operation(&expected, self.lock().line.as_ref(), code, text)
        {
            return self.handle_refusal(topics, expected, code, text).map(Some);
        }
        match (expected, answer) {
            (Expected::Publication { ticket: 0, .. } | Expected::Anything, _) => {}
            (Expected::Publication { ticket, .. }, answer) => {
                let numbered = if let BrokerAnswer::Id(id) = answer { Some(*id) } else { None };
                self.lock().questions.settle_id(ticket, numbered);
                self.answered.notify_all();
            }
            (Expected::Count { ticket }, BrokerAnswer::Receivers(count)) => {
                self.lock().questions.settle_receivers(ticket, *count);
                self.answered.notify_all();
            }
            (Expected::Operation { ticket }, answer) => self.handle_outcome(ticket, answer),
            (Expected::Replay { ticket }, answer) => {
                let replay = self.lock().questions.take_replay(ticket);
                if let Some(replay) = replay {
                    join(topics, replay, if let BrokerAnswer::Kept(kept) = answer { kept } else { &NOTHING_KEPT });
                }
            }
            (Expected::Subscription { .. } | Expected::Count { .. }, _) => return Err(LineFault::Unasked),
        }
        Ok(None)
    }

    fn take_expected(&self) -> Result<Expected, LineFault> {
        self.lock().line.as_mut().and_then(Line::take_expected).ok_or(LineFault::Unasked)
    }

    fn handle_refusal(
        &self,
        topics: &Topics,
        expected: Expected,
        code: &str,
        text: &str,
    ) -> Result<Complaint, LineFault> {
        let mut state = self.lock();
        let has_lost_scripts = state.line.as_ref().is_some_and(|line| line.engine.has_lost_scripts(code));
        let (mut gap, mut replay) = (None, None);
        let subject = match expected {
            Expected::Publication { topic, ticket } => {
                state.questions.refuse(ticket);
                state.gaps.note(&topic, GapReach::OtherProcesses);
                gap = Some(topic);
                "a message"
            }
            Expected::Subscription { topic, .. } => {
                gap = Some(topic);
                "a subscription"
            }
            Expected::Count { ticket } => {
                state.questions.refuse(ticket);
                "a question"
            }
            Expected::Operation { ticket } => {
                drop(state);
                self.handle_outcome(ticket, &BrokerAnswer::Refused { code, text });
                state = self.lock();
                "an operation on shared state"
            }
            Expected::Replay { ticket } => {
                replay = state.questions.take_replay(ticket);
                "a question for kept messages"
            }
            Expected::Anything => "a command",
        };
        drop(state);
        self.answered.notify_all();
        if let Some(topic) = gap {
            topics.deliver_gap(Some(&topic));
        }
        if let Some(replay) = replay {
            join(topics, replay, &NOTHING_KEPT);
        }
        if has_lost_scripts {
            return Err(LineFault::LostScripts);
        }
        Ok(Complaint::Refused { subject, code: code.to_owned(), text: text.to_owned() })
    }
}

/// Nothing is known of a topic.
const NOTHING_KEPT: KeptFrames<'static> = KeptFrames { last: MessageId::BEGINNING, count: 0, frames: &[] };

/// The message of a frame; `None` if its text is none.
fn delivery<'a>(frame: &Frame<'a>) -> Option<Delivery<'a>> {
    let is_good = !frame.is_text || std::str::from_utf8(frame.payload).is_ok();
    let id = MessageId { epoch: frame.epoch, number: frame.number };
    is_good.then_some(Delivery { topic: frame.topic, id, is_text: frame.is_text, payload: frame.payload })
}

/// Hands the messages that a subscriber has missed to it.
fn join(topics: &Topics, replay: PendingReplay, kept: &KeptFrames<'_>) {
    let PendingReplay { topic, after, joining } = replay;
    let (mut missed, mut rest) = (Vec::new(), kept.frames);
    while let Ok(Some((frame, length))) = decode(rest) {
        rest = &rest[length..];
        missed.extend(delivery(&frame).filter(|delivery| delivery.topic == &*topic));
    }
    let is_known = kept.last.epoch == after.epoch && after.number <= kept.last.number;
    let from = if is_known { after.number } else { 0 };
    let first = missed.first().map_or(kept.last.number.saturating_add(1), |delivery| delivery.id.number);
    let has_gap = after != MessageId::BEGINNING && (!is_known || first > from.saturating_add(1));
    topics.join(&topic, joining, &missed, has_gap);
}
