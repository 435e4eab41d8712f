//! The first piece of a stream, taken before the head is sent: a stream that fails at once is answered as an error.
//!
//! The client is watched meanwhile, as between two pieces. A stream that may be silent has a moment; after that its
//! head is sent without a piece, so that the reader learns that the stream has begun.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::executor::ReplySlot;
use super::service::Service;
use super::state::{Exchange, Work};
use crate::budget::SMALL;
use crate::error::Error;
use crate::message::{Body, BodyStream, KeepAlive, Pull, StartedStream, Trailers};
use crate::site::error_page;

/// The time that a stream which may be silent has to fail before its head is sent.
const MOMENT: Duration = Duration::from_millis(50);
/// Streams that are tried for one answer, the second from an error handler; after that the built-in page is sent.
const MOST_STREAMS: usize = 2;

impl Dispatcher {
    /// Takes the first piece of this answer's stream, unless the client is `gone` before. `false` if the piece was
    /// late, so that the answer is 504. An exchange with other work stays as it is.
    pub(crate) async fn begin_stream(
        &self,
        exchange: &mut Exchange,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<bool, Stop> {
        for _ in 0..MOST_STREAMS {
            let mut response = match std::mem::replace(&mut exchange.work, Work::Done) {
                Work::Begin(response) => response,
                other => {
                    exchange.work = other;
                    return Ok(true);
                }
            };
            let Body::Stream(stream) = std::mem::take(&mut response.body) else { continue };
            match self.first_piece(stream, &mut gone).await {
                Ok((stream, Pull::Failed(error), _)) => {
                    self.discard(stream);
                    self.respond(exchange, Err(error));
                }
                Ok((stream, Pull::Instead(answer), _)) => {
                    self.discard(stream);
                    self.respond(exchange, Ok(*answer));
                }
                Ok((stream, first, is_counted)) => {
                    response.body = Body::Stream(Box::new(StartedStream::new(first, is_counted, stream)));
                    self.respond(exchange, Ok(response));
                    if exchange.held() > SMALL {
                        exchange.count(&self.account);
                    }
                }
                Err(Stop::TimedOut) => {
                    self.respond_late(exchange);
                    if exchange.is_open() {
                        self.settle(exchange, &mut gone).await?;
                    }
                    return Ok(false);
                }
                Err(stop) => return Err(stop),
            }
            if exchange.is_for_executor() {
                self.settle(exchange, &mut gone).await?;
            }
        }
        if let Work::Begin(_) = exchange.work {
            let page = error_page(exchange.request.as_deref(), 500, None);
            self.respond(exchange, Ok(page));
            if exchange.is_for_executor() {
                self.settle(exchange, &mut gone).await?;
            }
        }
        Ok(true)
    }

    /// Has the executor call error handlers and hooks.
    async fn settle(
        &self,
        exchange: &mut Exchange,
        gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<(), Stop> {
        self.control.clear_timeout();
        let asked = std::mem::replace(exchange, Exchange::new(None, Work::Done));
        // Not in the pool: streams whose clients have left may hold all of its threads.
        *exchange = self.execute(asked, false, gone).await?;
        Ok(())
    }

    /// The stream, its first piece, and whether the piece's memory is counted; `Later` for a stream that may be silent.
    async fn first_piece(
        &self,
        mut stream: Box<dyn BodyStream>,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<(Box<dyn BodyStream>, Pull, bool), Stop> {
        let patience = stream.keep_alive().map(|keep_alive| KeepAlive { every: MOMENT, ..keep_alive });
        while !stream.is_async() {
            if self.account.is_full() && !stream.is_counted() {
                // A connection whose answers take all of its memory gets no further piece.
                drop(self.await_room(0, &mut gone).await?);
            }
            let mut first = FromExecutor::ask(self, stream);
            let asked = Arc::clone(&first.asked);
            let arrived = self.unless_over(patience, |context| match asked.poll(context) {
                Poll::Ready(made) => Poll::Ready(Ok(made)),
                Poll::Pending => gone(context).map(Err),
            });
            match arrived.await? {
                Some(Made::Pull(pull, is_counted)) => return Ok((Box::new(first), pull, is_counted)),
                Some(Made::Nothing) => match first.asked.lock().take() {
                    Some(untouched) => stream = untouched,
                    None => return Err(Stop::Gone),
                },
                None => {
                    let pull = first.pull();
                    return Ok((Box::new(first), pull, false));
                }
            }
        }
        let mut piece = match stream.pull() {
            Pull::Later(piece) => piece,
            pull => return Ok((stream, pull, false)),
        };
        let arrived = self.unless_over(patience, |context| match piece.as_mut().poll(context) {
            Poll::Ready(pull) => Poll::Ready(Ok(pull)),
            Poll::Pending => gone(context).map(Err),
        });
        match arrived.await {
            Ok(pull) => Ok((stream, pull.unwrap_or(Pull::Later(piece)), false)),
            Err(stop) => {
                self.discard(stream);
                Err(stop)
            }
        }
    }

    /// The result of `poll`; `None` when a stream that may be silent had its moment, or the client closed its side.
    async fn unless_over<T>(
        &self,
        moment: Option<KeepAlive>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Stop>>,
    ) -> Result<Option<T>, Stop> {
        match moment {
            None => self.limit_handler(),
            Some(moment) => {
                self.control.clear_timeout();
                self.control.set_deadline(self.service.clock.after(moment.every));
            }
        }
        let arrived = poll_fn(poll).await;
        self.control.clear_deadline();
        match arrived {
            Ok(arrived) => Ok(Some(arrived)),
            // Only the head, when it is sent, shows whether a client that has closed its side is still there.
            Err(Stop::Closed) => Ok(None),
            Err(Stop::TimedOut) if moment.is_some() => {
                self.control.clear_timeout();
                Ok(None)
            }
            Err(stop) => Err(stop),
        }
    }
}

/// A stream whose first piece the executor has to make.
struct FromExecutor {
    asked: Arc<Asked>,
    keep_alive: Option<KeepAlive>,
    service: Arc<Service>,
}

/// The executor's reply about the first piece.
enum Made {
    /// The piece, and whether its memory is counted.
    Pull(Pull, bool),
    /// No piece was made, because there was no room for one.
    Nothing,
}

struct Asked {
    slot: Arc<ReplySlot>,
    /// The stream, once the piece is there.
    stream: Mutex<Option<Box<dyn BodyStream>>>,
}

impl FromExecutor {
    fn ask(dispatcher: &Dispatcher, stream: Box<dyn BodyStream>) -> Self {
        let (slot, keep_alive) = (dispatcher.reply_slot(), stream.keep_alive());
        dispatcher.push(vec![Exchange::new(None, Work::Pull(stream))], false, Arc::clone(&slot));
        let asked = Arc::new(Asked { slot, stream: Mutex::default() });
        Self { asked, keep_alive, service: Arc::clone(&dispatcher.service) }
    }
}

impl Asked {
    fn poll(&self, context: &Context<'_>) -> Poll<Made> {
        let Some(mut exchanges) = self.slot.poll(context) else { return Poll::Pending };
        let (work, is_counted) = exchanges.pop().map_or((Work::Done, false), |made| (made.work, made.is_counted));
        match work {
            Work::Pulled(stream, pull) => {
                *self.lock() = Some(stream);
                Poll::Ready(Made::Pull(pull, is_counted))
            }
            Work::Pull(stream) => {
                *self.lock() = Some(stream);
                Poll::Ready(Made::Nothing)
            }
            _ => Poll::Ready(Made::Pull(Pull::Failed(Error::new("the first piece had no room")), false)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn BodyStream>>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BodyStream for FromExecutor {
    fn pull(&mut self) -> Pull {
        if let Some(stream) = &mut *self.asked.lock() {
            return stream.pull();
        }
        let asked = Arc::clone(&self.asked);
        Pull::Later(Box::pin(poll_fn(move |context| match asked.poll(context) {
            Poll::Ready(Made::Pull(pull, _)) => Poll::Ready(pull),
            // The empty piece stands for none: the stream is asked again when there is room.
            Poll::Ready(Made::Nothing) => Poll::Ready(Pull::Piece(Bytes::new())),
            Poll::Pending => Poll::Pending,
        })))
    }

    fn is_async(&self) -> bool {
        self.asked.lock().is_none()
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.keep_alive
    }

    fn media_type(&self) -> Option<&'static str> {
        self.asked.lock().as_ref().and_then(|stream| stream.media_type())
    }

    fn trailers(&mut self) -> Option<Trailers> {
        self.asked.lock().as_mut().and_then(|stream| stream.trailers())
    }

    fn has_begun(&self) -> bool {
        true
    }
}

impl Drop for FromExecutor {
    fn drop(&mut self) {
        if self.asked.lock().is_none() {
            let config = &self.service.config;
            let patience = config.process_timeout + config.termination_timeout;
            self.service.executor.abandon(&self.asked.slot, None, patience);
            self.service.executor.uncount(&self.asked.slot);
        }
    }
}
