//! Whether the first message of a handshake has arrived completely (RFC 8446 sections 4 and 5.1; TLS 1.2 frames it
//! alike).
//!
//! Until then a client has cost no arithmetic and no place among the handshakes. The message itself is not judged:
//! bytes that cannot become a ClientHello count as complete, so that rustls refuses them.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;

use super::challenges::{ACME_TLS, Challenges};
use super::identities::Identities;

/// The look at a hello before it is processed, where certificates are obtained by the server.
pub(super) struct ManagedHello {
    pub(super) identities: Arc<Identities>,
    pub(super) challenges: Arc<Challenges>,
}

/// The way of a connection after its hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HelloStep {
    /// The handshake goes on.
    GoOn,
    /// The certificate for this name is still to be obtained.
    Wait(String),
}

impl ManagedHello {
    /// Looks at a complete hello. The configuration is that of a validation (RFC 8737), for a client that offers its
    /// protocol and no other.
    pub(super) fn look(&self, received: &[u8]) -> (HelloStep, Option<Arc<ServerConfig>>) {
        let names_validation = memchr::memmem::find(received, ACME_TLS).is_some();
        if !names_validation && !self.identities.are_incomplete() {
            return (HelloStep::GoOn, None);
        }
        let mut acceptor = Acceptor::default();
        let read = acceptor.read_tls(&mut &*received);
        let Some(accepted) = read.ok().and_then(|_| acceptor.accept().ok().flatten()) else {
            return (HelloStep::GoOn, None);
        };
        let hello = accepted.client_hello();
        if let Some(mut offered) = hello.alpn()
            && offered.next() == Some(ACME_TLS)
            && offered.next().is_none()
        {
            return (HelloStep::GoOn, Some(self.challenges.config()));
        }
        let name = hello.server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        if self.identities.lack(&name) { (HelloStep::Wait(name), None) } else { (HelloStep::GoOn, None) }
    }

    pub(super) fn lacks(&self, name: &str) -> bool {
        self.identities.lack(name)
    }
}

/// Type, version and length of a record.
const RECORD_HEAD: usize = 5;
const HANDSHAKE: u8 = 22;
/// Type and length of a message.
const MESSAGE_HEAD: usize = 4;
const CLIENT_HELLO: u8 = 1;

/// Whether these bytes hold a complete ClientHello, or cannot become one.
pub(super) fn is_complete(mut received: &[u8]) -> bool {
    let mut message_head = [0; MESSAGE_HEAD];
    let mut so_far = 0;
    loop {
        let Some((&[kind, _, _, high, low], rest)) = received.split_first_chunk::<RECORD_HEAD>() else {
            return received.first().is_some_and(|kind| *kind != HANDSHAKE);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || length == 0 {
            return true;
        }
        let payload = &rest[..length.min(rest.len())];
        for (index, &byte) in (so_far..MESSAGE_HEAD).zip(payload) {
            message_head[index] = byte;
        }
        so_far += payload.len();
        if so_far > 0 && message_head[0] != CLIENT_HELLO {
            return true;
        }
        let [_, first, second, third] = message_head;
        let size = usize::try_from(u32::from_be_bytes([0, first, second, third])).unwrap_or(usize::MAX);
        if so_far >= MESSAGE_HEAD && so_far - MESSAGE_HEAD >= size {
            return true;
        }
        if payload.len() < length {
            return false;
        }
        received = &rest[length..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello of this size, in records of at most `record` bytes.
    fn hello(size: usize, record: usize) -> Vec<u8> {
        let mut message = vec![CLIENT_HELLO, 0, (size >> 8) as u8, size as u8];
        message.resize(MESSAGE_HEAD + size, 7);
        message
            .chunks(record)
            .flat_map(|part| [&[HANDSHAKE, 3, 1, (part.len() >> 8) as u8, part.len() as u8], part].concat())
            .collect()
    }

    #[test]
    fn every_part_but_the_whole_is_incomplete() {
        for (size, record) in
            [(0, 100), (1, 100), (300, 1000), (300, 4), (300, 3), (300, 1), (1500, 512), (40_000, 16_384)]
        {
            let whole = hello(size, record);
            assert!(is_complete(&whole), "{size} bytes in records of {record}");
            let step = (whole.len() / 500).max(1);
            for end in (0..whole.len()).step_by(step) {
                assert!(!is_complete(&whole[..end]), "{end} of {} bytes, {size} in records of {record}", whole.len());
            }
        }
    }

    #[test]
    fn bytes_that_are_no_hello_do_not_wait() {
        for (bytes, what) in [
            (&b"\x15\x03\x01\x00\x02\x01\x00"[..], "an alert"),
            (b"\x17", "application data"),
            (b"\x16\x03\x01\x00\x00", "an empty record"),
            (b"\x16\x03\x01\x00\x04\x02", "a ServerHello"),
            (b"\x80\x2e\x01", "SSL 2"),
        ] {
            assert!(is_complete(bytes), "{what}");
        }
    }
}
