//! An exchange: one request and its answer, and how far they have come.
//!
//! It goes to the executor with something to do and comes back with what came of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use super::turn::Turn;
use crate::budget::Account;
use crate::error::Error;
use crate::executor::Command;
use crate::files::{FileContent, StoredFile};
use crate::handler::{Function, LanguageRuntime};
use crate::log::Log;
use crate::message::{Body, BodyStream, Headers, Pull, Request, Response};
use crate::placement::Placement;
use crate::site::Snapshot;
use crate::websocket::FlushQueue;

/// One request and its answer.
pub(crate) struct Exchange {
    /// Missing if its head could not be read.
    pub(crate) request: Option<Arc<Request>>,
    /// For the log, what of an unreadable head could be read.
    pub(crate) fragment: Option<Arc<Request>>,
    pub(crate) work: Work,
    /// The file behind the answer, once it is found.
    pub(crate) file: Option<Arc<StoredFile>>,
    /// Whether the coding of its content has been chosen, or is a file's own.
    pub(crate) is_encoded: bool,
    /// Whether the memory of its answer is counted.
    pub(crate) is_counted: bool,
    /// What of it is sent, once that is decided.
    pub(crate) content: Option<Box<FileContent>>,
    /// Fields that an answer with this error needs, made by an error handler or here.
    pub(crate) extra: Option<Box<Headers>>,
    /// What goes with the request in another language, from the gate or from an error to the hooks.
    pub(crate) attachment: Option<Box<dyn Any + Send>>,
    /// Whether it is a call of the site's gate, or has passed that.
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

    /// Whether it is for want of room that it has no answer.
    pub(crate) fn lacks_room(&self) -> bool {
        matches!(self.work, Work::NoRoom) || self.is_open()
    }

    /// Whether the first piece of this answer is to be waited for before the head is sent, so that a stream which fails at once is
    /// answered as an error. HEAD asks for none.
    pub(crate) fn has_yet_to_begin(&self, response: &Response) -> bool {
        matches!(&response.body, Body::Stream(stream) if !stream.has_begun())
            && !self.request.as_ref().is_some_and(|request| request.is_head())
    }

    /// Whether it is the executor that has to do it.
    pub(crate) fn is_for_executor(&self) -> bool {
        self.is_open() && !matches!(self.work, Work::Begin(_))
    }

    /// Whether something is still to be done before it can be sent.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.work, Work::Answered(_) | Work::Pulled(..) | Work::Done | Work::NoRoom)
    }

    /// Whether it calls for something new that may take memory.
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

    fn perform(&mut self, site: &Snapshot, log: &Log) -> Option<Arc<Function>> {
        let called = self.perform(site, log)?;
        called.learn(self.held());
        Some(called)
    }

    fn note_slow(&mut self) {
        self.was_slow = true;
    }

    fn takes_upload(&self) -> bool {
        let Work::Call(function) = &self.work else { return false };
        function.takes_pieces() && self.request.as_ref().is_some_and(|request| request.is_streamed())
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
