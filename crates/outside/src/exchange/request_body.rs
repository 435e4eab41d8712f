//! Content on its way to a handler that takes it while it comes in; the same for every version of HTTP.
//!
//! While the client keeps it waiting, the deadlines of content count; while the handler does, those of handlers.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::service::Service;
use super::spool::Spool;
use crate::content::{Feeder, upload};
use crate::error::Refusal;
use crate::message::{Request, Spooled};

/// Milliseconds over which the minimum rate of content is measured.
const RATE_WINDOW: u64 = 10_000;

/// The stretch of time in which the minimum rate is asked of a client. Bytes that came at once before it buy nothing.
#[derive(Debug)]
pub(crate) struct RateWindow {
    /// When it began, in milliseconds of the clock.
    since: u64,
    /// Bytes that had come by then.
    had: u64,
}

impl RateWindow {
    pub(crate) fn new(now: u64) -> Self {
        Self { since: now, had: 0 }
    }

    /// Sets the deadline for the next bytes, when so many have come. Whether it is the minimum rate that comes first.
    pub(crate) fn set_deadline(&mut self, dispatcher: &Dispatcher, so_far: u64) -> bool {
        let now = dispatcher.service.clock.now();
        if now.checked_sub(self.since).is_none_or(|time| time > RATE_WINDOW) {
            (self.since, self.had) = (now, so_far);
        }
        let stall = dispatcher.service.config.body_stall_timeout;
        dispatcher.set_transfer_deadline(self.since, so_far - self.had, stall)
    }

    /// The client was not waited for meanwhile: the next wait begins a stretch of its own.
    fn interrupt(&mut self) {
        self.since = u64::MAX;
    }
}

/// 413 for content that says that it is larger than it may be.
pub(crate) fn check_length(service: &Service, declared: Option<u64>) -> Result<(), Refusal> {
    match declared {
        Some(length) if length > service.config.max_body_size as u64 => Err(TOO_LARGE),
        _ => Ok(()),
    }
}

/// 408 for content that does not come in time. `by_rate`: whether it came more slowly than the minimum rate.
pub(crate) fn too_slow(by_rate: bool) -> Refusal {
    let key = if by_rate { "min_rate" } else { "body_stall_timeout" };
    Refusal::limit(408, "content not complete in time", key)
}

/// All content of a request has come in, to memory or to the file of its spool: the request has it from now on.
pub(crate) fn store_content(
    service: &Service,
    request: &mut Request,
    content: Vec<u8>,
    spool: Spool,
) -> Result<(), Refusal> {
    request.form_limits.get_or_insert_default().as_mut().clone_from(&service.config.form_limits);
    match spool.into_source()? {
        Some(source) => request.spooled = Some(Box::new(Spooled { source, read: OnceLock::new() })),
        None => request.content = content,
    }
    Ok(())
}

/// Such content, and who waits for whom.
#[derive(Debug)]
pub(crate) struct RequestBody {
    pub(crate) feeder: Feeder,
    /// Bytes that have come in.
    pub(crate) so_far: u64,
    /// All of it has.
    pub(crate) is_complete: bool,
    /// The rest of it does not matter any more.
    is_refused: bool,
    deadline: Deadline,
    /// Would the one of the client be that of the minimum rate?
    is_timed_by_rate: bool,
    window: RateWindow,
}

/// Whose deadline is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deadline {
    /// One that is over, since something has moved.
    Past,
    Client,
    Handler,
}

impl RequestBody {
    /// From here on the content of this request goes to whoever has the request; 413 if it says that it is too large.
    pub(crate) fn begin(service: &Service, request: &mut Arc<Request>, declared: Option<u64>) -> Result<Self, Refusal> {
        let config = &service.config;
        check_length(service, declared)?;
        let (feeder, source) = upload(declared);
        let request = Arc::get_mut(request).ok_or(SHARED)?;
        request.form_limits.get_or_insert_default().as_mut().clone_from(&config.form_limits);
        request.spooled = Some(Box::new(Spooled { source, read: OnceLock::new() }));
        Ok(Self {
            feeder,
            so_far: 0,
            is_complete: false,
            is_refused: false,
            deadline: Deadline::Past,
            is_timed_by_rate: false,
            window: RateWindow::new(service.clock.now()),
        })
    }

    /// Is there nothing left to be waited for?
    pub(crate) fn is_over(&self) -> bool {
        self.is_complete || self.is_refused
    }

    /// Hands on what has come in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.feeder.push(bytes);
            self.so_far += bytes.len() as u64;
        }
        self.note_progress();
    }

    /// All of it has come in.
    pub(crate) fn finish(&mut self) {
        self.is_complete = true;
        self.feeder.finish();
    }

    /// The request has its answer: whoever still takes content gets no more.
    pub(crate) fn end(&self) {
        self.feeder.refuse(ANSWERED);
    }

    /// Something has moved: whoever is waited for next has all of his time.
    pub(crate) fn note_progress(&mut self) {
        self.deadline = Deadline::Past;
    }

    /// The handler learns why there is no more; what it answers is the last answer.
    pub(crate) fn refuse(&mut self, dispatcher: &Dispatcher, refusal: Refusal) {
        if let Some(key) = refusal.limit {
            dispatcher.service.log.complain(key, refusal.reason);
        }
        self.is_refused = true;
        self.note_progress();
        self.feeder.refuse(refusal);
    }

    /// The client was waited for too long.
    pub(crate) fn refuse_slow(&mut self, dispatcher: &Dispatcher) {
        self.refuse(dispatcher, too_slow(self.is_timed_by_rate));
    }

    /// Nothing more comes before the handler has done something. Ready when an order ends the wait for it.
    pub(crate) fn await_handler(&mut self, dispatcher: &Dispatcher, context: &Context<'_>) -> Poll<Stop> {
        if self.deadline != Deadline::Handler {
            self.deadline = Deadline::Handler;
            dispatcher.limit_handler();
            // What the handler takes its time for is not the client's fault.
            self.window.interrupt();
        }
        dispatcher.poll_order(context)
    }

    /// Nothing more comes before the client has sent something.
    pub(crate) fn await_client(&mut self, dispatcher: &Dispatcher) {
        if self.deadline != Deadline::Client {
            self.deadline = Deadline::Client;
            dispatcher.control.clear_timeout();
            self.is_timed_by_rate = self.window.set_deadline(dispatcher, self.so_far);
        }
    }
}

/// Cannot happen: a request is shared only when it has been read.
pub(crate) const SHARED: Refusal = Refusal::new(500, "a request was shared before it was read");
const ANSWERED: Refusal = Refusal::bad("the request has its answer; its content comes in while the handler runs");
pub(crate) const TOO_LARGE: Refusal = Refusal::limit(413, "content too large", "max_body_size_mb");
