//! A body that is made while it is sent, one piece at a time; the same for every version of HTTP.
//!
//! The executor makes the pieces, or an event loop elsewhere does. While a piece is awaited, a stream that is to be
//! kept alive has a filler to send, which the reader ignores.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::executor::ReplySlot;
use super::state::{Exchange, Work};
use crate::budget::{Reserved, SMALL};
use crate::log::{Level, shown_target};
use crate::message::{BodyStream, KeepAlive, PieceFuture, Pull, Request, Trailers};

/// A streamed body on its way.
pub(crate) struct ResponseStream {
    keep_alive: Option<KeepAlive>,
    /// Whether pieces are made in the pool: an iterator that waited once will wait again.
    pooled: bool,
    /// When the client has to get something, in milliseconds of the clock; `None` while no piece is awaited.
    due: Option<u64>,
    /// Whether a piece may take any time.
    is_patient: bool,
    /// Bytes that are still to come, if the head has declared a length.
    left: Option<u64>,
    /// Bytes that the next piece is expected to have: those of the last one; 0 if that was small.
    expected: usize,
    /// Room for the piece that was asked for.
    reserved: Option<Reserved>,
    /// The request of this answer, for the log.
    request: Option<Arc<Request>>,
    /// The fields behind the content, when it has ended. On the heap: an idle connection has no room for a rare case.
    trailers: Option<Box<Trailers>>,
    state: StreamState,
}

/// The place of the stream.
///
/// The stream is in one place at a time, because its code may not run twice at once: here while no piece is asked for
/// (`Idle`), with the executor while that makes one (`Asked`: its slot brings stream and piece back), or here beside
/// the future of a piece that an event loop elsewhere makes (`Coming`). `next_piece` takes the state out, so each way
/// out of it has to put the stream in its place; a path that forgets leaves `Over`, which ends the body, and never asks
/// for a piece twice. A wait that is cut off in `Asked` keeps the slot: the piece may still arrive.
enum StreamState {
    Idle(Box<dyn BodyStream>),
    /// The executor has the stream, and returns it in this slot.
    Asked(Arc<ReplySlot>),
    Coming(Box<dyn BodyStream>, PieceFuture),
    Over,
}

impl ResponseStream {
    fn new(stream: Box<dyn BodyStream>, request: Option<Arc<Request>>) -> Self {
        let (keep_alive, is_patient) = (stream.keep_alive(), stream.is_patient());
        let state = StreamState::Idle(stream);
        Self {
            keep_alive,
            is_patient,
            pooled: false,
            due: None,
            left: None,
            expected: 0,
            reserved: None,
            request,
            trailers: None,
            state,
        }
    }

    fn name(&self) -> String {
        let request = self.request.as_ref();
        request.map_or_else(String::new, |request| format!("{} {}", request.method(), shown_target(request.target())))
    }

    /// The same body with the length that its head declares.
    pub(crate) fn declared(self, length: u64) -> Self {
        Self { left: Some(length), ..self }
    }

    /// Whether the next piece needs room, for which it has to wait.
    fn needs_room(&self, stream: &dyn BodyStream, is_full: bool) -> bool {
        (is_full || self.expected > 0) && self.reserved.is_none() && !stream.is_counted()
    }

    /// Counts the bytes of a piece; `false` if they are more than the head has declared.
    fn has_room_for(&mut self, piece: &[u8]) -> bool {
        let Some(left) = &mut self.left else { return true };
        let rest = left.checked_sub(piece.len() as u64);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }

    /// The fields to be sent behind the content, after its end; `takes_trailers`: whether the client knows such fields.
    pub(crate) fn take_trailers(&mut self, takes_trailers: impl FnOnce(&Request) -> bool) -> Option<Box<Trailers>> {
        let trailers = self.trailers.take().filter(|trailers| !trailers.is_empty())?;
        self.request.as_deref().is_some_and(takes_trailers).then_some(trailers)
    }

    /// Whether the reader learns that the stream has begun before the first piece is there.
    pub(crate) fn begins_at_once(&self) -> bool {
        self.keep_alive.is_some()
    }

    /// The bytes that are sent in place of a piece; none if the head has declared a length.
    fn filler(&mut self) -> Bytes {
        self.due = None;
        let comment = self.keep_alive.filter(|_| self.left.is_none());
        comment.map_or(Bytes::new(), |keep_alive| Bytes::from_static(keep_alive.piece))
    }
}

impl Dispatcher {
    /// A streamed body that is about to be sent on this connection.
    pub(crate) fn response_stream(
        &self,
        mut stream: Box<dyn BodyStream>,
        request: Option<Arc<Request>>,
    ) -> ResponseStream {
        stream.counted_in(Arc::clone(&self.account) as _);
        ResponseStream::new(stream, request)
    }

    /// The next piece, once it is there and unless the client is `gone` first; `None` at the end. It is empty when the
    /// client has closed its side: the wire then sends some bytes, if it can, so that it notices a client that is gone.
    ///
    /// A stream of events ends with the server: its reader begins anew with another server.
    pub(crate) async fn next_piece(
        &self,
        flow: &mut ResponseStream,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<Option<Bytes>, Stop> {
        loop {
            if flow.begins_at_once() && self.service.is_ending() {
                self.end_flow(flow, &Stop::Ordered);
                return Ok(None);
            }
            let (stream, pull, is_counted) = match std::mem::replace(&mut flow.state, StreamState::Over) {
                StreamState::Over => return Ok(None),
                // A connection whose answers take all of its memory gets no further piece. Pieces of all its streams may be
                // asked for at one moment, so each has its room before.
                StreamState::Idle(stream) if flow.needs_room(&*stream, self.account.is_full()) => {
                    match self.await_room(flow.expected, &mut gone).await {
                        Ok(room) => flow.reserved = Some(room).filter(|_| flow.expected > 0),
                        Err(stop) => {
                            self.discard(stream);
                            return Err(stop);
                        }
                    }
                    flow.state = StreamState::Idle(stream);
                    continue;
                }
                StreamState::Idle(mut stream) if stream.is_async() => {
                    let (is_counted, pull) = (stream.is_counted(), stream.pull());
                    (stream, pull, is_counted)
                }
                StreamState::Idle(stream) => {
                    let slot = self.reply_slot();
                    self.push(vec![Exchange::new(None, Work::Pull(stream))], flow.pooled, Arc::clone(&slot));
                    flow.state = StreamState::Asked(slot);
                    continue;
                }
                StreamState::Asked(slot) => {
                    let arrived = self.unless_silent(flow, |context| match slot.poll(context) {
                        Some(mut exchanges) => Poll::Ready(exchanges.pop().ok_or(Stop::Gone)),
                        None => gone(context).map(Err),
                    });
                    match arrived.await {
                        Ok(Exchange { work: Work::Pulled(stream, pull), was_slow, is_counted, .. }) => {
                            flow.pooled |= was_slow;
                            (stream, pull, is_counted)
                        }
                        Ok(Exchange { work: Work::Pull(stream), .. }) => {
                            flow.state = StreamState::Idle(stream);
                            continue;
                        }
                        Ok(_) => return Err(Stop::Gone),
                        Err(stop) => {
                            flow.state = StreamState::Asked(slot);
                            match self.fill(flow, stop)? {
                                Some(filler) => return Ok(Some(filler)),
                                None => continue,
                            }
                        }
                    }
                }
                StreamState::Coming(stream, mut piece) => {
                    let arrived = self.unless_silent(flow, |context| match piece.as_mut().poll(context) {
                        Poll::Ready(pull) => Poll::Ready(Ok(pull)),
                        Poll::Pending => gone(context).map(Err),
                    });
                    match arrived.await {
                        Ok(pull) => {
                            let is_counted = stream.is_counted();
                            (stream, pull, is_counted)
                        }
                        Err(stop) => {
                            flow.state = StreamState::Coming(stream, piece);
                            match self.fill(flow, stop)? {
                                Some(filler) => return Ok(Some(filler)),
                                None => continue,
                            }
                        }
                    }
                }
            };
            match pull {
                Pull::Later(piece) => flow.state = StreamState::Coming(stream, piece),
                Pull::Piece(piece) => {
                    if !flow.has_room_for(&piece) {
                        self.discard(stream);
                        return Err(self.cannot_keep_length("a streamed body is longer than its Content-Length says"));
                    }
                    let counted = match is_counted || piece.len() <= SMALL {
                        true => Ok(piece),
                        false => self.account.count_piece(piece),
                    };
                    flow.reserved = None;
                    let Ok(piece) = counted else {
                        self.discard(stream);
                        self.complain_of_room();
                        return Err(Stop::Gone);
                    };
                    flow.expected = if piece.len() > SMALL { piece.len() } else { 0 };
                    flow.state = StreamState::Idle(stream);
                    if !piece.is_empty() {
                        flow.due = None;
                        self.control.clear_timeout();
                        return Ok(Some(piece));
                    }
                    // An empty piece is no progress: the deadline stays, and other tasks have their turn.
                    tokio::task::yield_now().await;
                    let stop = poll_fn(|context| match gone(context) {
                        Poll::Ready(stop) => Poll::Ready(Some(stop)),
                        Poll::Pending => Poll::Ready(None),
                    });
                    if let Some(stop) = stop.await
                        && let Some(filler) = self.fill(flow, stop)?
                    {
                        return Ok(Some(filler));
                    }
                }
                Pull::End => {
                    let mut stream = stream;
                    flow.reserved = None;
                    flow.trailers = stream.trailers().map(Box::new);
                    self.discard(stream);
                    return match flow.left {
                        None | Some(0) => Ok(None),
                        Some(left) => {
                            let text = format!("a streamed body ends {left} bytes before its Content-Length");
                            Err(self.cannot_keep_length(&text))
                        }
                    };
                }
                Pull::Failed(error) => {
                    self.discard(stream);
                    // The binding has already logged a failure that is not internal.
                    if error.is_internal() {
                        self.service.log.event(Level::Error, format!("{}: its stream failed: {error}", flow.name()));
                    }
                    return Err(Stop::Failed);
                }
                // The head has left, so no other answer can be sent.
                Pull::Instead(_) => {
                    self.discard(stream);
                    return Err(Stop::Failed);
                }
            }
        }
    }

    /// The filler after this end of a wait for a piece; `None` if the wait goes on or the stream has to end.
    fn fill(&self, flow: &mut ResponseStream, stop: Stop) -> Result<Option<Bytes>, Stop> {
        match stop {
            Stop::Closed => Ok(Some(flow.filler())),
            Stop::TimedOut if flow.begins_at_once() => {
                self.control.clear_timeout();
                Ok(Some(flow.filler()))
            }
            Stop::Ordered if flow.begins_at_once() && self.service.is_ending() => Ok(None),
            stop => {
                if let Stop::TimedOut = stop {
                    self.service.log.complain("process_timeout", "a stream that has no piece in time");
                }
                self.end_flow(flow, &stop);
                Err(stop)
            }
        }
    }

    /// Logs that the declared length was wrong. The message is cut, so that the client sees it.
    fn cannot_keep_length(&self, text: &str) -> Stop {
        self.service.log.event(Level::Error, text);
        Stop::Failed
    }

    /// Ends the stream, because the client takes no more of it.
    pub(crate) fn end_flow(&self, flow: &mut ResponseStream, stop: &Stop) {
        match std::mem::replace(&mut flow.state, StreamState::Over) {
            StreamState::Idle(stream) | StreamState::Coming(stream, _) => self.discard(stream),
            StreamState::Asked(slot) => {
                self.abandon(&slot, None, stop);
                self.service.executor.uncount(&slot);
            }
            StreamState::Over => {}
        }
    }

    /// Drops a body on the thread where its language wants that.
    pub(crate) fn discard(&self, stream: Box<dyn BodyStream>) {
        if stream.is_own() {
            return;
        }
        self.spawn_detached(vec![Exchange::new(None, Work::Discard(stream))]);
    }

    /// The result of `poll`, unless a filler is due or the stream has no more time. The deadline counts from the first
    /// wait since the last bytes were sent.
    async fn unless_silent<T>(
        &self,
        flow: &mut ResponseStream,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let due = *flow.due.get_or_insert_with(|| {
            self.control.clear_timeout();
            if flow.is_patient {
                return u64::MAX;
            }
            let patience = flow.keep_alive.map_or(self.service.config.process_timeout, |it| it.every);
            self.service.clock.after(patience)
        });
        self.control.set_deadline(due);
        let ends_with_server = flow.begins_at_once();
        let arrived = poll_fn(|context| match poll(context) {
            Poll::Pending if ends_with_server && self.service.is_ending() => Poll::Ready(Err(Stop::Ordered)),
            polled => polled,
        });
        let arrived = arrived.await;
        self.control.clear_deadline();
        arrived
    }
}
