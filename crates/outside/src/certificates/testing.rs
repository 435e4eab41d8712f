//! What an authority sends, read without a socket: for the fuzzers and tests of this project.

use super::client::answer_of;
use super::state::CertificateState;

/// Reads an answer of an authority; its status and content, if it is one.
pub fn answer(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    answer_of(bytes)
}

/// Reads a certificate with its key; its names, if it can be used.
pub fn certificate(pem: &[u8]) -> Option<Vec<String>> {
    let found = crate::transport::inspect(std::path::Path::new("certificate.pem"), pem).ok()?;
    Some(found.leaf.names)
}

/// Reads the state of a certificate.
pub fn state(text: &str) {
    drop(CertificateState::parse(text));
}
