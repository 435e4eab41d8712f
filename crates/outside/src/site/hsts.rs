//! Strict-Transport-Security: browsers that came by TLS come by TLS only (RFC 6797).

use crate::config::Config;
use crate::message::{Request, Response};

/// The value of the field; `None`: it is not sent.
#[derive(Debug, Default)]
pub(super) struct Hsts(Option<Box<str>>);

impl Hsts {
    pub(super) fn of(config: &Config) -> Self {
        Self(config.hsts.map(|time| format!("max-age={}", time.as_secs()).into()))
    }

    /// Adds the field to answers for clients that came by TLS, refusals included (RFC 6797 section 7.1), unless the
    /// handler has set it. `is_secure` describes the connection, for a request that could not be read.
    pub(super) fn add_to(&self, request: Option<&Request>, is_secure: bool, response: &mut Response) {
        let Some(value) = &self.0 else { return };
        let is_secure = request.map_or(is_secure, |request| request.scheme() == "https");
        if is_secure && !response.headers.contains(HSTS) {
            response.headers.push_checked(HSTS.as_bytes(), value.as_bytes());
        }
    }
}

pub(super) const HSTS: &str = "Strict-Transport-Security";
