//! The client of a request that came through trusted proxies: `Forwarded` (RFC 7239), or `X-Forwarded-For`, `-Proto`
//! and `-Host`.
//!
//! Each proxy appends its peer on the right, so an entry can be trusted only if a trusted proxy has appended it.
//! Reading begins at the right and ends at the first address that is no trusted proxy: the client. Entries to the left
//! of it came from the client, which may write anything there; they are not even parsed.

use std::net::{IpAddr, SocketAddr};

use super::http1::is_authority;
use crate::config::ProxyField;
use crate::error::Refusal;
use crate::message::{Forwarded, Headers, NO_ADDRESS};

/// The client as named by a trusted peer in these fields; `None` if they name none. `is_trusted` tells whether an
/// address is a trusted proxy. Other fields are ignored: a client may have sent them, and the proxy passed them on.
///
/// A client without an address (`unknown`, an obfuscated name, a malformed one) gets none.
///
/// # Errors
/// 400 if the fields of the proxy cannot be told from those of the client, and for a malformed host.
pub(crate) fn resolve(
    headers: &Headers,
    peer: SocketAddr,
    fields: &[ProxyField],
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Result<Option<Forwarded>, Refusal> {
    let says = |field: ProxyField| fields.contains(&field) && headers.contains(field.name());
    let hop = match (says(ProxyField::Forwarded), [FOR, PROTO, HOST].into_iter().any(says)) {
        (true, true) => return Err(AMBIGUOUS),
        (true, false) => read_standard(headers, is_trusted),
        (false, true) => read_customary(headers, fields, is_trusted),
        (false, false) => return Ok(None),
    };
    if hop.host.as_deref().is_some_and(|host| !is_authority(host.as_bytes())) {
        return Err(Refusal::bad("malformed host in a forwarding field of a proxy"));
    }
    let client = match hop.node {
        ForwardedNode::Unsaid => peer,
        ForwardedNode::Unknown => NO_ADDRESS,
        ForwardedNode::Address(address) => address,
    };
    Ok(Some(Forwarded::new(client, hop.host, hop.secure)))
}

const FOR: ProxyField = ProxyField::XForwardedFor;
const PROTO: ProxyField = ProxyField::XForwardedProto;
const HOST: ProxyField = ProxyField::XForwardedHost;
const AMBIGUOUS: Refusal = Refusal::limit(400, "both Forwarded and X-Forwarded fields", "proxy_fields");

/// One entry: the facts that a proxy states about the peer before it.
#[derive(Debug, Default, PartialEq)]
struct Hop {
    node: ForwardedNode,
    host: Option<Box<str>>,
    secure: Option<bool>,
}

/// The address of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum ForwardedNode {
    #[default]
    Unsaid,
    Unknown,
    Address(SocketAddr),
}

impl ForwardedNode {
    /// Whether reading continues to the left of this peer.
    fn is_proxy(self, is_trusted: impl Fn(IpAddr) -> bool) -> bool {
        matches!(self, Self::Address(address) if is_trusted(address.ip()))
    }
}

/// The hop at which reading ends; facts that it does not state come from the entry to its right.
fn read_standard(headers: &Headers, is_trusted: impl Fn(IpAddr) -> bool) -> Hop {
    let mut hop = Hop::default();
    for element in from_right(headers, "Forwarded") {
        let Some(next) = read_element(element) else {
            return Hop { node: ForwardedNode::Unknown, ..hop };
        };
        let node = if next.node == ForwardedNode::Unsaid { ForwardedNode::Unknown } else { next.node };
        hop = Hop { node, host: next.host.or(hop.host), secure: next.secure.or(hop.secure) };
        if !hop.node.is_proxy(&is_trusted) {
            break;
        }
    }
    hop
}

/// `forwarded-element` of RFC 7239 section 4; `None` if malformed.
fn read_element(element: &[u8]) -> Option<Hop> {
    let mut hop = Hop::default();
    for pair in FromRight(Some(element), b';').filter(|pair| !pair.is_empty()) {
        let at = memchr::memchr(b'=', pair)?;
        let (name, value) = (&pair[..at], unquoted(&pair[at + 1..])?);
        // Each parameter at most once.
        if name.eq_ignore_ascii_case(b"for") {
            if hop.node != ForwardedNode::Unsaid {
                return None;
            }
            hop.node = read_node(&value);
        } else if name.eq_ignore_ascii_case(b"host") {
            if hop.host.is_some() {
                return None;
            }
            hop.host = Some(value.into());
        } else if name.eq_ignore_ascii_case(b"proto") {
            if hop.secure.is_some() {
                return None;
            }
            hop.secure = Some(is_secure(value.as_bytes())?);
        }
    }
    Some(hop)
}

/// The rightmost entries, as many as there are proxies; and the scheme and host at the same distance from the right.
fn read_customary(headers: &Headers, fields: &[ProxyField], is_trusted: impl Fn(IpAddr) -> bool) -> Hop {
    let entries =
        |field: ProxyField| fields.contains(&field).then(|| from_right(headers, field.name())).into_iter().flatten();
    let (mut node, mut proxies) = (ForwardedNode::Unsaid, 0);
    for entry in entries(FOR) {
        node = std::str::from_utf8(entry).map_or(ForwardedNode::Unknown, read_node);
        if !node.is_proxy(&is_trusted) {
            break;
        }
        proxies += 1;
    }
    // A single entry was passed on by the proxies that are nearer to this server.
    let host = entries(HOST).take(proxies + 1).last();
    let secure = entries(PROTO).take(proxies + 1).last().and_then(is_secure);
    // A host must be ASCII.
    let host = host.map(|host| std::str::from_utf8(host).unwrap_or_default().into());
    Hop { node, host, secure }
}

/// An address, with or without a port; IPv6 may lack its brackets, as in `X-Forwarded-For`.
fn read_node(text: &str) -> ForwardedNode {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return ForwardedNode::Address(SocketAddr::new(ip, 0));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return ForwardedNode::Address(address);
    }
    // The port may be obfuscated or empty; the address counts all the same.
    let address = text.rsplit_once(':').filter(|(_, port)| port.is_empty() || port.starts_with('_'));
    match address.map(|(host, _)| host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)) {
        Some(host) => host.parse().map_or(ForwardedNode::Unknown, |ip| ForwardedNode::Address(SocketAddr::new(ip, 0))),
        None => ForwardedNode::Unknown,
    }
}

fn is_secure(scheme: &[u8]) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Some(true),
        b"http" | b"ws" => Some(false),
        _ => None,
    }
}

/// A token as it is, a quoted string without its quotes and backslashes; `None` if it is neither.
fn unquoted(value: &[u8]) -> Option<String> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        // Brackets and colons need quotes, but many proxies leave them out.
        let plain = !value.is_empty() && value.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'"');
        return plain.then(|| String::from_utf8_lossy(value).into_owned());
    };
    let (mut text, mut bytes) = (Vec::with_capacity(inner.len()), inner.strip_suffix(b"\"")?.iter());
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => text.push(*bytes.next()?),
            byte => text.push(byte),
        }
    }
    String::from_utf8(text).ok()
}

/// The entries of a list over all fields of a name, last one first; empty members do not count (RFC 9110 section
/// 5.6.1).
fn from_right<'a>(headers: &'a Headers, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let entries = headers.get_all(name).rev().flat_map(|value| FromRight(Some(value), b','));
    entries.filter(|entry| !entry.is_empty())
}

/// The parts of a list from right to left, without surrounding blanks. A separator within quotes does not split. Quotes
/// are matched from the right, where a trusted proxy has written last.
struct FromRight<'a>(Option<&'a [u8]>, u8);

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0?;
        let (mut quoted, mut at) = (false, rest.len());
        while at > 0 {
            at -= 1;
            match rest[at] {
                b'"' if rest[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 0 => quoted = !quoted,
                byte if byte == self.1 && !quoted => {
                    self.0 = Some(&rest[..at]);
                    return Some(rest[at + 1..].trim_ascii());
                }
                _ => {}
            }
        }
        self.0 = None;
        Some(rest.trim_ascii())
    }
}

#[cfg(test)]
mod tests;
