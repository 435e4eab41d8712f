//! The slot in which a connection waits for its commands, and the state of their job that it shares with the executor.
//!
//! Commands of one job arrive in order: all at once as a rule, as they come when one of them is late. The connection
//! may give up; then no further command of the job begins. Both sides decide that by compare-exchange on one state.

use std::sync::Arc;
use std::task::{Context, Waker};

use super::command::Command;
use super::lock::lock;
use super::sync::{AtomicU8, Mutex, Ordering};
use crate::budget::{Account, SMALL};

/// A connection's slot; one job at a time delivers to it.
pub(crate) struct ReplySlot<C> {
    arrived: Mutex<SlotState<C>>,
    state: AtomicU8,
    guard: Option<Arc<dyn Guard<C>>>,
    /// The count of the answers, if they are for a client.
    account: Option<Arc<Account>>,
    /// Whether the guard has been released.
    is_over: bool,
    /// Whether replies go to the guard.
    is_numbered: bool,
    /// The guard's number for this slot, if replies go to the guard.
    number: u64,
}

/// Kept until a job is over: the connection does not wait for it, and no call of it is running.
pub(crate) trait Guard<C>: Send + Sync {
    /// Called when a job that kept this guard is over.
    fn release(&self) {}

    /// Called when commands have arrived in the slot of this number.
    fn on_reply(&self, _number: u64, _commands: Vec<C>) {}
}

struct SlotState<C> {
    commands: Vec<C>,
    waker: Option<Waker>,
}

/// No call of the job is running.
const WAITING: u8 = 0;
const RUNNING: u8 = 1;
/// The connection does not wait for the job any more, and no call is running.
const CLOSED: u8 = 2;
/// A call is running, and the connection does not wait for it any more.
const OVERDUE: u8 = 3;
/// Given up: its thread is no longer counted.
const GIVEN_UP: u8 = 4;
/// As `OVERDUE`, and the thread of the call does not count meanwhile.
const UNCOUNTED: u8 = 5;

/// The state of a job when a call of it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The connection waits for its answer.
    Awaited,
    /// The connection does not wait for its answer any more, nor for those of later commands.
    Abandoned,
    /// As `Abandoned`, and its thread did not count.
    Uncounted,
    /// As `Abandoned`, and its thread was given up.
    GivenUp,
}

impl<C> Default for ReplySlot<C> {
    fn default() -> Self {
        Self {
            arrived: Mutex::new(SlotState { commands: Vec::new(), waker: None }),
            state: AtomicU8::new(WAITING),
            guard: None,
            account: None,
            is_over: false,
            is_numbered: false,
            number: 0,
        }
    }
}

impl<C> ReplySlot<C> {
    /// Releases the guard: the job is over.
    pub(crate) fn release(&mut self) {
        if !std::mem::replace(&mut self.is_over, true)
            && let Some(guard) = &self.guard
        {
            guard.release();
        }
    }
}

impl<C: Command> ReplySlot<C> {
    /// A slot for answers to this client. The guard is kept until the job is over, even if the client has gone.
    pub(crate) fn of(account: Arc<Account>, guard: Option<Arc<dyn Guard<C>>>) -> Self {
        let mut slot = Self::default();
        (slot.guard, slot.account) = (guard, Some(account));
        slot
    }

    /// One of many slots whose replies go to the same guard: a wait for each slot would cost more than its job.
    pub(crate) fn numbered(account: Arc<Account>, guard: Arc<dyn Guard<C>>, number: u64) -> Self {
        let mut slot = Self::of(account, Some(guard));
        (slot.is_numbered, slot.number) = (true, number);
        slot
    }

    /// Uses a numbered slot again for the same guard: its job is over, and this is the only reference.
    pub(crate) fn renumber(&mut self, number: u64) {
        self.release();
        *self.state.get_mut() = WAITING;
        (self.is_numbered, self.number, self.is_over) = (true, number, false);
    }

    /// Whether the client's connection holds so many bytes of answers that no further call may begin.
    pub(super) fn is_full(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.is_full())
    }

    /// Counts an answer that has come back, if it is large, or drops it: see [`Command::count`].
    pub(crate) fn count(&self, command: &mut C) {
        if command.held() > SMALL
            && let Some(account) = &self.account
        {
            command.count(account);
        }
    }

    /// The commands that have arrived, if any; otherwise the context's waker is woken when some have.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Option<Vec<C>> {
        let mut arrived = lock(&self.arrived);
        if !arrived.commands.is_empty() {
            return Some(std::mem::take(&mut arrived.commands));
        }
        if !arrived.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            arrived.waker = Some(context.waker().clone());
        }
        None
    }

    /// Gives the job up: no further call of it begins. Returns whether a call of it is running.
    pub(crate) fn close(&self) -> bool {
        let closed = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
            WAITING => Some(CLOSED),
            RUNNING => Some(OVERDUE),
            _ => None,
        });
        closed == Ok(RUNNING)
    }

    /// Begins a call; `false` if the connection does not wait for it.
    pub(super) fn begin(&self) -> bool {
        self.change(WAITING, RUNNING)
    }

    /// Ends the call.
    pub(super) fn end(&self) -> Ended {
        if self.change(RUNNING, WAITING) {
            return Ended::Awaited;
        }
        match self.state.swap(CLOSED, Ordering::SeqCst) {
            GIVEN_UP => Ended::GivenUp,
            UNCOUNTED => Ended::Uncounted,
            _ => Ended::Abandoned,
        }
    }

    /// Whether the connection has given the job up, and no call of it runs.
    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::SeqCst) == CLOSED
    }

    /// Whether a call runs on although the connection has given the job up.
    pub(super) fn is_overdue(&self) -> bool {
        matches!(self.state.load(Ordering::SeqCst), OVERDUE | UNCOUNTED)
    }

    /// Gives an overdue call up; `None` if it has ended, otherwise whether its thread counted.
    pub(super) fn give_up(&self) -> Option<bool> {
        let before = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| match state {
            OVERDUE | UNCOUNTED => Some(GIVEN_UP),
            _ => None,
        });
        before.ok().map(|before| before == OVERDUE)
    }

    /// Stops counting the thread of an overdue call; `false` if the call has ended.
    pub(super) fn uncount(&self) -> bool {
        self.change(OVERDUE, UNCOUNTED)
    }

    /// Makes room for commands that will be added one by one.
    pub(super) fn reserve(&self, count: usize) {
        lock(&self.arrived).commands.reserve(count);
    }

    /// Adds a finished command without waking the task that waits.
    pub(super) fn add(&self, command: C) {
        lock(&self.arrived).commands.push(command);
    }

    /// Adds commands, or none, and wakes the task that waits.
    pub(super) fn put(&self, commands: Vec<C>) {
        if let (true, Some(guard)) = (self.is_numbered, &self.guard) {
            return guard.on_reply(self.number, commands);
        }
        let mut arrived = lock(&self.arrived);
        if arrived.commands.is_empty() {
            arrived.commands = commands;
        } else {
            arrived.commands.extend(commands);
        }
        if let Some(waker) = &arrived.waker {
            waker.wake_by_ref();
        }
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl<C> Drop for ReplySlot<C> {
    fn drop(&mut self) {
        self.release();
    }
}
