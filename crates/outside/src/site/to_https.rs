//! The redirect to HTTPS for clients that came without TLS: to the same host and path, if the host is the server's own.
//!
//! A redirect to any host that a Host field names would let strangers borrow the server's name. So a host must be
//! allowed by name, or have a certificate.

use std::sync::Arc;

use super::hosts::MISDIRECTED;
use crate::config::Config;
use crate::error::Refusal;
use crate::message::{HostName, HostSet, Request, Response};
use crate::transport::Tls;

/// The port where TLS is spoken, and the hosts to which clients may be redirected.
#[derive(Debug)]
pub(crate) struct ToHttps {
    port: u16,
    /// Without names in it: the hosts of the certificates.
    hosts: HostSet,
    tls: Vec<Arc<Tls>>,
}

impl ToHttps {
    pub(crate) fn new(config: &Config, port: u16, tls: Vec<Arc<Tls>>) -> Self {
        Self { port, hosts: HostSet::of(&config.allowed_hosts), tls }
    }

    /// 301 for GET and HEAD, 308 for other methods, so that a POST stays a POST (RFC 9110 section 15.4).
    ///
    /// # Errors
    /// 421 for a host that is not the server's.
    pub(crate) fn answer(&self, request: &Request) -> Result<Response, Refusal> {
        let host = HostName::of(request.host()).filter(|host| {
            if self.hosts.has_names() {
                self.hosts.names(host)
            } else {
                self.tls.iter().any(|tls| tls.is_for(host.as_str()))
            }
        });
        let host = host.ok_or(MISDIRECTED)?;
        Ok(redirect(&location(host.as_str(), self.port), request))
    }
}

fn location(host: &str, port: u16) -> String {
    let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
    match port {
        443 => format!("https://{open}{host}{close}"),
        port => format!("https://{open}{host}{close}:{port}"),
    }
}

/// The destination joined with the path and query of the request: 301 for GET and HEAD, 308 for other methods, so that
/// a POST stays a POST (RFC 9110 section 15.4).
pub(crate) fn redirect(destination: &str, request: &Request) -> Response {
    let status = if matches!(request.method(), "GET" | "HEAD") { 301 } else { 308 };
    let query = if request.query().is_empty() { "" } else { "?" };
    let location = format!("{}{}{query}{}", destination.trim_end_matches('/'), request.raw_path(), request.query());
    Response::redirect(&location, status)
}
