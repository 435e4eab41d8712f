//! Automatic certificates, as the public type of the server sees them.

use super::OutsideHttp;
use crate::certificates::{self, CertificateHooks};
use crate::config::Config;
use crate::error::Error;
use crate::log::Level;
use crate::transport::{ManagedCertificate, TicketKeys, Tls};

/// The TLS of the configuration's own certificates.
pub(super) type MakeTls = Result<std::sync::Arc<Tls>, Error>;

impl OutsideHttp {
    /// Sets the functions that take part in obtaining certificates for `config.domains`.
    pub fn set_certificate_hooks(&self, hooks: CertificateHooks) {
        *self.certificate_hooks.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = hooks;
    }

    /// Has a certificate that could not be obtained tried again at once, if the authority allows it: a part of the effect
    /// of SIGHUP.
    pub fn retry_certificates(&self, config: &Config) {
        if !config.domains.is_empty() {
            certificates::retry_soon(config);
        }
    }

    /// The TLS of the configuration: its files, and the certificates that are obtained for `domains`. `added` is told
    /// the latter.
    pub(super) fn configured_tls(&self, config: &Config, keys: &TicketKeys) -> MakeTls {
        let files = config.certificates();
        if config.domains.is_empty() {
            return Tls::new(files, keys);
        }
        let prepared = certificates::prepare(config)?;
        for warning in &prepared.warnings {
            self.sink.event(Level::Warning, warning);
        }
        let certificates: Vec<ManagedCertificate> = prepared.certificates;
        Tls::managed(files, certificates, prepared.challenges, keys)
    }
}
