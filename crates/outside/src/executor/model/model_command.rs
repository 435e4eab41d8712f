//! The commands of a trial: handlers of every temper, without HTTP.

use std::sync::Arc;

use super::command::{Callback, Command, ThreadFrame, Woken};
use super::ledger::{Handler, Ledger};
use super::lock::lock;
use super::sync::{Instant, Mutex};
use crate::budget::Account;
use crate::log::Log;
use crate::placement::Placement;

/// A command and its result; the number names the answer.
pub(super) enum ModelCommand {
    Call(Arc<ModelFunction>, usize),
    /// Make the next piece of a streamed body.
    Pull(Arc<Ledger>, usize),
    /// The pool had no room: answer with a refusal.
    TurnAway,
    Answered(usize),
    Pulled,
    Refused,
}

/// A handler on a route.
pub(super) struct ModelFunction {
    handler: Handler,
    pub(super) placement: Placement,
}

impl ModelFunction {
    pub(super) fn new(handler: Handler, blocking: Option<bool>) -> Arc<Self> {
        Arc::new(Self { handler, placement: Placement::new(blocking) })
    }
}

impl AsRef<Placement> for ModelFunction {
    fn as_ref(&self) -> &Placement {
        &self.placement
    }
}

impl Command for ModelCommand {
    type Callback = NoCall;
    type Context = ();
    type Function = ModelFunction;
    type Host = dyn ThreadFrame;
    type Owner = ();
    type Woken = Nothing;

    fn is_open(&self) -> bool {
        matches!(self, Self::Call(..) | Self::Pull(..) | Self::TurnAway)
    }

    fn begins(&self) -> bool {
        self.is_open()
    }

    fn held(&self) -> usize {
        0
    }

    fn count(&mut self, _: &Arc<Account>) {}

    fn function(&self) -> Option<&ModelFunction> {
        match self {
            Self::Call(function, _) => Some(function),
            _ => None,
        }
    }

    fn perform<S: Fn(Self) + Send + 'static>(
        &mut self,
        (): &(),
        _: &Log,
        _: Instant,
        _: impl FnOnce() -> S,
    ) -> Option<Arc<ModelFunction>> {
        let mut called = None;
        *self = match std::mem::replace(self, Self::Pulled) {
            Self::Call(function, number) => {
                function.handler.call(number);
                called = Some(function);
                Self::Answered(number)
            }
            Self::Pull(ledger, number) => {
                lock(&ledger.state).runs[number] += 1;
                Self::Pulled
            }
            Self::TurnAway => Self::Refused,
            done => done,
        };
        called
    }

    fn note_slow(&mut self) {}

    fn takes_upload(&self) -> bool {
        false
    }

    fn may_be_turned_away(&self) -> bool {
        !matches!(self, Self::Pull(..))
    }

    fn turn_away(&mut self) {
        *self = Self::TurnAway;
    }
}

/// Trials have no WebSockets.
pub(super) enum NoCall {}

impl Callback for NoCall {
    type Session = ();

    fn begin(&self) {
        match *self {}
    }

    fn perform(&mut self, _: &Log) {
        match *self {}
    }

    fn end(self) -> Option<()> {
        match self {}
    }

    fn tell((): ()) {}
}

/// A queue that is always empty.
#[derive(Default)]
pub(super) struct Nothing;

impl Woken for Nothing {
    fn begin_epoch(&self) {}

    fn end_epoch() {}

    fn set_inside(_: bool) {}

    fn flush(&self) {}

    fn end(&self) {}
}

/// A language that needs no frame around its threads.
pub(super) struct NoFrame;

impl ThreadFrame for NoFrame {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        batch();
    }

    fn begin_turn(&self) {}

    fn end_turn(&self, _is_waiting: bool) {}
}

/// A language with one lock for all of its threads, and handlers that never let go of it.
#[derive(Default)]
pub(super) struct OneAtATime(Mutex<()>);

impl ThreadFrame for OneAtATime {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        life();
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        let _held = lock(&self.0);
        batch();
    }

    fn begin_turn(&self) {}

    fn end_turn(&self, _is_waiting: bool) {}
}
