//! The functions of a program that take part: records in the DNS, and the news of a certificate.

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;

/// Sets records in the DNS, for the challenge dns-01.
pub trait SetDnsRecord: Send + Sync {
    /// Sets a TXT record with this value at this name, beside others there, and returns when it can be read. Called on a
    /// thread that may wait.
    ///
    /// # Errors
    /// The record cannot be set: the attempt fails.
    fn set(&self, name: &str, value: &str) -> Result<Box<dyn DnsRecord>, Error>;
}

/// A record that was set.
pub trait DnsRecord: Send {
    /// Removes the record again.
    fn remove(self: Box<Self>);
}

/// Hears of certificates that were obtained.
pub trait OnCertificate: Send + Sync {
    /// The certificate of these names is in this file, with its key before it.
    fn obtained(&self, names: &[String], file: &Path);
}

/// Has this process use the files of new certificates at once, not at its next look.
pub(crate) type TakeOver = Box<dyn Fn() + Send + Sync>;

/// The functions of a program.
#[derive(Clone, Default)]
pub struct CertificateHooks {
    /// Sets records in the DNS.
    pub dns: Option<Arc<dyn SetDnsRecord>>,
    /// Hears of new certificates.
    pub on_certificate: Option<Arc<dyn OnCertificate>>,
}

impl std::fmt::Debug for CertificateHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (dns, news) = (self.dns.is_some(), self.on_certificate.is_some());
        write!(f, "CertificateHooks {{ dns: {dns}, on_certificate: {news} }}")
    }
}
