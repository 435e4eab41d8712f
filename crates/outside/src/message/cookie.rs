//! Cookies both ways: the `Cookie` field of a request (RFC 6265 section 5.4), `Set-Cookie` of a response (section 4.1).
//!
//! Reading is linear and lenient, as servers must be; writing refuses values that would break the field.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::headers::Headers;
use super::name::{KnownHeader, is_token};
use crate::error::Error;

/// The cookies of a request: names and values in the order received.
pub struct Cookies<'a> {
    headers: &'a Headers,
    limit: usize,
}

impl<'a> Cookies<'a> {
    pub(crate) fn new(headers: &'a Headers, limit: usize) -> Self {
        Self { headers, limit }
    }

    /// The first cookie of this name (browsers send the one with the most specific path first).
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values as bytes, in order, without surrounding quotes. A pair without `=` or without a name is left
    /// out: it could forge a `__Host-` cookie (RFC 6265bis section 5.6).
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.headers
            .all_known(KnownHeader::Cookie)
            .flat_map(|value| value.split(|&byte| byte == b';'))
            .filter_map(|pair| {
                let at = memchr::memchr(b'=', pair)?;
                let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
                let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
                (!name.is_empty()).then_some((name, value))
            })
            .take(self.limit)
    }
}

/// The rule for sending the cookie with requests that other sites caused (RFC 6265bis section 5.5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Only with requests of the same site.
    Strict,
    /// Also when the user follows a link to the site; the default of browsers.
    Lax,
    /// Always; browsers require `secure` with it.
    None,
}

impl SameSite {
    /// As the attribute spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }

    /// Reads the attribute in any case.
    ///
    /// # Errors
    /// The text is none of `Strict`, `Lax`, `None`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        [Self::Strict, Self::Lax, Self::None]
            .into_iter()
            .find(|kind| kind.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::new(format!("same_site is 'Strict', 'Lax' or 'None', not {text:?}")))
    }
}

/// A cookie to be set by a response; written as RFC 6265 section 4.1 asks.
///
/// ```
/// use outside::message::ResponseCookie;
/// let cookie = ResponseCookie { max_age: Some(3600), http_only: true, ..ResponseCookie::new("abc") };
/// assert_eq!(cookie.to_field("session")?, "session=abc; Max-Age=3600; HttpOnly");
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseCookie {
    /// The value: no control bytes, white space, quotes, commas, semicolons or backslashes.
    pub value: String,
    /// Seconds for which the browser keeps it; 0 or less deletes it; `None`: until the browser ends.
    pub max_age: Option<i64>,
    /// Also sent to subdomains of this domain.
    pub domain: Option<String>,
    /// Whether it is hidden from scripts.
    pub http_only: bool,
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// Sent for this path and everything below it.
    pub path: Option<String>,
    /// The rule for requests that other sites caused; `None`: the browser's default.
    pub same_site: Option<SameSite>,
    /// When the browser forgets it, in seconds since 1970, for clients that do not know `max_age`.
    pub expires: Option<u64>,
    /// Whether it is kept apart for each site that embeds this one (CHIPS); needs `secure`.
    pub partitioned: bool,
}

impl ResponseCookie {
    /// A cookie with this value and no attributes.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), ..Self::default() }
    }

    /// The value of the `Set-Cookie` field under this name.
    ///
    /// # Errors
    /// The name is not a token; the value or an attribute would break the field; `SameSite=None` without `secure`.
    pub fn to_field(&self, name: &str) -> Result<String, Error> {
        if !is_token(name.as_bytes()) {
            return Err(Error::new(format!("a cookie name is one or more token characters, not {name:?}")));
        }
        self.check()?;
        let mut field = format!("{name}={}", self.value);
        let mut attribute = |text: std::fmt::Arguments<'_>| {
            field.push_str("; ");
            // Writing to a String cannot fail.
            field.write_fmt(text).unwrap_or_default();
        };
        if let Some(seconds) = self.max_age {
            attribute(format_args!("Max-Age={seconds}"));
        }
        if let Some(time) = self.expires {
            attribute(format_args!("Expires={}", httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time))));
        }
        if let Some(domain) = &self.domain {
            attribute(format_args!("Domain={domain}"));
        }
        if let Some(path) = &self.path {
            attribute(format_args!("Path={path}"));
        }
        if self.secure {
            attribute(format_args!("Secure"));
        }
        if self.http_only {
            attribute(format_args!("HttpOnly"));
        }
        if let Some(same_site) = self.same_site {
            attribute(format_args!("SameSite={}", same_site.as_str()));
        }
        if self.partitioned {
            attribute(format_args!("Partitioned"));
        }
        Ok(field)
    }

    /// Checks whether this cookie can be written as it is meant.
    ///
    /// # Errors
    /// The value or an attribute would break the field; `SameSite=None` without `secure`, which browsers drop.
    pub fn check(&self) -> Result<(), Error> {
        let quoted = self.value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = quoted.unwrap_or(&self.value);
        if let Some(bad) = value.chars().find(|&letter| !is_cookie_octet(letter)) {
            return Err(Error::new(format!(
                "a cookie value may not hold {bad:?} (RFC 6265 section 4.1.1); encode it, for example in base64: {:?}",
                self.value
            )));
        }
        for (attribute, text) in [("domain", &self.domain), ("path", &self.path)] {
            let Some(text) = text else { continue };
            if let Some(bad) = text.chars().find(|&letter| letter == ';' || !(' '..='~').contains(&letter)) {
                return Err(Error::new(format!("the {attribute} of a cookie may not hold {bad:?}: {text:?}")));
            }
        }
        if self.same_site == Some(SameSite::None) && !self.secure {
            return Err(Error::new("same_site='None' needs secure=True: browsers drop the cookie otherwise"));
        }
        if self.partitioned && !self.secure {
            return Err(Error::new("partitioned=True needs secure=True: browsers drop the cookie otherwise"));
        }
        if self.expires.is_some_and(|time| time > LAST_TIME) {
            return Err(Error::new("a cookie expires before the year 10000"));
        }
        Ok(())
    }
}

/// The last second of the year 9999, which dates of HTTP can say.
const LAST_TIME: u64 = 253_402_300_799;

/// Whether this is a cookie-octet (RFC 6265 section 4.1.1).
fn is_cookie_octet(letter: char) -> bool {
    matches!(letter, '!' | '#'..='+' | '-'..=':' | '<'..='[' | ']'..='~')
}
