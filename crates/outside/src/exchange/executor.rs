//! The executor as exchanges use it: its types, and the naming and interrupting of a handler that does not end.

use std::sync::Arc;
use std::time::Duration;

use super::state::Exchange;
use crate::executor::{ThreadFrame, Woken};
use crate::handler::LanguageRuntime;
use crate::log::{Level, shown_target};
use crate::message::Request;
use crate::websocket::FlushQueue;

/// The executor of one reactor.
pub(crate) type Executor = crate::executor::Executor<Exchange>;
/// Exchanges of one connection that are performed in order.
pub(crate) type Job = crate::executor::Job<Exchange>;
/// The place where a connection waits for the exchanges of one job.
pub(crate) type ReplySlot = crate::executor::ReplySlot<Exchange>;

impl ThreadFrame for dyn LanguageRuntime {
    fn live(&self, life: &mut (dyn FnMut() + Send)) {
        LanguageRuntime::live(self, life);
    }

    fn work(&self, batch: &mut (dyn FnMut() + Send)) {
        LanguageRuntime::work(self, batch);
    }

    fn begin_turn(&self) {
        LanguageRuntime::begin_turn(self);
    }

    fn end_turn(&self, is_waiting: bool) {
        LanguageRuntime::end_turn(self, is_waiting);
    }
}

impl Woken for FlushQueue {
    fn begin_epoch(&self) {
        Self::begin_epoch(self);
    }

    fn end_epoch() {
        Self::end_epoch();
    }

    fn set_inside(is_inside: bool) {
        Self::set_inside(is_inside);
    }

    fn flush(&self) {
        Self::flush(self);
    }

    fn end(&self) {
        Self::end(self);
    }
}

impl Executor {
    /// Has the handler of this request interrupted, as far as its language can.
    pub(crate) fn interrupt(self: &Arc<Self>, request: &Arc<Request>) {
        let (executor, request) = (Arc::clone(self), Arc::clone(request));
        // The language may block, so it is called beside the event loop.
        drop(self.runtime.handle().spawn_blocking(move || executor.host.interrupt(&request)));
    }

    /// Has the language name the handlers that run.
    pub(crate) fn name_running(self: &Arc<Self>) {
        let executor = Arc::clone(self);
        drop(self.runtime.handle().spawn_blocking(move || executor.host.name_running()));
    }

    /// Has the language say where a hosted application is that does not answer this request.
    pub(super) fn note_hanging(self: &Arc<Self>, request: &Arc<Request>) {
        let (executor, request) = (Arc::clone(self), Arc::clone(request));
        drop(self.runtime.handle().spawn_blocking(move || executor.host.note_hanging(&request)));
    }

    /// Acts on jobs that have waited or run for too long; the ticker calls it several times a second, inside the event
    /// loop. `true` if another process takes the place of this one.
    pub(crate) fn tick(self: &Arc<Self>, termination_timeout: Duration) -> bool {
        self.expire();
        self.host.tick();
        let mut is_replaced = false;
        for given_up in self.give_up() {
            is_replaced |= self.host.replace();
            let name = given_up.owner.as_ref().map_or_else(
                || "a streamed body".to_owned(),
                |request| format!("{} {}", request.method(), shown_target(request.target())),
            );
            let and = match given_up.counts {
                true => "too many have been given up, so it goes on counting as one of max_workers",
                false => "its thread is given up",
            };
            let text = format!("{name}: does not end, {termination_timeout:?} after its time was over; {and}");
            self.log.event(Level::Error, text);
            let executor = Arc::clone(self);
            drop(self.runtime.handle().spawn_blocking(move || executor.host.give_up(given_up.owner.as_ref())));
        }
        is_replaced
    }
}
