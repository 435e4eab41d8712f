//! Content on its way to a handler that takes it while it comes in; the same for every version of HTTP.
//!
//! While the connection waits for the client, the deadlines of content hold; for the handler, those of handlers.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::intake::Intake;
use super::service::Service;
use super::spool::Spool;
use crate::content::{Decoder, Feeder, coded_upload, upload};
use crate::error::Refusal;
use crate::message::{Request, Spooled};

/// Milliseconds over which the minimum rate of content is measured.
const RATE_WINDOW: u64 = 10_000;

/// The period over which the minimum rate of a client is measured. Bytes that came before it do not count.
#[derive(Debug)]
pub(crate) struct RateWindow {
    /// When the period began, in milliseconds of the clock.
    since: u64,
    /// Bytes that had come in by then.
    had: u64,
}

impl RateWindow {
    pub(crate) fn new(now: u64) -> Self {
        Self { since: now, had: 0 }
    }

    /// Sets the deadline for the next bytes, after `so_far` bytes. Returns whether it is the one of the minimum rate.
    pub(crate) fn set_deadline(&mut self, dispatcher: &Dispatcher, so_far: u64) -> bool {
        let now = dispatcher.service.clock.now();
        if now.checked_sub(self.since).is_none_or(|time| time > RATE_WINDOW) {
            (self.since, self.had) = (now, so_far);
        }
        let stall = dispatcher.service.config.body_stall_timeout;
        dispatcher.set_transfer_deadline(self.since, so_far - self.had, stall)
    }

    /// Ends the period, because the connection did not wait for the client meanwhile: the next wait begins a new one.
    fn interrupt(&mut self) {
        self.since = u64::MAX;
    }
}

/// 408 for content that does not come in time. `by_rate`: whether it came more slowly than the minimum rate.
pub(crate) fn too_slow(by_rate: bool) -> Refusal {
    let key = if by_rate { "min_rate" } else { "body_stall_timeout" };
    Refusal::limit(408, "content not complete in time", key)
}

/// Gives a request its content, all of which has come in, to memory or to the file of its spool.
pub(crate) fn store_content(
    service: &Service,
    request: &mut Arc<Request>,
    content: Vec<u8>,
    spool: Spool,
) -> Result<(), Refusal> {
    let source = spool.into_source()?;
    if let Some(outstanding) = request.spooled.as_ref().filter(|spooled| spooled.is_outstanding()) {
        outstanding.arrive(content, source);
        return Ok(());
    }
    let request = Arc::get_mut(request).ok_or(SHARED)?;
    request.form_limits.get_or_insert_default().as_mut().clone_from(&service.config.form_limits);
    match source {
        Some(source) => request.spooled = Some(Spooled::of(source)),
        None => request.content = content,
    }
    Ok(())
}

/// Content on its way to a handler, and the deadline of the side that is waited for.
#[derive(Debug)]
pub(crate) struct RequestBody {
    pub(crate) feeder: Feeder,
    intake: Intake,
    /// Bytes that have come in.
    pub(crate) so_far: u64,
    /// Whether all content has come in.
    pub(crate) is_complete: bool,
    /// Whether the handler gets no more content.
    is_refused: bool,
    deadline: Deadline,
    /// Whether the deadline of the client is the one of the minimum rate.
    is_timed_by_rate: bool,
    window: RateWindow,
}

/// The side whose deadline is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    /// Neither: the deadline is over, because bytes have moved.
    Past,
    Client,
    Handler,
}

impl RequestBody {
    /// Begins to hand the content of this request to its handler; 413 if the head declares too much content.
    pub(crate) fn begin(
        service: &Service,
        request: &mut Arc<Request>,
        declared: Option<u64>,
        intake: Intake,
    ) -> Result<Self, Refusal> {
        let config = &service.config;
        intake.check(declared)?;
        let (feeder, source) = match intake.coding {
            None => upload(declared),
            Some(coding) => coded_upload(Decoder::new(coding, intake.most)?),
        };
        let request = Arc::get_mut(request).ok_or(SHARED)?;
        request.form_limits.get_or_insert_default().as_mut().clone_from(&config.form_limits);
        request.spooled = Some(Spooled::of(source));
        Ok(Self {
            feeder,
            intake,
            so_far: 0,
            is_complete: false,
            is_refused: false,
            deadline: Deadline::Past,
            is_timed_by_rate: false,
            window: RateWindow::new(service.clock.now()),
        })
    }

    /// Whether the connection has no more content to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.is_complete || self.is_refused
    }

    /// Hands bytes that came in to the handler.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.feeder.push(bytes);
            self.so_far += bytes.len() as u64;
        }
        self.note_progress();
    }

    /// Tells the handler that all content has come in.
    pub(crate) fn finish(&mut self) {
        self.is_complete = true;
        self.feeder.finish();
    }

    /// Bytes of content that may still come.
    pub(crate) fn left(&self) -> u64 {
        self.intake.most.saturating_sub(self.so_far)
    }

    /// Ends the content, because the request has its answer: a handler that still takes content gets no more.
    pub(crate) fn end(&self) {
        self.feeder.refuse(ANSWERED);
    }

    /// Takes note that bytes have moved: the next wait, for the client or the handler, has all of its time.
    pub(crate) fn note_progress(&mut self) {
        self.deadline = Deadline::Past;
    }

    /// Tells the handler why it gets no more content; the handler may still give the last answer.
    pub(crate) fn refuse(&mut self, dispatcher: &Dispatcher, refusal: Refusal) {
        if let Some(key) = refusal.limit {
            dispatcher.service.log.complain(key, refusal.reason);
            dispatcher.service.count_refusal(key, &refusal.status.to_string());
        }
        self.is_refused = true;
        self.note_progress();
        self.feeder.refuse(refusal);
    }

    /// Refuses the content of a client that took too long.
    pub(crate) fn refuse_slow(&mut self, dispatcher: &Dispatcher) {
        self.refuse(dispatcher, too_slow(self.is_timed_by_rate));
    }

    /// Waits for the handler, which has to act before more content comes. Ready when an order ends the wait.
    pub(crate) fn await_handler(&mut self, dispatcher: &Dispatcher, context: &Context<'_>) -> Poll<Stop> {
        if self.deadline != Deadline::Handler {
            self.deadline = Deadline::Handler;
            dispatcher.limit_handler();
            // The client is not to blame for the time that the handler takes.
            self.window.interrupt();
        }
        dispatcher.poll_order(context)
    }

    /// Waits for the client, which has to send more content.
    pub(crate) fn await_client(&mut self, dispatcher: &Dispatcher) {
        if self.deadline != Deadline::Client {
            self.deadline = Deadline::Client;
            dispatcher.control.clear_timeout();
            self.is_timed_by_rate = self.window.set_deadline(dispatcher, self.so_far);
        }
    }
}

/// The refusal of a case that cannot happen: a request is shared only when it has been read.
pub(crate) const SHARED: Refusal = Refusal::new(500, "a request was shared before it was read");
const ANSWERED: Refusal = Refusal::bad("the request has its answer; its content comes in while the handler runs");
