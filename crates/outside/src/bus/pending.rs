//! The operations on shared state whose outcomes have not come, and the ticks that this process has.

use std::collections::{HashMap, HashSet};

use crate::shared::{Action, OnOutcome, Operation, Outcome};

/// Operations whose outcomes are outstanding at most.
const MAX_OPERATIONS: usize = 65_536;

/// The operations whose outcomes have not come.
#[derive(Default)]
pub(super) struct Operations {
    last: u64,
    waiting: HashMap<u64, PendingOperation>,
    /// Schedules whose last tick this process has.
    ticks: HashSet<Box<str>>,
}

struct PendingOperation {
    /// The schedule that a tick is asked of.
    schedule: Option<Box<str>>,
    on_outcome: OnOutcome,
}

impl Operations {
    /// Whether this process has a tick, so that others have to know that it is alive.
    pub(super) fn has_ticks(&self) -> bool {
        !self.ticks.is_empty()
    }

    /// The functions that wait for outcomes which will not come.
    pub(super) fn fail(&mut self) -> Vec<OnOutcome> {
        std::mem::take(&mut self.waiting).into_values().map(|pending| pending.on_outcome).collect()
    }

    /// Whether no more may be begun.
    pub(super) fn are_many(&self) -> bool {
        self.waiting.len() >= MAX_OPERATIONS
    }

    /// The ticket of an operation that begins.
    pub(super) fn add(&mut self, operation: &Operation<'_>, on_outcome: OnOutcome) -> u64 {
        let schedule = matches!(operation.action, Action::Tick { .. }).then(|| Box::from(operation.key));
        if let Some(schedule) = &schedule {
            // Each question about a schedule is the end of the tick before.
            self.ticks.remove(schedule);
        }
        self.last += 1;
        self.waiting.insert(self.last, PendingOperation { schedule, on_outcome });
        self.last
    }

    /// The function that waits for the outcome of this ticket.
    pub(super) fn take(&mut self, ticket: u64, outcome: Option<&Outcome>) -> Option<OnOutcome> {
        let PendingOperation { schedule, on_outcome } = self.waiting.remove(&ticket)?;
        if let (Some(schedule), Some(Outcome::Tick(tick))) = (schedule, outcome)
            && tick.is_given
        {
            self.ticks.insert(schedule);
        }
        Some(on_outcome)
    }
}
