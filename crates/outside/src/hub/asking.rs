//! A worker's questions about the state that the hub has for all: shared values, and connections of an address.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::frame::{Frame, FrameKind};
use super::seat::Seat;
use crate::shared::{
    MAX_KEY, MAX_VALUE, OnOutcome, Operation, Outcome, SharedRefusal, SharedStore, StoreError, encode_operation,
};
use crate::websocket::{BusError, Topics};

/// A call that began while no task reads waits on a thread of its own for this long.
const ON_A_THREAD: Duration = Duration::from_secs(1);

/// The hub's store, as a worker reaches it.
pub struct SeatStore {
    seat: Arc<Seat>,
    /// Messages that come before an answer are theirs.
    topics: Weak<Topics>,
}

impl SeatStore {
    /// The store behind this seat, whose messages go to these topics.
    pub fn new(seat: Arc<Seat>, topics: &Arc<Topics>) -> Self {
        Self { seat, topics: Arc::downgrade(topics) }
    }

    /// One more connection of an address, if it has fewer than `most` in all processes: the outcome is a flag.
    pub(crate) fn begin_connection(&self, address: u64, most: u64, on_outcome: OnOutcome) {
        let frame = Frame { number: address, epoch: most, ..Frame::new(FrameKind::Connected, "") };
        self.begin_frame(&frame, on_outcome);
    }

    /// One connection less. It may be called under a lock.
    pub(crate) fn end_connection(&self, address: u64) {
        if let Some(topics) = self.topics.upgrade() {
            self.seat.queue(&topics, &Frame { number: address, ..Frame::new(FrameKind::Disconnected, "") });
        }
    }

    fn begin_frame(&self, frame: &Frame<'_>, on_outcome: OnOutcome) {
        let Some(topics) = self.topics.upgrade() else { return on_outcome(Err(StoreError::Ended)) };
        if self.seat.is_full() {
            return on_outcome(Err(StoreError::TimedOut));
        }
        let Err(on_outcome) = self.seat.begin(&topics, frame, on_outcome) else { return };
        let (seat, kind, key) = (Arc::clone(&self.seat), frame.kind, frame.topic.to_owned());
        let (epoch, number, payload) = (frame.epoch, frame.number, frame.payload.to_vec());
        // Before a server serves, and after it has, no task reads.
        let waiting = move || {
            let frame = Frame { epoch, number, payload: &payload, ..Frame::new(kind, &key) };
            on_outcome(outcome_of(seat.ask(&topics, &frame, ON_A_THREAD).map(|answer| answer.outcome)));
        };
        // Without a thread there is no answer, which the deadline of the caller tells.
        drop(thread::Builder::new().name("outside-shared".into()).spawn(waiting));
    }
}

impl SharedStore for SeatStore {
    fn call(&self, operation: &Operation<'_>, timeout: Duration) -> Result<Outcome, StoreError> {
        if let Some(refused) = refusal(operation) {
            return Ok(refused);
        }
        let topics = self.topics.upgrade().ok_or(StoreError::Ended)?;
        if self.seat.is_full() {
            return Err(StoreError::TimedOut);
        }
        let payload = encode_operation(&operation.action);
        let frame = Frame { payload: &payload, ..Frame::new(FrameKind::Shared, operation.key) };
        outcome_of(self.seat.ask(&topics, &frame, timeout).map(|answer| answer.outcome))
    }

    fn begin(&self, operation: &Operation<'_>, on_outcome: OnOutcome) {
        if let Some(refused) = refusal(operation) {
            return on_outcome(Ok(refused));
        }
        let payload = encode_operation(&operation.action);
        self.begin_frame(&Frame { payload: &payload, ..Frame::new(FrameKind::Shared, operation.key) }, on_outcome);
    }

    fn set_bound(&self, bytes: usize) {
        if let Some(topics) = self.topics.upgrade() {
            let number = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.seat.send(&topics, &Frame { number, ..Frame::new(FrameKind::SharedBound, "") });
        }
    }
}

/// The outcome of an operation that no frame can carry.
fn refusal(operation: &Operation<'_>) -> Option<Outcome> {
    let size = operation.action.value().map_or(0, |value| value.size());
    (operation.key.len() > MAX_KEY || size > MAX_VALUE).then_some(Outcome::Refused(SharedRefusal::TooLong))
}

fn outcome_of(answer: Result<Option<Outcome>, BusError>) -> Result<Outcome, StoreError> {
    match answer {
        Ok(outcome) => outcome.ok_or(StoreError::Ended),
        Err(BusError::TimedOut) => Err(StoreError::TimedOut),
        Err(_) => Err(StoreError::Ended),
    }
}
