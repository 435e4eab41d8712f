//! What is looked at before anything is served: who asks, for which host, and what every answer says of the server.
//!
//! Pure: settings and a request in, a verdict out. Where nothing of this is configured, a request costs one branch.

use std::net::{IpAddr, SocketAddr};

use super::ToHttps;
use crate::config::{Config, ProxyField};
use crate::error::Refusal;
use crate::message::{HostSet, NO_ADDRESS, Request, Response, TrustedProxy, is_loopback};
use crate::protocol::forwarded;

/// The settings of the front door.
#[derive(Debug, Default)]
pub(crate) struct Front {
    /// Is there nothing to look at?
    is_open: bool,
    /// `None`: any.
    hosts: Option<HostSet>,
    proxies: Vec<TrustedProxy>,
    /// The fields in which they are believed.
    fields: Vec<ProxyField>,
    /// Those who ask here know an address of the server, not its names.
    health_route: Option<Box<str>>,
    /// The value of Strict-Transport-Security.
    hsts: Option<Box<str>>,
    to_https: Option<ToHttps>,
    /// Without names: loopback ones alone.
    is_of_loopback: bool,
}

impl Front {
    pub(crate) fn of(config: &Config) -> Self {
        let hosts = (!config.allowed_hosts.is_empty()).then(|| HostSet::of(&config.allowed_hosts));
        Self {
            is_open: hosts.is_none() && config.trusted_proxies.is_empty(),
            hosts,
            proxies: config.trusted_proxies.clone(),
            fields: config.proxy_fields.clone(),
            health_route: config.health_route.as_deref().map(Into::into),
            to_https: None,
            is_of_loopback: false,
            hsts: config.hsts.map(|time| format!("max-age={}", time.as_secs()).into()),
        }
    }

    /// The same with a way to TLS for those who come by a listener of that kind.
    pub(crate) fn with_https(self, to_https: Option<ToHttps>) -> Self {
        Self { to_https, ..self }
    }

    /// The same for a server that only this machine reaches: in debug mode, or if the configuration says so, it has no hosts but
    /// loopback ones until others are named. A page of another origin whose name leads here for a moment (DNS rebinding) asks for
    /// that name.
    pub(crate) fn on_loopback(self, config: &Config) -> Self {
        let is_of_loopback = self.hosts.is_none() && (config.debug || config.loopback_hosts_only);
        Self { is_of_loopback, is_open: self.is_open && !is_of_loopback, ..self }
    }

    /// Where those are sent who are to come by TLS.
    ///
    /// # Errors
    /// 421 for a host that is not the server's.
    pub(crate) fn to_https(&self, request: &Request) -> Result<Response, Refusal> {
        self.to_https.as_ref().map_or(Err(MISDIRECTED), |to_https| to_https.answer(request))
    }

    /// Notes what a trusted proxy says of the request, and whether the server has a host of that name at all. For each
    /// request whose head was read, before anything else is done with it.
    ///
    /// # Errors
    /// 421 for another host (RFC 9110 section 15.5.20); 400 for what a proxy forwards that nobody can understand.
    pub(crate) fn receive(&self, request: &mut Request) -> Result<(), Refusal> {
        if self.is_open { Ok(()) } else { self.look(request) }
    }

    /// Adds what every answer says to clients that came by TLS, refusals included (RFC 6797 section 7.1). A handler may
    /// have said it already. `is_secure` tells of the connection, for a request that could not be read.
    pub(crate) fn add_hsts(&self, request: Option<&Request>, is_secure: bool, response: &mut Response) {
        let Some(hsts) = &self.hsts else { return };
        let is_secure = request.map_or(is_secure, |request| request.scheme() == "https");
        if is_secure && !response.headers.contains(HSTS) {
            response.headers.push_checked(HSTS.as_bytes(), hsts.as_bytes());
        }
    }

    fn look(&self, request: &mut Request) -> Result<(), Refusal> {
        if self.trusts_peer(request) {
            let is_trusted = |address| self.trusts(address);
            let forwarded = forwarded::resolve(&request.headers, request.address, &self.fields, is_trusted)?;
            request.forwarded = forwarded.map(Box::new);
        }
        let is_ours = match &self.hosts {
            Some(hosts) => hosts.contains(request.host()),
            // No browser leaves the host out, as HTTP/1.0 allows.
            None => !self.is_of_loopback || request.host().is_empty() || is_loopback(request.host()),
        };
        if is_ours || self.is_health(request) { Ok(()) } else { Err(MISDIRECTED) }
    }

    fn trusts_peer(&self, request: &Request) -> bool {
        match request.address {
            NO_ADDRESS => self.proxies.contains(&TrustedProxy::Unix),
            peer => self.trusts(peer.ip()),
        }
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.contains(address))
    }

    fn is_health(&self, request: &Request) -> bool {
        self.health_route.as_deref() == Some(request.url())
    }
}

/// What to say at the start to somebody who serves any host on this address without having said so.
pub(crate) fn unnamed_hosts(config: &Config, address: SocketAddr) -> Option<String> {
    let is_public = config.allowed_hosts.is_empty() && !address.ip().to_canonical().is_loopback();
    is_public.then(|| {
        format!(
            "on {address} requests for any host name are answered; list the server's own in config[\"allowed_hosts\"], \
             or \"*\" if any is meant"
        )
    })
}

const HSTS: &str = "Strict-Transport-Security";
pub(super) const MISDIRECTED: Refusal = Refusal::limit(421, "this server has no host of that name", "allowed_hosts");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;
    use crate::message::RequestParts;

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
    fn only_those_who_came_by_tls_are_held_to_it() {
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
    fn whoever_serves_any_host_is_told() {
        let named = Config::from_values([("allowed_hosts", list(&["*"]))]).unwrap();
        for (address, is_told) in [
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.168.1.2:80", true),
            ("127.0.0.1:80", false),
            ("127.9.9.9:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(unnamed_hosts(&Config::default(), address).is_some(), is_told, "{address}");
            assert_eq!(unnamed_hosts(&named, address), None);
        }
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
    fn what_is_forwarded_is_what_is_checked() {
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
