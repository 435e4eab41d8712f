//! What an authority sends, read without a socket: for the fuzzers and tests of this project.

use super::client::answer_of;
use super::state::CertificateState;

/// Reads an answer of an authority; its status and content, if it is one.
pub fn answer(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    answer_of(bytes)
}

/// Reads a certificate in DER; its subject, if it is a complete certificate.
pub fn certificate(der: &[u8]) -> Option<Vec<u8>> {
    crate::transport::subject_of(der)
}

/// Reads a PEM file of key and chain. Returns whether a server can use it.
pub fn pem(text: &[u8]) -> bool {
    crate::transport::inspect(std::path::Path::new("certificate.pem"), text).is_ok()
}

/// Reads the state of a certificate.
pub fn state(text: &str) {
    drop(CertificateState::parse(text));
}
