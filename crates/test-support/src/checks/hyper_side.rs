//! hyper's server over bytes in memory: the requests that its service gets, and its end.
//!
//! The connection is polled by hand: its input is always ready, so it never waits, and no runtime is needed.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// A request as hyper read it.
#[derive(Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub version: String,
    /// `None`: the body was refused, or has not ended.
    pub content: Option<Vec<u8>>,
}

/// hyper's reading of input that arrives in pieces of `step` bytes: requests, and the final error, if any.
pub fn read(input: &[u8], step: usize) -> (Vec<Seen>, Option<String>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let number = seen.borrow().len();
            seen.borrow_mut().push(Seen {
                method: request.method().to_string(),
                path: request.uri().path().to_owned(),
                query: request.uri().query().unwrap_or_default().to_owned(),
                version: format!("{:?}", request.version()),
                content: None,
            });
            let content = read_content(request.into_body()).await;
            seen.borrow_mut()[number].content = content;
            Ok::<_, Infallible>(Response::new(Nothing))
        }
    });
    let wire = Wire { input, step };
    let mut connection = pin!(http1::Builder::new().half_close(true).serve_connection(wire, service));
    let mut context = Context::from_waker(Waker::noop());
    let mut turns = 0;
    let result = loop {
        match connection.as_mut().poll(&mut context) {
            Poll::Ready(result) => break result,
            // It yields after many turns of its own, but never has to wait: all input is ready.
            Poll::Pending => turns += 1,
        }
        assert!(turns < 10_000, "hyper waits for something");
    };
    (seen.take(), result.err().map(|error| format!("{error:?}")))
}

async fn read_content(mut body: Incoming) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        content.extend(frame.ok()?.into_data().unwrap_or_default());
    }
    Some(content)
}

/// The content of every answer.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// A socket on which all bytes have arrived; output is discarded.
struct Wire<'a> {
    input: &'a [u8],
    step: usize,
}

impl Read for Wire<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut room: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let take = self.step.min(self.input.len()).min(room.remaining());
        let (piece, rest) = self.input.split_at(take);
        room.put_slice(piece);
        self.input = rest;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
