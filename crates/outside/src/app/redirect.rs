//! A server that redirects every request to another origin.

use std::net::ToSocketAddrs;

use super::OutsideHttp;
use crate::error::Error;
use crate::handler::Handler;
use crate::transport::Address;

/// Redirects every request to a destination, joined with the request's path and query: 301 for GET and HEAD, 308 for
/// the rest.
///
/// ```no_run
/// outside::OutsideHttpRedirect::new(("127.0.0.1", 8080), "https://example.com")?.run()?;
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Debug)]
pub struct OutsideHttpRedirect {
    /// The server that does the work.
    pub server: OutsideHttp,
    destination: String,
}

impl OutsideHttpRedirect {
    /// A server for this address and destination.
    ///
    /// # Errors
    /// The address is invalid, or the destination has no scheme or holds a character that is not allowed in a URL.
    pub fn new(host: impl ToSocketAddrs, destination: &str) -> Result<Self, Error> {
        Self::at(Address::resolve_all(host)?, destination)
    }

    /// The same for any kind of address, or several of one host.
    ///
    /// # Errors
    /// As [`OutsideHttpRedirect::new`].
    pub fn at(addresses: impl Into<Vec<Address>>, destination: &str) -> Result<Self, Error> {
        let rest = destination.strip_prefix("https://").or_else(|| destination.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            let text = format!("a destination begins with http:// or https:// and a host, not {destination:?}");
            return Err(Error::new(text));
        }
        if let Some(bad) =
            destination.chars().find(|letter| !('!'..='~').contains(letter) || "?#\"<>\\".contains(*letter))
        {
            return Err(Error::new(format!("a destination cannot hold {bad:?}: {destination:?}")));
        }
        let server = OutsideHttp::at(addresses);
        server.set_route("/", Handler::Redirect(destination.into()))?;
        Ok(Self { server, destination: destination.to_owned() })
    }

    /// The origin to which requests are redirected.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// As [`OutsideHttp::run`].
    ///
    /// # Errors
    /// As [`OutsideHttp::run`].
    pub fn run(&self) -> Result<(), Error> {
        self.server.run()
    }

    /// As [`OutsideHttp::terminate`].
    pub fn terminate(&self, at_once: bool) {
        self.server.terminate(at_once);
    }
}
