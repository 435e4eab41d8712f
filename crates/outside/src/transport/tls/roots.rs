//! TLS towards other servers: the authorities that are believed, those of the system or those of one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// Files that may hold the roots of the system.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
];

/// The settings of TLS towards a server whose certificate one of these authorities has signed; none: those of the system.
pub(crate) fn client_tls(private: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    if private.is_empty() {
        roots.add_parsable_certificates(system_roots());
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
    } else {
        roots.add_parsable_certificates(private);
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The certificates of a file.
///
/// # Errors
/// A clause about the file: it cannot be read, or holds none.
pub(crate) fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let found = certificates(&text);
    if found.is_empty() { Err("holds no certificate in PEM".to_owned()) } else { Ok(found) }
}

fn certificates(text: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text).filter_map(Result::ok).collect()
}

fn system_roots() -> Vec<CertificateDer<'static>> {
    let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let candidates = own.iter().map(PathBuf::as_path).chain(SYSTEM_ROOTS.iter().map(Path::new));
    let read = |path: &Path| std::fs::read(path).map(|text| certificates(&text)).unwrap_or_default();
    candidates.map(read).find(|found| !found.is_empty()).unwrap_or_default()
}
