//! Security fields that every answer gets: they tell browsers how a page may be used.

use super::headers::Headers;
use crate::error::Error;

/// Fields that every answer gets, unless it has them already (docs/security.md D37).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityHeaders(Vec<(String, String)>);

impl SecurityHeaders {
    /// Fields that harm no page: media types are not guessed, and other sites learn only the origin.
    pub fn basic() -> Self {
        Self::of(BASIC)
    }

    /// These, and fields that a page must be prepared for: no content of other origins, no framing.
    pub fn strict() -> Self {
        let mut strict = Self::of(BASIC);
        strict.0.extend(Self::of(STRICT).0);
        strict
    }

    /// These fields, by name and value.
    ///
    /// # Errors
    /// A name or value is invalid.
    pub fn listed<S: AsRef<str>>(fields: impl IntoIterator<Item = (S, S)>) -> Result<Self, Error> {
        let (mut listed, mut check) = (Vec::new(), Headers::new());
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref().trim_ascii());
            check.append(name, value)?;
            listed.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self(listed))
    }

    fn of(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the fields to an answer.
    pub(crate) fn add_to(&self, headers: &mut Headers) {
        for (name, value) in &self.0 {
            if !headers.contains(name) {
                headers.push_checked(name.as_bytes(), value.as_bytes());
            }
        }
    }
}

const BASIC: &[(&str, &str)] =
    &[("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "strict-origin-when-cross-origin")];
const STRICT: &[(&str, &str)] = &[
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_breaks_the_message_is_refused() {
        assert!(SecurityHeaders::listed([("X", "a\r\nY: b")]).is_err());
    }
}
