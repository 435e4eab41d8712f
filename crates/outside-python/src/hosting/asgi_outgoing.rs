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
use outside::message::{BodyStream, KeepAlive, PIECE_COST, PieceMemory, Pull, Trailers, UNCOUNTED};

use crate::support::lock;

/// Bytes that may wait for the connection; at this bound the application waits.
const ROOM: usize = 256 << 10;
/// The same before the answer is on its way, when its connection may have no memory left.
const FIRST_ROOM: usize = 64 << 10;
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
    /// First pieces that are counted already.
    counted: usize,
    /// The memory in which pieces count, once the answer is on its way.
    memory: Option<Arc<dyn PieceMemory>>,
}

impl OutgoingState {
    /// Whether the application may send more. If answers fill the memory of the connection, it may as soon as the
    /// connection waits for a piece.
    fn has_room(&self) -> bool {
        let Some(memory) = &self.memory else { return self.held < FIRST_ROOM };
        self.held < ROOM && (!memory.is_full() || (self.held == 0 && self.connection.is_some()))
    }
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
        let state = lock(&self.state);
        if state.is_gone || piece.is_empty() {
            return;
        }
        let memory = state.memory.clone().filter(|_| state.held + piece.len() > UNCOUNTED);
        drop(state);
        let piece = match memory {
            Some(memory) => memory.count(piece),
            None => piece,
        };
        let mut state = lock(&self.state);
        if state.is_gone {
            drop(state);
            return;
        }
        state.held += piece.len() + PIECE_COST;
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
        let has_room = state.is_gone || state.has_room();
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
            // An application that waits because the connection's memory is full makes the piece that is asked for.
            let tells = state.connection.is_some() && std::mem::take(&mut state.wants_room);
            return (end, tells);
        };
        let (mut piece, mut memory, mut count) = (first, None, 1);
        if state.pieces.front().is_some_and(|next| piece.len() + next.len() <= JOINED) {
            let mut joined = BytesMut::from(&piece[..]);
            while state.pieces.front().is_some_and(|next| joined.len() + next.len() <= JOINED) {
                if let Some(next) = state.pieces.pop_front() {
                    joined.extend_from_slice(&next);
                    count += 1;
                }
            }
            piece = joined.freeze();
            memory = state.memory.clone().filter(|_| piece.len() > UNCOUNTED);
        }
        state.held = state.held.saturating_sub(piece.len() + count * PIECE_COST);
        let tells = state.held <= ROOM / 2 && std::mem::take(&mut state.wants_room);
        drop(state);
        if let Some(memory) = memory {
            piece = memory.count(piece);
        }
        (Some(Pull::Piece(piece)), tells)
    }

    /// Has the first pieces counted. `None` if there is no room for them.
    fn count_first(&self, count: &mut dyn FnMut(Bytes) -> Option<Bytes>) -> Option<()> {
        let uncounted = std::mem::take(&mut lock(&self.state).pieces);
        let counted: VecDeque<Bytes> = uncounted.into_iter().map(count).collect::<Option<_>>()?;
        let mut state = lock(&self.state);
        state.counted = counted.len();
        // Pieces that came meanwhile stand behind these.
        let later = std::mem::replace(&mut state.pieces, counted);
        state.pieces.extend(later);
        Some(())
    }

    /// Has pieces counted from now on. Returns whether the application is to be told of room.
    fn count_in(&self, memory: Arc<dyn PieceMemory>) -> bool {
        let mut state = lock(&self.state);
        let (pieces, counted) = (std::mem::take(&mut state.pieces), state.counted);
        drop(state);
        let count = |(number, piece)| if number < counted { piece } else { Arc::clone(&memory).count(piece) };
        let counted: VecDeque<Bytes> = pieces.into_iter().enumerate().map(count).collect();
        let mut state = lock(&self.state);
        // Pieces that came meanwhile stand behind these.
        let later = std::mem::replace(&mut state.pieces, counted);
        state.pieces.extend(later);
        state.memory = Some(memory);
        state.has_room() && std::mem::take(&mut state.wants_room)
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
        true
    }

    fn counted_in(&mut self, memory: Arc<dyn PieceMemory>) {
        if self.sender.outgoing().count_in(memory) {
            Arc::clone(&self.sender).notify();
        }
    }

    fn count(&mut self, count: &mut dyn FnMut(Bytes) -> Option<Bytes>) -> Option<()> {
        self.sender.outgoing().count_first(count)
    }

    fn held(&self) -> usize {
        lock(&self.sender.outgoing().state).held
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
