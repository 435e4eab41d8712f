//! An exchange: one request and its answer, and the work between them.
//!
//! The exchange goes to the executor with work to do, and comes back with the result as its work.

use std::any::Any;
use std::sync::Arc;

use super::turn::Turn;
use crate::budget::Account;
use crate::error::Error;
use crate::executor::Command;
use crate::files::{FileContent, StoredFile};
use crate::handler::{Function, LanguageRuntime};
use crate::log::Log;
use crate::message::{Body, BodyStream, Headers, Pull, Request, Response};
use crate::metrics::{Monotonic, RequestKind};
use crate::placement::Placement;
use crate::site::Snapshot;
use crate::websocket::{Acceptance, FlushQueue};

/// One request and its answer.
pub(crate) struct Exchange {
    /// The request; `None` if its head could not be read.
    pub(crate) request: Option<Arc<Request>>,
    /// The readable part of an unreadable head, for the log.
    pub(crate) fragment: Option<Arc<Request>>,
    pub(crate) work: Work,
    /// The file of the answer, once it is open.
    pub(crate) file: Option<Arc<StoredFile>>,
    /// Whether the coding of the content has been chosen, or is a file's own.
    pub(crate) is_encoded: bool,
    /// Whether the memory of the answer is counted.
    pub(crate) is_counted: bool,
    /// The part of the file that is sent, once that is decided.
    pub(crate) content: Option<Box<FileContent>>,
    /// Fields that the answer to an error needs, set by an error handler or by the engine.
    pub(crate) extra: Option<Box<Headers>>,
    /// A value of another language that travels with the request, from the gate or from an error to the hooks.
    pub(crate) attachment: Option<Box<dyn Any + Send>>,
    /// Whether this is a call of the site's gate, or the request has passed the gate.
    pub(crate) is_admitted: bool,
    /// When the head was complete, if the log shows durations or the metrics have them.
    pub(crate) began: Option<Monotonic>,
    /// Method and scheme, once they were noted for the metrics.
    pub(crate) kind: Option<RequestKind>,
    /// Whether the handler is cancelled when its client leaves, if the route has a setting for that.
    pub(crate) cancel_on_disconnect: Option<bool>,
    /// Whether the answer was sent while the call ran; and whether this is such an answer, whose call may still run.
    pub(crate) is_sent: bool,
    pub(crate) is_early: bool,
    /// Whether the work took long, so that the next work like it belongs in the pool.
    pub(crate) was_slow: bool,
    /// The status that was sent, for the log.
    pub(crate) status: u16,
    /// Bytes of content that were sent, for the log.
    pub(crate) bytes: u64,
    /// Whether the answer was not sent whole, for the log.
    pub(crate) is_cut: bool,
}

/// The work that is to be done, or the result of it.
pub(crate) enum Work {
    /// To do: call this handler.
    Call(Arc<Function>),
    /// To do: answer with this status, by its error handler or the built-in page.
    Status(u16, Option<String>),
    /// To do: make an answer that can be sent from this result of a handler.
    Settle(Result<Response, Error>),
    /// To do: make the next piece of this body.
    Pull(Box<dyn BodyStream>),
    /// To do: drop this body, on a thread where its language allows that.
    Discard(Box<dyn BodyStream>),
    /// To do: call the hook, after the answer was sent and logged.
    After(Response),
    /// Result: an answer whose stream has not begun; the connection settles it after the first piece.
    Begin(Response),
    /// Result: the answer, ready to be sent.
    Answered(Response),
    /// Result: the piece, and the body for the next one.
    Pulled(Box<dyn BodyStream>, Pull),
    /// Result: the handler takes the WebSocket that the client asks for.
    Open(Box<Acceptance>),
    /// Result: fields that are sent before the answer, with the status 103; the call goes on.
    Hints(Headers),
    /// Result: the connection has nothing to send.
    Done,
    /// Result: an answer that is lost, because the connection had no room for it.
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
            kind: None,
            cancel_on_disconnect: None,
            is_sent: false,
            is_early: false,
            was_slow: false,
            status: 0,
            bytes: 0,
            is_cut: false,
        }
    }

    /// Whether the head of a request could be read, at least in part.
    pub(crate) fn has_head(&self) -> bool {
        self.request.is_some() || self.fragment.is_some()
    }

    /// Whether a call of this function waits for content that comes in meanwhile.
    pub(crate) fn takes_upload(&self, function: &Function) -> bool {
        (function.takes_pieces() || function.is_answering())
            && self.request.as_ref().is_some_and(|request| request.is_streamed())
    }

    /// Whether the exchange has no answer for want of room.
    pub(crate) fn lacks_room(&self) -> bool {
        matches!(self.work, Work::NoRoom) || self.is_open()
    }

    /// Whether the head waits for the first piece, so that a stream which fails at once becomes an error; not for HEAD.
    pub(crate) fn has_yet_to_begin(&self, response: &Response) -> bool {
        matches!(&response.body, Body::Stream(stream) if !stream.has_begun())
            && !self.request.as_ref().is_some_and(|request| request.is_head())
    }

    /// Whether the executor has to do the work.
    pub(crate) fn is_for_executor(&self) -> bool {
        self.is_open() && !matches!(self.work, Work::Begin(_))
    }

    /// Whether the exchange has work left before it can be sent.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(
            self.work,
            Work::Answered(_) | Work::Pulled(..) | Work::Open(_) | Work::Hints(_) | Work::Done | Work::NoRoom
        )
    }

    /// Whether the work calls user code that may take memory.
    pub(crate) fn begins(&self) -> bool {
        matches!(self.work, Work::Call(_) | Work::Status(..) | Work::Pull(_))
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

    /// Counts the memory of the answer until it is freed; drops the answer if the connection holds too much already.
    #[cold]
    pub(crate) fn count(&mut self, account: &Arc<Account>) {
        if self.is_counted {
            return;
        }
        let bytes = match &mut self.work {
            // The first piece of the stream.
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
}

impl Command for Exchange {
    type Callback = Turn;
    type Context = Snapshot;
    type Function = Function;
    type Host = dyn LanguageRuntime;
    type Owner = Request;
    type Woken = FlushQueue;

    fn is_open(&self) -> bool {
        self.is_open()
    }

    fn begins(&self) -> bool {
        self.begins()
    }

    fn held(&self) -> usize {
        self.held()
    }

    fn count(&mut self, account: &Arc<Account>) {
        self.count(account);
    }

    fn function(&self) -> Option<&Function> {
        match &self.work {
            Work::Call(function) => Some(function),
            _ => None,
        }
    }

    fn perform<S: Fn(Self) + Send + 'static>(
        &mut self,
        site: &Snapshot,
        log: &Log,
        now: Monotonic,
        early: impl FnOnce() -> S,
    ) -> Option<Arc<Function>> {
        let called = self.perform(site, log, now, early)?;
        called.learn(self.held());
        Some(called)
    }

    fn is_sent(&self) -> bool {
        self.is_sent
    }

    fn note_slow(&mut self) {
        self.was_slow = true;
    }

    fn takes_upload(&self) -> bool {
        let Work::Call(function) = &self.work else { return false };
        self.takes_upload(function)
    }

    fn may_be_turned_away(&self) -> bool {
        !matches!(self.work, Work::Pull(_))
    }

    fn turn_away(&mut self) {
        self.work = Work::Status(503, Some("too many requests are waiting for this".to_owned()));
    }
}

impl AsRef<Placement> for Function {
    fn as_ref(&self) -> &Placement {
        &self.placement
    }
}
