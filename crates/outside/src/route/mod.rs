//! Which handler a path belongs to: a route owns its path and everything below it, the longest one wins.

use std::collections::HashMap;

use crate::error::Error;
use crate::handler::Handler;

/// Routes by path. The map is keyed by SipHash with random keys: clients choose the paths that are looked up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    by_path: HashMap<Box<str>, Route>,
}

/// One route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// The path as it was set.
    pub(crate) path: String,
    pub(crate) handler: Handler,
}

impl Route {
    /// How much of a path that was found for it is the route itself; behind it comes nothing, or `/` and what follows.
    pub(crate) fn length(&self) -> usize {
        key(&self.path).len()
    }
}

impl Routes {
    /// Sets a route or replaces it. `/files` and `/files/` are the same route.
    pub(crate) fn set(&mut self, path: &str, handler: Handler) -> Result<(), Error> {
        if !path.starts_with('/') {
            return Err(Error::new(format!(
                "a route starts with '/', for example {:?}, not {path:?}",
                format!("/{path}")
            )));
        }
        if let Some(bad) = path.chars().find(|letter| matches!(letter, '?' | '#') || letter.is_control()) {
            return Err(Error::new(format!("a route is a path and cannot hold {bad:?}: {path:?}")));
        }
        self.by_path.insert(key(path).into(), Route { path: path.to_owned(), handler });
        Ok(())
    }

    /// Takes a route out; the error names those there are.
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), Error> {
        if self.by_path.remove(key(path)).is_some() {
            return Ok(());
        }
        let mut known: Vec<&str> = self.by_path.values().map(|route| route.path.as_str()).collect();
        known.sort_unstable();
        let known =
            if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
        Err(Error::new(format!("no route {path:?}; {known}")))
    }

    /// The longest route that is this path or a folder above it.
    pub(crate) fn find(&self, path: &str) -> Option<&Route> {
        let mut rest = key(path);
        loop {
            if let Some(route) = self.by_path.get(rest) {
                return Some(route);
            }
            match rest.rfind('/') {
                Some(at) => rest = &rest[..at],
                None if rest.is_empty() => return None,
                None => rest = "",
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.by_path.values()
    }
}

/// The path without its last slash: `/` is the empty key, which everything is below.
fn key(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_route_wins_and_segments_are_whole() {
        let mut routes = Routes::default();
        for path in ["/files", "/files/deep/", "/a"] {
            routes.set(path, Handler::Redirect(path.into())).unwrap();
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
            ("*", None),
        ] {
            assert_eq!(routes.find(path).map(|route| route.path.as_str()), found, "{path}");
        }
        routes.set("/", Handler::Redirect("/".into())).unwrap();
        assert_eq!(routes.find("/nothing").map(|route| route.path.as_str()), Some("/"));
        assert_eq!(routes.find("/").map(|route| route.path.as_str()), Some("/"));
        let error = routes.remove("/b").unwrap_err().to_string();
        assert!(error.contains("/a, /files, /files/deep/"), "{error}");
    }
}
