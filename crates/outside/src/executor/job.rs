//! What the executor runs, as far as it has to know.
//!
//! A [`Command`] goes in with something to do and comes out with what came of it; the memory makes the round trip. The
//! executor is compiled for one kind of command, so that a call costs what it would if that were written here.

use std::sync::Arc;
use std::time::Duration;

use super::ReplySlot;
use crate::budget::Account;
use crate::log::Log;
use crate::placement::{Placement, Reactor};

/// Bytes of the answers of one job that are held in memory together.
pub(crate) const MOST_HELD: usize = 1 << 20;

/// One thing to do, and what came of it.
pub(crate) trait Command: Send + Sized + 'static {
    /// What the commands of a job have in common: the site as it was when they came.
    type Context: Send + Sync;
    /// What a call is made for, so that a call that does not end can be named: a request.
    type Owner: Send + Sync;
    /// A function that may be called, with what is known of its calls.
    type Function: AsRef<Placement>;
    /// What is around the threads that call functions.
    type Host: ThreadFrame + ?Sized;
    /// A call of another kind, which has no answer.
    type Callback: Callback;
    /// What else is woken with the event loop.
    type Woken: Woken;

    /// Whether something is still to be done.
    fn is_open(&self) -> bool;

    /// Whether it calls for something new that may take memory.
    fn begins(&self) -> bool;

    /// Bytes that its answer holds in memory.
    fn held(&self) -> usize;

    /// Counts these bytes until they are freed; or lets go of the answer, if the connection holds too much already.
    fn count(&mut self, account: &Arc<Account>);

    /// The function that it is going to call.
    fn function(&self) -> Option<&Self::Function>;

    /// Does what is to be done. Runs user code, so it may block. Returns the function of a route if it was called.
    fn perform(&mut self, context: &Self::Context, log: &Log) -> Option<Arc<Self::Function>>;

    /// It took long: what follows it belongs in the pool.
    fn note_slow(&mut self);

    /// Whether it would hold a thread for as long as its client uploads.
    fn takes_upload(&self) -> bool;

    /// Whether nothing of its answer has been sent yet, so that it can be turned away.
    fn may_be_turned_away(&self) -> bool;

    /// The pool has no room for it: its client hears that.
    fn turn_away(&mut self);
}

/// A call without an answer: somebody may have to be told that it has ended.
pub(crate) trait Callback: Send + 'static {
    /// The one that is told.
    type Session: Send + 'static;

    /// It will be made.
    fn begin(&self);

    /// Makes it. Runs user code.
    fn perform(&mut self, log: &Log);

    /// It has ended: what is to be told that inside the event loop.
    fn end(self) -> Option<Self::Session>;

    /// Tells that.
    fn tell(session: Self::Session);
}

/// What frames the life and the work of the threads that run handlers.
pub(crate) trait ThreadFrame: Send + Sync + 'static {
    /// Runs a thread's whole life.
    fn live(&self, life: &mut (dyn FnMut() + Send));

    /// Runs a batch of handlers within such a life.
    fn work(&self, batch: &mut (dyn FnMut() + Send));
}

/// What the leader does beside jobs each time it comes to its event loop.
pub(crate) trait Woken: Default + Send + Sync + 'static {
    /// This thread leads from now on.
    fn begin_epoch(&self);

    /// This thread does not lead any more.
    fn end_epoch();

    /// The leader enters the loop, or leaves it.
    fn set_inside(is_inside: bool);

    /// Does what there is to do, inside the loop.
    fn flush(&self);

    /// The loop has ended.
    fn end(&self);
}

/// Commands of one connection that are done in order and delivered together: all of them, or as many as fit into
/// [`MOST_HELD`]; those behind stay open.
pub(crate) struct Job<C: Command> {
    pub(crate) commands: Vec<C>,
    pub(crate) context: Arc<C::Context>,
    pub(crate) slot: Arc<ReplySlot<C>>,
}

impl<C: Command> Job<C> {
    /// Whether nothing of it has been sent yet, so that 503 can be answered. A stream that has begun is carried on.
    pub(super) fn may_be_turned_away(&self) -> bool {
        self.commands.iter().all(C::may_be_turned_away)
    }

    /// Whether it would call a function that is late with an earlier call.
    pub(super) fn is_held_up(&self, here: Reactor) -> bool {
        self.placements().any(|placement| placement.is_late(here))
    }

    /// Whether it would call a function that is known to wait, or has been late for long.
    pub(super) fn waits_for_long(&self, here: Reactor, now: Duration) -> bool {
        self.placements().any(|placement| placement.waits_for_long(here, now))
    }

    /// Whether it would call functions only, none of which waits or is late.
    pub(super) fn belongs_to_the_loop(&self, here: Reactor) -> bool {
        let is_quick = |placement: &Placement| !placement.is_pooled() && !placement.is_late(here);
        self.placements().next().is_some() && self.placements().all(is_quick)
    }

    /// Whether it would hold a thread for as long as its client uploads.
    pub(super) fn takes_upload(&self) -> bool {
        self.commands.iter().any(C::takes_upload)
    }

    fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.commands.iter().filter_map(|command| Some(command.function()?.as_ref()))
    }
}
