//! The hub of one process alone: the same core, used in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::client::{Answer, SeatClient};
use super::core::{HubCore, SeatNumber};
use super::frame::{Frame, FrameKind};
use super::{interest_frame, publication, random};
use crate::websocket::{Bus, BusError, Joining, Message, MessageId, TopicInterest, Topics};

/// A hub with one seat, in the process that has the seat.
pub struct LocalHub(Mutex<LocalState>);

struct LocalState {
    core: HubCore,
    seat: SeatNumber,
    client: SeatClient,
}

impl LocalHub {
    /// The hub of a process.
    pub fn make() -> Arc<dyn Bus> {
        let mut core = HubCore::new(random());
        let seat = core.add_seat();
        Arc::new(Self(Mutex::new(LocalState { core, seat, client: SeatClient::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, LocalState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, topics: &Topics, frame: &Frame<'_>) -> Result<Answer, BusError> {
        let mut state = self.lock();
        let id = state.client.expect_answer();
        state.send(topics, &Frame { id, ..*frame });
        state.client.take_answer(id).ok_or(BusError::Ended)
    }
}

impl LocalState {
    /// Sends a frame to the core, and hands out everything that comes back.
    fn send(&mut self, topics: &Topics, frame: &Frame<'_>) {
        let Self { core, seat, client } = self;
        let understood = core.receive(*seat, &frame.to_bytes()).is_ok();
        debug_assert!(understood, "it was encoded here");
        loop {
            let slices = core.slices(*seat);
            let count = slices.iter().map(|slice| slice.len()).sum();
            for slice in &slices {
                let understood = client.receive(slice, topics).is_ok();
                debug_assert!(understood, "it was encoded here");
            }
            if count == 0 || !core.advance(*seat, count) {
                break;
            }
        }
        core.take_changed();
    }
}

impl Bus for LocalHub {
    fn publish(&self, topics: &Topics, topic: &str, message: &Message) {
        self.lock().send(topics, &publication(topic, message));
    }

    fn publish_and_wait(
        &self,
        topics: &Topics,
        topic: &str,
        message: &Message,
        _timeout: Duration,
    ) -> Result<MessageId, BusError> {
        let answer = self.ask(topics, &publication(topic, message))?;
        Ok(MessageId { epoch: answer.epoch, number: answer.number })
    }

    fn set_interest(&self, topics: &Topics, topic: &str, interest: TopicInterest) {
        self.lock().send(topics, &interest_frame(topic, interest));
    }

    fn replay(&self, topics: &Topics, topic: &str, after: MessageId, joining: Joining) {
        let mut state = self.lock();
        let id = state.client.expect_replay(joining);
        let (epoch, number) = (after.epoch, after.number);
        state.send(topics, &Frame { id, epoch, number, ..Frame::new(FrameKind::After, topic) });
    }

    fn subscribers(&self, topics: &Topics, topic: &str, _timeout: Duration) -> Result<usize, BusError> {
        let answer = self.ask(topics, &Frame::new(FrameKind::Count, topic))?;
        Ok(usize::try_from(answer.number).unwrap_or(usize::MAX))
    }

    fn keep(&self, topics: &Topics, rules: &str) {
        self.lock().send(topics, &Frame { payload: rules.as_bytes(), ..Frame::new(FrameKind::Keep, "") });
    }

    fn max_sizes(&self) -> Option<(usize, usize)> {
        Some((super::frame::MAX_TOPIC, super::frame::MAX_PAYLOAD))
    }
}
