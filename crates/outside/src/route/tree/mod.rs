//! Routes of whole paths, as a tree of segments: finds the route for a path and a method, and its parameters.
//!
//! Pure and bounded: a look-up visits no node twice, so that it costs at most the number of nodes for any path. Where
//! several routes match, the first segment in which they differ decides: a literal before parameters with text around
//! them, and these before int, uuid, float, str and path, in this order. A route without the method leaves the path to the
//! next one that matches.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::{ParameterRank, Pattern, PatternSegment, SegmentKind, SegmentParameter};
use crate::error::Error;
use crate::message::{Named, Parameter};
use crate::metrics::route_number;

/// A route: its value, and its properties.
#[derive(Debug)]
pub(crate) struct TreeEntry<T> {
    pub(crate) named: Arc<Named>,
    /// In bytes: see [`Pattern::literal_length`].
    pub(crate) literal_length: usize,
    /// The place in the program where the route was set, for the error about a second route of the same paths.
    origin: String,
    pub(crate) methods: Vec<Box<str>>,
    pub(crate) what: T,
}

/// A path to look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedPath<'p> {
    /// Decoded, but an encoded slash is still `%2F`; see `message::target`.
    pub(crate) route: &'p str,
    /// Decoded; the same, unless a slash was encoded.
    pub(crate) url: &'p str,
}

/// The result of a look-up.
#[derive(Debug)]
pub(crate) enum Found<'t, T> {
    Nothing,
    Route(&'t Arc<TreeEntry<T>>, Vec<Parameter>),
    /// The path has routes, but none for this method: the methods that there are, sorted (RFC 9110 section 10.2.1), and
    /// the first of these routes.
    Methods(Vec<&'t str>, &'t Arc<TreeEntry<T>>),
}

/// All routes of whole paths.
#[derive(Clone, Debug)]
pub(crate) struct Tree<T> {
    root: TreeNode<T>,
}

#[derive(Clone, Debug)]
struct TreeNode<T> {
    /// Hashed by SipHash with random keys, because clients choose the keys that are looked up.
    literals: HashMap<Box<str>, Self>,
    /// In the order of their ranks.
    parameters: Vec<(SegmentParameter, Self)>,
    /// Parameters of the kind path, each with the segments behind it; those with more segments first.
    paths: Vec<(Vec<PatternSegment>, Ends<T>)>,
    ends: Ends<T>,
}

type Ends<T> = Vec<Arc<TreeEntry<T>>>;

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { root: TreeNode::default() }
    }
}

impl<T> Default for TreeNode<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), parameters: Vec::new(), paths: Vec::new(), ends: Vec::new() }
    }
}

impl<T> Tree<T> {
    /// Adds a route.
    ///
    /// # Errors
    /// The pattern is invalid, a method is no token, or another route answers the same paths for one of the methods:
    /// the text names both.
    pub(crate) fn add(&mut self, pattern: &str, methods: &[&str], origin: String, what: T) -> Result<(), Error> {
        let parsed = Pattern::parse(pattern)?;
        check_methods(pattern, methods)?;
        let literal_length = parsed.literal_length();
        let ends = self.root.ends_of(&parsed.segments);
        for method in methods {
            if let Some(other) = ends.iter().find(|other| other.has(method)) {
                return Err(Error::new(format!(
                    "{method} {pattern:?} of {origin} is answered already: by {:?} of {}",
                    other.named.pattern, other.origin
                )));
            }
        }
        ends.push(Arc::new(TreeEntry {
            named: Arc::new(Named { pattern: pattern.into(), names: parsed.names, number: route_number(pattern) }),
            literal_length,
            origin,
            methods: methods.iter().map(|&method| method.into()).collect(),
            what,
        }));
        Ok(())
    }

    /// Removes the routes that were added with exactly this pattern. Returns whether there were any.
    pub(crate) fn remove(&mut self, pattern: &str) -> bool {
        let Ok(parsed) = Pattern::parse(pattern) else { return false };
        let ends = self.root.ends_of(&parsed.segments);
        let before = ends.len();
        ends.retain(|entry| *entry.named.pattern != *pattern);
        ends.len() < before
    }

    /// The route for a path and a method.
    pub(crate) fn find<'t>(&'t self, path: WantedPath<'_>, method: &str) -> Found<'t, T> {
        let Some(rest) = path.route.strip_prefix('/') else { return Found::Nothing };
        let mut search = TreeSearch { path, method, values: Vec::new(), found: None, first: None, methods: Vec::new() };
        if search.visit(&self.root, Some(rest))
            && let Some(entry) = search.found
        {
            return Found::Route(entry, search.values);
        }
        match search.first {
            None => Found::Nothing,
            Some(first) => {
                search.methods.push("OPTIONS");
                search.methods.sort_unstable();
                search.methods.dedup();
                Found::Methods(search.methods, first)
            }
        }
    }

    /// All routes, in no order.
    pub(crate) fn entries(&self) -> Vec<&Arc<TreeEntry<T>>> {
        let mut entries = Vec::new();
        let mut left = vec![&self.root];
        while let Some(node) = left.pop() {
            entries.extend(node.ends.iter().chain(node.paths.iter().flat_map(|(_, ends)| ends)));
            left.extend(node.literals.values().chain(node.parameters.iter().map(|(_, node)| node)));
        }
        entries
    }
}

fn check_methods(pattern: &str, methods: &[&str]) -> Result<(), Error> {
    if methods.is_empty() {
        return Err(Error::new(format!("the route {pattern:?} has no method")));
    }
    // Standard methods are upper case, and methods are case-sensitive (RFC 9110 section 9.1): any other would never
    // match.
    let is_method = |method: &str| !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    match methods.iter().find(|method| !is_method(method)) {
        Some(bad) => {
            Err(Error::new(format!("the route {pattern:?}: a method is upper case, such as \"GET\", not {bad:?}")))
        }
        None => Ok(()),
    }
}

impl<T> TreeEntry<T> {
    /// Whether the route answers this method. GET answers HEAD as well (RFC 9110 section 9.3.2).
    fn has(&self, method: &str) -> bool {
        self.methods.iter().any(|own| **own == *method)
    }
}

impl<T> TreeNode<T> {
    /// The ends of the routes with these segments; added if missing.
    fn ends_of(&mut self, segments: &[PatternSegment]) -> &mut Ends<T> {
        let Some((first, rest)) = segments.split_first() else { return &mut self.ends };
        match first {
            PatternSegment::Literal(text) => self.literals.entry(text.clone()).or_default().ends_of(rest),
            PatternSegment::Parameter(parameter) if parameter.kind == SegmentKind::Path => {
                let at = match self.paths.iter().position(|(suffix, _)| suffix == rest) {
                    Some(at) => at,
                    None => {
                        let at = self.paths.partition_point(|(suffix, _)| rank(suffix) <= rank(rest));
                        self.paths.insert(at, (rest.to_vec(), Vec::new()));
                        at
                    }
                };
                &mut self.paths[at].1
            }
            PatternSegment::Parameter(parameter) => {
                let at = match self.parameters.iter().position(|(other, _)| other == parameter) {
                    Some(at) => at,
                    None => {
                        let at = self.parameters.partition_point(|(other, _)| other.rank() <= parameter.rank());
                        self.parameters.insert(at, (parameter.clone(), Self::default()));
                        at
                    }
                };
                self.parameters[at].1.ends_of(rest)
            }
        }
    }
}

/// The rank of an end behind a path parameter; the smallest is tried first: the longest, and of equal length the one
/// with a literal or the narrower parameter where they differ.
fn rank(suffix: &[PatternSegment]) -> (Reverse<usize>, Vec<Option<ParameterRank>>) {
    let ranks = suffix.iter().map(|segment| match segment {
        PatternSegment::Literal(_) => None,
        PatternSegment::Parameter(parameter) => Some(parameter.rank()),
    });
    (Reverse(suffix.len()), ranks.collect())
}

/// A look-up in progress.
struct TreeSearch<'t, 'p, T> {
    path: WantedPath<'p>,
    method: &'p str,
    values: Vec<Parameter>,
    found: Option<&'t Arc<TreeEntry<T>>>,
    /// The first route of this path that lacks the method.
    first: Option<&'t Arc<TreeEntry<T>>>,
    methods: Vec<&'t str>,
}

impl<'t, T> TreeSearch<'t, '_, T> {
    /// Whether a route below this node matches. `rest` is the unread part of the path; `None` if there is none, not
    /// even an empty segment.
    ///
    /// A node is visited once at most, because its parent has one edge for each literal and parameter, and all edges of
    /// a node read the same segment. So a path with many segments costs no more than the nodes that there are, even if
    /// several kinds match at each level and none at the last.
    fn visit(&mut self, node: &'t TreeNode<T>, rest: Option<&str>) -> bool {
        let Some(rest) = rest else { return self.arrive(&node.ends) };
        let (segment, next) = rest.split_once('/').map_or((rest, None), |(segment, next)| (segment, Some(next)));
        if let Some(child) = node.literals.get(segment)
            && self.visit(child, next)
        {
            return true;
        }
        for (parameter, child) in &node.parameters {
            if let Some(value) = self.read(parameter, segment) {
                self.values.push(value);
                if self.visit(child, next) {
                    return true;
                }
                self.values.pop();
            }
        }
        node.paths.iter().any(|(suffix, ends)| self.visit_path(suffix, ends, rest))
    }

    /// Whether a path parameter with these segments behind it matches. The parameter takes all that they leave: there
    /// is only one way to match, so nothing is retried.
    fn visit_path(&mut self, suffix: &[PatternSegment], ends: &'t Ends<T>, rest: &str) -> bool {
        let before = self.values.len();
        let matches = self.take_path(suffix, rest).is_some_and(|text| {
            self.values.push(Parameter::Text(text));
            self.values[before..].reverse();
            self.arrive(ends)
        });
        if !matches {
            self.values.truncate(before);
        }
        matches
    }

    /// The value of a path parameter, after the values of the segments behind it, which are taken from the end.
    fn take_path(&mut self, suffix: &[PatternSegment], rest: &str) -> Option<Box<str>> {
        let mut left = rest;
        for segment in suffix.iter().rev() {
            let (shorter, last) = left.rsplit_once('/')?;
            match segment {
                PatternSegment::Literal(text) if **text == *last => {}
                PatternSegment::Literal(_) => return None,
                PatternSegment::Parameter(parameter) => {
                    let value = self.read(parameter, last)?;
                    self.values.push(value);
                }
            }
            left = shorter;
        }
        let text = self.decoded(self.path.route.len() - rest.len(), left.len());
        // A value that begins with a slash is refused: joined to a folder it would name another place altogether.
        (!text.is_empty() && !text.starts_with('/')).then_some(text)
    }

    fn arrive(&mut self, ends: &'t Ends<T>) -> bool {
        let asked = |method: &str| ends.iter().find(|entry| entry.has(method));
        self.found = asked(self.method).or_else(|| (self.method == "HEAD").then(|| asked("GET")).flatten());
        if self.found.is_none()
            && let Some(first) = ends.first()
        {
            self.first.get_or_insert(first);
            for method in ends.iter().flat_map(|entry| &entry.methods) {
                self.methods.push(method);
                if **method == *"GET" {
                    self.methods.push("HEAD");
                }
            }
        }
        self.found.is_some()
    }

    fn read(&self, parameter: &SegmentParameter, segment: &str) -> Option<Parameter> {
        // A str holds no slash, encoded or not.
        if parameter.kind == SegmentKind::Str && self.has_encoded_slash() && segment.contains("%2F") {
            return None;
        }
        parameter.kind.read(parameter.value(segment)?)
    }

    fn has_encoded_slash(&self) -> bool {
        self.path.route.len() != self.path.url.len()
    }

    /// A part of the path with its encoded slashes decoded; only in these do the two forms of the path differ.
    fn decoded(&self, start: usize, length: usize) -> Box<str> {
        let (route, url) = (self.path.route, self.path.url);
        if !self.has_encoded_slash() {
            return route[start..start + length].into();
        }
        let (mut at, mut text) = (0, String::with_capacity(length));
        for letter in url.chars() {
            if at >= start + length {
                break;
            }
            if at >= start {
                text.push(letter);
            }
            let is_encoded = letter == '/' && !route[at..].starts_with('/');
            at += if is_encoded { "%2F".len() } else { letter.len_utf8() };
        }
        text.into()
    }
}

#[cfg(test)]
mod tests;
