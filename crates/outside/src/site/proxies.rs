//! The proxies that are trusted to name their clients.

use std::net::IpAddr;

use super::ids::note_ids;
use crate::config::{Config, ProxyField};
use crate::error::Refusal;
use crate::message::{NO_ADDRESS, Request, TrustedProxy};
use crate::protocol::forwarded;

/// The trusted proxies, and the fields in which they are believed.
#[derive(Debug, Default)]
pub(super) struct TrustedProxies {
    proxies: Vec<TrustedProxy>,
    fields: Vec<ProxyField>,
}

impl TrustedProxies {
    pub(super) fn of(config: &Config) -> Self {
        Self { proxies: config.trusted_proxies.clone(), fields: config.proxy_fields.clone() }
    }

    /// Whether no proxy is trusted.
    pub(super) fn is_empty(&self) -> bool {
        self.proxies.is_empty()
    }

    /// Whether this address is that of a trusted proxy.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.contains(address))
    }

    /// Notes the client, and the ids, that a trusted proxy names in the fields of a request.
    ///
    /// # Errors
    /// 400 for fields that cannot be parsed.
    pub(super) fn note_client(&self, request: &mut Request) -> Result<(), Refusal> {
        if self.trusts_peer(request) {
            let is_trusted = |address| self.trusts(address);
            let forwarded = forwarded::resolve(&request.headers, request.address, &self.fields, is_trusted)?;
            request.forwarded = forwarded.map(Box::new);
            note_ids(request);
        }
        Ok(())
    }

    fn trusts_peer(&self, request: &Request) -> bool {
        match request.address {
            NO_ADDRESS => self.proxies.contains(&TrustedProxy::Unix),
            peer => self.trusts(peer.ip()),
        }
    }
}
