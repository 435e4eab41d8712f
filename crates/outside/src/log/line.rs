//! The facts of one line of the access log, and their text from clients.

use std::net::SocketAddr;
use std::time::Duration;

use crate::message::{NO_ADDRESS, Request};

/// The facts of one line.
pub(crate) struct AccessLine<'a> {
    /// `None` if not even the request line could be read.
    pub(crate) request: Option<&'a Request>,
    /// The address of the connected peer, as text; a trusted proxy may have named another client.
    pub(crate) client: &'a [u8],
    pub(crate) status: u16,
    /// Bytes of content that were sent.
    pub(crate) bytes: u64,
    /// From the end of the request's head to the last byte of the response.
    pub(crate) duration: Option<Duration>,
    pub(crate) end: End,
}

/// How an exchange has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// With its whole answer.
    #[default]
    Complete,
    /// Within its answer.
    Cut,
    /// Without an answer: the client has left before, or the server has ended.
    Unanswered,
}

/// The status of an exchange without an answer, in the log alone; other servers call it so.
pub(crate) const UNANSWERED: u16 = 499;

impl End {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Unanswered => "unanswered",
        }
    }
}

impl AccessLine<'_> {
    /// The client's address: as a trusted proxy has named it, else the peer's.
    pub(super) fn client(&self) -> &[u8] {
        let forwarded = self.request.and_then(|request| request.forwarded.as_deref());
        forwarded.map_or(self.client, |forwarded| &forwarded.text)
    }
}

/// A client's address as text, rendered once for all lines of its connection.
pub(crate) fn client_text(address: SocketAddr) -> Box<[u8]> {
    match address {
        NO_ADDRESS => b"unix:"[..].into(),
        address => address.ip().to_canonical().to_string().into_bytes().into(),
    }
}

pub(super) fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let plain = |byte: u8| (0x20..=0x7e).contains(&byte) & (byte != b'"') & (byte != b'\\');
    // Without an early exit the compiler checks many bytes at once.
    if text.iter().fold(true, |all, &byte| all & plain(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text {
        if plain(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(b"\\x");
            push_hex(out, byte);
        }
    }
}

pub(super) fn push_hex(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}
