//! Content that a handler hands over while its call runs: the mirror of `upload`, a bounded buffer from a handler's
//! thread to its connection.
//!
//! The handler waits while the client is slow. If one side leaves, the other notices at its next step.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};

use crate::error::Error;
use crate::message::{BodyStream, PIECE_COST, PieceMemory, Pull, Trailers, UNCOUNTED};

/// Bytes that may wait for the connection; at this bound the handler waits.
const ROOM: usize = 256 << 10;
/// The same before the answer is on its way, when its connection may have no memory left.
const FIRST_ROOM: usize = 64 << 10;

/// The state that both sides share.
#[derive(Default)]
struct DownloadShared {
    buffer: Mutex<DownloadBuffer>,
    /// Notified when the connection has taken pieces, waits for one, or has left.
    taken: Condvar,
}

#[derive(Default)]
struct DownloadBuffer {
    pieces: VecDeque<Bytes>,
    held: usize,
    end: Option<DownloadEnd>,
    trailers: Option<Trailers>,
    /// Whether the connection takes no more.
    is_refused: bool,
    taker: Option<Waker>,
    /// The memory in which pieces count, once the answer is on its way.
    memory: Option<Arc<dyn PieceMemory>>,
    /// Whether the handler waits for room.
    waits: bool,
}

/// The reasons why no more pieces come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DownloadEnd {
    Complete,
    /// The content cannot be completed.
    Failed,
}

/// The handler's side. When it is dropped before [`BodyFeed::finish`], the content is cut.
pub struct BodyFeed(Arc<DownloadShared>);

/// The client has left, or its connection takes no more of this content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLeft;

/// The connection's side.
struct Download(Arc<DownloadShared>);

/// Both sides of content that a running call hands over.
pub fn fed_body() -> (BodyFeed, Box<dyn BodyStream>) {
    let shared = Arc::<DownloadShared>::default();
    (BodyFeed(Arc::clone(&shared)), Box::new(Download(shared)))
}

impl DownloadShared {
    fn lock(&self) -> MutexGuard<'_, DownloadBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: DownloadEnd) {
        let mut buffer = self.lock();
        buffer.end.get_or_insert(end);
        let taker = buffer.taker.take();
        drop(buffer);
        if let Some(taker) = taker {
            taker.wake();
        }
    }
}

impl BodyFeed {
    /// Hands a piece over. There should be room for it: see [`BodyFeed::wait`].
    ///
    /// # Errors
    /// The client has left.
    pub fn push(&self, piece: Bytes) -> Result<(), ClientLeft> {
        let buffer = self.0.lock();
        if buffer.is_refused {
            return Err(ClientLeft);
        }
        let memory = buffer.memory.clone().filter(|_| buffer.held + piece.len() > UNCOUNTED);
        drop(buffer);
        let piece = match &memory {
            Some(memory) => Arc::clone(memory).count(piece),
            None => piece,
        };
        let mut buffer = self.0.lock();
        if buffer.is_refused {
            drop(buffer);
            return Err(ClientLeft);
        }
        if !piece.is_empty() {
            buffer.held += piece.len() + PIECE_COST;
            buffer.pieces.push_back(piece);
        }
        let taker = buffer.taker.take();
        drop(buffer);
        if let Some(taker) = taker {
            taker.wake();
        }
        Ok(())
    }

    /// Waits until there is room for another piece.
    ///
    /// # Errors
    /// The client has left.
    pub fn wait(&self) -> Result<(), ClientLeft> {
        let mut buffer = self.0.lock();
        while !buffer.has_room() && !buffer.is_refused {
            buffer.waits = true;
            buffer = self.0.taken.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        buffer.waits = false;
        if buffer.is_refused { Err(ClientLeft) } else { Ok(()) }
    }

    /// Whether the next piece should wait for room.
    pub fn is_full(&self) -> bool {
        !self.0.lock().has_room()
    }

    /// Marks the content as complete.
    pub fn finish(&self) {
        self.0.end(DownloadEnd::Complete);
    }

    /// The same, with fields to be sent behind the content.
    pub fn finish_with(&self, trailers: Trailers) {
        self.0.lock().trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        self.finish();
    }
}

impl Drop for BodyFeed {
    fn drop(&mut self) {
        self.0.end(DownloadEnd::Failed);
    }
}

impl std::fmt::Debug for BodyFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BodyFeed")
    }
}

impl DownloadBuffer {
    /// Whether the handler may hand another piece over. If answers fill the memory of the connection, it may as soon as
    /// the connection waits for one.
    fn has_room(&self) -> bool {
        let Some(memory) = &self.memory else { return self.held < FIRST_ROOM };
        self.held < ROOM && (!memory.is_full() || (self.held == 0 && self.taker.is_some()))
    }

    /// The result of asking for a piece, if it is known. Pieces that wait together are one; then the memory is given in
    /// which that one has to be counted.
    fn take(&mut self) -> Option<(Pull, Option<Arc<dyn PieceMemory>>)> {
        if let Some(first) = self.pieces.pop_front() {
            self.held = 0;
            let is_one = self.pieces.is_empty();
            let piece = joined(first, &mut self.pieces);
            let memory = self.memory.clone().filter(|_| !is_one && piece.len() > UNCOUNTED);
            return Some((Pull::Piece(piece), memory));
        }
        let end = match self.end? {
            DownloadEnd::Complete => Pull::End,
            // The handler's side has logged the reason.
            DownloadEnd::Failed => Pull::Failed(Error::status(500, None)),
        };
        Some((end, None))
    }
}

/// All pieces as one, without a copy if there is one alone.
fn joined(first: Bytes, others: &mut VecDeque<Bytes>) -> Bytes {
    if others.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + others.iter().map(Bytes::len).sum::<usize>());
    all.extend_from_slice(&first);
    others.drain(..).for_each(|piece| all.extend_from_slice(&piece));
    all.freeze()
}

/// The result with its piece counted. Not called under a lock.
fn counted((pull, memory): (Pull, Option<Arc<dyn PieceMemory>>)) -> Pull {
    match (pull, memory) {
        (Pull::Piece(piece), Some(memory)) => Pull::Piece(memory.count(piece)),
        (pull, _) => pull,
    }
}

impl BodyStream for Download {
    fn pull(&mut self) -> Pull {
        let mut buffer = self.0.lock();
        if let Some(taken) = buffer.take() {
            drop(buffer);
            self.0.taken.notify_all();
            return counted(taken);
        }
        drop(buffer);
        let shared = Arc::clone(&self.0);
        Pull::Later(Box::pin(poll_fn(move |context| {
            let mut buffer = shared.lock();
            match buffer.take() {
                Some(taken) => {
                    drop(buffer);
                    shared.taken.notify_all();
                    Poll::Ready(counted(taken))
                }
                None => {
                    buffer.taker = Some(context.waker().clone());
                    if buffer.waits {
                        shared.taken.notify_all();
                    }
                    Poll::Pending
                }
            }
        })))
    }

    fn is_async(&self) -> bool {
        true
    }

    fn is_counted(&self) -> bool {
        true
    }

    fn counted_in(&mut self, memory: Arc<dyn PieceMemory>) {
        let mut buffer = self.0.lock();
        let uncounted = std::mem::take(&mut buffer.pieces);
        drop(buffer);
        let counted: VecDeque<Bytes> = uncounted.into_iter().map(|piece| Arc::clone(&memory).count(piece)).collect();
        let mut buffer = self.0.lock();
        // Pieces that came meanwhile stand behind these.
        let later = std::mem::replace(&mut buffer.pieces, counted);
        buffer.pieces.extend(later);
        buffer.memory = Some(memory);
        drop(buffer);
        self.0.taken.notify_all();
    }

    fn has_begun(&self) -> bool {
        true
    }

    fn is_patient(&self) -> bool {
        true
    }

    fn trailers(&mut self) -> Option<Trailers> {
        self.0.lock().trailers.take()
    }

    fn take_whole(&mut self) -> Option<Bytes> {
        let mut buffer = self.0.lock();
        if buffer.end != Some(DownloadEnd::Complete) || buffer.trailers.is_some() {
            return None;
        }
        buffer.held = 0;
        let first = buffer.pieces.pop_front().unwrap_or_default();
        Some(joined(first, &mut buffer.pieces))
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let mut buffer = self.0.lock();
        buffer.is_refused = true;
        let dropped = std::mem::take(&mut buffer.pieces);
        drop(buffer);
        drop(dropped);
        self.0.taken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;
    use std::thread;

    use super::*;

    fn pulled(stream: &mut dyn BodyStream) -> Option<Pull> {
        match stream.pull() {
            Pull::Later(mut later) => match later.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(pull) => Some(pull),
                Poll::Pending => None,
            },
            pull => Some(pull),
        }
    }

    #[test]
    fn pieces_come_in_order_and_then_the_end() {
        let (feed, mut stream) = fed_body();
        assert!(pulled(&mut *stream).is_none());
        assert_eq!(feed.push(Bytes::from_static(b"ab")), Ok(()));
        assert_eq!(feed.push(Bytes::from_static(b"cd")), Ok(()));
        assert!(matches!(pulled(&mut *stream), Some(Pull::Piece(piece)) if piece == "abcd"));
        feed.finish();
        assert!(matches!(pulled(&mut *stream), Some(Pull::End)));
    }

    #[test]
    fn content_that_is_complete_is_taken_whole() {
        let (feed, mut stream) = fed_body();
        assert_eq!(feed.push(Bytes::from_static(b"ab")), Ok(()));
        assert_eq!(stream.take_whole(), None);
        feed.finish();
        assert_eq!(stream.take_whole().as_deref(), Some(&b"ab"[..]));
    }

    #[test]
    fn trailers_follow_the_content() {
        let (feed, mut stream) = fed_body();
        let mut trailers = Trailers::new();
        trailers.append("X-Sum", "1").unwrap();
        feed.push(Bytes::from_static(b"ab")).unwrap();
        feed.finish_with(trailers);
        // Content with a length has no place for trailers.
        assert_eq!(stream.take_whole(), None);
        assert!(matches!(pulled(&mut *stream), Some(Pull::Piece(piece)) if piece == "ab"));
        assert!(matches!(pulled(&mut *stream), Some(Pull::End)));
        assert_eq!(stream.trailers().unwrap().iter().next(), Some(("X-Sum", &b"1"[..])));
    }

    #[test]
    fn a_feed_that_is_dropped_cuts_the_content() {
        let (feed, mut stream) = fed_body();
        drop(feed);
        assert!(matches!(pulled(&mut *stream), Some(Pull::Failed(_))));
    }

    #[test]
    fn a_handler_that_waits_for_room_learns_that_its_client_has_left() {
        let (feed, stream) = fed_body();
        assert_eq!(feed.push(Bytes::from(vec![0; ROOM])), Ok(()));
        let waiting = thread::spawn(move || feed.wait());
        drop(stream);
        assert_eq!(waiting.join().unwrap(), Err(ClientLeft));
    }
}
