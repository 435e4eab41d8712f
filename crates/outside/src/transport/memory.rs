//! Connections made within this process, so that a test needs no port.
//!
//! Each is a pair of connected sockets, so the code that reads, writes and waits is the same as for the network.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use tokio::sync::mpsc;

use super::Stream;

/// Connects to a server of this process.
#[derive(Clone, Debug)]
pub struct Connector(mpsc::UnboundedSender<(UnixStream, SocketAddr)>);

impl Connector {
    /// A connector and the server's side of it; there is no other way to connect.
    pub fn new() -> (Self, MemoryListener) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), MemoryListener(receiver))
    }

    /// A new connection to the server, which sees this client address.
    ///
    /// # Errors
    /// `ConnectionRefused` if the server has ended; or the process is out of descriptors.
    pub fn connect(&self, client: SocketAddr) -> io::Result<UnixStream> {
        let (near, far) = UnixStream::pair()?;
        far.set_nonblocking(true)?;
        self.0.send((far, client)).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(near)
    }
}

/// The server's side of a [`Connector`].
#[derive(Debug)]
pub struct MemoryListener(mpsc::UnboundedReceiver<(UnixStream, SocketAddr)>);

impl MemoryListener {
    /// The next connection and the client's address; waits for ever once the connector is dropped.
    pub(super) async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        match self.0.recv().await {
            Some((stream, address)) => Ok((Stream::Unix(tokio::net::UnixStream::from_std(stream)?), address)),
            None => std::future::pending().await,
        }
    }
}
