//! The content of an answer that an ASGI application sends in pieces: a bounded queue between the loop and a connection.
//!
//! The application fills it and waits while it is full; the connection takes all pieces there are as one. If one side
//! leaves, the other notices.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use outside::Error;
use outside::handler::wake_held;
use outside::message::{BodyStream, KeepAlive, Pull, Trailers};

use crate::support::lock;

/// Bytes that may wait for the connection; at this bound the application waits.
const ROOM: usize = 256 << 10;
/// Bytes of pieces that are joined; larger ones are handed on without a copy.
const JOINED: usize = 64 << 10;
/// A stream of events may be silent: it gets no bytes that its application has not made.
const SILENCE: KeepAlive = KeepAlive { every: Duration::from_secs(24 * 3600), piece: b"" };

/// The queue, and what each side knows of the other.
#[derive(Default)]
pub(crate) struct Outgoing {
    state: Mutex<OutgoingState>,
}

#[derive(Default)]
struct OutgoingState {
    pieces: VecDeque<Bytes>,
    held: usize,
    end: Option<OutgoingEnd>,
    /// Fields behind the content.
    trailers: Option<Trailers>,
    /// Wakes the connection, if it waits for a piece.
    connection: Option<Waker>,
    /// Whether the client takes no more.
    is_gone: bool,
    /// Whether the application waits for room.
    wants_room: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutgoingEnd {
    Complete,
    /// The application failed: the answer is cut, so that the client does not take it for complete.
    Cut,
}

impl Outgoing {
    /// Adds a piece, and wakes the connection.
    pub(crate) fn push(&self, piece: Bytes) {
        let mut state = lock(&self.state);
        if state.is_gone || piece.is_empty() {
            return;
        }
        state.held += piece.len();
        state.pieces.push_back(piece);
        let waker = state.connection.take();
        drop(state);
        waker.into_iter().for_each(wake_held);
    }

    /// Completes the content, with these fields behind it.
    pub(crate) fn finish_with(&self, trailers: Trailers) {
        lock(&self.state).trailers = Some(trailers);
        self.finish(OutgoingEnd::Complete);
    }

    pub(crate) fn finish(&self, end: OutgoingEnd) {
        let mut state = lock(&self.state);
        if state.end.is_none() {
            state.end = Some(end);
        }
        let waker = state.connection.take();
        drop(state);
        waker.into_iter().for_each(wake_held);
    }

    /// Whether the application may send more. If not, it is told when it may.
    pub(crate) fn has_room(&self) -> bool {
        let mut state = lock(&self.state);
        let has_room = state.held < ROOM || state.is_gone;
        state.wants_room = !has_room;
        has_room
    }

    pub(crate) fn is_gone(&self) -> bool {
        lock(&self.state).is_gone
    }

    /// Notes that the client takes no more. Returns whether that is news.
    pub(crate) fn leave(&self) -> bool {
        let mut state = lock(&self.state);
        let is_news = !std::mem::replace(&mut state.is_gone, true);
        let dropped = std::mem::take(&mut state.pieces);
        state.held = 0;
        drop(state);
        drop(dropped);
        is_news
    }

    /// The next piece or the end; `None` if there is neither yet. The second value: whether the application is to be
    /// told of room.
    fn take(&self, waker: Option<&Waker>) -> (Option<Pull>, bool) {
        let mut state = lock(&self.state);
        let Some(first) = state.pieces.pop_front() else {
            let end = state.end.map(|end| match end {
                OutgoingEnd::Complete => Pull::End,
                OutgoingEnd::Cut => Pull::Failed(Error::status(500, None)),
            });
            if end.is_none() {
                state.connection = waker.cloned();
            }
            return (end, false);
        };
        let mut piece = first;
        if state.pieces.front().is_some_and(|next| piece.len() + next.len() <= JOINED) {
            let mut joined = BytesMut::from(&piece[..]);
            while state.pieces.front().is_some_and(|next| joined.len() + next.len() <= JOINED) {
                if let Some(next) = state.pieces.pop_front() {
                    joined.extend_from_slice(&next);
                }
            }
            piece = joined.freeze();
        }
        state.held = state.held.saturating_sub(piece.len());
        let tells = state.held <= ROOM / 2 && std::mem::take(&mut state.wants_room);
        (Some(Pull::Piece(piece)), tells)
    }
}

/// An application that is told of room in its queue, and of a client that has left.
pub(crate) trait Sender: Send + Sync {
    fn outgoing(&self) -> &Outgoing;

    /// Has the loop wake the tasks of the application. Called on any thread.
    fn notify(self: Arc<Self>);
}

/// The body of the answer, as the connection takes it.
pub(crate) struct OutgoingStream<S: Sender> {
    pub(crate) sender: Arc<S>,
    /// Whether these are server-sent events, which end with the server.
    pub(crate) is_events: bool,
}

impl<S: Sender + 'static> BodyStream for OutgoingStream<S> {
    fn pull(&mut self) -> Pull {
        let (pull, tells) = self.sender.outgoing().take(None);
        if tells {
            Arc::clone(&self.sender).notify();
        }
        if let Some(pull) = pull {
            return pull;
        }
        let sender = Arc::clone(&self.sender);
        Pull::Later(Box::pin(poll_fn(move |context| {
            let (pull, tells) = sender.outgoing().take(Some(context.waker()));
            if tells {
                Arc::clone(&sender).notify();
            }
            pull.map_or(Poll::Pending, Poll::Ready)
        })))
    }

    fn is_async(&self) -> bool {
        true
    }

    fn is_own(&self) -> bool {
        true
    }

    fn is_counted(&self) -> bool {
        false
    }

    fn is_patient(&self) -> bool {
        true
    }

    fn has_begun(&self) -> bool {
        true
    }

    fn trailers(&mut self) -> Option<Trailers> {
        lock(&self.sender.outgoing().state).trailers.take()
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.is_events.then_some(SILENCE)
    }
}

impl<S: Sender> Drop for OutgoingStream<S> {
    fn drop(&mut self) {
        if self.sender.outgoing().leave() {
            Arc::clone(&self.sender).notify();
        }
    }
}
