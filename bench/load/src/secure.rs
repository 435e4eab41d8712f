//! TLS on the client's side: the offer, and a channel that hides whether there is TLS.
//!
//! The certificate is not checked and its signature not either: the measurement is about the server. Every connection remembers the
//! last ticket of its own, so that each can resume.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};

/// How often a session is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// Never: every handshake is a full one.
    Full,
    /// Whenever there is a ticket.
    Resumed,
}

/// The offer of a client of this kind: TLS 1.3 with X25519, which every server has.
pub(crate) fn config(sessions: Sessions) -> Result<ClientConfig, Error> {
    let mut provider = default_provider();
    provider.kx_groups = vec![kx_group::X25519];
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13])?;
    let verifier = Arc::new(TakesAnything);
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = match sessions {
        Sessions::Full => Resumption::disabled(),
        Sessions::Resumed => Resumption::in_memory_sessions(1),
    };
    Ok(config)
}

#[derive(Debug)]
struct TakesAnything;

impl ServerCertVerifier for TakesAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256]
    }
}

/// The TLS of one connection.
#[derive(Debug)]
pub(crate) struct Secure {
    config: Arc<ClientConfig>,
    session: ClientConnection,
    /// How many handshakes there were before this one.
    handshakes: u64,
}

impl Secure {
    pub(crate) fn new(sessions: Sessions, address: SocketAddr) -> io::Result<Self> {
        let config = Arc::new(config(sessions).map_err(io::Error::other)?);
        let session = begin(&config, address.ip())?;
        Ok(Self { config, session, handshakes: 0 })
    }

    /// Another connection of the same client.
    pub(crate) fn renew(&mut self, address: SocketAddr) -> io::Result<()> {
        self.session = begin(&self.config, address.ip())?;
        self.handshakes += 1;
        Ok(())
    }

    /// Goes on with the handshake as far as the socket allows; `true` when it is done.
    pub(crate) fn shake_hands(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        while self.session.is_handshaking() {
            self.flush(stream)?;
            match self.session.read_tls(stream) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => drop(self.session.process_new_packets().map_err(io::Error::other)?),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.flush(stream)?;
        Ok(true)
    }

    /// Was it a full handshake, although there must have been a ticket?
    pub(crate) fn has_forgotten(&self, sessions: Sessions) -> bool {
        sessions == Sessions::Resumed && self.handshakes > 0 && self.session.handshake_kind() == Some(HandshakeKind::Full)
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Writes the encrypted bytes, as far as the socket takes them.
    pub(crate) fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let count = self.session.writer().write(bytes)?;
        self.flush(stream)?;
        match count {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    pub(crate) fn read(&mut self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if self.session.read_tls(stream)? == 0 {
                return Ok(0);
            }
            self.session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

fn begin(config: &Arc<ClientConfig>, ip: IpAddr) -> io::Result<ClientConnection> {
    ClientConnection::new(Arc::clone(config), ServerName::IpAddress(ip.into())).map_err(io::Error::other)
}
