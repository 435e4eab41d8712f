//! The content of a request piece by piece: as it arrives on routes that stream it, else from memory or a file.

use std::any::Any;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::range::Stored;
use super::upload::{ELSEWHERE, Upload};
use crate::error::{Error, Refusal};
use crate::message::{ContentSource, Request};

/// Bytes in a piece of content that has arrived already.
const PIECE: u64 = 64 << 10;

/// The pieces of a request's content. As an iterator it waits for each.
#[derive(Debug)]
pub struct Pieces<'a> {
    request: &'a Request,
    /// Bytes that were handed on.
    at: u64,
}

/// The upload behind content that is taken while it arrives.
pub(super) fn upload_of(source: &dyn ContentSource) -> Option<&Upload> {
    let source: &dyn Any = source;
    source.downcast_ref()
}

impl Request {
    /// The content piece by piece. On a [`crate::handler::streaming`] route each piece is handed on once, as it arrives; the
    /// server stops reading from a client that is faster than its handler.
    ///
    /// ```
    /// use outside::{OutsideHttp, Request};
    /// use outside::handler::streaming;
    /// # let server = OutsideHttp::new(("127.0.0.1", 0))?;
    /// server.set_route("/count", streaming(|request: &Request| {
    ///     let mut count = 0;
    ///     for piece in request.pieces() {
    ///         count += piece?.len();
    ///     }
    ///     Ok::<_, outside::Error>(count.to_string())
    /// }))?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn pieces(&self) -> Pieces<'_> {
        Pieces { request: self, at: 0 }
    }

    /// Whether the content is still arriving, to be taken by [`Request::pieces`].
    pub fn is_streamed(&self) -> bool {
        self.stream().is_some()
    }

    /// Waits for all of the content, so that [`Request::content`] and similar methods find it in memory.
    ///
    /// # Errors
    /// As those of [`Pieces::next_with`].
    pub fn gather(&self) -> Result<(), Error> {
        gathered(self).map(drop)
    }

    fn stream(&self) -> Option<&Upload> {
        let spooled = self.spooled.as_ref().filter(|spooled| spooled.read.get().is_none())?;
        spooled.source().and_then(upload_of)
    }
}

impl<'a> Pieces<'a> {
    /// Continues after this number of bytes, which were handed on before.
    pub fn starting_at(request: &'a Request, at: u64) -> Self {
        Self { request, at }
    }

    /// Bytes that were handed on.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Calls a function with the next piece, and waits for the piece; `None` at the end.
    ///
    /// # Errors
    /// The rest will not arrive, because the client has left, was too slow or has sent too much: a handler that passes
    /// the error on answers with the right status. Or a temporary file cannot be read.
    pub fn next_with<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
        let Some(upload) = self.request.stream() else { return self.stored(take) };
        let taken = upload.wait(|piece| (piece.len(), take(piece))).map_err(failure)?;
        Ok(taken.map(|taken| self.count(taken)))
    }

    /// The same without waiting.
    pub fn poll_next_with<R>(
        &mut self,
        context: &Context<'_>,
        take: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<Option<R>, Error>> {
        let Some(upload) = self.request.stream() else { return Poll::Ready(self.stored(take)) };
        let polled = upload.poll(context, |piece| (piece.len(), take(piece)));
        polled.map(|taken| Ok(taken.map_err(failure)?.map(|taken| self.count(taken))))
    }

    /// The next piece, for a task of the event loop; `None` at the end.
    pub async fn next_piece(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|context| self.poll_next_with(context, Bytes::copy_from_slice)).await.transpose()
    }

    fn count<R>(&mut self, (length, taken): (usize, R)) -> R {
        self.at += length as u64;
        taken
    }

    fn stored<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Error> {
        let range = self.request.content_range(self.at..self.at.saturating_add(PIECE));
        if range.is_empty() {
            return Ok(None);
        }
        let piece =
            range.read().map_err(|error| Error::with_source("the content of a request cannot be read", error))?;
        Ok(Some(self.count((piece.len(), take(&piece)))))
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(Bytes::copy_from_slice).transpose()
    }
}

/// The content in memory or in a file; waits for the end of a stream.
pub(super) fn gathered(request: &Request) -> Result<Stored<'_>, Error> {
    if let Some(upload) = request.stream() {
        let mut content = Vec::new();
        while upload.wait(|piece| content.extend_from_slice(piece)).map_err(failure)?.is_some() {}
        if let Some(spooled) = &request.spooled {
            spooled.read.get_or_init(|| content);
        }
    }
    Ok(Stored::of(request))
}

/// The error of a handler: content that comes in elsewhere is no fault of the client.
fn failure(refusal: Refusal) -> Error {
    if refusal == ELSEWHERE { Error::new(refusal.reason) } else { refusal.into() }
}
