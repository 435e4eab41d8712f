//! The first piece of a stream, taken before the head is sent: a stream that fails at once is answered as an error.
//!
//! The client is watched meanwhile, as between two pieces. A stream that may be silent has a moment; then its head goes out without
//! a piece, for its reader is to be told that it has begun.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::service::Service;
use crate::budget::SMALL;
use crate::error::Error;
use crate::executor::{Exchange, ReplySlot, Work};
use crate::message::{Body, BodyStream, KeepAlive, Pull, StartedStream};
use crate::site::error_page;

/// So long a stream that may be silent has to fail before its head is sent.
const MOMENT: Duration = Duration::from_millis(50);
/// An error handler may answer with a stream, which may fail as well; then the built-in page is sent.
const MOST_STREAMS: usize = 2;

impl Dispatcher {
    /// Has the stream of this answer begin, unless the client is `gone` before. `false` if it was late, so that the answer is
    /// 504. An exchange that carries anything else stays as it is.
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

    /// Has error handlers and hooks called.
    async fn settle(
        &self,
        exchange: &mut Exchange,
        gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<(), Stop> {
        self.control.clear_timeout();
        let asked = std::mem::replace(exchange, Exchange::new(None, Work::Done));
        *exchange = self.execute(asked, true, gone).await?;
        Ok(())
    }

    /// What the stream begins with, and whether its memory is counted; `Later` if it is silent and may be.
    async fn first_piece(
        &self,
        mut stream: Box<dyn BodyStream>,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<(Box<dyn BodyStream>, Pull, bool), Stop> {
        let patience = stream.keep_alive().map(|keep_alive| KeepAlive { every: MOMENT, ..keep_alive });
        while !stream.is_async() {
            if self.account.is_full() && !stream.is_counted() {
                // No piece is made for a connection that holds too much of others.
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

    /// What is waited for; `None` when a stream that may be silent has had its moment, or the client has closed its side.
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
            // Only its head can show whether a client that has closed its side is still there.
            Err(Stop::Closed) => Ok(None),
            Err(Stop::TimedOut) if moment.is_some() => {
                self.control.clear_timeout();
                Ok(None)
            }
            Err(stop) => Err(stop),
        }
    }
}

/// A stream whose first piece the executor has been asked for.
struct FromExecutor {
    asked: Arc<Asked>,
    keep_alive: Option<KeepAlive>,
    service: Arc<Service>,
}

/// What has come of the first piece.
enum Made {
    /// And whether the memory of its piece is counted.
    Pull(Pull, bool),
    /// There was no room for a piece: it was not asked for.
    Nothing,
}

struct Asked {
    slot: Arc<ReplySlot>,
    /// Once the piece is there.
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
            // An empty piece is none: another one is asked for when there is room.
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
