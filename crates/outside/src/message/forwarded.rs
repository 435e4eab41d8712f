//! What a trusted proxy says of a request on its way: read by `protocol`, asked for by everybody.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The address of a client that has none: it came by a Unix socket, or its proxy does not know.
pub(crate) const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What the proxy says.
#[derive(Debug, PartialEq)]
pub(crate) struct Forwarded {
    pub(crate) client: SocketAddr,
    /// The client as the log shows it.
    pub(crate) text: Box<[u8]>,
    /// The authority that the client asked for; `None` if that of the request is meant.
    pub(crate) host: Option<Box<str>>,
    /// Did it come by TLS? `None` if the connection here tells.
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
