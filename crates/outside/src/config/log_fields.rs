//! The fields of a line of the access log (`access_log_fields`), and those that are never written.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// A field of a line of the access log in JSON, and an attribute of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`MEANINGS` documents each one")]
pub enum LogField {
    Time,
    Client,
    Peer,
    Method,
    Target,
    Path,
    Query,
    Version,
    Status,
    Bytes,
    Microseconds,
    Host,
    Scheme,
    Referer,
    Agent,
    Route,
    RequestId,
    TraceId,
    SpanId,
    End,
    Worker,
    /// A field of the request, by its name in lower case.
    Header(String),
}

/// Every field but those of the request, with its name and its meaning.
pub const LOG_FIELDS: &[(&str, LogField, &str)] = &[
    ("time", LogField::Time, "when the answer was sent, in UTC"),
    ("client", LogField::Client, "the address of the client, as a trusted proxy names it"),
    ("peer", LogField::Peer, "the address of the connected peer, the client or a proxy"),
    ("method", LogField::Method, "the method"),
    ("target", LogField::Target, "path and query as they were received"),
    ("path", LogField::Path, "the path, decoded"),
    ("query", LogField::Query, "the query as it was received"),
    ("version", LogField::Version, "the version of HTTP"),
    ("status", LogField::Status, "the status; 499 if the client had left before there was an answer"),
    ("bytes", LogField::Bytes, "bytes of content that were sent"),
    ("microseconds", LogField::Microseconds, "from the end of the request's head to the last byte of the answer"),
    ("host", LogField::Host, "the host that the client asked for"),
    ("scheme", LogField::Scheme, "`http` or `https`"),
    ("referer", LogField::Referer, "the field Referer"),
    ("agent", LogField::Agent, "the field User-Agent"),
    ("route", LogField::Route, "the pattern of the route, if it has one"),
    ("request_id", LogField::RequestId, "the id of the request"),
    ("trace_id", LogField::TraceId, "the id of its trace"),
    ("span_id", LogField::SpanId, "the id of the step that this server is in the trace"),
    ("end", LogField::End, "`complete`; `cut` if the answer was not sent whole, `unanswered` if none was begun"),
    ("worker", LogField::Worker, "the number of the process"),
];

/// The fields of a line in JSON unless others are named. A request has ids here if there has been a use for them, and an
/// end that is not the usual one is told.
pub(crate) const USUAL_FIELDS: &[LogField] = &[
    LogField::Time,
    LogField::Client,
    LogField::Method,
    LogField::Target,
    LogField::Version,
    LogField::Status,
    LogField::Bytes,
    LogField::Microseconds,
    LogField::Host,
    LogField::Referer,
    LogField::Agent,
    LogField::RequestId,
    LogField::TraceId,
    LogField::SpanId,
    LogField::End,
];

/// Fields of requests that carry secrets: they are never written (docs/security.md S39).
const SECRET: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "cookie",
    "cookie2",
    "set-cookie",
    "set-cookie2",
    "sec-websocket-key",
    "sec-websocket-protocol",
];
/// Parts of names that say that a field carries a secret.
const SECRET_PARTS: &[&str] = &[
    "auth",
    "cookie",
    "csrf",
    "xsrf",
    "token",
    "secret",
    "session",
    "password",
    "passwd",
    "credential",
    "api-key",
    "apikey",
    "signature",
];

impl LogField {
    /// The name in a line of JSON.
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// Whether it is an id, so that each request has one.
    pub(crate) fn is_id(&self) -> bool {
        matches!(self, Self::RequestId | Self::TraceId | Self::SpanId)
    }
}

impl fmt::Display for LogField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            field => f.write_str(LOG_FIELDS.iter().find(|(_, known, _)| known == field).map_or("", |(name, ..)| name)),
        }
    }
}

impl FromStr for LogField {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some((_, field, _)) = LOG_FIELDS.iter().find(|(name, ..)| *name == text) {
            return Ok(field.clone());
        }
        let Some(name) = text.strip_prefix("header:").map(str::to_ascii_lowercase) else {
            return Err(Error::new(format!("the access log has no field {text:?}")));
        };
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
            return Err(Error::new(format!("{name:?} is no name of a field")));
        }
        if SECRET.contains(&name.as_str()) || SECRET_PARTS.iter().any(|part| name.contains(part)) {
            return Err(Error::new(format!("the field {name:?} carries a secret, which is never written")));
        }
        Ok(Self::Header(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for (name, field, _) in LOG_FIELDS {
            assert_eq!((&name.parse::<LogField>().unwrap(), field.name().as_str()), (field, *name));
        }
        assert_eq!("header:X-Tenant".parse::<LogField>().unwrap().name(), "header:x-tenant");
    }

    #[test]
    fn secrets_have_no_name() {
        for name in [
            "authorization",
            "cookie",
            "session",
            "header:",
            "header:a b",
            "header:Authorization",
            "header:COOKIE",
            "header:Set-Cookie",
            "header:proxy-authorization",
            "header:X-CSRF-Token",
            "header:X-Api-Key",
            "header:X-Session-Id",
            "Header:Host",
            "",
            "statuses",
        ] {
            assert!(name.parse::<LogField>().is_err(), "{name}");
        }
    }
}
