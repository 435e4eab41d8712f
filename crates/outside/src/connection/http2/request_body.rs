//! Content of HTTP/2 that its handler takes while it comes in. The stream's window opens as the handler takes bytes, so
//! a fast client waits, and a stream holds one window at most. The connection's window is as large as all of them.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Response, StatusCode};

use crate::content::GONE;
use crate::error::Refusal;
use crate::exchange::{Dispatcher, RequestBody, Service, Stop, TOO_LARGE, Waiting};
use crate::message::Request;
use crate::protocol::http2::Announced;

/// Content on its way to a handler.
pub(super) struct Http2Body {
    body: RequestBody,
    stream: RecvStream,
    /// Bytes that have come in and were not given back to the window.
    owed: usize,
    expects_continue: bool,
}

impl Http2Body {
    /// Begins to hand the content of this request to its handler; 413 if the head declares too much content.
    pub(super) fn begin(
        service: &Service,
        request: &mut Arc<Request>,
        stream: RecvStream,
        announced: &Announced,
        most: u64,
    ) -> Result<Self, Refusal> {
        let body = RequestBody::begin(service, request, announced.length, most)?;
        Ok(Self { body, stream, owed: 0, expects_continue: announced.expects_continue })
    }

    /// Whether the stream has no more content to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.body.is_over()
    }

    /// The rest of the content, which the handler does not take any more.
    pub(super) fn into_stream(self) -> RecvStream {
        self.body.end();
        self.stream
    }

    /// Moves content on to the handler while content comes and the handler has room. Ready when the stream ends.
    pub(super) fn poll(
        &mut self,
        dispatcher: &Dispatcher,
        respond: &mut SendResponse<Bytes>,
        context: &mut Context<'_>,
    ) -> Poll<Stop> {
        if respond.poll_reset(context).is_ready() {
            return self.abandon(dispatcher, context);
        }
        loop {
            let held = self.give_back(context);
            if self.body.is_over() {
                return self.body.await_handler(dispatcher, context);
            }
            if self.expects_continue {
                if !self.body.feeder.is_wanted(context) {
                    return self.body.await_handler(dispatcher, context);
                }
                self.expects_continue = false;
                let mut response = Response::new(());
                *response.status_mut() = StatusCode::CONTINUE;
                if respond.send_informational(response).is_err() {
                    return self.abandon(dispatcher, context);
                }
            }
            match self.stream.poll_data(context) {
                Poll::Ready(Some(Ok(piece))) => self.take(dispatcher, &piece),
                Poll::Ready(Some(Err(_))) => return self.abandon(dispatcher, context),
                Poll::Ready(None) => self.body.finish(),
                // The handler has bytes to take: the window may be closed until it has taken them.
                Poll::Pending if held > 0 => return self.body.await_handler(dispatcher, context),
                Poll::Pending => {
                    self.body.await_client(dispatcher);
                    match dispatcher.control.stop(context, Waiting::Transfer) {
                        None => return Poll::Pending,
                        Some(Stop::TimedOut) => self.body.refuse_slow(dispatcher),
                        Some(stop) => return Poll::Ready(stop),
                    }
                }
            }
        }
    }

    /// Tells the handler that the stream was reset and brings no more content; the caller may wait for the handler.
    fn abandon(&mut self, dispatcher: &Dispatcher, context: &Context<'_>) -> Poll<Stop> {
        self.body.refuse(dispatcher, GONE);
        let _is_no_matter = self.body.await_handler(dispatcher, context);
        Poll::Ready(Stop::Gone)
    }

    fn take(&mut self, dispatcher: &Dispatcher, piece: &[u8]) {
        if self.body.so_far + piece.len() as u64 > self.body.most {
            return self.body.refuse(dispatcher, TOO_LARGE);
        }
        self.body.push(piece);
        self.owed += piece.len();
    }

    /// Gives the bytes that the handler has taken back to the window. Returns the number of the other bytes.
    fn give_back(&mut self, context: &Context<'_>) -> usize {
        let held = self.body.feeder.held(context);
        let taken = self.owed.saturating_sub(held);
        if taken > 0 {
            self.owed -= taken;
            // A stream that has ended meanwhile needs no window.
            let _is_released = self.stream.flow_control().release_capacity(taken);
        }
        held
    }
}
