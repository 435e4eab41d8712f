//! Patterns of whole paths as programmers write them: `/users/<int:id>` and `/users/{id:int}` mean the same.
//!
//! A parameter is a whole segment, or the part of one between a literal beginning and end (`/{name}.json`, `/@{user}`).
//! A pattern that could never match, or would match other paths than it seems to, is refused here, with the nearest
//! right name.

use std::cmp::Reverse;

use crate::error::Error;
use crate::message::Parameter;

/// The kinds of parameters. If several match a segment, the first in this order wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentKind {
    Int,
    Uuid,
    Float,
    Str,
    /// Everything up to the end, or up to the segments that follow.
    Path,
}

impl SegmentKind {
    const NAMES: [(&str, Self); 6] = [
        ("int", Self::Int),
        ("uuid", Self::Uuid),
        ("float", Self::Float),
        ("str", Self::Str),
        ("path", Self::Path),
        // Flask's name for it.
        ("string", Self::Str),
    ];

    /// As patterns spell it.
    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("str", |(name, _)| name)
    }

    /// Reads one segment of a path as this kind; `Path` never matches, because it is no single segment.
    pub(super) fn read(self, segment: &str) -> Option<Parameter> {
        match self {
            Self::Int => Parameter::int(segment),
            Self::Uuid => Parameter::uuid(segment),
            Self::Float => Parameter::float(segment),
            Self::Str => (!segment.is_empty()).then(|| Parameter::Text(segment.into())),
            Self::Path => None,
        }
    }
}

/// One segment of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PatternSegment {
    Literal(Box<str>),
    Parameter(SegmentParameter),
}

/// A parameter, and the literal text around it in its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentParameter {
    pub(super) kind: SegmentKind,
    prefix: Box<str>,
    suffix: Box<str>,
}

/// The rank of a parameter among those of one segment.
pub(super) type ParameterRank = (Reverse<usize>, u8, Reverse<usize>);

impl SegmentParameter {
    /// The rank among the parameters of one segment, the smallest first: the one with more text around it is the
    /// narrower one, then the kinds in their order.
    pub(super) fn rank(&self) -> ParameterRank {
        (Reverse(self.prefix.len() + self.suffix.len()), self.kind as u8, Reverse(self.prefix.len()))
    }

    /// Whether text is around it.
    pub(super) fn is_partial(&self) -> bool {
        !self.prefix.is_empty() || !self.suffix.is_empty()
    }

    /// The text before it and the text behind it.
    pub(super) fn around(&self) -> (&str, &str) {
        (&self.prefix, &self.suffix)
    }

    /// The part of a segment that is its value; `None` if the segment has other text around it.
    pub(super) fn value<'s>(&self, segment: &'s str) -> Option<&'s str> {
        segment.strip_prefix(&*self.prefix)?.strip_suffix(&*self.suffix)
    }
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Never empty: `/` is one empty literal.
    pub(super) segments: Vec<PatternSegment>,
    /// The names of its parameters, in order.
    pub(super) names: Vec<Box<str>>,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::new(format!("the route {text:?}: {reason}"));
        let Some(rest) = text.strip_prefix('/') else {
            let right = format!("/{text}");
            return Err(Error::new(format!("a route starts with '/', for example {right:?}, not {text:?}")));
        };
        if let Some(bad) = text.chars().find(|letter| matches!(letter, '?' | '#') || letter.is_control()) {
            return Err(Error::new(format!("a route is a path and cannot hold {bad:?}: {text:?}")));
        }
        let mut pattern = Self { segments: Vec::new(), names: Vec::new() };
        let mut left = rest.split('/').peekable();
        while let Some(segment) = left.next() {
            let is_last = left.peek().is_none();
            if segment.is_empty() && !is_last {
                return Err(wrong("it has an empty segment ('//')".to_owned()));
            }
            if segment == "." || segment == ".." {
                return Err(wrong(format!("it could never match: {segment:?} is taken out of every path")));
            }
            match parameter(segment).map_err(wrong)? {
                None => pattern.segments.push(PatternSegment::Literal(segment.into())),
                Some((name, parameter)) => {
                    if pattern.names.iter().any(|other| **other == *name) {
                        return Err(wrong(format!("two parameters are called {name:?}")));
                    }
                    let is_path = parameter.kind == SegmentKind::Path;
                    if is_path && pattern.segments.iter().any(PatternSegment::is_path) {
                        return Err(wrong("it has two parameters of the kind path".to_owned()));
                    }
                    if is_path && parameter.is_partial() {
                        return Err(wrong(format!(
                            "a parameter of the kind path is a whole segment, not a part of {segment:?}"
                        )));
                    }
                    pattern.names.push(name.into());
                    pattern.segments.push(PatternSegment::Parameter(parameter));
                }
            }
        }
        Ok(pattern)
    }

    /// Bytes at the beginning of the pattern that are the same in every matching path: the literal segments before the
    /// first parameter, each with its slash. The same as the length of a plain route with these segments.
    pub(super) fn literal_length(&self) -> usize {
        let literals = self.segments.iter().map_while(|segment| match segment {
            PatternSegment::Literal(text) => Some(text.len() + 1),
            PatternSegment::Parameter(_) => None,
        });
        literals.sum()
    }
}

impl PatternSegment {
    fn is_path(&self) -> bool {
        matches!(self, Self::Parameter(parameter) if parameter.kind == SegmentKind::Path)
    }
}

/// The name of `<name>`, `<kind:name>`, `{name}` or `{name:kind}`, and its place in the segment; `None` for a literal.
fn parameter(segment: &str) -> Result<Option<(&str, SegmentParameter)>, String> {
    let Some(open) = segment.find(['<', '>', '{', '}']) else { return Ok(None) };
    let malformed = || {
        format!("a parameter is written <name> or {{name}}, one as a whole segment or as a part of it, not {segment:?}")
    };
    let (prefix, rest) = segment.split_at(open);
    let is_angle = rest.starts_with('<');
    let closed = match rest.chars().next() {
        Some('<') => rest[1..].split_once('>'),
        Some('{') => rest[1..].split_once('}'),
        _ => None,
    };
    let (inside, suffix) = closed.ok_or_else(malformed)?;
    if inside.contains(['<', '>', '{', '}']) || suffix.contains(['<', '>', '{', '}']) {
        return Err(malformed());
    }
    let (name, kind) = match is_angle {
        true => inside.rsplit_once(':').map_or((inside, None), |(kind, name)| (name, Some(kind))),
        false => inside.split_once(':').map_or((inside, None), |(name, kind)| (name, Some(kind))),
    };
    let is_letter = |letter: char| letter == '_' || letter.is_alphabetic();
    if !name.starts_with(is_letter) || !name.chars().all(|letter| is_letter(letter) || letter.is_numeric()) {
        return Err(format!("a parameter is called like a variable, not {name:?}"));
    }
    let placed = |kind| Ok(Some((name, SegmentParameter { kind, prefix: prefix.into(), suffix: suffix.into() })));
    let Some(kind) = kind else { return placed(SegmentKind::Str) };
    match SegmentKind::NAMES.iter().find(|(known, _)| *known == kind) {
        Some((_, kind)) => placed(*kind),
        None => {
            let near = SegmentKind::NAMES[..5].iter().map(|(known, _)| (strsim::jaro_winkler(known, kind), *known));
            let nearest = near.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(score, _)| *score > 0.5);
            let hint = nearest.map_or_else(String::new, |(_, known)| format!("; did you mean {known:?}?"));
            Err(format!("there is no converter {kind:?}, only int, uuid, float, str and path{hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same() {
        for (one, other) in [
            ("/users/<id>", "/users/{id}"),
            ("/users/<str:id>", "/users/{id:str}"),
            ("/users/<string:id>", "/users/{id}"),
            ("/users/<int:id>/x/<float:f>", "/users/{id:int}/x/{f:float}"),
            ("/<uuid:u>/<path:rest>", "/{u:uuid}/{rest:path}"),
            ("/<path:rest>/edit", "/{rest:path}/edit"),
            ("/@<user>/v<int:n>.json", "/@{user}/v{n:int}.json"),
        ] {
            assert_eq!(Pattern::parse(one).unwrap(), Pattern::parse(other).unwrap(), "{one}");
        }
    }

    #[test]
    fn the_literal_beginning_is_as_long_as_a_plain_route() {
        for (pattern, length) in [("/", 1), ("/a/b", 4), ("/a/b/", 5), ("/a/<b>/c", 2), ("/<b>", 0)] {
            assert_eq!(Pattern::parse(pattern).unwrap().literal_length(), length, "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_could_not_match_is_refused() {
        for (pattern, says) in [
            ("users", "\"/users\""),
            ("", "starts with '/'"),
            ("/a?b", "'?'"),
            ("/a\nb", "cannot hold"),
            ("/a//b", "empty segment"),
            ("/a/../b", "could never match"),
            ("/<a>-<b>", "whole segment"),
            ("/v{n", "whole segment"),
            ("/v}n{", "whole segment"),
            ("/<a", "whole segment"),
            ("/{a<b>}", "whole segment"),
            ("/<path:a>.json", "kind path is a whole segment"),
            ("/<>", "like a variable"),
            ("/<int:>", "like a variable"),
            ("/<1a>", "like a variable"),
            ("/<a-b>", "like a variable"),
            ("/<intt:id>", "did you mean \"int\"?"),
            ("/{id:integer}", "did you mean \"int\"?"),
            ("/<re:a>", "only int, uuid, float, str and path"),
            ("/<int(max=5):a>", "no converter"),
            ("/<a>/<a>", "two parameters"),
            ("/<path:a>/<path:b>", "kind path"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err().to_string();
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }
}
