//! What connections ask the executor to do, and doing it.
//!
//! An [`Exchange`] goes in with something to do and comes out with what came of it; the memory makes the round trip.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ReplySlot;
use crate::budget::Account;
use crate::error::Error;
use crate::files::{Excluded, FileAnswer, FileContent, NO_DESCRIPTOR, Patience, StoredFile, Unopened, answer, check};
use crate::handler::{Function, Reactor};
use crate::log::{Level, Log};
use crate::message::{Body, BodyStream, Headers, Pull, Request, Response};
use crate::site::{Snapshot, error_page};

/// Exchanges of one connection that are done in order and delivered together: all of them, or as many as fit into
/// [`MOST_HELD`]; those behind stay open.
pub(crate) struct Job {
    pub(crate) exchanges: Vec<Exchange>,
    pub(crate) site: Arc<Snapshot>,
    pub(crate) slot: Arc<ReplySlot>,
}

impl Job {
    /// Has nothing of it been sent yet, so that 503 can be answered? A stream that has begun is carried on.
    pub(crate) fn may_be_turned_away(&self) -> bool {
        self.exchanges.iter().all(|exchange| !matches!(exchange.work, Work::Pull(_)))
    }

    /// Would it call a function that is late with an earlier call?
    pub(super) fn is_held_up(&self, here: Reactor) -> bool {
        self.functions().any(|function| function.placement.is_late(here))
    }

    /// Would it call a function that is known to wait, or has been late for long?
    pub(super) fn waits_for_long(&self, here: Reactor, now: Duration) -> bool {
        self.functions().any(|function| function.placement.waits_for_long(here, now))
    }

    /// Would it call functions only, none of which waits or is late?
    pub(super) fn belongs_to_the_loop(&self, here: Reactor) -> bool {
        let is_quick = |function: &Arc<Function>| !function.placement.is_pooled() && !function.placement.is_late(here);
        self.functions().next().is_some() && self.functions().all(is_quick)
    }

    /// Whether it would hold a thread for as long as its client uploads.
    pub(super) fn takes_upload(&self) -> bool {
        let takes = |exchange: &Exchange| {
            let Work::Call(function) = &exchange.work else { return false };
            function.takes_pieces() && exchange.request.as_ref().is_some_and(|request| request.is_streamed())
        };
        self.exchanges.iter().any(takes)
    }

    fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.exchanges.iter().filter_map(|exchange| match &exchange.work {
            Work::Call(function) => Some(function),
            _ => None,
        })
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
    /// The file behind the answer, once it is found.
    pub(crate) file: Option<Arc<StoredFile>>,
    /// Has the coding of its content been chosen, or is it a file's own?
    pub(crate) is_encoded: bool,
    /// Whether the memory of its answer is counted.
    pub(crate) is_counted: bool,
    /// What of it is sent, once that is decided.
    pub(crate) content: Option<Box<FileContent>>,
    /// Fields that an answer with this error needs, whoever makes it.
    pub(crate) extra: Option<Box<Headers>>,
    /// What goes with the request in another language, from the gate or from an error to the hooks.
    pub(crate) attachment: Option<Box<dyn Any + Send>>,
    /// Is it for the site's gate, or has that been asked?
    pub(crate) is_admitted: bool,
    /// When its head was complete, if anybody wants to know.
    pub(crate) began: Option<Instant>,
    /// What its route says of clients that leave, if anything.
    pub(crate) cancel_on_disconnect: Option<bool>,
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
    /// Came of it: an answer whose stream has yet to begin; the connection waits for its first piece, and settles it then.
    Begin(Response),
    /// Came of it: the answer, ready to be sent.
    Answered(Response),
    /// Came of it: the piece, and the body for the next one.
    Pulled(Box<dyn BodyStream>, Pull),
    /// Came of it: nothing to be sent.
    Done,
    /// Came of it: an answer for which the connection had no room, so that it is gone.
    NoRoom,
}

impl Exchange {
    pub(crate) fn new(request: Option<Arc<Request>>, work: Work) -> Self {
        Self {
            request,
            fragment: None,
            work,
            file: None,
            is_encoded: false,
            is_counted: false,
            content: None,
            extra: None,
            attachment: None,
            is_admitted: false,
            began: None,
            cancel_on_disconnect: None,
            was_slow: false,
            status: 0,
            bytes: 0,
        }
    }

    /// Bytes that this answer, or this piece of one, holds in memory until it is sent.
    pub(crate) fn held(&self) -> usize {
        match &self.work {
            Work::Answered(Response { body: Body::Bytes(bytes), .. })
            | Work::Settle(Ok(Response { body: Body::Bytes(bytes), .. }))
            | Work::Pulled(_, Pull::Piece(bytes)) => bytes.len(),
            Work::Answered(Response { body: Body::Stream(stream), .. })
            | Work::Settle(Ok(Response { body: Body::Stream(stream), .. })) => stream.held(),
            _ => 0,
        }
    }

    /// Counts the memory of its answer until that is freed; or lets go of the answer, if the connection holds too much already.
    #[cold]
    pub(crate) fn count(&mut self, account: &Arc<Account>) {
        if self.is_counted {
            return;
        }
        let bytes = match &mut self.work {
            // The piece with which a stream begins.
            Work::Answered(Response { body: Body::Stream(stream), .. })
            | Work::Settle(Ok(Response { body: Body::Stream(stream), .. })) => {
                self.is_counted = true;
                if stream.count(&mut |bytes| account.count(bytes).ok()).is_none() {
                    self.work = Work::NoRoom;
                }
                return;
            }
            Work::Answered(Response { body: Body::Bytes(bytes), .. })
            | Work::Settle(Ok(Response { body: Body::Bytes(bytes), .. })) => bytes,
            // A piece cannot be made again.
            Work::Pulled(_, Pull::Piece(bytes)) => {
                self.is_counted = true;
                match account.count_piece(std::mem::take(bytes)) {
                    Ok(counted) => *bytes = counted,
                    Err(_) => self.work = Work::NoRoom,
                }
                return;
            }
            _ => return,
        };
        self.is_counted = true;
        match account.count(std::mem::take(bytes)) {
            Ok(counted) => *bytes = counted,
            Err(_) => self.work = Work::NoRoom,
        }
    }

    /// Does it call for something new that may take memory?
    pub(crate) fn begins(&self) -> bool {
        matches!(self.work, Work::Call(_) | Work::Status(..) | Work::Pull(_))
    }

    /// Is it for want of room that it has no answer?
    pub(crate) fn lacks_room(&self) -> bool {
        matches!(self.work, Work::NoRoom) || self.is_open()
    }

    /// Is still something to be done before it can be sent?
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.work, Work::Answered(_) | Work::Pulled(..) | Work::Done | Work::NoRoom)
    }

    /// Whether the first piece of this answer is to be waited for before the head is sent, so that a stream which fails at once is
    /// answered as an error. HEAD asks for none.
    pub(crate) fn has_yet_to_begin(&self, response: &Response) -> bool {
        matches!(&response.body, Body::Stream(stream) if !stream.has_begun())
            && !self.request.as_ref().is_some_and(|request| request.is_head())
    }

    /// Is it the executor that has to do it?
    pub(crate) fn is_for_executor(&self) -> bool {
        self.is_open() && !matches!(self.work, Work::Begin(_))
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
                match answer {
                    Ok(mut response) if self.is_admitted && response.is_pass() => {
                        self.attachment = response.attachment.take();
                        Work::Done
                    }
                    answer => self.settle(answer, site, log),
                }
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
        let mut error = match answer.and_then(|response| self.prepare(response, site, log)) {
            Ok(response) if self.has_yet_to_begin(&response) => return Work::Begin(response),
            Ok(response) => return self.finish(response, site, log),
            Err(error) => error,
        };
        self.keep_attachment(&mut error);
        let code = error.code();
        let message = error.public_message();
        if error.is_internal() {
            log.event(Level::Error, format!("{}: {error}", self.name()));
        } else if let Some(refusal) = error.refusal() {
            log.complain_of(refusal);
        }
        if let (Some(handler), Some(_)) = (site.error_handlers.get(&code), &self.request) {
            let known = self.attachment.as_deref();
            let answer = self.call(log, |request| handler.call(request, code, message, known));
            match answer.and_then(|response| self.prepare(response, site, log)) {
                Ok(response) if self.has_yet_to_begin(&response) => return Work::Begin(self.with_extra(response)),
                Ok(response) => return self.finish(self.with_extra(response), site, log),
                Err(mut error) => {
                    self.keep_attachment(&mut error);
                    if error.is_internal() {
                        let name = self.name();
                        log.event(Level::Error, format!("{name}: the error handler of {code} failed: {error}"));
                    }
                }
            }
        }
        self.file = None;
        let page = self.with_extra(error_page(self.request.as_deref(), code, message));
        self.finish(page, site, log)
    }

    /// The error handler and the hooks get what this error has brought.
    fn keep_attachment(&mut self, error: &mut Error) {
        if let Some(attachment) = error.take_attachment() {
            self.attachment = Some(attachment);
        }
    }

    /// Adds the fields that this error needs, unless they are there.
    pub(crate) fn with_extra(&self, mut response: Response) -> Response {
        for (name, value) in self.extra.iter().flat_map(|extra| extra.iter()) {
            if !response.headers.contains(name) {
                response.headers.push_checked(name.as_bytes(), value);
            }
        }
        response
    }

    /// The error that a request gets whose preconditions or ranges cannot be met.
    pub(crate) fn exclude(&mut self, excluded: Excluded) -> Error {
        match excluded {
            Excluded::Failed => Error::status(412, None),
            Excluded::Unsatisfiable(length) => {
                // RFC 9110 section 15.5.17.
                let value = format!("bytes */{length}");
                self.extra.get_or_insert_default().push_checked(b"Content-Range", value.as_bytes());
                Error::status(416, None)
            }
        }
    }

    /// Refuses a response that could not be sent as it is meant, and finds the file it names.
    fn prepare(&mut self, mut response: Response, site: &Snapshot, log: &Log) -> Result<Response, Error> {
        if let Some(problem) = response.problem.take() {
            return Err(*problem);
        }
        let Body::File(slice) = &response.body else {
            self.file = None;
            return Ok(response);
        };
        // A file of a route has been found already.
        let entry = match self.file.take().filter(|entry| *entry.path() == slice.path) {
            Some(entry) => entry,
            None => site.store.open(&slice.path).map_err(|unopened| match unopened {
                Unopened::Missing | Unopened::Later => Error::status(404, None),
                Unopened::Exhausted => {
                    log.complain("max_connections", NO_DESCRIPTOR);
                    Error::status(503, None)
                }
                Unopened::Refused(reason) => {
                    log.event(Level::Error, format!("{}: cannot send {:?}: {reason}", self.name(), slice.path));
                    Error::status(500, None)
                }
            })?,
        };
        if let Some(request) = &self.request {
            check(request, &response, &entry).map_err(|excluded| self.exclude(excluded))?;
        }
        self.file = Some(entry);
        Ok(response)
    }

    /// Hooks have the last word on an answer; then it is decided what of its file is sent.
    fn finish(&mut self, mut response: Response, site: &Snapshot, log: &Log) -> Work {
        let attachment = self.attachment.take();
        if let Some(hooks) = &site.hooks {
            if response.attachment.is_none() {
                response.attachment = attachment;
            }
            let request = self.request.as_ref();
            // They may put other content into its place.
            self.is_counted = false;
            let changed = catch_unwind(AssertUnwindSafe(|| hooks.before_send(request, &mut response)));
            let changed = changed.unwrap_or_else(|_| Err(Error::new("it panicked")));
            response = match changed.and_then(|()| self.prepare(response, site, log)) {
                Ok(response) => response,
                Err(error) => {
                    let code = error.code();
                    if error.is_internal() {
                        log.event(Level::Error, format!("{}: pre_send failed: {error}", self.name()));
                    }
                    self.file = None;
                    return Work::Answered(self.with_extra(error_page(self.request.as_deref(), code, None)));
                }
            };
        }
        let Some(entry) = self.file.take() else { return Work::Answered(response) };
        self.is_encoded = true;
        match answer(self.request.as_deref(), response, &entry, &site.store, Patience::Any) {
            Ok(FileAnswer::Ready(response, content)) => {
                self.content = content;
                Work::Answered(response)
            }
            // With patience it is made at once.
            Ok(FileAnswer::ToMake(response, _)) => Work::Answered(response),
            Err(excluded) => {
                let code = self.exclude(excluded).code();
                Work::Answered(self.with_extra(error_page(self.request.as_deref(), code, None)))
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
