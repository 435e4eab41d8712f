//! Plain routes beside routes with a pattern: the choice of the handler for a request.

use std::sync::Arc;

use super::pattern::{Pattern, PatternSegment};
use super::tree::{Found, Tree, TreeEntry, WantedPath};
use super::{Route, Routes};
use crate::error::Error;
use crate::files::Files;
use crate::handler::Handler;
use crate::message::{Parameters, Request, location};

/// The handler for a request.
#[derive(Debug)]
pub(crate) enum RouteChoice<'r> {
    NoRoute,
    Plain(&'r Route),
    /// The handler, the bytes of the path that are literal, and the parameters in the rest.
    Pattern(&'r Handler, usize, Parameters),
    /// The path has routes, but none for this method: their methods, sorted.
    Methods(Vec<&'r str>),
}

/// A route with a pattern, as listed for programs.
#[derive(Clone, Debug)]
pub struct PatternRoute {
    /// As it was written.
    pub pattern: String,
    /// In upper case, as they were given.
    pub methods: Vec<String>,
    /// The handler.
    pub handler: Handler,
}

/// The names of the parameters of a pattern, in order: for bindings.
///
/// # Errors
/// The pattern is invalid: [`crate::OutsideHttp::route`] would refuse it.
pub fn pattern_names(pattern: &str) -> Result<Vec<String>, Error> {
    Ok(Pattern::parse(pattern)?.names.into_iter().map(String::from).collect())
}

impl Routes {
    /// Adds a route of whole paths. `origin` is the place in the program where it was set.
    pub(crate) fn add_pattern(
        &mut self,
        pattern: &str,
        methods: &[&str],
        origin: String,
        handler: Handler,
    ) -> Result<(), Error> {
        let files = if let Handler::Files(files) = &handler { Some(Arc::clone(files)) } else { None };
        let mut tree = self.patterns.as_deref().cloned().unwrap_or_default();
        tree.add(pattern, methods, origin, handler)?;
        if let Some(files) = files {
            check_files(&files, pattern, methods)?;
        }
        self.patterns = Some(Arc::new(tree));
        Ok(())
    }

    /// Removes the routes that were added with exactly this pattern. Returns whether there were any.
    pub(crate) fn remove_pattern(&mut self, pattern: &str) -> bool {
        let Some(mut tree) = self.patterns.as_deref().cloned() else { return false };
        let removed = tree.remove(pattern);
        self.patterns = (!tree.entries().is_empty()).then(|| Arc::new(tree));
        self.names.retain(|_, known| **known != *pattern);
        removed
    }

    /// The handler for this request.
    pub(crate) fn choose(&self, request: &Request) -> RouteChoice<'_> {
        let plain = self.find(request);
        match &self.patterns {
            None => plain.map_or(RouteChoice::NoRoute, RouteChoice::Plain),
            Some(tree) => {
                let (route, url) = request.paths();
                choose_of_both(tree, plain, WantedPath { route, url }, request.method())
            }
        }
    }

    /// The path, percent-encoded, that differs from that of this request by the slash at its end alone, if a route with a
    /// pattern answers this method there.
    pub(crate) fn other_slash(&self, request: &Request) -> Option<String> {
        let tree = self.patterns.as_deref()?;
        let mut location = location(request.raw_path().as_bytes())?;
        if location == "/" {
            return None;
        }
        let toggle = |path: &mut String| match path.strip_suffix('/').map(str::len) {
            Some(length) => path.truncate(length),
            None => path.push('/'),
        };
        let (mut route, mut url) = (request.route().to_owned(), request.url().to_owned());
        [&mut location, &mut route, &mut url].into_iter().for_each(toggle);
        let found = tree.find(WantedPath { route: &route, url: &url }, request.method());
        matches!(found, Found::Route(..)).then_some(location)
    }

    /// The routes whose texts are nearest to a path, the nearest first, each with its methods: for programmers.
    pub(crate) fn nearest(&self, path: &str) -> Vec<String> {
        const MOST: usize = 5;
        let patterns = self.patterns().into_iter();
        let patterns =
            patterns.map(|route| (route.pattern.clone(), format!("{} {}", route.methods.join(" "), route.pattern)));
        let plain = self.common.0.values().map(|route| (route.name.clone(), route.name.clone()));
        let scored = patterns.chain(plain).map(|(text, shown)| (strsim::jaro_winkler(path, &text), shown));
        let mut scored: Vec<(f64, String)> = scored.collect();
        scored.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        scored.into_iter().take(MOST).map(|(_, shown)| shown).collect()
    }

    /// The routes with a pattern, sorted by it.
    pub(crate) fn patterns(&self) -> Vec<PatternRoute> {
        let mut routes: Vec<PatternRoute> = self.patterns.iter().flat_map(|tree| tree.entries()).map(shown).collect();
        routes.sort_by(|one, other| (&one.pattern, &one.methods).cmp(&(&other.pattern, &other.methods)));
        routes
    }
}

fn choose_of_both<'r>(
    tree: &'r Tree<Handler>,
    plain: Option<&'r Route>,
    path: WantedPath<'_>,
    method: &str,
) -> RouteChoice<'r> {
    let found = tree.find(path, method);
    let literal_length = match &found {
        Found::Nothing => return plain.map_or(RouteChoice::NoRoute, RouteChoice::Plain),
        Found::Route(entry, _) | Found::Methods(_, entry) => entry.literal_length,
    };
    match (plain, found) {
        (Some(plain), _) if plain.is_of_host || plain.length() > literal_length => RouteChoice::Plain(plain),
        (_, Found::Route(entry, values)) => {
            let parameters = Parameters { route: Arc::clone(&entry.named), values };
            RouteChoice::Pattern(&entry.what, literal_length, parameters)
        }
        (_, Found::Methods(methods, _)) => RouteChoice::Methods(methods),
        (_, Found::Nothing) => RouteChoice::NoRoute,
    }
}

/// Refuses a pattern or methods with which these files would never be found.
fn check_files(files: &Files, pattern: &str, methods: &[&str]) -> Result<(), Error> {
    if !methods.iter().any(|method| matches!(*method, "GET" | "HEAD")) {
        let text = format!("files are answered to GET and HEAD, not to {}: {pattern:?}", methods.join(", "));
        return Err(Error::new(text));
    }
    let segments = Pattern::parse(pattern)?.segments;
    let open = segments.iter().position(|segment| matches!(segment, PatternSegment::Parameter(_)));
    if !files.is_folder() || open.is_some_and(|at| at + 1 == segments.len()) {
        return Ok(());
    }
    let literal = match pattern.find(['<', '{']) {
        Some(at) => pattern[..at].trim_end_matches('/'),
        None => pattern.trim_end_matches('/'),
    };
    let path = if literal.is_empty() { "/" } else { literal };
    Err(Error::new(format!(
        "the route {pattern:?} is for whole paths, so that nothing in the folder would be found: set_route({path:?}, folder) serves it \
         with all that is below, as does a pattern that ends with its only parameter, such as \"{literal}/<path:name>\""
    )))
}

fn shown(entry: &Arc<TreeEntry<Handler>>) -> PatternRoute {
    PatternRoute {
        pattern: entry.named.pattern.to_string(),
        methods: entry.methods.iter().map(|method| method.to_string()).collect(),
        handler: entry.what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    #[test]
    fn of_a_plain_route_and_a_pattern_the_more_literal_one_answers() {
        let mut routes = Routes::default();
        for path in ["/", "/static", "/users/7"] {
            routes.set(None, path, Handler::Redirect(path.into())).unwrap();
        }
        for pattern in ["/", "/users/<int:id>", "/static/<path:p>", "/<path:rest>", "/static/a/<b>"] {
            let handler = Handler::Redirect(pattern.into());
            routes.add_pattern(pattern, &["GET"], "here".to_owned(), handler).unwrap();
        }
        for (method, path, expected) in [
            ("GET", "/", "pattern /"),
            ("POST", "/", "405"),
            ("GET", "/users/8", "pattern /users/<int:id>"),
            ("POST", "/users/8", "405"),
            ("GET", "/users/7", "plain /users/7"),
            ("POST", "/users/7", "plain /users/7"),
            ("GET", "/static", "plain /static"),
            ("GET", "/static/x", "pattern /static/<path:p>"),
            ("GET", "/static/a/b", "pattern /static/a/<b>"),
            ("GET", "/other", "pattern /<path:rest>"),
        ] {
            let parts = RequestParts { method, target: path, ..RequestParts::default() };
            let request = Request::from_parts(&parts).unwrap();
            let chosen = match routes.choose(&request) {
                RouteChoice::NoRoute => "no route".to_owned(),
                RouteChoice::Plain(route) => format!("plain {}", route.name),
                RouteChoice::Pattern(Handler::Redirect(pattern), ..) => format!("pattern {pattern}"),
                RouteChoice::Pattern(..) => "another handler".to_owned(),
                RouteChoice::Methods(_) => "405".to_owned(),
            };
            assert_eq!(chosen, expected, "{method} {path}");
        }
        assert!(routes.remove_pattern("/") && !routes.remove_pattern("/"));
    }

    #[test]
    fn files_are_refused_where_they_would_never_be_found() {
        let folder = || Handler::Files(Arc::new(Files::at("src").unwrap()));
        let file = || Handler::Files(Arc::new(Files::at("Cargo.toml").unwrap()));
        for (pattern, methods, handler, says) in [
            ("/files", &["GET"][..], folder(), "set_route(\"/files\", folder)"),
            ("/", &["GET"], folder(), "set_route(\"/\", folder)"),
            ("/u/{id}/files", &["GET"], folder(), "\"/u/<path:name>\""),
            ("/a", &["POST", "PUT"], file(), "not to POST, PUT"),
        ] {
            let refused = Routes::default().add_pattern(pattern, methods, "here".to_owned(), handler);
            let text = refused.unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
        for (pattern, methods, handler) in [
            ("/files/<path:name>", &["GET"][..], folder()),
            ("/flat/{name}", &["HEAD"], folder()),
            ("/a", &["GET", "POST"], file()),
            ("/a/{id}/b", &["GET"], file()),
        ] {
            Routes::default().add_pattern(pattern, methods, "here".to_owned(), handler).unwrap();
        }
    }
}
