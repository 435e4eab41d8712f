//! The opening handshake, the server's side (RFC 6455 section 4.2).
//!
//! A request is checked strictly and answered, or refused with the status for its fault. The origin is checked in
//! `origin`, compression is negotiated in `extension`.

use sha1_smol::Sha1;

use super::extension::DeflateTerms;
use crate::error::Refusal;
use crate::message::{Headers, KnownHeader, Request, Version};
use crate::protocol::http1::{BodyLength, framing};

/// Proof that the handshake was understood: the value of Sec-WebSocket-Accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AcceptKey([u8; 28]);

impl AcceptKey {
    /// The answer to a key of a request (section 4.2.2).
    fn of(key: &[u8]) -> Self {
        let mut hash = Sha1::new();
        hash.update(key);
        hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        Self(base64(&hash.digest().bytes()))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The fields of a refusal with 426 (RFC 9110 section 15.5.22, RFC 6455 section 4.4).
pub(crate) const UPGRADE_REQUIRED_FIELDS: [(&str, &str); 2] =
    [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];

/// Checks a request to open a WebSocket, but not its origin.
///
/// # Errors
/// 426 if it asks for no WebSocket, or for another version; 400 if its handshake is malformed.
pub(crate) fn check_opening(request: &Request) -> Result<AcceptKey, Refusal> {
    let headers = &request.headers;
    let asks = has_option(headers, KnownHeader::Connection, b"upgrade")
        && has_option(headers, KnownHeader::Upgrade, b"websocket");
    // In HTTP/1.0 there is no Upgrade (RFC 9110 section 7.8).
    if !asks || request.version != Version::Http11 {
        return Err(Refusal::new(426, "a WebSocket is opened by an upgrade"));
    }
    if request.method() != "GET" {
        return Err(Refusal::bad("a WebSocket is opened with GET"));
    }
    if framing(request)?.body != BodyLength::Known(0) || request.content_length() > 0 {
        return Err(Refusal::bad("a WebSocket is opened without content"));
    }
    let version = single(headers, "Sec-WebSocket-Version", "more than one Sec-WebSocket-Version")?;
    if version != Some(b"13") {
        return Err(Refusal::new(426, "a version of WebSocket other than 13"));
    }
    let key = single(headers, "Sec-WebSocket-Key", "more than one Sec-WebSocket-Key")?;
    match key {
        Some(key) if is_key(key) => Ok(AcceptKey::of(key)),
        Some(_) => Err(Refusal::bad("a Sec-WebSocket-Key that is not 16 bytes in base64")),
        None => Err(Refusal::bad("no Sec-WebSocket-Key")),
    }
}

fn has_option(headers: &Headers, known: KnownHeader, option: &[u8]) -> bool {
    headers.all_known(known).flat_map(elements).any(|element| element.eq_ignore_ascii_case(option))
}

fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

fn single<'r>(headers: &'r Headers, name: &'r str, again: &'static str) -> Result<Option<&'r [u8]>, Refusal> {
    let mut values = headers.get_all(name);
    let value = values.next();
    if values.next().is_some() { Err(Refusal::bad(again)) } else { Ok(value) }
}

/// Whether this is the base64 of 16 bytes: 22 digits and two signs of padding. The unused bits of the last digit are
/// ignored.
fn is_key(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").unwrap_or_default();
    digits.len() == 22 && digits.iter().all(|byte| BASE64.contains(byte))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A digest in base64 (RFC 4648 section 4): 20 bytes are 27 digits and one sign of padding.
fn base64(bytes: &[u8; 20]) -> [u8; 28] {
    let mut text = [b'='; 28];
    for (three, four) in bytes.chunks(3).zip(text.chunks_mut(4)) {
        let bits = three.iter().zip([16, 8, 0]).fold(0, |bits, (&byte, shift)| bits | u32::from(byte) << shift);
        for (digit, shift) in four.iter_mut().zip([18, 12, 6, 0]).take(three.len() + 1) {
            *digit = BASE64[(bits >> shift) as usize & 63];
        }
    }
    text
}

/// The first of the server's subprotocols, in its own order, that the client offers; `None` if there is none.
///
/// Names are compared with their case (section 11.5). Without a common one the connection opens, and the client
/// decides.
pub(crate) fn choose_subprotocol<'s>(request: &Request, supported: &'s [String]) -> Option<&'s str> {
    let offers = |name: &str| {
        request.headers.get_all("Sec-WebSocket-Protocol").flat_map(elements).any(|offered| offered == name.as_bytes())
    };
    supported.iter().map(String::as_str).find(|name| offers(name))
}

/// The fields of the 101 that opens the connection, without `Connection: Upgrade`, which belongs to the writer.
pub(crate) fn opening_fields(key: &AcceptKey, subprotocol: Option<&str>, deflate: Option<&DeflateTerms>) -> Headers {
    let mut headers = Headers::new();
    headers.push_checked(b"Upgrade", b"websocket");
    headers.push_checked(b"Sec-WebSocket-Accept", key.as_bytes());
    if let Some(name) = subprotocol {
        headers.push_checked(b"Sec-WebSocket-Protocol", name.as_bytes());
    }
    if let Some(terms) = deflate {
        headers.push_checked(b"Sec-WebSocket-Extensions", terms.to_field_value().as_bytes());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The request of RFC 6455 section 1.3, with some fields in place of its own; an empty value takes one out.
    fn opening(parts: &RequestParts<'_>, changes: &[(&str, &str)]) -> Request {
        let usual = [
            ("Host", "server.example.com"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13"),
        ];
        let kept = usual.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        let changed = changes.iter().filter(|(_, value)| !value.is_empty());
        let headers: Vec<_> = kept.chain(changed).map(|(name, value)| (*name, value.as_bytes())).collect();
        Request::from_parts(&RequestParts { headers: &headers, ..parts.clone() }).unwrap()
    }

    fn check(changes: &[(&str, &str)]) -> u16 {
        check_opening(&opening(&RequestParts::default(), changes)).map_or_else(|refusal| refusal.status, |_| 101)
    }

    #[test]
    fn the_example_of_the_rfc() {
        let key = check_opening(&opening(&RequestParts::default(), &[])).unwrap();
        assert_eq!(key.as_bytes(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let headers = opening_fields(&key, Some("chat"), None);
        let lines = "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n";
        assert_eq!(headers.wire(), lines.as_bytes());
    }

    #[test]
    fn requests_that_open_and_requests_that_do_not() {
        let table: &[(&[(&str, &str)], u16)] = &[
            (&[("Connection", "keep-alive, uPGRADE")], 101),
            (&[("Upgrade", "h2c, WebSocket")], 101),
            (&[("Content-Length", "0")], 101),
            (&[("Connection", "")], 426),
            (&[("Connection", "keep-alive")], 426),
            (&[("Connection", "upgrade-insecure")], 426),
            (&[("Upgrade", "")], 426),
            (&[("Upgrade", "h2c")], 426),
            (&[("Upgrade", "websocket2")], 426),
            (&[("Sec-WebSocket-Version", "")], 426),
            (&[("Sec-WebSocket-Version", "8")], 426),
            (&[("Sec-WebSocket-Version", "013")], 426),
            (&[("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")], 400),
            (&[("Sec-WebSocket-Key", "")], 400),
            (&[("Sec-WebSocket-Key", KEY), ("sec-websocket-key", KEY)], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=")], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ===")], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ_==")], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j")], 400),
            (&[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZTEy")], 400),
            (&[("Content-Length", "1")], 400),
            (&[("Transfer-Encoding", "chunked")], 400),
        ];
        for (changes, status) in table {
            assert_eq!(check(changes), *status, "{changes:?}");
        }
        for (parts, status) in [
            (RequestParts { method: "POST", ..RequestParts::default() }, 400),
            (RequestParts { version: Version::Http10, ..RequestParts::default() }, 426),
            (RequestParts { content: b"x", ..RequestParts::default() }, 400),
        ] {
            assert_eq!(check_opening(&opening(&parts, &[])).unwrap_err().status, status, "{parts:?}");
        }
    }

    #[test]
    fn subprotocols_in_the_order_of_the_server() {
        let supported = ["graphql-ws".to_owned(), "chat".to_owned()];
        for (offered, chosen) in [
            (&["chat, graphql-ws"][..], Some("graphql-ws")),
            (&["chat", "other ,graphql-ws"], Some("graphql-ws")),
            (&["other", ", chat"], Some("chat")),
            (&["Chat", "chatter"], None),
            (&[], None),
        ] {
            let fields: Vec<_> = offered.iter().map(|value| ("Sec-WebSocket-Protocol", *value)).collect();
            let request = opening(&RequestParts::default(), &fields);
            assert_eq!(choose_subprotocol(&request, &supported), chosen, "{offered:?}");
        }
    }

    #[test]
    fn digests_in_base64() {
        assert_eq!(&base64(b"abcdefghijklmnopqrst"), b"YWJjZGVmZ2hpamtsbW5vcHFyc3Q=");
        assert_eq!(&base64(&[0xff; 20]), b"//////////////////////////8=");
    }
}
