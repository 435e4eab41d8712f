//! The hosts that the server answers for.

use std::net::SocketAddr;

use crate::config::Config;
use crate::error::Refusal;
use crate::message::{HostSet, Request, is_loopback};

/// The allowed hosts.
#[derive(Debug, Default)]
pub(super) struct AllowedHosts {
    /// `None`: any host.
    listed: Option<HostSet>,
    /// Whether only loopback hosts are allowed, because no hosts are configured.
    is_of_loopback: bool,
}

impl AllowedHosts {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            listed: (!config.allowed_hosts.is_empty()).then(|| HostSet::of(&config.allowed_hosts)),
            is_of_loopback: false,
        }
    }

    /// The same for a server that only this machine can reach. If no hosts are configured, and in debug mode or on
    /// request of the configuration, only loopback hosts are allowed. This stops DNS rebinding: a page of another
    /// origin, whose name briefly points to this machine, sends that name as its host.
    pub(super) fn on_loopback(self, config: &Config) -> Self {
        let is_of_loopback = self.listed.is_none() && (config.debug || config.loopback_hosts_only);
        Self { is_of_loopback, ..self }
    }

    /// Whether any host is allowed.
    pub(super) fn allow_any(&self) -> bool {
        self.listed.is_none() && !self.is_of_loopback
    }

    /// Checks the host of a request.
    ///
    /// # Errors
    /// 421 for another host (RFC 9110 section 15.5.20).
    pub(super) fn check(&self, request: &Request) -> Result<(), Refusal> {
        let is_ours = match &self.listed {
            Some(hosts) => hosts.contains(request.host()),
            // Browsers never omit the host, as HTTP/1.0 allows.
            None => !self.is_of_loopback || request.host().is_empty() || is_loopback(request.host()),
        };
        if is_ours { Ok(()) } else { Err(MISDIRECTED) }
    }
}

pub(super) const MISDIRECTED: Refusal = Refusal::limit(421, "this server has no host of that name", "allowed_hosts");

/// The warning at the start of a server that accepts any host on this address without having been told to.
pub(crate) fn unnamed_hosts(config: &Config, address: SocketAddr) -> Option<String> {
    let is_public = config.allowed_hosts.is_empty() && !address.ip().to_canonical().is_loopback();
    is_public.then(|| {
        format!(
            "on {address} requests for any host name are answered; list the server's own in config[\"allowed_hosts\"], \
             or \"*\" if any is meant"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    #[test]
    fn a_server_of_any_host_is_told() {
        let named = Config::from_values([("allowed_hosts", Value::Texts(&["*"]))]).unwrap();
        for (address, is_told) in [
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.168.1.2:80", true),
            ("127.0.0.1:80", false),
            ("127.9.9.9:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(unnamed_hosts(&Config::default(), address).is_some(), is_told, "{address}");
            assert_eq!(unnamed_hosts(&named, address), None);
        }
    }
}
