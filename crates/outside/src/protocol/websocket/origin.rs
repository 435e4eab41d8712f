//! The origins whose pages may open a WebSocket (RFC 6455 section 10.2).
//!
//! A browser sends cookies with every WebSocket, even if a foreign page opens it, and names the origin of the page.
//! Clients that are no browsers name none, or any; this check does not protect from them.

use crate::error::Error;
use crate::message::{Request, default_port, host_and_port, normalised_origin, split_origin};

/// The origins whose pages may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// The origin of this server: host and port of the request.
    #[default]
    Same,
    /// Every origin.
    Any,
    /// Only these, in lower case and without default ports; the server's own only if listed.
    Listed(Vec<Box<str>>),
}

impl Origins {
    /// Reads a list of origins such as `https://example.com`; `"*"` stands for every origin.
    ///
    /// # Errors
    /// A text is neither `"*"`, nor `"null"`, nor scheme, host and optional port.
    pub(crate) fn listed<S: AsRef<str>>(origins: &[S]) -> Result<Self, Error> {
        if origins.iter().any(|origin| origin.as_ref() == "*") {
            return Ok(Self::Any);
        }
        let listed = origins.iter().map(|origin| match normalised_origin(origin.as_ref().as_bytes()) {
            Some(normalised) => Ok(normalised.into_boxed_str()),
            None => Err(Error::new(format!(
                "an origin is a scheme and a host, such as \"https://example.com\" or \"http://localhost:3000\", not {:?}",
                origin.as_ref()
            ))),
        });
        Ok(Self::Listed(listed.collect::<Result<_, _>>()?))
    }

    /// Whether the page that sent this request may connect. A request without Origin comes from no page.
    pub(crate) fn allow(&self, request: &Request) -> bool {
        let mut origins = request.headers.get_all("Origin");
        let (origin, second) = (origins.next(), origins.next());
        let Some(origin) = origin else { return true };
        match self {
            Self::Any => true,
            _ if second.is_some() => false,
            Self::Same => is_same(origin, request.host()),
            Self::Listed(allowed) => {
                normalised_origin(origin).is_some_and(|origin| allowed.iter().any(|allowed| **allowed == *origin))
            }
        }
    }
}

/// Whether this is the authority that the request was sent to. Schemes are not compared: behind a proxy that ends TLS
/// the page has `https`, the request has not.
fn is_same(origin: &[u8], host: &str) -> bool {
    let Some((scheme, authority)) = split_origin(origin) else { return false };
    let Some(default) = default_port(scheme) else { return false };
    let (origin_host, origin_port) = host_and_port(authority);
    let (host, port) = host_and_port(host);
    !host.is_empty()
        && origin_host.eq_ignore_ascii_case(host)
        && origin_port.unwrap_or(default) == port.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    fn allows(origins: &Origins, host: &str, sent: &[&str]) -> bool {
        let mut headers = vec![("Host", host.as_bytes())];
        headers.extend(sent.iter().map(|origin| ("Origin", origin.as_bytes())));
        origins.allow(&Request::from_parts(&RequestParts { headers: &headers, ..RequestParts::default() }).unwrap())
    }

    #[test]
    fn the_same_origin() {
        for (host, origin, same) in [
            ("example.com", "http://example.com", true),
            ("example.com", "https://example.com", true),
            ("Example.com:80", "http://EXAMPLE.com", true),
            ("example.com:443", "https://example.com", true),
            ("example.com", "https://example.com:443", true),
            ("localhost:8080", "http://localhost:8080", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("[::1]", "http://[::1]:80", true),
            ("example.com:", "http://example.com", true),
            ("example.com:80", "https://example.com", false),
            ("example.com", "http://example.com:8080", false),
            ("localhost:8080", "http://localhost:3000", false),
            ("127.0.0.1:8080", "http://localhost:8080", false),
            ("example.com", "http://evil.com", false),
            ("example.com", "http://example.com.evil.com", false),
            ("example.com", "http://evil.com/example.com", false),
            ("example.com", "http://example.com@evil.com", false),
            ("example.com", "http://sub.example.com", false),
            ("example.com", "null", false),
            ("example.com", "", false),
            ("", "http://", false),
            ("example.com", "example.com", false),
            ("abc", "chrome-extension://abc", false),
            ("[::1]:8080", "http://[::1]", false),
        ] {
            assert_eq!(allows(&Origins::Same, host, &[origin]), same, "{origin} at {host}");
        }
        assert!(allows(&Origins::Same, "example.com", &[]), "no browser");
        assert!(!allows(&Origins::Same, "example.com", &["http://example.com", "http://evil.com"]));
    }

    #[test]
    fn listed_origins() {
        let origins = Origins::listed(&["https://Example.com/", "http://localhost:3000", "null"]).unwrap();
        for (origin, allowed) in [
            ("https://example.com", true),
            ("https://EXAMPLE.com:443", true),
            ("http://localhost:3000", true),
            ("null", true),
            ("http://example.com", false),
            ("https://example.com:8443", false),
            ("http://localhost", false),
            ("http://server", false),
            ("https://example.com.evil.com", false),
            ("file://", false),
        ] {
            assert_eq!(allows(&origins, "server", &[origin]), allowed, "{origin}");
        }
        assert!(allows(&origins, "server", &[]));
        let any = Origins::listed(&["https://a.com", "*"]).unwrap();
        assert!(any == Origins::Any && allows(&any, "server", &["http://evil.com"]));
    }

    #[test]
    fn malformed_origins() {
        for text in [
            "",
            "example.com",
            "https://",
            "https://*.example.com",
            "https://a.com/path",
            "://a",
            "a b://c",
            "https://a b",
        ] {
            let error = Origins::listed(&[text]).unwrap_err().to_string();
            assert!(error.starts_with("an origin is a scheme and a host, such as"), "{text:?}: {error}");
        }
    }
}
