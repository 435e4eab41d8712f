//! The source of a server's connections: sockets that listen, or a connector within the process.

use super::{Listeners, MemoryListener};

/// The source of a server's connections.
#[derive(Debug)]
pub enum ConnectionSource {
    /// Sockets that listen.
    Listeners(Listeners),
    /// A [`super::Connector`]; there is no other way to connect.
    Memory(MemoryListener),
}

impl<L: Into<Listeners>> From<L> for ConnectionSource {
    fn from(listeners: L) -> Self {
        Self::Listeners(listeners.into())
    }
}
