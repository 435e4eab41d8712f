//! Trailers: fields behind the content of an answer, known only when the content has been made (RFC 9110 section 6.5).
//!
//! A stream has them at its end. They are sent in HTTP/2, and in the chunks of HTTP/1.1 to clients that say
//! `TE: trailers`; others do without.

use super::headers::Headers;
use crate::error::Error;

/// Fields behind the content.
///
/// ```
/// let mut trailers = outside::message::Trailers::new();
/// trailers.append("Server-Timing", "total;dur=12")?;
/// assert!(trailers.append("Content-Length", "5").is_err());
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Trailers(Headers);

/// Fields that a client has to know before the content: framing, routing, authentication, control of caches, and the
/// form of the content (RFC 9110 section 6.5.1).
const BEFORE_CONTENT: [&str; 29] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
];

impl Trailers {
    /// No fields.
    pub const fn new() -> Self {
        Self(Headers::new())
    }

    /// Adds a field.
    ///
    /// # Errors
    /// The name or the value is invalid, or the field belongs before the content.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        if BEFORE_CONTENT.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(Error::new(format!("{name} is no trailer: it belongs before the content")));
        }
        self.0.append(name, value)
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether the fields of a request say that its client takes trailers in HTTP/1.1 (RFC 9110 section 10.1.4).
pub(crate) fn takes_trailers(headers: &Headers) -> bool {
    let is_trailers = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"trailers");
    headers.get_all("te").any(|value| value.split(|byte| *byte == b',').any(is_trailers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_take_trailers() {
        for (value, wanted) in
            [("trailers", true), ("gzip;q=0.5, Trailers", true), ("trailers2", false), ("gzip", false), ("", false)]
        {
            let mut headers = Headers::new();
            headers.append("TE", value).unwrap();
            assert_eq!(takes_trailers(&headers), wanted, "{value}");
        }
        assert!(!takes_trailers(&Headers::new()));
    }
}
