//! The client that a trusted proxy names: parsed in `protocol`, used by all rooms.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of a client without one: it came by a Unix socket, or its proxy does not know it.
pub(crate) const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The facts that a proxy states about its client.
#[derive(Debug, PartialEq)]
pub(crate) struct Forwarded {
    pub(crate) client: SocketAddr,
    /// The client as the log shows it.
    pub(crate) text: Box<[u8]>,
    /// The authority that the client asked for; `None`: that of the request.
    pub(crate) host: Option<Box<str>>,
    /// Whether the client came by TLS; `None`: as this connection.
    pub(crate) secure: Option<bool>,
}

impl Forwarded {
    pub(crate) fn new(client: SocketAddr, host: Option<Box<str>>, secure: Option<bool>) -> Self {
        let text = match client {
            NO_ADDRESS => "unknown".to_owned(),
            client => client.ip().to_canonical().to_string(),
        };
        Self { client, text: text.into_bytes().into(), host, secure }
    }
}
