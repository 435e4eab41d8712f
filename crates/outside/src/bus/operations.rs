//! Shared state in a broker: operations of the program become commands on the connection of this process, and their outcomes
//! come back on it.
//!
//! While the broker is away there is no store: an operation fails, and is not done on this machine alone.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::carrier::BrokerBus;
use super::engine::BrokerAnswer;
use super::line::{Expected, Line};
use crate::shared::{MAX_KEY, MAX_VALUE, OnOutcome, Operation, Outcome, SharedRefusal, SharedStore, StoreError};

/// The store of a broker, as a process reaches it.
pub(crate) struct BrokerStore(Arc<BrokerBus>);

impl BrokerStore {
    pub(super) fn new(bus: Arc<BrokerBus>) -> Self {
        Self(bus)
    }
}

impl SharedStore for BrokerStore {
    fn call(&self, operation: &Operation<'_>, timeout: Duration) -> Result<Outcome, StoreError> {
        let (sender, receiver) = sync_channel(1);
        self.begin(operation, Box::new(move |outcome| drop(sender.try_send(outcome))));
        match receiver.recv_timeout(timeout) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(StoreError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(StoreError::Away),
        }
    }

    fn begin(&self, operation: &Operation<'_>, on_outcome: OnOutcome) {
        let size = operation.action.value().map_or(0, |value| value.size());
        if operation.key.is_empty() || operation.key.len() > MAX_KEY || size > MAX_VALUE {
            return on_outcome(Ok(Outcome::Refused(SharedRefusal::TooLong)));
        }
        self.0.operate(operation, on_outcome);
    }
}

impl BrokerBus {
    fn operate(&self, operation: &Operation<'_>, on_outcome: OnOutcome) {
        let mut state = self.lock();
        let state_now = &mut *state;
        let Some(line) = &mut state_now.line else {
            drop(state);
            return on_outcome(Err(StoreError::Away));
        };
        if state_now.operations.are_many() || !line.has_room() {
            drop(state);
            return on_outcome(Ok(Outcome::Refused(SharedRefusal::Busy)));
        }
        let ticket = state_now.operations.add(operation, on_outcome);
        line.operate(operation, state_now.origin, ticket);
        self.release(state);
    }

    /// Tells other processes that this one is alive, if they wait for one of its ticks.
    pub(super) fn stay_alive(&self) {
        let mut state = self.lock();
        let origin = state.origin;
        if state.operations.has_ticks()
            && let Some(line) = &mut state.line
        {
            line.stay_alive(origin);
        }
    }

    /// Hands the outcome of an operation to the function that waits for it.
    pub(super) fn handle_outcome(&self, ticket: u64, answer: &BrokerAnswer<'_>) {
        let outcome = match answer {
            BrokerAnswer::Outcome(outcome) => Some(outcome.clone()),
            BrokerAnswer::Refused { code, text } => {
                self.lock().line.as_ref().and_then(|line: &Line| line.engine.refusal(code, text))
            }
            _ => None,
        };
        let on_outcome = self.lock().operations.take(ticket, outcome.as_ref());
        if let Some(on_outcome) = on_outcome {
            on_outcome(outcome.ok_or(StoreError::Away));
        }
    }
}

/// Whether a refusal belongs to the operation, and not into the log.
pub(super) fn is_of_operation(expected: &Expected, line: Option<&Line>, code: &str, text: &str) -> bool {
    matches!(expected, Expected::Operation { .. }) && line.is_some_and(|line| line.engine.refusal(code, text).is_some())
}
