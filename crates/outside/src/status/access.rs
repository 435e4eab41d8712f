//! Which clients get an answer, and which of the two: the metrics, or the status page too.
//!
//! A page of another origin can have a browser on this machine ask here, under a name that it makes lead here (DNS
//! rebinding): so the host has to be an address of this machine, or `localhost`. A request that a proxy hands on comes
//! from somewhere else, whatever its peer is.

use std::net::IpAddr;

use crate::message::{Request, TrustedProxy, is_loopback};

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A process that may open the file of the Unix socket.
    Unix,
    Ip(IpAddr),
}

/// The parts of the listener that a request may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Everything,
    Metrics,
    Nothing(&'static str),
}

/// Fields that a proxy adds.
const FORWARDED: [&str; 6] =
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Via"];

/// The access of a request from this peer.
pub(super) fn access(request: &Request, peer: Peer, allowed: &[TrustedProxy]) -> Access {
    let is_forwarded = |name: &str| {
        FORWARDED.iter().any(|known| known.eq_ignore_ascii_case(name))
            || name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case("X-Forwarded-"))
    };
    if request.headers().iter().any(|(name, _)| is_forwarded(name)) {
        return Access::Nothing("a proxy has handed this request on; this listener is for direct clients");
    }
    let is_here = match peer {
        Peer::Unix => true,
        Peer::Ip(ip) => ip.to_canonical().is_loopback(),
    };
    match peer {
        _ if is_here && (request.host().is_empty() || is_loopback(request.host())) => Access::Everything,
        _ if is_here => Access::Nothing("the host of this request is no address of this machine"),
        Peer::Ip(ip) if allowed.iter().any(|network| network.contains(ip)) => Access::Metrics,
        _ => Access::Nothing("config[\"metrics_allow\"] does not name the network of this client"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    fn asked(host: &str, field: Option<&str>, peer: Peer) -> Access {
        let mut headers = vec![("Host", host.as_bytes())];
        headers.extend(field.map(|name| (name, &b"x"[..])));
        let request = Request::from_parts(&RequestParts { headers: &headers, ..RequestParts::default() }).unwrap();
        access(&request, peer, &["10.0.0.0/8".parse().unwrap()])
    }

    #[test]
    fn status_from_elsewhere() {
        let ip = |text: &str| Peer::Ip(text.parse().unwrap());
        for host in ["127.0.0.1:9464", "localhost", "LOCALHOST.:1", "[::1]:9464", "127.9.9.9", "[::ffff:127.0.0.1]"] {
            assert_eq!(asked(host, None, ip("127.0.0.1")), Access::Everything, "{host}");
            assert_eq!(asked(host, None, Peer::Unix), Access::Everything, "{host}");
        }
        for host in ["localhost.example.com", "127.0.0.1.nip.io", "example.com", "10.0.0.1", "[::1]x", "0x7f.1"] {
            assert!(matches!(asked(host, None, ip("::1")), Access::Nothing(_)), "{host}");
            assert!(matches!(asked(host, None, Peer::Unix), Access::Nothing(_)), "{host}");
        }
        for peer in [ip("127.0.0.1"), ip("10.1.2.3"), Peer::Unix] {
            for field in ["Forwarded", "via", "X-Forwarded-For", "x-forwarded-anything", "X-Real-IP"] {
                assert!(matches!(asked("localhost", Some(field), peer), Access::Nothing(_)), "{field}");
            }
        }
        assert_eq!(asked("scraped.example.com", None, ip("10.1.2.3")), Access::Metrics);
        assert_eq!(asked("localhost", None, ip("::ffff:10.1.2.3")), Access::Metrics, "never the page");
        assert!(matches!(asked("localhost", None, ip("192.0.2.1")), Access::Nothing(_)));
    }
}
