//! The places where a server listens: the constructor's, the added ones, and the one that redirects to HTTPS.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, PoisonError};

use super::OutsideHttp;
use crate::config::{CertificateFiles, Config, MetricsPlace};
use crate::error::Error;
use crate::server::renew_certificates;
use crate::transport::{Address, BindSpec, ListenerRole, Listeners, TicketKeys, Tls};

/// The security of a place that was added with [`OutsideHttp::listen`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// HTTP in clear.
    #[default]
    Plain,
    /// TLS, with the certificates of the configuration, even if `ssl_enabled` is false.
    Tls,
    /// TLS, with these certificates.
    Own(Vec<CertificateFiles>),
}

impl OutsideHttp {
    /// Adds a place to listen at, from the next run on: all addresses of the host.
    ///
    /// ```no_run
    /// use outside::OutsideHttp;
    /// use outside::listen::Security;
    ///
    /// let mut server = OutsideHttp::new(("0.0.0.0", 443))?;
    /// server.config.ssl_enabled = true;
    /// server.config.ssl_certfile = "server.pem".into();
    /// server.listen(("127.0.0.1", 8080), Security::Plain)?;
    /// server.run()?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// The address is invalid, or its host name cannot be resolved.
    pub fn listen(&self, host: impl ToSocketAddrs, security: Security) -> Result<(), Error> {
        self.listen_at(Address::resolve_all(host)?, security);
        Ok(())
    }

    /// The same for any kind of address, or several of one host.
    pub fn listen_at(&self, addresses: impl Into<Vec<Address>>, security: Security) {
        self.also.lock().unwrap_or_else(PoisonError::into_inner).push((addresses.into(), security));
    }

    /// Reads the certificates. Then binds all places, each for `count` processes or reactors, or takes over sockets
    /// that were handed down. `host` replaces the constructor's place: for bindings.
    ///
    /// # Errors
    /// A certificate cannot be used, an address cannot be bound, or a redirect to TLS is set although no place speaks
    /// TLS.
    pub fn open(&self, host: &[Address], config: &Config, keys: &TicketKeys, count: usize) -> Result<Listeners, Error> {
        let also = self.also.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let config = &config.with_domains();
        let places = places(host, &also, config, |security| match security {
            Security::Plain => Ok(None),
            Security::Tls => self.configured_tls(config, keys).map(Some),
            Security::Own(files) => Tls::new(files.clone(), keys).map(Some),
        })?;
        let listeners = Listeners::open(&places, config.backlog_length, count)?;
        for tls in listeners.certificates() {
            renew_certificates(&tls, false, |level, text| self.sink.event(level, &text));
        }
        self.warn_of_hosts(&listeners, config);
        Ok(listeners)
    }

    /// Whether any place speaks TLS.
    pub fn speaks_tls(&self, config: &Config) -> bool {
        let also = self.also.lock().unwrap_or_else(PoisonError::into_inner);
        config.ssl_enabled
            || !config.domains.is_empty()
            || also.iter().any(|(_, security)| *security != Security::Plain)
    }
}

fn places(
    host: &[Address],
    also: &[(Vec<Address>, Security)],
    config: &Config,
    make_tls: impl Fn(&Security) -> Result<Option<Arc<Tls>>, Error>,
) -> Result<Vec<BindSpec>, Error> {
    let first = if config.ssl_enabled { Security::Tls } else { Security::Plain };
    // Places with the same certificates share one configuration, so that a change of the files is noticed once.
    let mut known: Vec<(Security, Arc<Tls>)> = Vec::new();
    let mut tls = |security: &Security| -> Result<Option<Arc<Tls>>, Error> {
        let security = match security {
            Security::Own(files) if config.domains.is_empty() && *files == config.certificates() => &Security::Tls,
            security => security,
        };
        if let Some((_, tls)) = known.iter().find(|(other, _)| other == security) {
            return Ok(Some(Arc::clone(tls)));
        }
        let made = make_tls(security)?;
        known.extend(made.clone().map(|made| (security.clone(), made)));
        Ok(made)
    };
    let mut places = Vec::new();
    let mut add = |addresses: &[Address], tls: Option<&Arc<Tls>>, role| {
        let mut follows = false;
        for address in addresses {
            places.push(BindSpec { address: address.clone(), tls: tls.cloned(), role, follows });
            follows = true;
        }
    };
    let mut secure = None;
    for (addresses, security) in std::iter::once((host, &first)).chain(also.iter().map(|(own, tls)| (&own[..], tls))) {
        let tls = tls(security)?;
        add(addresses, tls.as_ref(), ListenerRole::Serve);
        secure = secure.or(tls.map(|_| addresses));
    }
    if let Some((ip, port)) = config.https_redirect {
        let is_taken = |address: &Address| address.socket_addr().is_some_and(|own| own.port() == port && port != 0);
        if !config.domains.is_empty() && host.iter().any(is_taken) {
            return Err(Error::new(format!(
                "config[\"domains\"] has TLS spoken at the constructor's port, {port}, which is also that of the redirect for plain \
                 HTTP: the constructor takes 443, or config[\"https_redirect\"] another port"
            )));
        }
        let secure = secure.ok_or_else(|| {
            Error::new(
                "config[\"https_redirect\"] sends clients to TLS, which is spoken nowhere: set config[\"ssl_enabled\"]",
            )
        })?;
        let beside = secure.iter().filter_map(Address::socket_addr).map(|address| address.ip());
        let ips: Vec<_> = ip.map_or_else(|| beside.collect(), |ip| vec![ip]);
        if ips.is_empty() {
            return Err(Error::new(
                "config[\"https_redirect\"] is (ip, port) where TLS is spoken on a Unix socket alone",
            ));
        }
        let addresses: Vec<_> = ips.into_iter().map(|ip| Address::Tcp(SocketAddr::new(ip, port))).collect();
        add(&addresses, None, ListenerRole::RedirectToHttps);
    }
    if let Some(place) = &config.metrics {
        let address = match place {
            MetricsPlace::Tcp(address) => Address::Tcp(*address),
            MetricsPlace::Unix(path) => Address::Unix(path.clone()),
        };
        add(&[address], None, ListenerRole::Metrics);
    }
    Ok(places)
}
