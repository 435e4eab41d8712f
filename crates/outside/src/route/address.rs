//! Addresses of the program's own routes: a path from the name or the pattern of a route, with values for its parameters.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Routes;
use super::pattern::{Pattern, PatternSegment, SegmentKind};
use crate::error::Error;

/// All but the characters that a segment may hold as they are (RFC 3986 section 3.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

impl Routes {
    /// Gives a pattern a name.
    ///
    /// # Errors
    /// Another pattern has the name.
    pub(crate) fn name(&mut self, name: &str, pattern: &str) -> Result<(), Error> {
        match self.names.get(name) {
            Some(known) if **known != *pattern => {
                Err(Error::new(format!("two routes have the name {name:?}: {known:?} and {pattern:?}")))
            }
            _ => {
                self.names.insert(name.into(), pattern.into());
                Ok(())
            }
        }
    }

    /// The path of a route with these values; those that are no parameters become the query.
    ///
    /// # Errors
    /// There is no such route, a value is missing, or one would not lead back to this route.
    pub(crate) fn url_for(&self, name: &str, values: &[(&str, &dyn Display)]) -> Result<String, Error> {
        let text = self.pattern_of(name)?;
        let pattern = Pattern::parse(text)?;
        let mut path = String::new();
        let mut names = pattern.names.iter();
        for segment in &pattern.segments {
            path.push('/');
            match segment {
                PatternSegment::Literal(literal) => path.extend(utf8_percent_encode(literal, SEGMENT)),
                PatternSegment::Parameter(segment) => {
                    let (kind, (prefix, suffix)) = (segment.kind, segment.around());
                    let parameter = names.next().map(AsRef::as_ref).unwrap_or_default();
                    let value = values.iter().find(|(name, _)| *name == parameter).ok_or_else(|| {
                        Error::new(format!("url_for({name:?}) lacks {parameter:?}: the route is {text:?}"))
                    })?;
                    path.extend(utf8_percent_encode(prefix, SEGMENT));
                    push_value(&mut path, kind, &value.1.to_string()).map_err(|value| {
                        let kind = kind.name();
                        Error::new(format!(
                            "url_for: {parameter}={value:?} does not fit the route {text:?}, where it is of the kind {kind:?}"
                        ))
                    })?;
                    path.extend(utf8_percent_encode(suffix, SEGMENT));
                }
            }
        }
        let others = values.iter().filter(|(name, _)| pattern.names.iter().all(|known| **known != **name));
        for (at, (name, value)) in others.enumerate() {
            path.push(if at == 0 { '?' } else { '&' });
            path.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
            path.push('=');
            path.extend(utf8_percent_encode(&value.to_string(), NON_ALPHANUMERIC));
        }
        Ok(path)
    }

    /// The pattern with this name; or that is written like this.
    fn pattern_of<'r>(&'r self, name: &'r str) -> Result<&'r str, Error> {
        let patterns = || self.patterns.iter().flat_map(|tree| tree.entries()).map(|entry| &*entry.named.pattern);
        let plain = || self.common.0.values().map(|route| route.name.as_str());
        if let Some(pattern) = self.names.get(name) {
            return Ok(pattern);
        }
        if let Some(pattern) = patterns().chain(plain()).find(|pattern| *pattern == name) {
            return Ok(pattern);
        }
        let all: Vec<&str> = match name.starts_with('/') {
            true => patterns().chain(plain()).collect(),
            false => self.names.keys().map(AsRef::as_ref).collect(),
        };
        let near = all.iter().map(|known| (strsim::jaro_winkler(known, name), known));
        let nearest = near.filter(|(score, _)| *score > 0.75).max_by(|one, other| one.0.total_cmp(&other.0));
        let hint = nearest.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default();
        let all = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
        Err(Error::new(format!("url_for({name:?}): no route has this name{hint}; there are {all}")))
    }
}

/// Adds one value, percent-encoded; or returns one that would not lead back to its route.
fn push_value(path: &mut String, kind: SegmentKind, value: &str) -> Result<(), String> {
    let is_step = |segment: &str| matches!(segment, "." | "..");
    let fits = match kind {
        SegmentKind::Path => !value.is_empty() && !value.starts_with('/') && !value.split('/').any(is_step),
        // An encoded slash would be none of this route's.
        SegmentKind::Str => !value.is_empty() && !value.contains('/') && !is_step(value),
        kind => kind.read(value).is_some(),
    };
    if !fits || value.contains('\0') {
        return Err(value.to_owned());
    }
    for (at, segment) in value.split('/').enumerate() {
        if at > 0 {
            path.push('/');
        }
        path.extend(utf8_percent_encode(segment, SEGMENT));
    }
    Ok(())
}
