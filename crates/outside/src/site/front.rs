//! The checks before anything is served (proxies, hosts), and Strict-Transport-Security on every answer.
//!
//! Pure: settings and a request in, a verdict out. If none of this is configured, a request costs one branch. The
//! checks themselves are in `proxies`, `hosts` and `hsts`; here is their order.

use std::net::IpAddr;
use std::sync::Arc;

use super::ToHttps;
use super::hosts::{AllowedHosts, MISDIRECTED};
use super::hsts::Hsts;
use super::ids::Ids;
use super::probes::{Probe, Probes};
use super::proxies::TrustedProxies;
use crate::config::Config;
use crate::error::Refusal;
use crate::message::{Request, Response};
use crate::transport::Challenges;

/// The settings of these checks.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// Whether there is nothing to check.
    is_open: bool,
    proxies: TrustedProxies,
    hosts: AllowedHosts,
    hsts: Hsts,
    ids: Ids,
    probes: Probes,
    to_https: Option<ToHttps>,
    challenges: Option<Arc<Challenges>>,
}

impl Front {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            proxies: TrustedProxies::of(config),
            hosts: AllowedHosts::of(config),
            hsts: Hsts::of(config),
            ids: Ids::of(config),
            probes: Probes::of(config),
            ..Self::default()
        }
        .settled()
    }

    /// The same with a redirect to TLS, for clients that come by a redirecting listener.
    pub(crate) fn with_https(self, to_https: Option<ToHttps>) -> Self {
        Self { to_https, ..self }
    }

    /// The same for a server that obtains certificates: it answers the challenges of the authority, for any listener.
    pub(crate) fn with_challenges(self, challenges: Option<Arc<Challenges>>) -> Self {
        Self { challenges, ..self }
    }

    /// The answer to a challenge of a certificate authority (RFC 8555 section 8.3); other paths below the same folder
    /// are the program's.
    pub(crate) fn challenge(&self, request: &Request) -> Option<Response> {
        let answer = self.challenges.as_ref()?.answer(request.host(), request.raw_path())?;
        matches!(request.method(), "GET" | "HEAD")
            .then(|| Response::text(answer).with_header("Cache-Control", "no-store"))
    }

    /// The same for a server that only this machine can reach: see [`AllowedHosts::on_loopback`].
    pub(crate) fn on_loopback(self, config: &Config) -> Self {
        Self { hosts: self.hosts.on_loopback(config), ..self }.settled()
    }

    /// The redirect to TLS for a request.
    ///
    /// # Errors
    /// 421 for a host that is not the server's.
    pub(crate) fn to_https(&self, request: &Request) -> Result<Response, Refusal> {
        self.to_https.as_ref().map_or(Err(MISDIRECTED), |to_https| to_https.answer(request))
    }

    /// Notes the client that a trusted proxy names, and checks that the host is the server's. Called for each request
    /// whose head was read, before any other step.
    ///
    /// # Errors
    /// 421 for another host (RFC 9110 section 15.5.20); 400 for a proxy's fields that cannot be parsed.
    pub(crate) fn receive(&self, request: &mut Request) -> Result<(), Refusal> {
        if self.is_open { Ok(()) } else { self.look(request) }
    }

    /// The question of a probe, if this request is one.
    #[inline]
    pub(crate) fn probe(&self, request: &Request) -> Option<Probe> {
        self.probes.find(request)
    }

    /// Adds Strict-Transport-Security to an answer: see [`Hsts::add_to`].
    pub(crate) fn add_hsts(&self, request: Option<&Request>, is_secure: bool, response: &mut Response) {
        self.hsts.add_to(request, is_secure, response);
    }

    /// Adds the id of the request to an answer: see [`Ids::add_to`].
    #[inline]
    pub(crate) fn add_id(&self, request: Option<&Request>, response: &mut Response) {
        self.ids.add_to(request, response);
    }

    /// Whether this address is that of a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.trusts(address)
    }

    fn look(&self, request: &mut Request) -> Result<(), Refusal> {
        // Proxies first: a trusted one may name another host.
        self.proxies.note_client(request)?;
        // A probe knows an address of the server, and not its names.
        let is_for_any_host = || self.probe(request).is_some() || self.challenge(request).is_some();
        self.hosts.check(request).or_else(|refusal| if is_for_any_host() { Ok(()) } else { Err(refusal) })
    }

    fn settled(self) -> Self {
        Self { is_open: self.hosts.allow_any() && self.proxies.is_empty(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;
    use crate::message::RequestParts;
    use crate::site::hsts::HSTS;

    fn list(texts: &[&str]) -> Value {
        Value::List(texts.iter().map(|text| Value::Owned((*text).to_owned())).collect())
    }

    fn front(values: &[(&str, Value)]) -> Front {
        Front::of(&Config::from_values(values.iter().map(|(name, value)| (*name, value.clone()))).unwrap())
    }

    fn fields() -> (&'static str, Value) {
        ("proxy_fields", list(&["X-Forwarded-For", "X-Forwarded-Host"]))
    }

    fn received(front: &Front, peer: &str, target: &str, headers: &[(&str, &str)]) -> Result<Request, u16> {
        let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let address = peer.parse().unwrap();
        let parts = RequestParts { target, headers: &headers, address, ..RequestParts::default() };
        let mut request = Request::from_parts(&parts).unwrap();
        front.receive(&mut request).map(|()| request).map_err(|refusal| refusal.status)
    }

    #[test]
    fn without_settings_nothing_is_looked_at() {
        let front = front(&[]);
        let request = received(&front, "127.0.0.1:1", "/", &[("Host", "x"), ("X-Forwarded-For", "1.1.1.1")]).unwrap();
        assert_eq!((request.address(), request.host()), ("127.0.0.1:1".parse().unwrap(), "x"));
    }

    #[test]
    fn hosts_that_are_not_ours() {
        let front = front(&[("allowed_hosts", list(&["example.com"])), ("health_route", Value::Owned("/up".into()))]);
        for (target, host, status) in [
            ("/", "example.com", 200),
            ("/", "EXAMPLE.com.:8080", 200),
            ("/", "a.example.com", 421),
            ("/", "10.0.0.1", 421),
            ("/", "", 421),
            ("/up", "10.0.0.1:8080", 200),
            ("/up/", "10.0.0.1:8080", 421),
        ] {
            let status_of = |received: Result<Request, u16>| received.map_or_else(|status| status, |_| 200);
            assert_eq!(
                status_of(received(&front, "127.0.0.1:1", target, &[("Host", host)])),
                status,
                "{target} {host}"
            );
        }
        assert_eq!(received(&front, "127.0.0.1:1", "/", &[]).err(), Some(421));
    }

    #[test]
    fn on_loopback_other_hosts_have_to_be_named() {
        let debug = ("debug", Value::Bool(true));
        let local = |values: &[(&'static str, Value)]| {
            let config = Config::from_values(values.iter().map(|(name, value)| (*name, value.clone()))).unwrap();
            (Front::of(&config).on_loopback(&config), Front::of(&config))
        };
        let named = ("allowed_hosts", list(&["dev.example"]));
        let proxies = ("trusted_proxies", list(&["127.0.0.1"]));
        let fields = ("proxy_fields", list(&["X-Forwarded-Host"]));
        for (values, host, forwarded, is_ours) in [
            (vec![debug.clone()], "127.0.0.1:8080", "", true),
            (vec![debug.clone()], "rebound.example", "", false),
            (vec![debug.clone()], "localhost", "rebound.example", true),
            (vec![debug.clone(), named.clone()], "dev.example", "", true),
            (vec![debug.clone(), named.clone()], "localhost", "", false),
            (vec![debug.clone(), ("allowed_hosts", list(&["*"]))], "rebound.example", "", true),
            (vec![debug.clone(), proxies.clone(), fields.clone()], "localhost", "rebound.example", false),
            (vec![debug.clone(), proxies, fields], "rebound.example", "localhost", true),
            (Vec::new(), "rebound.example", "", true),
        ] {
            let (guarded, elsewhere) = local(&values);
            let fields: &[(&str, &str)] =
                &[("Host", host), ("X-Forwarded-Host", forwarded)][..if forwarded.is_empty() { 1 } else { 2 }];
            assert_eq!(received(&guarded, "127.0.0.1:1", "/", fields).is_ok(), is_ours, "{host} {forwarded}");
            if values.len() == 1 {
                assert!(received(&elsewhere, "127.0.0.1:1", "/", fields).is_ok(), "an address that others reach");
            }
        }
        let command = Config { loopback_hosts_only: true, ..Config::default() };
        let front = Front::of(&command).on_loopback(&command);
        assert_eq!(received(&front, "127.0.0.1:1", "/", &[("Host", "rebound.example")]).err(), Some(421));
        assert!(received(&front, "127.0.0.1:1", "/", &[("Host", "[::1]:80")]).is_ok());
        assert!(received(&front, "127.0.0.1:1", "/", &[]).is_ok(), "HTTP/1.0 has no Host");
    }

    #[test]
    fn hsts_only_for_clients_that_came_by_tls() {
        let proxies = ("trusted_proxies", list(&["127.0.0.1"]));
        let fields = ("proxy_fields", list(&["X-Forwarded-Proto"]));
        let strict = front(&[("hsts", Value::Owned("30d".into())), proxies, fields]);
        let said = |front: &Front, request: Option<&Request>, is_secure, set: Option<&str>| {
            let mut response = Response::new(200);
            if let Some(value) = set {
                response = response.with_header(HSTS, value);
            }
            front.add_hsts(request, is_secure, &mut response);
            response
                .headers()
                .get_all(HSTS)
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect::<Vec<_>>()
        };
        let mut request = received(&strict, "[::1]:1", "/", &[("X-Forwarded-Proto", "https")]).unwrap();
        assert!(said(&strict, Some(&request), false, None).is_empty());
        request.is_secure = true;
        assert_eq!(said(&strict, Some(&request), true, None), ["max-age=2592000"]);
        assert_eq!(said(&strict, Some(&request), true, Some("max-age=0")), ["max-age=0"]);
        assert_eq!(said(&strict, None, true, None), ["max-age=2592000"], "a refusal");
        assert!(said(&strict, None, false, None).is_empty());
        let behind = received(&strict, "127.0.0.1:1", "/", &[("X-Forwarded-Proto", "https")]).unwrap();
        assert_eq!(said(&strict, Some(&behind), false, None), ["max-age=2592000"]);
        assert!(said(&front(&[]), Some(&request), true, None).is_empty());
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        let said = [("Host", "inner"), ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "a.example")];
        let trusting = front(&[("trusted_proxies", list(&["127.0.0.0/8", "unix"])), fields()]);
        for (peer, client, host) in [
            ("127.0.0.1:1", "203.0.113.7:0", "a.example"),
            ("[::ffff:127.0.0.1]:1", "203.0.113.7:0", "a.example"),
            ("0.0.0.0:0", "203.0.113.7:0", "a.example"),
            ("192.0.2.1:1", "192.0.2.1:1", "inner"),
            ("[::1]:1", "[::1]:1", "inner"),
        ] {
            let request = received(&trusting, peer, "/", &said).unwrap();
            assert_eq!((request.address(), request.host()), (client.parse().unwrap(), host), "{peer}");
            assert_eq!(request.peer(), peer.parse().unwrap());
        }
        let only_tcp = front(&[("trusted_proxies", list(&["0.0.0.0/0"]))]);
        assert_eq!(
            received(&only_tcp, "0.0.0.0:0", "/", &said).unwrap().host(),
            "inner",
            "a Unix socket is no network"
        );
    }

    #[test]
    fn a_proxy_is_believed_about_the_client_alone_unless_more_is_named() {
        let trusting = front(&[("trusted_proxies", list(&["127.0.0.1"]))]);
        let sent = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Host", "evil"), ("X-Forwarded-Proto", "https")];
        let request = received(&trusting, "127.0.0.1:1", "/", &[&[("Host", "a.example")], &sent[..]].concat()).unwrap();
        assert_eq!((request.address().to_string().as_str(), request.host()), ("203.0.113.7:0", "a.example"));
        assert_eq!(request.scheme(), "http");
    }

    #[test]
    fn the_forwarded_host_is_checked() {
        let front = front(&[("trusted_proxies", list(&["::1"])), ("allowed_hosts", list(&["a.example"])), fields()]);
        let ask = |forwarded: &str| {
            received(&front, "[::1]:1", "/", &[("Host", "a.example"), ("X-Forwarded-Host", forwarded)])
        };
        assert!(ask("A.example:443").is_ok());
        assert_eq!(ask("evil.example").err(), Some(421));
        assert_eq!(ask("a.example, evil.example").err(), Some(421));
        assert_eq!(
            received(&front, "[::2]:1", "/", &[("Host", "evil"), ("X-Forwarded-Host", "a.example")]).err(),
            Some(421)
        );
    }
}
