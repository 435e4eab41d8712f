//! The unit of work, as far as the executor knows it, and the other types that the room above defines.
//!
//! A [`Command`] goes into the executor as a request to call a function and comes out with the answer, in the same
//! memory. The executor is compiled for one type of command, so a call needs neither a box nor a virtual call.

use std::sync::Arc;

use super::sync::Instant;
use crate::budget::Account;
use crate::log::Log;
use crate::placement::Placement;

/// Bytes of answers that one job holds in memory: beyond them, its further commands stay open.
pub(crate) const MOST_HELD: usize = 1 << 20;

/// One unit of work, such as the call of a function, and its result.
pub(crate) trait Command: Send + Sized + 'static {
    /// The state that the commands of a job share: the site as it was when they came.
    type Context: Send + Sync;
    /// The request for which a call is made: it names a call that does not end.
    type Owner: Send + Sync;
    /// A function that may be called, with the measurements of its calls.
    type Function: AsRef<Placement>;
    /// The host language of the threads that call functions.
    type Host: ThreadFrame + ?Sized;
    /// A call of another kind, which has no answer.
    type Callback: Callback;
    /// The queue that is flushed with the event loop.
    type Woken: Woken;

    /// Whether the command is still to be performed.
    fn is_open(&self) -> bool;

    /// Whether the command asks for a new answer or piece, which may take memory.
    fn begins(&self) -> bool;

    /// Bytes that its answer holds in memory.
    fn held(&self) -> usize;

    /// Counts these bytes until they are freed; drops the answer if the connection holds too much already.
    fn count(&mut self, account: &Arc<Account>);

    /// The function that the command is going to call.
    fn function(&self) -> Option<&Self::Function>;

    /// Performs the command. Runs user code, so it may block. Returns the function of a route if it was called.
    ///
    /// `now` is the time at which it begins. `early` makes a function that delivers a command with the answer, or with a part
    /// of it, while this one is performed.
    fn perform<S: Fn(Self) + Send + 'static>(
        &mut self,
        context: &Self::Context,
        log: &Log,
        now: Instant,
        early: impl FnOnce() -> S,
    ) -> Option<Arc<Self::Function>>;

    /// Whether the answer was delivered early, while the command was performed: then nothing is left to deliver.
    fn is_sent(&self) -> bool {
        false
    }

    /// Notes that the call took long: further pieces of its answer belong in the pool.
    fn note_slow(&mut self);

    /// Whether the command would hold a thread for as long as its client uploads.
    fn takes_upload(&self) -> bool;

    /// Whether no byte of its answer has been sent yet, so that it can be turned away.
    fn may_be_turned_away(&self) -> bool;

    /// Turns the command into a 503, because the pool has no room for it.
    fn turn_away(&mut self);
}

/// A call without an answer; a session may have to be told that it has ended.
pub(crate) trait Callback: Send + 'static {
    /// The session that is told of the end.
    type Session: Send + 'static;

    /// Notes that the callback is queued.
    fn begin(&self);

    /// Makes the call. Runs user code.
    fn perform(&mut self, log: &Log);

    /// Whether there is more to call, once other jobs have had their turn.
    fn is_unfinished(&self) -> bool {
        false
    }

    /// Notes the end of the call; returns the session that is to be told of it inside the event loop.
    fn end(self) -> Option<Self::Session>;

    /// Tells the session.
    fn tell(session: Self::Session);
}

/// The host's frame around the life and the work of the threads that run handlers.
pub(crate) trait ThreadFrame: Send + Sync + 'static {
    /// Runs a thread's whole life.
    fn live(&self, life: &mut (dyn FnMut() + Send));

    /// Runs a batch of handlers within such a life.
    fn work(&self, batch: &mut (dyn FnMut() + Send));

    /// The thread that leads is about to look at its tasks: a turn begins.
    fn begin_turn(&self);

    /// The turn has ended: the thread waits for the network, or leaves the loop.
    fn end_turn(&self, is_waiting: bool);
}

/// A queue that the leader flushes each time it comes to its event loop, beside jobs.
pub(crate) trait Woken: Default + Send + Sync + 'static {
    /// This thread leads from now on.
    fn begin_epoch(&self);

    /// This thread does not lead any more.
    fn end_epoch();

    /// The leader enters the loop, or leaves it.
    fn set_inside(is_inside: bool);

    /// Empties the queue, inside the loop.
    fn flush(&self);

    /// The loop has ended.
    fn end(&self);
}
