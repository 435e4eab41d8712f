//! Content of HTTP/1.1 that a handler takes while it comes in, as far as the handler has room for it.
//!
//! The connection waits for the answer and for content at once.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::receive::CONTINUE;
use crate::connection::buffer::ReadBuffer;
use crate::connection::{Connection, poll_read};
use crate::content::GONE;
use crate::error::Refusal;
use crate::exchange::{Dispatcher, Intake, RequestBody, Service, Stop, Waiting};
use crate::message::Request;
use crate::protocol::http1::{BodyLength, ChunkedDecoder, Framing};
use crate::transport::Stream;

/// Content on its way to a handler.
#[derive(Debug)]
pub(in crate::connection) struct Http1Body {
    body: RequestBody,
    framing: BodyLength,
    chunks: ChunkedDecoder,
    /// The content in the chunks of one read.
    scratch: Vec<u8>,
    /// The rest of the 100 Continue for which the client waits before it sends content.
    encouragement: &'static [u8],
}

impl Http1Body {
    /// Whether the connection has no more content to wait for.
    pub(in crate::connection) fn is_over(&self) -> bool {
        self.body.is_over()
    }

    /// Moves content on to the handler while content comes and the handler has room. Ready when the conversation ends.
    pub(in crate::connection) fn poll(
        &mut self,
        dispatcher: &Dispatcher,
        stream: &mut Stream,
        input: &mut ReadBuffer,
        context: &mut Context<'_>,
    ) -> Poll<Stop> {
        loop {
            if self.is_over() {
                return self.body.await_handler(dispatcher, context);
            }
            if !input.unread().is_empty() {
                let room = self.body.feeder.room(context);
                if room == 0 {
                    return self.body.await_handler(dispatcher, context);
                }
                self.encouragement = b"";
                let unread = input.unread();
                match self.take(&unread[..room.min(unread.len())], &dispatcher.service) {
                    Ok(count) => input.consume(count),
                    Err(refusal) => self.body.refuse(dispatcher, refusal),
                }
                continue;
            }
            if !self.encouragement.is_empty() {
                // A handler that answers without asking spares the client the upload (RFC 9110 section 10.1.1).
                if !self.body.feeder.is_wanted(context) {
                    return self.body.await_handler(dispatcher, context);
                }
                match stream.poll_write(context, &[IoSlice::new(self.encouragement)]) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        self.encouragement = &self.encouragement[count..];
                        self.body.note_progress();
                        continue;
                    }
                    Poll::Ready(_) => return Poll::Ready(Stop::Gone),
                    Poll::Pending => {}
                }
            }
            self.body.await_client(dispatcher);
            let size = dispatcher.service.config.recv_size;
            match poll_read(stream, input, &dispatcher.control, size, context, Waiting::Transfer) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(Stop::TimedOut)) => self.body.refuse_slow(dispatcher),
                Poll::Ready(Err(stop)) => return Poll::Ready(stop),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Tells the handler that the client left before it had sent all content, and waits for the handler.
    pub(in crate::connection) fn abandon(&mut self, dispatcher: &Dispatcher, context: &Context<'_>) -> Poll<Stop> {
        self.body.refuse(dispatcher, GONE);
        self.body.await_handler(dispatcher, context)
    }

    /// Takes unread bytes in. Returns the number of bytes that are content or its framing.
    fn take(&mut self, unread: &[u8], service: &Service) -> Result<usize, Refusal> {
        let (count, is_all) = match self.framing {
            BodyLength::Known(length) => {
                let missing = usize::try_from(length - self.body.so_far).unwrap_or(usize::MAX);
                let count = missing.min(unread.len());
                self.body.push(&unread[..count]);
                (count, count == missing)
            }
            BodyLength::Chunked => {
                let left = usize::try_from(self.body.most.saturating_sub(self.body.so_far)).unwrap_or(usize::MAX);
                self.scratch.clear();
                let step = self.chunks.receive(unread, &mut self.scratch, left, &service.head_limits())?;
                self.body.push(&self.scratch);
                (step.consumed, step.done)
            }
        };
        if is_all {
            self.body.finish();
        }
        Ok(count)
    }
}

impl Connection {
    /// How the content of this request reaches its handler.
    pub(in crate::connection) fn intake(&mut self, request: &Request, declared: Option<u64>) -> Intake {
        self.dispatcher.service.site.refresh(&mut self.dispatcher.site);
        let mut intake = self.dispatcher.intake(request, declared);
        // Content that has come with its head need not be waited for.
        intake.in_pieces &=
            !(intake.may_be_whole && declared.is_some_and(|length| length <= self.input.unread().len() as u64));
        intake
    }

    /// Begins to hand the content of this request to its handler.
    pub(in crate::connection) fn begin_incoming(
        &mut self,
        request: &mut Arc<Request>,
        framing: &Framing,
        most: u64,
    ) -> Result<(), Refusal> {
        let declared = framing.body.known();
        self.incoming = Some(Box::new(Http1Body {
            body: RequestBody::begin(&self.dispatcher.service, request, declared, most)?,
            framing: framing.body,
            chunks: ChunkedDecoder::new(),
            scratch: Vec::new(),
            encouragement: if framing.expects_continue { CONTINUE } else { b"" },
        }));
        Ok(())
    }

    /// Drops the rest of the content, because the request has its answer. If the rest has not all come in, the
    /// connection ends with the answer (docs/security.md S7).
    pub(in crate::connection) fn end_incoming(&mut self) {
        let Some(mut incoming) = self.incoming.take() else { return };
        if !incoming.is_over()
            && let Ok(count) = incoming.take(self.input.unread(), &self.dispatcher.service)
        {
            self.input.consume(count);
        }
        incoming.body.end();
        self.is_uploading = !incoming.body.is_complete;
        self.keep_alive &= incoming.body.is_complete;
    }
}
