//! What connections ask the executor to do, and doing it.
//!
//! An [`Exchange`] goes in with something to do and comes out with what came of it; the memory makes the round trip.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::Mailbox;
use crate::error::Error;
use crate::files::{OpenFile, Unopened};
use crate::handler::{Function, Reactor};
use crate::log::{Level, Log};
use crate::message::{Body, BodyStream, Pull, Request, Response};
use crate::site::{Snapshot, error_page};

/// Exchanges of one connection that are done in order and delivered together: all of them, or as many as fit into
/// [`MOST_HELD`]; those behind stay open.
pub(crate) struct Job {
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) site: Arc<Snapshot>,
    pub(crate) mailbox: Arc<Mailbox>,
}

impl Job {
    /// Has nothing of it been sent yet, so that 503 can be answered? A stream that has begun is carried on.
    pub(crate) fn may_be_turned_away(&self) -> bool {
        self.exchanges.iter().all(|exchange| !matches!(exchange.work, Work::Pull(_)))
    }

    /// Would it call a function that is late with an earlier call?
    pub(super) fn is_held_up(&self, here: Reactor) -> bool {
        self.exchanges
            .iter()
            .any(|exchange| matches!(&exchange.work, Work::Call(function) if function.placement.is_late(here)))
    }
}

/// Answers of one job that are held in memory together, in bytes.
pub(crate) const MOST_HELD: usize = 1 << 20;

/// One request and its answer.
pub(crate) struct Exchange {
    /// Missing if its head could not be read.
    pub(crate) request: Option<Arc<Request>>,
    /// For the log, what of an unreadable head could be read.
    pub(crate) fragment: Option<Arc<Request>>,
    pub(crate) work: Work,
    /// The file behind the answer, once it is open.
    pub(crate) file: Option<OpenFile>,
    /// When its head was complete, if anybody wants to know.
    pub(crate) began: Option<Instant>,
    /// Came of it: it took long, so that what follows it belongs in the pool.
    pub(crate) was_slow: bool,
    /// What was sent, for the log: status, and bytes of content.
    pub(crate) status: u16,
    pub(crate) bytes: u64,
}

/// What is to be done, or what came of it.
pub(crate) enum Work {
    /// Call this handler.
    Call(Arc<Function>),
    /// Answer with this status: by its error handler or the built-in page.
    Status(u16, Option<String>),
    /// Make an answer that can be sent of what came back from elsewhere.
    Settle(Result<Response, Error>),
    /// Make the next piece of this body.
    Pull(Box<dyn BodyStream>),
    /// Let go of this body: its iterator may belong to a language that minds on which thread.
    Discard(Box<dyn BodyStream>),
    /// Everything is sent and logged: call the hook.
    After(Response),
    /// Came of it: the answer, ready to be sent.
    Answered(Response),
    /// Came of it: the piece, and the body for the next one.
    Pulled(Box<dyn BodyStream>, Pull),
    /// Came of it: nothing to be sent.
    Done,
}

impl Exchange {
    pub(crate) fn new(request: Option<Arc<Request>>, work: Work) -> Self {
        Self { request, fragment: None, work, file: None, began: None, was_slow: false, status: 0, bytes: 0 }
    }

    /// Bytes that this answer holds in memory until it is sent.
    pub(crate) fn held(&self) -> usize {
        match &self.work {
            Work::Answered(Response { body: Body::Bytes(bytes), .. }) => bytes.len(),
            _ => 0,
        }
    }

    /// Is the executor still to do something?
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.work, Work::Answered(_) | Work::Pulled(..) | Work::Done)
    }

    /// Does what is to be done. Runs user code, so it may block. Returns the function of a route if it was called.
    pub(crate) fn perform(&mut self, site: &Snapshot, log: &Log) -> Option<Arc<Function>> {
        let mut called = None;
        self.work = match std::mem::replace(&mut self.work, Work::Done) {
            Work::Call(handler) => {
                let answer = self.call(log, |request| match request {
                    Some(request) => handler.call(request),
                    None => Err(Error::new("a handler without a request")),
                });
                called = Some(handler);
                self.settle(answer, site, log)
            }
            Work::Status(code, message) => self.settle(Err(Error::status(code, message.as_deref())), site, log),
            Work::Settle(answer) => self.settle(answer, site, log),
            Work::Pull(mut stream) => {
                let pull = catch_unwind(AssertUnwindSafe(|| stream.pull()));
                let pull = pull.unwrap_or_else(|_| Pull::Failed(Error::new("a streamed body panicked")));
                Work::Pulled(stream, pull)
            }
            Work::Discard(stream) => {
                drop(stream);
                Work::Done
            }
            Work::After(response) => {
                if let Some(hooks) = &site.hooks {
                    let request = self.request.as_ref();
                    if catch_unwind(AssertUnwindSafe(|| hooks.after(request, response))).is_err() {
                        log.event(Level::Error, "a post_callback panicked");
                    }
                }
                Work::Done
            }
            done => done,
        };
        called
    }

    fn call(
        &self,
        log: &Log,
        call: impl FnOnce(Option<&Arc<Request>>) -> Result<Response, Error>,
    ) -> Result<Response, Error> {
        catch_unwind(AssertUnwindSafe(|| call(self.request.as_ref()))).unwrap_or_else(|_| {
            log.event(Level::Error, format!("{}: the handler panicked", self.name()));
            Err(Error::status(500, None))
        })
    }

    /// Makes an answer that can be sent of what a handler returned.
    fn settle(&mut self, answer: Result<Response, Error>, site: &Snapshot, log: &Log) -> Work {
        let error = match answer.and_then(|response| self.prepare(response, log)) {
            Ok(response) => return self.finish(response, site, log),
            Err(error) => error,
        };
        let code = error.code();
        let message = error.public_message();
        if error.is_internal() {
            log.event(Level::Error, format!("{}: {error}", self.name()));
        }
        if let (Some(handler), Some(_)) = (site.error_handlers.get(&code), &self.request) {
            let answer = self.call(log, |request| handler.call(request, code, message));
            match answer.and_then(|response| self.prepare(response, log)) {
                Ok(response) => return self.finish(response, site, log),
                Err(error) if error.is_internal() => {
                    log.event(Level::Error, format!("{}: the error handler of {code} failed: {error}", self.name()));
                }
                Err(_) => {}
            }
        }
        let page = error_page(self.request.as_deref(), code, message);
        self.finish(page, site, log)
    }

    /// Refuses a response that could not be sent as it is meant, and opens the file it names.
    fn prepare(&mut self, mut response: Response, log: &Log) -> Result<Response, Error> {
        if let Some(problem) = response.problem.take() {
            return Err(*problem);
        }
        self.open(&response, log)?;
        Ok(response)
    }

    /// Opens the file of a response, if it is one.
    pub(crate) fn open(&mut self, response: &Response, log: &Log) -> Result<(), Error> {
        self.file = None;
        let Body::File(path) = &response.body else { return Ok(()) };
        match OpenFile::open(path) {
            Ok(file) => {
                self.file = Some(file);
                Ok(())
            }
            Err(Unopened::Missing) => Err(Error::status(404, None)),
            Err(Unopened::NotAFile(reason)) => {
                log.event(Level::Error, format!("{}: cannot send {path:?}: {reason}", self.name()));
                Err(Error::status(500, None))
            }
            Err(Unopened::Failed(error)) => {
                log.event(Level::Error, format!("{}: cannot send {path:?}: {error}", self.name()));
                Err(Error::status(500, None))
            }
        }
    }

    fn finish(&mut self, mut response: Response, site: &Snapshot, log: &Log) -> Work {
        let Some(hooks) = &site.hooks else { return Work::Answered(response) };
        let request = self.request.as_ref();
        let changed = catch_unwind(AssertUnwindSafe(|| hooks.before_send(request, &mut response)));
        let changed = changed.unwrap_or_else(|_| Err(Error::new("it panicked")));
        match changed.and_then(|()| self.prepare(response, log)) {
            Ok(response) => Work::Answered(response),
            Err(error) => {
                if error.is_internal() {
                    log.event(Level::Error, format!("{}: pre_send failed: {error}", self.name()));
                }
                self.file = None;
                Work::Answered(error_page(self.request.as_deref(), 500, None))
            }
        }
    }

    /// How this exchange is called in the log.
    fn name(&self) -> String {
        match &self.request {
            // As received: visible characters alone, nothing that could forge a line of the log.
            Some(request) => format!("{} {}", request.method(), request.target()),
            None => "an unreadable request".to_owned(),
        }
    }
}
