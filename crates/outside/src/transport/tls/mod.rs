//! TLS as a property of a listener: certificates, session tickets, and negotiation (RFC 8446, RFC 5246).
//!
//! A [`Tls`] is made from files before any address is bound, and refused with a sentence if no certificate is usable.
//! TLS 1.2 and 1.3, no early data (RFC 8470), no client certificates, no OCSP, because certificate authorities have
//! given it up.

mod certificate;
mod challenges;
mod hello;
mod identities;
mod memory;
mod outgoing;
#[cfg(any(feature = "acme", feature = "bus"))]
mod roots;
mod session;
mod stream;
mod tickets;
mod x509;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::NoServerSessionStorage;

pub use certificate::CertificateError;
#[cfg(feature = "acme")]
pub(crate) use certificate::{Inspection, inspect, subject_of};
pub(crate) use challenges::Challenges;
#[cfg(feature = "acme")]
pub(crate) use challenges::is_token;
pub(crate) use hello::HelloStep;
use hello::ManagedHello;
use identities::Identities;
pub(crate) use identities::{ManagedCertificate, Notice};
#[cfg(any(feature = "acme", feature = "bus"))]
pub(crate) use roots::{client_tls, read_roots};
use stream::HTTP2;
pub(crate) use stream::TlsStream;
pub use tickets::TicketKeys;
use tickets::Tickets;

use super::Stream;
use crate::config::{CertificateFiles, Config};
use crate::error::Error;
use crate::message::{HostPattern, HostSet};

/// The TLS configuration of a listener.
pub struct Tls {
    config: Arc<ServerConfig>,
    identities: Arc<Identities>,
    /// The challenges of certificate authorities, if certificates are obtained for it.
    challenges: Option<Arc<Challenges>>,
}

/// Protocols within TLS, best first (RFC 7301). A client that names only others is refused; a client that names none
/// speaks HTTP/1.1.
const PROTOCOLS: &[&[u8]] = &[HTTP2, b"http/1.1"];

impl Tls {
    /// The TLS of the configuration; `None` for plain HTTP.
    ///
    /// # Errors
    /// As [`Tls::new`], or TLS is switched on without a certificate.
    pub fn of(config: &Config, keys: &TicketKeys) -> Result<Option<Arc<Self>>, Error> {
        if config.ssl_enabled { Self::new(config.certificates(), keys).map(Some) } else { Ok(None) }
    }

    /// Reads certificates and keys. The first one is for clients that name no host, or a host without a certificate.
    ///
    /// # Errors
    /// There is no certificate, or none is usable: a [`CertificateError`] names the file and the reason. Unusable ones
    /// beside others are left out until they become usable, and named in the log.
    pub fn new(files: Vec<CertificateFiles>, keys: &TicketKeys) -> Result<Arc<Self>, Error> {
        if files.is_empty() {
            return Err(Error::new(
                "config[\"ssl_enabled\"] is True, but neither config[\"ssl_certfile\"] nor config[\"ssl_certificates\"] names \
                 a certificate (outside cert localhost writes one for development)",
            ));
        }
        Self::with(files, Vec::new(), None, keys)
    }

    /// The same with certificates that are obtained by the server, and the folder of challenges for this; a certificate
    /// may be missing until then.
    pub(crate) fn managed(
        files: Vec<CertificateFiles>,
        managed: Vec<ManagedCertificate>,
        challenges: PathBuf,
        keys: &TicketKeys,
    ) -> Result<Arc<Self>, Error> {
        let names: Vec<HostPattern> =
            managed.iter().flat_map(|one| &one.names).filter_map(|name| name.parse().ok()).collect();
        let challenges = Challenges::new(challenges, HostSet::of(&names), &Arc::new(default_provider()))?;
        Self::with(files, managed, Some(challenges), keys)
    }

    fn with(
        files: Vec<CertificateFiles>,
        managed: Vec<ManagedCertificate>,
        challenges: Option<Arc<Challenges>>,
        keys: &TicketKeys,
    ) -> Result<Arc<Self>, Error> {
        // Listeners with the same certificates accept each other's tickets, in every process.
        let purpose = if managed.is_empty() { format!("{files:?}") } else { format!("{files:?} {managed:?}") };
        let provider = Arc::new(default_provider());
        let identities = Arc::new(Identities::load(files, managed, Arc::clone(&provider))?);
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(&identities) as _);
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
        config.ticketer = Arc::new(Tickets::new(keys, purpose.as_bytes()));
        config.send_tls13_tickets = 1;
        // The server's order has the strongest first.
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(Self { config: Arc::new(config), identities, challenges }))
    }

    /// Starts TLS on an accepted connection; the handshake is still to be done.
    pub(crate) fn accept(&self, socket: Stream) -> Result<Stream, Error> {
        let managed = self.challenges.as_ref().map(|challenges| {
            Box::new(ManagedHello { identities: Arc::clone(&self.identities), challenges: Arc::clone(challenges) })
        });
        let stream = TlsStream::new(socket, Arc::clone(&self.config), managed)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Whether one of the certificates is for this host, a name in lower case or an IP address.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        self.identities.are_for(host)
    }

    /// The challenges that are answered, if certificates are obtained for this configuration.
    pub(crate) fn challenges(&self) -> Option<&Arc<Challenges>> {
        self.challenges.as_ref()
    }

    /// The name and the end of the validity of each certificate in use.
    pub(crate) fn expiries(&self) -> Vec<(String, SystemTime)> {
        self.identities.expiries()
    }

    /// Reads certificates again whose files have changed. `is_urgent`: a user has asked for it.
    pub(crate) fn renew(&self, is_urgent: bool) -> Vec<Notice> {
        self.identities.renew(is_urgent)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({:?})", self.identities)
    }
}
