//! A response, and its content: none, bytes, an open file, or a stream that is pulled piece by piece.
//!
//! A stream is pulled, never pushed: the connection asks for the next piece when the last one has been sent. This is
//! the whole back-pressure.

use std::any::Any;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::headers::Headers;
use super::trailers::Trailers;
use crate::error::Error;

/// An HTTP response (RFC 9110 section 3.4).
///
/// Built by chaining. `Content-Length`, `Date` and a missing `Content-Type` are added when it is sent. A stream, or an
/// answer to HEAD without content, may declare its own `Content-Length`, and a stream must keep to it. An invalid
/// header is not added; the response is then answered as a 500, and the log has the cause.
///
/// ```
/// use outside::Response;
/// let response = Response::text("Hello").with_status(201).with_header("Location", "/hello/1");
/// assert_eq!(response.status(), 201);
/// assert_eq!(response.headers().get("location"), Some("/hello/1"));
/// ```
#[derive(Debug, Default)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    pub(crate) attachment: Option<Box<dyn Any + Send>>,
    /// What few answers have, apart from them: an answer is moved often.
    pub(crate) rare: Option<Box<RareParts>>,
    /// Whether the answer leaves as it is: no hooks, no compression, no media type of the server's.
    pub(crate) is_final: bool,
}

/// The parts of a response that few answers have.
#[derive(Debug, Default)]
pub(crate) struct RareParts {
    /// The reason phrase, if it is not the usual one of the status.
    pub(crate) reason: Option<Box<[u8]>>,
    /// The error in building the response.
    pub(crate) problem: Option<Error>,
    /// Content that a room above knows: an open file, or a socket in place of an answer.
    pub(crate) special: Option<Box<dyn Any + Send>>,
}

/// The content of a response.
#[derive(Default)]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// All of it, in memory.
    Bytes(Bytes),
    /// A file, opened when the response is about to be sent.
    File(FileSlice),
    /// Pieces of unknown number and length.
    Stream(Box<dyn BodyStream>),
}

/// A file by its path, all of it or a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSlice {
    /// The path of the file.
    pub path: Arc<Path>,
    /// The first byte that is sent.
    pub start: u64,
    /// One past the last byte; `None`: to the end of the file.
    pub end: Option<u64>,
}

impl FileSlice {
    /// All of a file.
    pub fn whole(path: impl Into<Arc<Path>>) -> Self {
        Self { path: path.into(), start: 0, end: None }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.start == 0 && self.end.is_none()
    }
}

/// A body that is made while it is sent.
pub trait BodyStream: Send {
    /// Makes the next piece. Runs in the executor like a handler, so it may block.
    fn pull(&mut self) -> Pull;

    /// Whether pieces come from an event loop of a binding: then `pull` returns [`Pull::Later`] at once and may be
    /// called from any thread.
    fn is_async(&self) -> bool {
        false
    }

    /// Whether it is a stream of the engine: then the memory of its pieces is counted, and any thread may drop it.
    #[doc(hidden)]
    fn is_own(&self) -> bool {
        false
    }

    /// Whether the memory of the next piece is counted already.
    #[doc(hidden)]
    fn is_counted(&self) -> bool {
        self.is_own()
    }

    /// The bytes that are sent while there is no piece, so that proxies keep the connection open. With them a piece may
    /// take any time; without, `process_timeout`.
    fn keep_alive(&self) -> Option<KeepAlive> {
        None
    }

    /// The media type of the pieces, once the first has been made; used if the handler has set none.
    fn media_type(&self) -> Option<&'static str> {
        None
    }

    /// Bytes of a piece that exists already.
    #[doc(hidden)]
    fn held(&self) -> usize {
        0
    }

    /// Has the memory of such a piece counted. `None` if there is no room for it; then the piece is dropped.
    #[doc(hidden)]
    fn count(&mut self, count: &mut dyn FnMut(Bytes) -> Option<Bytes>) -> Option<()> {
        let _ = count; // there is no piece
        Some(())
    }

    /// Passes the memory of the connection, for a stream that makes pieces before they are asked for.
    #[doc(hidden)]
    fn counted_in(&mut self, _memory: Arc<dyn PieceMemory>) {
        // Any other stream makes a piece when it is asked for one, which is counted when it comes.
    }

    /// Whether its first piece has been asked for already.
    fn has_begun(&self) -> bool {
        false
    }

    /// Whether a piece may take any time: then `process_timeout` does not count.
    fn is_patient(&self) -> bool {
        false
    }

    /// Takes all of the content, if all of it has been made already.
    fn take_whole(&mut self) -> Option<Bytes> {
        None
    }

    /// The fields behind the content, once `pull` has returned [`Pull::End`]. They exist by then: this is called by the
    /// event loop, and calls no code of a user.
    fn trailers(&mut self) -> Option<Trailers> {
        None
    }

    /// Passes the request's attachment, for bindings; called before the first piece is asked for.
    fn accompany(&mut self, attachment: Arc<dyn Any + Send + Sync>) {
        let _ = attachment; // streams of the engine use none
    }
}

/// Bytes of memory that a piece takes beside its content.
#[doc(hidden)]
pub const PIECE_COST: usize = 128;
/// Bytes that a stream may have made ahead before they are counted.
#[doc(hidden)]
pub const UNCOUNTED: usize = 16 << 10;

/// The memory of a connection, as a stream sees it that makes pieces before they are asked for.
#[doc(hidden)]
pub trait PieceMemory: Send + Sync {
    /// Whether answers that the client has not taken fill it: then a piece is made only when it is asked for.
    fn is_full(&self) -> bool;

    /// The same piece, which counts until its memory is freed. Not called under a lock: another connection, or this one,
    /// may have to give way.
    fn count(self: Arc<Self>, piece: Bytes) -> Bytes;
}

/// A stream whose first piece was taken before the answer was sent.
pub(crate) struct StartedStream {
    first: Option<Pull>,
    /// Whether the memory of the first piece is counted.
    is_first_counted: bool,
    stream: Box<dyn BodyStream>,
}

impl StartedStream {
    pub(crate) fn new(first: Pull, is_first_counted: bool, stream: Box<dyn BodyStream>) -> Self {
        Self { first: Some(first), is_first_counted, stream }
    }
}

impl BodyStream for StartedStream {
    fn pull(&mut self) -> Pull {
        self.first.take().unwrap_or_else(|| self.stream.pull())
    }

    fn is_async(&self) -> bool {
        // A piece that exists is returned at once.
        self.first.is_some() || self.stream.is_async()
    }

    fn media_type(&self) -> Option<&'static str> {
        self.stream.media_type()
    }

    fn is_counted(&self) -> bool {
        if self.first.is_some() { self.is_first_counted } else { self.stream.is_counted() }
    }

    fn held(&self) -> usize {
        if let Some(Pull::Piece(piece)) = &self.first { piece.len() } else { 0 }
    }

    fn counted_in(&mut self, memory: Arc<dyn PieceMemory>) {
        self.stream.counted_in(memory);
    }

    fn count(&mut self, count: &mut dyn FnMut(Bytes) -> Option<Bytes>) -> Option<()> {
        if let Some(Pull::Piece(piece)) = &mut self.first
            && !self.is_first_counted
        {
            *piece = count(std::mem::take(piece))?;
            self.is_first_counted = true;
        }
        Some(())
    }

    fn keep_alive(&self) -> Option<KeepAlive> {
        self.stream.keep_alive()
    }

    fn has_begun(&self) -> bool {
        true
    }

    fn is_patient(&self) -> bool {
        self.stream.is_patient()
    }

    fn trailers(&mut self) -> Option<Trailers> {
        self.stream.trailers()
    }
}

/// The bytes that keep the connection of a stream open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeepAlive {
    /// Time without a piece after which they are sent.
    pub every: Duration,
    /// Bytes that the client ignores.
    pub piece: &'static [u8],
}

impl KeepAlive {
    /// For server-sent events: a comment (HTML Living Standard section 9.2.7 recommends about 15 s).
    pub const EVENTS: Self = Self { every: Duration::from_secs(15), piece: b": keep-alive\n\n" };
}

/// The result of [`BodyStream::pull`].
pub enum Pull {
    /// The next piece; an empty one is skipped.
    Piece(Bytes),
    /// The end.
    End,
    /// The body cannot be completed: the connection is cut, so that the client does not take it for complete. In place
    /// of the first piece: the request is answered with this error.
    Failed(Error),
    /// In place of the first piece: the request gets this answer instead. Later it is a failure.
    Instead(Box<Response>),
    /// The piece is not ready: the future resolves to it.
    Later(PieceFuture),
}

/// Resolves to the next piece; never to `Later`.
pub type PieceFuture = Pin<Box<dyn Future<Output = Pull> + Send>>;

impl Body {
    /// Whether it is known to have no content.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::File(_) | Self::Stream(_) => false,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::File(file) => write!(f, "File({})", file.path.display()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Pieces from an iterator.
pub(crate) struct IteratorStream<I>(pub(crate) I);

impl<I, B> BodyStream for IteratorStream<I>
where
    I: Iterator<Item = B> + Send,
    B: Into<Bytes>,
{
    fn pull(&mut self) -> Pull {
        match self.0.next() {
            Some(piece) => Pull::Piece(piece.into()),
            None => Pull::End,
        }
    }
}

/// Pieces from an iterator, and trailers from the iterator when it has ended.
pub(super) struct TrailingStream<I, F> {
    pieces: Option<(I, F)>,
    trailers: Option<Trailers>,
}

impl<I, F> TrailingStream<I, F> {
    pub(super) fn new(pieces: I, finish: F) -> Self {
        Self { pieces: Some((pieces, finish)), trailers: None }
    }
}

impl<I, B, F> BodyStream for TrailingStream<I, F>
where
    I: Iterator<Item = B> + Send,
    B: Into<Bytes>,
    F: FnOnce(I) -> Trailers + Send,
{
    fn pull(&mut self) -> Pull {
        let Some((pieces, _)) = &mut self.pieces else { return Pull::End };
        if let Some(piece) = pieces.next() {
            return Pull::Piece(piece.into());
        }
        // The function runs here, in the executor, and not where the trailers are sent.
        self.trailers = self.pieces.take().map(|(pieces, finish)| finish(pieces));
        Pull::End
    }

    fn trailers(&mut self) -> Option<Trailers> {
        self.trailers.take()
    }
}
