//! The places where a server listens: the constructor's, those that were added, and the one that sends to HTTPS.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, PoisonError};

use super::OutsideHttp;
use crate::config::{CertificateFiles, Config};
use crate::error::Error;
use crate::server::renew_certificates;
use crate::transport::{Address, BindSpec, ListenerRole, Listeners, TicketKeys, Tls};

/// What is spoken at a place that was added with [`OutsideHttp::listen`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// HTTP in clear.
    #[default]
    Plain,
    /// TLS, with the certificates of the configuration, whether `ssl_enabled` or not.
    Tls,
    /// TLS, with certificates of its own.
    Own(Vec<CertificateFiles>),
}

impl OutsideHttp {
    /// Listens here too, from the next run on: at all addresses of the host.
    ///
    /// ```no_run
    /// use outside::{OutsideHttp, Security};
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
    /// The address cannot be one.
    pub fn listen(&self, host: impl ToSocketAddrs, security: Security) -> Result<(), Error> {
        self.listen_at(Address::resolve_all(host)?, security);
        Ok(())
    }

    /// The same for any kind of address, or several of one host.
    pub fn listen_at(&self, addresses: impl Into<Vec<Address>>, security: Security) {
        self.also.lock().unwrap_or_else(PoisonError::into_inner).push((addresses.into(), security));
    }

    /// Reads the certificates, then binds all places for so many who accept, or takes over the sockets that were handed
    /// down; the constructor's place may be another one: for bindings.
    ///
    /// # Errors
    /// A certificate that cannot be used, an address that cannot be bound, or a redirect to TLS where none is spoken.
    pub fn open(&self, host: &[Address], config: &Config, keys: &TicketKeys, count: usize) -> Result<Listeners, Error> {
        let also = self.also.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let places = places(host, &also, config, keys)?;
        let listeners = Listeners::open(&places, config.backlog_length, count)?;
        for tls in listeners.certificates() {
            renew_certificates(&tls, false, |level, text| self.sink.event(level, &text));
        }
        self.warn_of_hosts(&listeners, config);
        Ok(listeners)
    }

    /// Is TLS spoken anywhere?
    pub fn speaks_tls(&self, config: &Config) -> bool {
        let also = self.also.lock().unwrap_or_else(PoisonError::into_inner);
        config.ssl_enabled || also.iter().any(|(_, security)| *security != Security::Plain)
    }
}

fn places(
    host: &[Address],
    also: &[(Vec<Address>, Security)],
    config: &Config,
    keys: &TicketKeys,
) -> Result<Vec<BindSpec>, Error> {
    let first = if config.ssl_enabled { Security::Tls } else { Security::Plain };
    // Places with the same certificates share them, and read them again together.
    let mut known: Vec<(Vec<CertificateFiles>, Arc<Tls>)> = Vec::new();
    let mut tls = |security: &Security| -> Result<Option<Arc<Tls>>, Error> {
        let files = match security {
            Security::Plain => return Ok(None),
            Security::Tls => config.certificates(),
            Security::Own(files) => files.clone(),
        };
        if let Some((_, tls)) = known.iter().find(|(other, _)| *other == files) {
            return Ok(Some(Arc::clone(tls)));
        }
        let made = Tls::new(files.clone(), keys)?;
        known.push((files, Arc::clone(&made)));
        Ok(Some(made))
    };
    let mut places = Vec::new();
    let mut add = |addresses: &[Address], tls: Option<&Arc<Tls>>, door| {
        let mut follows = false;
        for address in addresses {
            places.push(BindSpec { address: address.clone(), tls: tls.cloned(), door, follows });
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
    Ok(places)
}
