//! What the Rust peers share: the port from the command line and the runtime of one core.
//!
//! Each peer is a program of its own in `bin/`: `hyper_hello`, `hyper_h2`, `axum_hello`, `epoll_hello` answer `GET /hello` with
//! `text/plain` "Hello, World!" and a `Date`; `fastwebsockets_echo`, `tungstenite_echo` open a WebSocket on any path and
//! echo; in `epoll_room` everybody gets what one says.

use std::io;
use std::net::SocketAddr;

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

/// A runtime on this thread alone: what one core is best served with.
///
/// # Errors
/// Whatever the system says when it has no more descriptors.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()
}
