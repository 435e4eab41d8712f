//! Clients: rustls over a blocking socket, and raw bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::certificates::Authority;

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Settings of a client that trusts this authority.
pub(crate) fn trusting(authority: &Authority) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

/// A client whose handshake is still to be done.
pub(crate) fn begin(config: &Arc<ClientConfig>, address: SocketAddr, name: &str) -> Secure {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), connect(address))
}

/// Does the handshake; returns its error.
pub(crate) fn shake_hands(client: &mut Secure) -> Result<(), std::io::Error> {
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    Ok(())
}

/// Sends a request, and reads to the end of the answer.
pub(crate) fn ask(client: &mut Secure, target: &str) -> String {
    write!(client, "GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    String::from_utf8(answer(client)).unwrap()
}

/// Head and content, by Content-Length.
pub(crate) fn answer(client: &mut impl Read) -> Vec<u8> {
    let mut received = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or("0", str::trim);
            if received.len() >= end + 4 + length.parse::<usize>().unwrap() {
                return received;
            }
        }
        match client.read(&mut piece).unwrap() {
            0 => return received,
            count => received.extend_from_slice(&piece[..count]),
        }
    }
}
