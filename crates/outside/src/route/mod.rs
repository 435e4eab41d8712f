//! Finds the handler for a request.
//!
//! A plain route owns its path and everything below it; the longest one wins. A route with a pattern (`tree`) matches
//! whole paths for some methods, and may have parameters. If both match, the one with more literal segments at its
//! beginning wins; if these are equal, the pattern. Routes of a host precede those of all hosts, patterns included.
//!
//! ```
//! use outside::{OutsideHttp, Request};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.get("/users/{id:int}", |_request: &Request| "one user")?;
//! assert_eq!(outside::route::pattern_names("/users/{id:int}")?, ["id"]);
//! assert_eq!(server.patterns()[0].methods, ["GET"]);
//! # Ok::<(), outside::Error>(())
//! ```

mod address;
mod choice;
mod pattern;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) use choice::RouteChoice;
pub use choice::{PatternRoute, pattern_names};
use tree::Tree;

use crate::error::Error;
use crate::handler::Handler;
use crate::message::{HostKind, HostName, HostPattern, Request};
use crate::metrics::route_number;

/// Routes by host and path. Their maps hash with SipHash and random keys, because clients choose the keys that are
/// looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// Routes of all hosts.
    common: Paths,
    hosts: HashMap<Box<str>, Paths>,
    /// Routes of all hosts below a name.
    below: HashMap<Box<str>, Paths>,
    /// `None` while there is no route with a pattern, so that servers without them pay nothing.
    patterns: Option<Arc<Tree<Handler>>>,
    /// The patterns of routes that have a name.
    names: BTreeMap<Box<str>, Box<str>>,
}

/// Routes by path, in order: for the few routes that most servers have, comparing is quicker than hashing.
#[derive(Clone, Debug, Default)]
struct Paths(BTreeMap<Box<[u8]>, Route>);

/// One route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The path as it was set; if the route is for one host, the host comes before it.
    pub(crate) name: String,
    length: usize,
    is_of_host: bool,
    /// The number of its name for the metrics.
    pub(crate) number: u32,
    pub(crate) handler: Handler,
}

impl Route {
    /// Bytes of a matching path that are the route itself; nothing or `/` follows them.
    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

impl Routes {
    /// Sets a route of a host, or of all hosts, or replaces it. `/files` and `/files/` are the same route.
    pub(crate) fn set(&mut self, host: Option<&HostPattern>, path: &str, handler: Handler) -> Result<(), Error> {
        if !path.starts_with('/') {
            return Err(Error::new(format!(
                "a route starts with '/', for example {:?}, not {path:?}",
                format!("/{path}")
            )));
        }
        if let Some(bad) = path.chars().find(|letter| matches!(letter, '?' | '#') || letter.is_control()) {
            return Err(Error::new(format!("a route is a path and cannot hold {bad:?}: {path:?}")));
        }
        let paths = match host.map(|host| &host.0) {
            None | Some(HostKind::Any) => &mut self.common,
            Some(HostKind::Exact(name)) => self.hosts.entry(name.clone()).or_default(),
            Some(HostKind::Below(name)) => self.below.entry(name.clone()).or_default(),
        };
        let key = key(path);
        let is_of_host = host.is_some_and(|host| !matches!(host.0, HostKind::Any));
        let name = name(host, path);
        let number = route_number(&name);
        paths.0.insert(key.as_bytes().into(), Route { name, length: key.len(), is_of_host, number, handler });
        Ok(())
    }

    /// Removes a route; the error names the routes that exist.
    pub(crate) fn remove(&mut self, host: Option<&HostPattern>, path: &str) -> Result<(), Error> {
        let removed = match host.map(|host| &host.0) {
            None | Some(HostKind::Any) => self.common.0.remove(key(path).as_bytes()),
            Some(HostKind::Exact(name)) => take(&mut self.hosts, name, path),
            Some(HostKind::Below(name)) => take(&mut self.below, name, path),
        };
        if removed.is_some() {
            return Ok(());
        }
        let mut known: Vec<&str> = self.iter().map(|route| route.name.as_str()).collect();
        known.sort_unstable();
        let known =
            if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
        Err(Error::new(format!("no route {:?}; {known}", name(host, path))))
    }

    /// The route for a request: the longest one of exactly its host, else of the nearest name above that has one, else
    /// of all hosts.
    fn find(&self, request: &Request) -> Option<&Route> {
        let path = request.route_bytes();
        if self.hosts.is_empty() && self.below.is_empty() {
            return self.common.find(path);
        }
        let of_host = HostName::of(request.host()).and_then(|host| {
            let exact = self.hosts.get(host.as_str()).and_then(|paths| paths.find(path));
            let above = || host.parents().find_map(|parent| self.below.get(parent)?.find(path));
            exact.or_else(above)
        });
        of_host.or_else(|| self.common.find(path))
    }

    /// All routes, including those of hosts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        let all = std::iter::once(&self.common).chain(self.hosts.values()).chain(self.below.values());
        all.flat_map(|paths| paths.0.values())
    }
}

impl Paths {
    /// The longest route that is this path or a folder above it.
    fn find(&self, path: &[u8]) -> Option<&Route> {
        if self.0.is_empty() {
            return None;
        }
        let mut rest = path.strip_suffix(b"/").unwrap_or(path);
        loop {
            if let Some(route) = self.0.get(rest) {
                return Some(route);
            }
            match memchr::memrchr(b'/', rest) {
                Some(at) => rest = &rest[..at],
                None if rest.is_empty() => return None,
                None => rest = b"",
            }
        }
    }
}

/// Removes a route of a host. A host without routes is removed as well.
fn take(hosts: &mut HashMap<Box<str>, Paths>, host: &str, path: &str) -> Option<Route> {
    let paths = hosts.get_mut(host)?;
    let removed = paths.0.remove(key(path).as_bytes());
    if paths.0.is_empty() {
        hosts.remove(host);
    }
    removed
}

/// The name of a route: its path, with its host before it if it has one.
pub(crate) fn name(host: Option<&HostPattern>, path: &str) -> String {
    match host {
        None | Some(HostPattern(HostKind::Any)) => path.to_owned(),
        Some(host) => format!("{host}{path}"),
    }
}

/// The path without its last slash. `/` is the empty key, which is above every path.
fn key(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    fn request(host: &str, target: &str) -> Request {
        let headers = [("Host", host.as_bytes())];
        Request::from_parts(&RequestParts { target, headers: &headers, ..RequestParts::default() }).unwrap()
    }

    fn found<'r>(routes: &'r Routes, host: &str, target: &str) -> Option<&'r str> {
        routes.find(&request(host, target)).map(|route| route.name.as_str())
    }

    #[test]
    fn the_longest_route_wins_and_segments_are_whole() {
        let mut routes = Routes::default();
        for path in ["/files", "/files/deep/", "/a"] {
            routes.set(None, path, Handler::Redirect(path.into())).unwrap();
        }
        for (path, found) in [
            ("/files", Some("/files")),
            ("/files/", Some("/files")),
            ("/files/x.txt", Some("/files")),
            ("/filesystem", None),
            ("/files/deep", Some("/files/deep/")),
            ("/files/deep/er", Some("/files/deep/")),
            ("/files/deeper", Some("/files")),
            ("/", None),
        ] {
            assert_eq!(super::tests::found(&routes, "a", path), found, "{path}");
        }
        assert!(routes.common.find(b"*").is_none());
        routes.set(None, "/", Handler::Redirect("/".into())).unwrap();
        assert_eq!(found(&routes, "a", "/nothing"), Some("/"));
        assert_eq!(found(&routes, "a", "/"), Some("/"));
        let error = routes.remove(None, "/b").unwrap_err().to_string();
        assert!(error.contains("/a, /files, /files/deep/"), "{error}");
    }

    #[test]
    fn routes_of_hosts_come_first() {
        let mut routes = Routes::default();
        for (host, path) in [
            (None, "/"),
            (None, "/shared/deep"),
            (Some("api.example.com"), "/"),
            (Some("api.example.com"), "/v1/"),
            (Some("*.example.com"), "/below"),
            (Some("*.eu.example.com"), "/below"),
            (Some("*.eu.example.com"), "/below/eu"),
            (Some("shop.example.com"), "/cart"),
            (Some("::1"), "/six"),
        ] {
            let host: Option<HostPattern> = host.map(|host| host.parse().unwrap());
            routes.set(host.as_ref(), path, Handler::Redirect("/".into())).unwrap();
        }
        for (host, path, expected) in [
            ("example.com", "/below", "/"),
            ("", "/v1", "/"),
            ("api.example.com", "/v1/x", "api.example.com/v1/"),
            ("API.example.com.:8080", "/v1/x", "api.example.com/v1/"),
            ("api.example.com", "/", "api.example.com/"),
            ("api.example.com", "/below", "api.example.com/"),
            ("api.example.com", "/shared/deep", "api.example.com/"),
            ("shop.example.com", "/cart/1", "shop.example.com/cart"),
            ("shop.example.com", "/below/x", "*.example.com/below"),
            ("shop.example.com", "/shared/deep", "/shared/deep"),
            ("a.eu.example.com", "/below/eu", "*.eu.example.com/below/eu"),
            ("a.b.eu.example.com", "/below/x", "*.eu.example.com/below"),
            ("eu.example.com", "/below/eu", "*.example.com/below"),
            ("evilexample.com", "/below", "/"),
            ("[0::1]:80", "/six", "::1/six"),
            ("[::2]", "/six", "/"),
        ] {
            assert_eq!(found(&routes, host, path), Some(expected), "{host} {path}");
        }
        let host: HostPattern = "API.example.com:443".parse().unwrap();
        routes.remove(Some(&host), "/v1").unwrap();
        assert_eq!(found(&routes, "api.example.com", "/v1"), Some("api.example.com/"));
        let error = routes.remove(Some(&host), "/v1").unwrap_err().to_string();
        assert!(error.contains("no route \"api.example.com/v1\"; there are *.eu.example.com/below,"), "{error}");
        routes.remove(Some(&host), "/").unwrap();
        assert!(!routes.hosts.contains_key("api.example.com"));
        assert_eq!(found(&routes, "api.example.com", "/"), Some("/"));
    }
}
