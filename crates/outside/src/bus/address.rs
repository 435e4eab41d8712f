//! Connecting to the place of a broker, with a deadline.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, SockAddr, Type};

use super::connection::{BrokerConnection, BrokerSocket};
use crate::config::BusPlace;
use crate::transport::{client_tls, read_roots};

/// Time for one address of a host. A packet that is lost while the network is away is sent again after a second only.
const CONNECT: Duration = Duration::from_secs(1);

/// The settings of TLS towards a broker; `None` without TLS.
///
/// # Errors
/// The file of the authority cannot be used.
pub(super) fn tls_of(place: &BusPlace) -> io::Result<Option<Arc<ClientConfig>>> {
    let BusPlace::Tls { authority, .. } = place else { return Ok(None) };
    let invalid = |text: String| io::Error::new(ErrorKind::InvalidInput, text);
    let private = if authority.as_os_str().is_empty() {
        Vec::new()
    } else {
        read_roots(authority).map_err(|fault| invalid(format!("config[\"bus\"]: the file {authority:?} {fault}")))?
    };
    client_tls(private).map(Some).map_err(|error| invalid(error.to_string()))
}

/// A connection that is made; with TLS, the handshake has not begun.
pub(super) fn connect(
    place: &BusPlace,
    tls: Option<&Arc<ClientConfig>>,
    deadline: Instant,
) -> Result<BrokerConnection, ConnectError> {
    let socket = match place {
        BusPlace::Tcp { host, port } | BusPlace::Tls { host, port, .. } => connect_tcp(host, *port, deadline),
        BusPlace::Unix(path) => socket2::Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|socket| {
            // A broker that stands still has a full queue, in which a connect would wait.
            socket.set_nonblocking(true)?;
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(BrokerSocket::Unix(socket.into()))
        }),
    };
    let socket = socket.map_err(ConnectError)?;
    let session = match (place, tls) {
        (BusPlace::Tls { host, .. }, Some(tls)) => {
            let invalid = |text: String| ConnectError(io::Error::new(ErrorKind::InvalidInput, text));
            let name = ServerName::try_from(host.clone())
                .map_err(|_| invalid(format!("{host:?} is no name that a certificate has")))?;
            Some(ClientConnection::new(Arc::clone(tls), name).map_err(|error| invalid(error.to_string()))?)
        }
        _ => None,
    };
    Ok(BrokerConnection::new(socket, session))
}

fn connect_tcp(host: &str, port: u16, deadline: Instant) -> io::Result<BrokerSocket> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now()).min(CONNECT);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_nonblocking(true)?;
                return Ok(BrokerSocket::Tcp(socket));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The broker cannot be reached.
#[derive(Debug)]
pub(super) struct ConnectError(io::Error);

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => f.write_str("the broker does not answer"),
            _ => write!(f, "the broker cannot be reached: {}", self.0),
        }
    }
}
