//! Shared by the Rust peers: the port from the command line, the runtime of one core, and hyper's handler.
//!
//! Each peer is a program of its own in `bin/`: `hyper_hello`, `hyper_h2`, `axum_hello`, `epoll_hello` answer `GET /hello` with
//! `text/plain` "Hello, World!" and a `Date`; `fastwebsockets_echo`, `tungstenite_echo` open a WebSocket on any path and
//! echo; in `epoll_room` each message goes to all.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};

pub const HELLO: &str = "Hello, World!";

/// Loopback with the port that is the first argument.
///
/// # Errors
/// When the argument is missing or no port.
pub fn address() -> io::Result<SocketAddr> {
    let port = std::env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let port = port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the argument is a port"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A runtime on this thread alone: the best one for one core.
///
/// # Errors
/// Any error of the system when it has no more descriptors.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}

/// The answer of hyper's peers.
///
/// # Errors
/// Never.
pub async fn hello(request: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(HELLO.as_bytes())));
    if request.uri().path() == "/hello" {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
