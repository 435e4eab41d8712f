//! A body that is made while it is sent, asked for one piece at a time; the same for every version of HTTP.
//!
//! The executor makes the pieces, or an event loop elsewhere does. While one is waited for, a stream that is to be kept
//! alive has something else to send, which means nothing.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::desk::Desk;
use super::handle::Stop;
use crate::budget::SMALL;
use crate::executor::{Exchange, Mailbox, Work};
use crate::log::Level;
use crate::message::{BodyStream, KeepAlive, PieceFuture, Pull};

/// Such a body on its way.
pub(super) struct Outflow {
    keep_alive: Option<KeepAlive>,
    /// Is it asked whether the client is there while the executor makes a piece?
    is_watched: bool,
    /// An iterator that waited once will wait again.
    pooled: bool,
    state: State,
}

enum State {
    Idle(Box<dyn BodyStream>),
    /// The executor has it.
    Asked(Arc<Mailbox>),
    Coming(Box<dyn BodyStream>, PieceFuture),
    Over,
}

impl Outflow {
    pub(super) fn new(stream: Box<dyn BodyStream>) -> Self {
        let keep_alive = stream.keep_alive();
        Self { keep_alive, is_watched: keep_alive.is_some(), pooled: false, state: State::Idle(stream) }
    }

    /// The same for a client of which it is known at any time whether it still wants it.
    pub(super) fn watched(self) -> Self {
        Self { is_watched: true, ..self }
    }

    /// Is its reader to be told that it has begun before there is anything to read?
    pub(super) fn begins_at_once(&self) -> bool {
        self.keep_alive.is_some()
    }
}

impl Desk {
    /// The next piece, once it is there and unless the client is `gone` first; `None` at the end.
    pub(super) async fn next_piece(
        &self,
        flow: &mut Outflow,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<Option<Bytes>, Stop> {
        loop {
            let (stream, pull, is_counted) = match std::mem::replace(&mut flow.state, State::Over) {
                State::Over => return Ok(None),
                // No piece is made for a connection that holds too much of others.
                State::Idle(stream) if self.account.is_full() && !stream.is_counted() => {
                    if let Err(stop) = self.await_room(0, &mut gone).await {
                        self.discard(stream);
                        return Err(stop);
                    }
                    flow.state = State::Idle(stream);
                    continue;
                }
                State::Idle(mut stream) if stream.is_elsewhere() => {
                    let (pull, is_counted) = (stream.pull(), stream.is_counted());
                    (stream, pull, is_counted)
                }
                State::Idle(stream) => {
                    let mailbox = self.mailbox();
                    self.push(vec![Exchange::new(None, Work::Pull(stream))], flow.pooled, Arc::clone(&mailbox));
                    flow.state = State::Asked(mailbox);
                    continue;
                }
                State::Asked(mailbox) => {
                    let arrived = self.unless_silent(flow.keep_alive, |context| match mailbox.poll(context) {
                        Some(mut exchanges) => Poll::Ready(exchanges.pop().ok_or(Stop::Gone)),
                        None if flow.is_watched => gone(context).map(Err),
                        None => self.poll_order(context).map(Err),
                    });
                    match arrived.await {
                        Ok(Some(Exchange { work: Work::Pulled(stream, pull), was_slow, is_counted, .. })) => {
                            flow.pooled |= was_slow;
                            (stream, pull, is_counted)
                        }
                        Ok(Some(Exchange { work: Work::Pull(stream), .. })) => {
                            flow.state = State::Idle(stream);
                            continue;
                        }
                        Ok(Some(_)) => return Err(Stop::Gone),
                        Ok(None) => {
                            flow.state = State::Asked(mailbox);
                            return Ok(flow.keep_alive.map(|it| Bytes::from_static(it.piece)));
                        }
                        Err(stop) => {
                            self.abandon(&mailbox, None, &stop);
                            return Err(stop);
                        }
                    }
                }
                State::Coming(stream, mut piece) => {
                    let arrived = self.unless_silent(flow.keep_alive, |context| match piece.as_mut().poll(context) {
                        Poll::Ready(pull) => Poll::Ready(Ok(pull)),
                        Poll::Pending => gone(context).map(Err),
                    });
                    match arrived.await {
                        Ok(Some(pull)) => {
                            let is_counted = stream.is_counted();
                            (stream, pull, is_counted)
                        }
                        Ok(None) => {
                            flow.state = State::Coming(stream, piece);
                            return Ok(flow.keep_alive.map(|it| Bytes::from_static(it.piece)));
                        }
                        Err(stop) => {
                            self.discard(stream);
                            return Err(stop);
                        }
                    }
                }
            };
            match pull {
                Pull::Later(piece) => flow.state = State::Coming(stream, piece),
                Pull::Piece(piece) if is_counted || piece.len() <= SMALL => {
                    flow.state = State::Idle(stream);
                    return Ok(Some(piece));
                }
                Pull::Piece(piece) => {
                    let Ok(piece) = self.account.count(piece) else {
                        self.discard(stream);
                        self.complain_of_room();
                        return Err(Stop::Gone);
                    };
                    flow.state = State::Idle(stream);
                    return Ok(Some(piece));
                }
                Pull::End => {
                    self.discard(stream);
                    return Ok(None);
                }
                Pull::Failed(error) => {
                    self.discard(stream);
                    self.service.log.event(Level::Error, format!("a streamed body failed: {error}"));
                    return Err(Stop::Gone);
                }
            }
        }
    }

    /// Nobody takes any more of it.
    pub(super) fn end_flow(&self, flow: Outflow) {
        if let State::Idle(stream) | State::Coming(stream, _) = flow.state {
            self.discard(stream);
        }
    }

    fn discard(&self, stream: Box<dyn BodyStream>) {
        self.leave(vec![Exchange::new(None, Work::Discard(stream))]);
    }

    /// What is waited for; `None` when it is time to break the silence.
    async fn unless_silent<T>(
        &self,
        keep_alive: Option<KeepAlive>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Stop>>,
    ) -> Result<Option<T>, Stop> {
        match keep_alive {
            None => self.limit_handler(),
            Some(keep_alive) => {
                self.handle.forgive();
                self.handle.set_deadline(self.service.clock.after(keep_alive.every));
            }
        }
        let arrived = poll_fn(poll).await;
        self.handle.clear_deadline();
        match arrived {
            Ok(arrived) => Ok(Some(arrived)),
            Err(Stop::TimedOut) if keep_alive.is_some() => {
                self.handle.forgive();
                Ok(None)
            }
            Err(stop) => Err(stop),
        }
    }
}
