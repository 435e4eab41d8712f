//! Forwarding fields, honest and forged, and the client that results from them.

use super::*;
use crate::message::TrustedProxy;

/// Client, host and scheme; or the status of a refusal.
type Expected<'a> = Result<Option<(&'a str, Option<&'a str>, Option<bool>)>, u16>;
/// Fields, and the expected result.
type Case<'a> = (&'a [(&'a str, &'a str)], Expected<'a>);

const PEER: &str = "10.0.0.9:4711";
const NOBODY: &str = "0.0.0.0:0";
const CUSTOMARY: [ProxyField; 3] = [FOR, PROTO, HOST];
const EVERY: [ProxyField; 4] = [ProxyField::Forwarded, FOR, PROTO, HOST];

fn check(fields: &[ProxyField], cases: &[Case<'_>]) {
    let trusted: Vec<TrustedProxy> =
        ["10.0.0.0/8", "fd00::/8"].iter().map(|network| network.parse().unwrap()).collect();
    for (sent, expected) in cases {
        let mut headers = Headers::new();
        sent.iter().for_each(|(name, value)| headers.append(name, value).unwrap());
        let is_trusted = |address| trusted.iter().any(|proxy| proxy.contains(address));
        let resolved = resolve(&headers, PEER.parse().unwrap(), fields, is_trusted);
        let expected = match expected {
            Ok(said) => Ok(said
                .map(|(client, host, secure)| Forwarded::new(client.parse().unwrap(), host.map(Into::into), secure))),
            Err(status) => Err(*status),
        };
        assert_eq!(resolved.map_err(|refusal| refusal.status), expected, "{sent:?}");
    }
}

fn client(address: &str) -> Expected<'_> {
    Ok(Some((address, None, None)))
}

#[test]
fn nothing_said() {
    check(&EVERY, &[(&[], Ok(None)), (&[("X-Forwarded", "for=1.1.1.1"), ("X-Real-IP", "1.1.1.1")], Ok(None))]);
}

#[test]
fn customary_fields() {
    check(
        &EVERY,
        &[
            (&[("X-Forwarded-For", "203.0.113.7")], client("203.0.113.7:0")),
            (&[("x-forwarded-for", " 203.0.113.7:81 ")], client("203.0.113.7:81")),
            // Entries to the left of the client were written by the client.
            (&[("X-Forwarded-For", "127.0.0.1, 10.0.0.1, 203.0.113.7")], client("203.0.113.7:0")),
            (&[("X-Forwarded-For", "\"garbage, 203.0.113.7")], client("203.0.113.7:0")),
            // Through several proxies, in one field or many.
            (&[("X-Forwarded-For", "1.1.1.1, 203.0.113.7, 10.0.0.2,10.0.0.3")], client("203.0.113.7:0")),
            (
                &[
                    ("X-Forwarded-For", "1.1.1.1"),
                    ("X-Forwarded-For", "203.0.113.7, 10.0.0.2"),
                    ("X-Forwarded-For", "10.0.0.3"),
                ],
                client("203.0.113.7:0"),
            ),
            (&[("X-Forwarded-For", "203.0.113.7, fd00::2, [fd00::3]:80, ::ffff:10.0.0.1")], client("203.0.113.7:0")),
            // A client of the inner network: all of them are proxies, the first is the client.
            (&[("X-Forwarded-For", "10.1.1.1, 10.0.0.2")], client("10.1.1.1:0")),
            (&[("X-Forwarded-For", "2001:db8::1")], client("[2001:db8::1]:0")),
            (&[("X-Forwarded-For", "[2001:db8::1]")], client("[2001:db8::1]:0")),
            (&[("X-Forwarded-For", "[2001:db8::1]:443")], client("[2001:db8::1]:443")),
            (&[("X-Forwarded-For", "unknown")], client(NOBODY)),
            (&[("X-Forwarded-For", "203.0.113.7, unknown")], client(NOBODY)),
            (&[("X-Forwarded-For", "203.0.113.7, localhost, 10.0.0.2")], client(NOBODY)),
            (&[("X-Forwarded-For", "1.2.3.4.5")], client(NOBODY)),
            (&[("X-Forwarded-For", "203.0.113.7, \u{fc}")], client(NOBODY)),
            (&[("X-Forwarded-For", "203.0.113.7, , ,")], client("203.0.113.7:0")),
            (&[("X-Forwarded-For", "")], client(PEER)),
            // Scheme and host of the proxy that saw the client.
            (
                &[
                    ("X-Forwarded-For", "203.0.113.7"),
                    ("X-Forwarded-Proto", "HTTPS"),
                    ("X-Forwarded-Host", "a.example"),
                ],
                Ok(Some(("203.0.113.7:0", Some("a.example"), Some(true)))),
            ),
            (&[("X-Forwarded-Proto", "https")], Ok(Some((PEER, None, Some(true))))),
            (&[("X-Forwarded-Host", "a.example:8443")], Ok(Some((PEER, Some("a.example:8443"), None)))),
            (
                &[("X-Forwarded-For", "1.1.1.1, 203.0.113.7"), ("X-Forwarded-Proto", "https, http")],
                Ok(Some(("203.0.113.7:0", None, Some(false)))),
            ),
            (
                &[
                    ("X-Forwarded-For", "1.1.1.1, 203.0.113.7, 10.0.0.2"),
                    ("X-Forwarded-Proto", "http, https, http"),
                    ("X-Forwarded-Host", "evil.example, a.example, inner"),
                ],
                Ok(Some(("203.0.113.7:0", Some("a.example"), Some(true)))),
            ),
            (
                &[("X-Forwarded-For", "203.0.113.7, 10.0.0.2"), ("X-Forwarded-Proto", "wss")],
                Ok(Some(("203.0.113.7:0", None, Some(true)))),
            ),
            (&[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "ftp")], client("203.0.113.7:0")),
            (&[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "a b")], Err(400)),
            (&[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "a.example/path")], Err(400)),
            (&[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "evil, u@a.example")], Err(400)),
            (&[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "b\u{fc}cher.example")], Err(400)),
            (&[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "")], client("203.0.113.7:0")),
        ],
    );
}

#[test]
fn the_standard_field() {
    check(
        &EVERY,
        &[
            (&[("Forwarded", "for=192.0.2.43")], client("192.0.2.43:0")),
            (&[("forwarded", "For=\"192.0.2.43:47011\"")], client("192.0.2.43:47011")),
            (&[("Forwarded", "for=\"[2001:db8:cafe::17]:4711\"")], client("[2001:db8:cafe::17]:4711")),
            (&[("Forwarded", "for=\"[2001:db8:cafe::17]\"")], client("[2001:db8:cafe::17]:0")),
            // Without the quotes that it needs, as many proxies write it.
            (&[("Forwarded", "for=[2001:db8:cafe::17]:80")], client("[2001:db8:cafe::17]:80")),
            (&[("Forwarded", "for=\"192.0.2.43:_port\"")], client("192.0.2.43:0")),
            (&[("Forwarded", "for=\"[2001:db8::1]:_p\"")], client("[2001:db8::1]:0")),
            (&[("Forwarded", "for=\"\\1\\9\\2.0.2.43\"")], client("192.0.2.43:0")),
            (&[("Forwarded", "for=unknown")], client(NOBODY)),
            (&[("Forwarded", "for=_gazonk")], client(NOBODY)),
            (&[("Forwarded", "for=192.0.2.1, for=\"_SEVKISEK\"")], client(NOBODY)),
            (
                &[("Forwarded", "for=192.0.2.60;proto=https;by=203.0.113.43;host=example.com")],
                Ok(Some(("192.0.2.60:0", Some("example.com"), Some(true)))),
            ),
            (
                &[("Forwarded", "proto=http ; host=\"example.com:8080\" ;; for=192.0.2.60 ;ext=\"a,b;c\\\"\"")],
                Ok(Some(("192.0.2.60:0", Some("example.com:8080"), Some(false)))),
            ),
            // From the right, over several proxies and fields; each one's own host and scheme.
            (
                &[
                    ("Forwarded", "for=127.0.0.1;host=evil.example, for=192.0.2.60;host=a.example;proto=https"),
                    ("Forwarded", "for=10.0.0.2;host=inner;proto=http"),
                ],
                Ok(Some(("192.0.2.60:0", Some("a.example"), Some(true)))),
            ),
            (
                &[("Forwarded", "for=192.0.2.60, for=10.0.0.2;host=a.example;proto=https")],
                Ok(Some(("192.0.2.60:0", Some("a.example"), Some(true)))),
            ),
            (&[("Forwarded", "for=10.1.1.1, for=\"[fd00::2]\"")], client("10.1.1.1:0")),
            // Malformed text of the client does not hide entries to its right.
            (&[("Forwarded", "for=\"x, for=192.0.2.60")], client("192.0.2.60:0")),
            (&[("Forwarded", "for=\"x\\, for=\"192.0.2.60\"")], client("192.0.2.60:0")),
            (&[("Forwarded", "for=\"127.0.0.1"), ("Forwarded", "for=\"192.0.2.60\"")], client("192.0.2.60:0")),
            (&[("Forwarded", "\\\\\\\", for=\"192.0.2.60\"")], client("192.0.2.60:0")),
            (&[("Forwarded", ",, for=192.0.2.60 , ,")], client("192.0.2.60:0")),
            // A malformed entry of a proxy names no address; the entry before it does not count instead.
            (&[("Forwarded", "for=192.0.2.60, for=\"10.0.0.2")], client(NOBODY)),
            (&[("Forwarded", "for=192.0.2.60, for")], client(NOBODY)),
            (&[("Forwarded", "for=192.0.2.60, for=")], client(NOBODY)),
            (&[("Forwarded", "for=192.0.2.60, proto=https")], Ok(Some((NOBODY, None, Some(true))))),
            (&[("Forwarded", "for=192.0.2.60;for=192.0.2.61")], client(NOBODY)),
            (&[("Forwarded", "for=192.0.2.60;proto=gopher")], client(NOBODY)),
            (&[("Forwarded", "for=\"192.0.2.60\"x")], client(NOBODY)),
            (&[("Forwarded", "for=192.0.2.60;host=\"a b\"")], Err(400)),
            (&[("Forwarded", "for=192.0.2.60;host=\"evil/\"")], Err(400)),
        ],
    );
}

#[test]
fn whose_fields_they_are() {
    let both: &[(&str, &str)] = &[("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "2.2.2.2")];
    let standard: &[(&str, &str)] = &[("Forwarded", "for=1.1.1.1;host=a.example")];
    let customary: &[(&str, &str)] = &[("X-Forwarded-Proto", "https")];
    let mixed: &[(&str, &str)] = &[("Forwarded", "for=1.1.1.1"), ("X-Forwarded-Host", "evil.example")];
    check(&EVERY, &[(both, Err(400)), (mixed, Err(400))]);
    check(
        &[ProxyField::Forwarded],
        &[(both, client("1.1.1.1:0")), (mixed, client("1.1.1.1:0")), (customary, Ok(None))],
    );
    check(
        &CUSTOMARY,
        &[(both, client("2.2.2.2:0")), (mixed, Ok(Some((PEER, Some("evil.example"), None)))), (standard, Ok(None))],
    );
}

/// A proxy that sets one field passes the others on as the client sent them.
#[test]
fn an_unlisted_proxy_is_not_believed() {
    let sent: &[(&str, &str)] = &[
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=1.1.1.1;host=evil.example;proto=https"),
    ];
    check(&[FOR], &[(sent, client("203.0.113.7:0")), (&sent[1..], Ok(None)), (&sent[..3], client("203.0.113.7:0"))]);
    check(&[FOR, PROTO], &[(sent, Ok(Some(("203.0.113.7:0", None, Some(true)))))]);
    check(&[HOST], &[(sent, Ok(Some((PEER, Some("evil.example"), None))))]);
    check(&[], &[(sent, Ok(None))]);
    // Malformed, but not read.
    check(&[FOR], &[(&[("X-Forwarded-Host", "a b")], Ok(None))]);
}

#[test]
fn long_fields_take_linear_time() {
    for unit in ["10.0.0.1,", "\"\\", "\\\"", ",", "for=10.0.0.1;", "for=\"10.0.0.1\","] {
        let value = unit.repeat((32 << 10) / unit.len());
        let mut headers = Headers::new();
        headers.append("Forwarded", &value).unwrap();
        let asked = std::cell::Cell::new(0);
        let resolved = resolve(&headers, PEER.parse().unwrap(), &EVERY, |_| {
            asked.set(asked.get() + 1);
            true
        });
        assert!(resolved.is_ok() && asked.get() <= value.len() / 8, "{unit}: {asked:?}");
    }
}
