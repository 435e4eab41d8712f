//! What a certificate authority sends, and what the storage holds: any bytes are read without a panic, and within bounds.

use outside::certificates::testing as certificates;

/// Bytes of content beyond which an answer is refused, and those that one read may add.
const LARGEST: usize = (1 << 20) + (16 << 10);

/// An answer of an authority, and its content as the state of a certificate.
pub fn answer(input: &[u8]) {
    if let Some((status, content)) = certificates::answer(input) {
        assert!((200..1000).contains(&status) || status == 101, "{status}");
        assert!(content.len() <= LARGEST.min(input.len()));
        certificates::state(&String::from_utf8_lossy(&content));
    }
}

/// A certificate in DER: no part of one is a whole one.
pub fn certificate(input: &[u8]) {
    if let Some(subject) = certificates::certificate(input) {
        assert!(subject.len() < input.len());
        assert_eq!(certificates::certificate(&input[..input.len() - 1]), None);
    }
}

/// Key and chain in PEM.
pub fn pem(input: &[u8]) {
    certificates::pem(input);
}
