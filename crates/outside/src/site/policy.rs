//! The fields for browsers that every answer gets: CORS, security headers, and the limits of debug pages.

use crate::message::{Cors, Request, Response, SecurityHeaders};

/// The fields that answers get, and the answers to preflights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    pub(crate) cors: Option<Cors>,
    /// CORS rules in place of those, for everything below a path; the longest path first.
    below: Vec<(String, Cors)>,
    pub(crate) security: SecurityHeaders,
    /// Whether pages about exceptions may be among the answers.
    pub(crate) is_debug: bool,
}

impl Policy {
    /// Whether no field is to be added.
    pub(crate) fn is_empty(&self) -> bool {
        self.cors.is_none() && self.below.is_empty() && self.security.is_empty() && !self.is_debug
    }

    pub(crate) fn set_below(&mut self, path: &str, cors: Cors) {
        let path = path.trim_end_matches('/').to_owned();
        self.below.retain(|(other, _)| *other != path);
        self.below.push((path, cors));
        self.below.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// The answer to a preflight, if this request is one.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        self.cors_of(request)?.preflight(request)
    }

    /// Adds the fields to an answer.
    pub(crate) fn add_headers(&self, response: &mut Response, request: Option<&Request>) {
        let is_for_own_origin = self.is_debug && keeps_to_its_origin(response);
        self.security.add_to(&mut response.headers);
        if is_for_own_origin {
            forbid_others(response);
        } else if let Some(cors) = request.map_or(self.cors.as_ref(), |request| self.cors_of(request)) {
            cors.add_to(&mut response.headers, request);
        }
    }

    fn cors_of(&self, request: &Request) -> Option<&Cors> {
        let below = self.below.iter().find(|(route, _)| is_below(request.route(), route));
        below.map(|(_, cors)| cors).or(self.cors.as_ref())
    }
}

/// Whether an error answer is for its own origin alone, as a page about an exception is.
fn keeps_to_its_origin(response: &Response) -> bool {
    response.status >= 400 && response.headers.get("Cross-Origin-Resource-Policy") == Some("same-origin")
}

/// Removes the fields that let pages of other origins read an answer (CORS protocol, Resource Timing).
fn forbid_others(response: &mut Response) {
    let is_permission = |name: &str| {
        let name = name.to_ascii_lowercase();
        name.starts_with("access-control-") || name == "timing-allow-origin"
    };
    let names = response.headers.iter().map(|(name, _)| name).filter(|name| is_permission(name));
    for name in names.map(str::to_owned).collect::<Vec<_>>() {
        response.headers.remove(&name);
    }
}

/// Whether this path is the route, or below it.
fn is_below(path: &str, route: &str) -> bool {
    path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
