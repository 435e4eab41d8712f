//! The part of an exchange that runs user code: the executor calls handlers, error handlers, hooks and streams, and
//! their results become answers that can be sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::state::{Exchange, Work};
use crate::application::save;
use crate::error::Error;
use crate::files::{Excluded, FileAnswer, FileContent, NO_DESCRIPTOR, Patience, Unopened, answer, check};
use crate::handler::{Answering, Function, ReplyPart};
use crate::log::{Level, Log, shown_target};
use crate::message::{Body, Pull, Request, Response};
use crate::metrics::Monotonic;
use crate::site::{Snapshot, error_page, take_panic};

impl Exchange {
    /// Does the work of this exchange. User code runs here, and may block. Returns the function if one was called.
    pub(super) fn perform<S: Fn(Self) + Send + 'static>(
        &mut self,
        site: &Snapshot,
        log: &Log,
        now: Monotonic,
        early: impl FnOnce() -> S,
    ) -> Option<Arc<Function>> {
        let mut called = None;
        self.work = match std::mem::replace(&mut self.work, Work::Done) {
            Work::Call(handler) => {
                handler.placement.count_wait(self.began, now);
                let answer = self.call(log, |request| {
                    let request = request.ok_or_else(|| Error::new("a handler without a request"))?;
                    if !site.before.is_empty()
                        && !self.is_admitted
                        && let Some(instead) = site.call_before(request)?
                    {
                        return Ok(instead);
                    }
                    match handler.is_answering() {
                        true => handler.call_answering(request, self.answering(request, early())),
                        false => handler.call(request),
                    }
                });
                called = Some(handler);
                if let (Err(error), Some(meter)) = (&answer, log.meter()) {
                    meter.count_error(error);
                }
                match answer {
                    Ok(mut response) if self.is_admitted && response.is_pass() => {
                        self.attachment = response.attachment.take();
                        self.is_admitted = !response.is_content_first();
                        Work::Done
                    }
                    Ok(response) if response.is_sent() => {
                        self.is_sent = true;
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
                let request = self.request.as_ref();
                let after = || {
                    if let Some(hooks) = site.hooks.as_ref().filter(|hooks| hooks.wants_after()) {
                        hooks.after(request, response);
                    }
                    request.into_iter().for_each(|request| request.make_calls_after());
                };
                if catch_unwind(AssertUnwindSafe(after)).is_err() {
                    log.event(Level::Error, "a post_callback panicked");
                }
                Work::Done
            }
            done => done,
        };
        called
    }

    /// Sends the answer of this exchange while its call runs.
    fn answering(&self, request: &Arc<Request>, send: impl Fn(Self) + Send + 'static) -> Answering {
        let (request, began) = (Arc::clone(request), self.began);
        Answering::new(move |part| {
            let (work, is_early) = match part {
                ReplyPart::Hints(fields) => (Work::Hints(fields), false),
                ReplyPart::Answer(Ok(response)) => (Work::Answered(response), true),
                ReplyPart::Answer(error) => (Work::Settle(error), true),
            };
            let mut answered = Self::new(Some(Arc::clone(&request)), work);
            (answered.began, answered.is_early) = (began, is_early);
            send(answered);
        })
    }

    fn call(
        &self,
        log: &Log,
        call: impl FnOnce(Option<&Arc<Request>>) -> Result<Response, Error>,
    ) -> Result<Response, Error> {
        catch_unwind(AssertUnwindSafe(|| call(self.request.as_ref()))).unwrap_or_else(|_| {
            log.event_of(Level::Error, format!("{}: the handler panicked", self.name()), self.request.as_deref());
            let error = Error::status(500, None);
            Err(match take_panic() {
                Some(panicked) => error.with_cause(panicked),
                None => error,
            })
        })
    }

    /// Makes an answer that can be sent from the result of a handler.
    fn settle(&mut self, answer: Result<Response, Error>, site: &Snapshot, log: &Log) -> Work {
        let mut error = match answer.and_then(|response| self.prepare(response, site, log)) {
            Ok(response) if self.has_yet_to_begin(&response) => return Work::Begin(response),
            Ok(response) => return self.finish(response, site, log),
            Err(error) => error,
        };
        self.keep_attachment(&mut error);
        let code = error.code();
        let message = error.public_message();
        let handler = site.handler_of(&error);
        if error.is_internal() && !handler.is_some_and(|handler| handler.takes(&error)) {
            log.event_of(Level::Error, format!("{}: {error}", self.name()), self.request.as_deref());
        } else if let Some(refusal) = error.refusal() {
            log.complain_of(refusal);
        }
        if let (Some(debug), Some(request)) = (&site.debug, &self.request)
            && !handler.is_some_and(|handler| handler.takes(&error))
            && let Some(page) = debug.page(request, &error)
        {
            return self.finish(page, site, log);
        }
        if let (Some(handler), Some(request)) = (handler, &self.request) {
            let known = self.attachment.as_deref();
            let answer = self.call(log, |_| handler.answer(request, &error, known));
            match answer.and_then(|response| self.prepare(response, site, log)) {
                Ok(response) if self.has_yet_to_begin(&response) => return Work::Begin(self.with_extra(response)),
                Ok(response) => return self.finish(self.with_extra(response), site, log),
                Err(mut error) => {
                    self.keep_attachment(&mut error);
                    if error.is_internal() {
                        let name = self.name();
                        let text = format!("{name}: the error handler of {code} failed: {error}");
                        log.event_of(Level::Error, text, self.request.as_deref());
                    }
                }
            }
        }
        self.file = None;
        let page = error.take_answer().unwrap_or_else(|| error_page(self.request.as_deref(), code, message));
        let page = self.with_extra(page);
        self.finish(page, site, log)
    }

    /// Takes the content of an answer that a program has opened by itself. Whether there is one.
    pub(super) fn take_open(&mut self, response: &mut Response) -> bool {
        let content = FileContent::take_open(response);
        let is_open = content.is_some();
        if is_open {
            self.content = content.map(Box::new);
        }
        is_open
    }

    /// Keeps the attachment of an error for the error handler and the hooks.
    fn keep_attachment(&mut self, error: &mut Error) {
        if let Some(attachment) = error.take_attachment() {
            self.attachment = Some(attachment);
        }
    }

    /// Adds the fields that the exchange has for its answer, unless the answer has them.
    pub(crate) fn with_extra(&self, mut response: Response) -> Response {
        for (name, value) in self.extra.iter().flat_map(|extra| extra.iter()) {
            if !response.headers.contains(name) {
                response.headers.push_checked(name.as_bytes(), value);
            }
        }
        response
    }

    /// The error of a request whose preconditions or ranges cannot be met.
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

    /// Refuses a response that could not be sent as it is meant, and opens the file that it names.
    fn prepare(&mut self, mut response: Response, site: &Snapshot, log: &Log) -> Result<Response, Error> {
        if let Some(problem) = response.take_problem() {
            return Err(problem);
        }
        let Body::File(slice) = &response.body else {
            self.file = None;
            return Ok(response);
        };
        // A file of a route is open already.
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

    /// Has the hooks change the answer, then decides which part of its file is sent.
    fn finish(&mut self, mut response: Response, site: &Snapshot, log: &Log) -> Work {
        let attachment = self.attachment.take();
        if let Some(hooks) = site.hooks.as_ref().filter(|_| !response.is_final) {
            if response.attachment.is_none() {
                response.attachment = attachment;
            }
            let request = self.request.as_ref();
            // The hooks may replace the content.
            self.is_counted = false;
            let changed = catch_unwind(AssertUnwindSafe(|| hooks.before_send(request, &mut response)));
            let changed = changed.unwrap_or_else(|_| Err(Error::new("it panicked")));
            response = match changed.and_then(|()| self.prepare(response, site, log)) {
                // Hooks that make the answer anew do not know the fields of the exchange.
                Ok(response) => self.with_extra(response),
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
        if let Some(request) = self.request.as_deref().filter(|request| request.has_state())
            && let Err(error) = save(request, &mut response)
        {
            log.event(Level::Error, format!("{}: the session was not written: {error}", self.name()));
            self.file = None;
            return Work::Answered(self.with_extra(error_page(Some(request), 500, None)));
        }
        if self.take_open(&mut response) {
            return Work::Answered(response);
        }
        let Some(entry) = self.file.take() else { return Work::Answered(response) };
        self.is_encoded = true;
        match answer(self.request.as_deref(), response, &entry, &site.store, Patience::Any) {
            Ok(FileAnswer::Ready(response, content)) => {
                self.content = content;
                Work::Answered(response)
            }
            // With `Patience::Any` the variant is made at once.
            Ok(FileAnswer::ToMake(response, _)) => Work::Answered(response),
            Err(excluded) => {
                let code = self.exclude(excluded).code();
                Work::Answered(self.with_extra(error_page(self.request.as_deref(), code, None)))
            }
        }
    }

    /// The name of this exchange in the log.
    fn name(&self) -> String {
        match &self.request {
            // The target is as received: visible characters alone, so it cannot forge a line of the log.
            Some(request) => format!("{} {}", request.method(), shown_target(request.target())),
            None => "an unreadable request".to_owned(),
        }
    }
}
