//! The configuration: every key with its default, its allowed values, and its field in [`Config`].
//!
//! In two stages: a user's settings are a list of names and [`Value`]s; [`Config::from_values`] turns them into a
//! [`Config`], or into one error that names every bad key. The Rust face fills [`Config`] directly, and the same rules
//! check it.
//!
//! ```
//! use outside::Config;
//! use outside::config::Value;
//!
//! let config = Config::from_values([("keep_alive", Value::Bool(false))])?;
//! assert!(!config.keep_alive);
//! let error = Config::from_values([("keep_alvie", Value::Bool(false))]).unwrap_err();
//! assert!(error.to_string().contains("did you mean \"keep_alive\"?"));
//! # Ok::<(), outside::Error>(())
//! ```

mod bus;
mod domains;
mod history;
mod keys;
mod log_fields;
mod metrics;
mod secrets;
#[cfg(test)]
mod tests;
mod value;

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::budget::quarter_of_memory;
use crate::error::Error;
use crate::message::{Cors, FormLimits, HostPattern, SecurityHeaders, TrustedProxy};
pub use bus::BusAddress;
#[cfg_attr(not(feature = "bus"), expect(unused_imports, reason = "the room `bus` is another one"))]
pub(crate) use bus::BusPlace;
pub use domains::{AcmeConfig, Challenge, Domain};
pub use history::HistoryRule;
pub use keys::{KEYS, Key};
pub(crate) use log_fields::USUAL_FIELDS;
pub use log_fields::{LOG_FIELDS, LogField};
pub use metrics::MetricsPlace;
pub use secrets::Secrets;
pub use value::{CertificateFiles, Value};
use value::{hidden, shown};

/// Number of reactors at most: a route keeps one bit for each.
pub(crate) const MOST_REACTORS: usize = 64;

/// The settings of a server as the engine uses them. Defaults and reasons are those of [`KEYS`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "KEYS documents each one, with default and unit")]
pub struct Config {
    pub backlog_length: u32,
    pub max_workers: usize,
    pub max_waiting_requests: Option<usize>,
    pub waiting_timeout: Duration,
    pub reactors: usize,
    pub max_websockets: usize,
    pub max_topics: usize,
    pub max_published: usize,
    pub history: Vec<HistoryRule>,
    pub max_shared: usize,
    pub bus: Option<BusAddress>,
    pub process_timeout: Duration,
    pub termination_timeout: Duration,
    pub cancel_on_disconnect: bool,
    pub max_requests: Option<u64>,
    pub max_worker_memory: Option<u64>,
    pub drain_delay: Duration,
    pub drain_idle: Duration,
    pub health_route: Option<String>,
    pub ready_route: Option<String>,
    pub live_route: Option<String>,
    pub metrics: Option<MetricsPlace>,
    pub metrics_allow: Vec<TrustedProxy>,
    pub status_page: bool,
    pub recv_size: usize,
    pub send_size: usize,
    pub keep_alive: bool,
    pub max_socket_reuse: u64,
    pub max_body_size: usize,
    /// Bytes of content for hosted applications: the bound of `max_body_size_mb`, if that was set.
    pub max_hosted_body_size: Option<u64>,
    pub spool_above: usize,
    pub spool_max: u64,
    pub max_body_memory: Option<usize>,
    pub form_limits: FormLimits,
    pub cors: Option<Cors>,
    pub security_headers: SecurityHeaders,
    pub access_log: AccessLog,
    pub access_log_fields: Vec<LogField>,
    pub request_ids: bool,
    pub header_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub keep_alive_idle: Duration,
    pub body_stall_timeout: Duration,
    pub write_stall_timeout: Duration,
    pub min_rate: u64,
    pub max_unsent: Option<usize>,
    pub max_unsent_per_connection: Option<usize>,
    pub max_request_line: usize,
    pub max_header_fields: usize,
    pub max_header_size: usize,
    pub max_query_parameters: usize,
    pub max_cookies: usize,
    pub max_connections: Option<usize>,
    pub max_connections_per_ip: Option<usize>,
    pub max_websocket_connections: Option<usize>,
    pub allow_range_from: Option<u64>,
    pub symlinks: Symlinks,
    pub file_cache: u64,
    pub compression: bool,
    pub h2c: bool,
    pub h2_ping: Duration,
    pub allowed_hosts: Vec<HostPattern>,
    pub trusted_proxies: Vec<TrustedProxy>,
    pub proxy_fields: Vec<ProxyField>,
    pub hsts: Option<Duration>,
    pub https_redirect: Option<(Option<IpAddr>, u16)>,
    /// Whether `domains` brings no place for plain HTTP: `https_redirect` is False.
    pub no_plain_http: bool,
    pub domains: Vec<Domain>,
    pub acme: AcmeConfig,
    pub ssl_enabled: bool,
    pub ssl_certfile: PathBuf,
    pub ssl_keyfile: PathBuf,
    pub ssl_certificates: Vec<CertificateFiles>,
    pub tls_handshake_timeout: Duration,
    pub debug: bool,
    pub secret: Secrets,
    pub session_life: Duration,
    pub max_background: usize,
    pub problem_errors: bool,
    pub redirect_slashes: bool,
    /// Whether a server that only this machine can reach accepts only loopback hosts while `allowed_hosts` is empty;
    /// other hosts get 421, as with `debug`. Otherwise a foreign page whose name is made to point to this machine could
    /// read the answers (DNS rebinding). Not a key: the command sets it.
    pub loopback_hosts_only: bool,
}

/// A field in which a trusted proxy names its client. The proxy must set it, or remove it from requests of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyField {
    /// `Forwarded` (RFC 7239): client, scheme and host.
    Forwarded,
    /// `X-Forwarded-For`: the client.
    XForwardedFor,
    /// `X-Forwarded-Proto`: the scheme.
    XForwardedProto,
    /// `X-Forwarded-Host`: the host.
    XForwardedHost,
}

impl ProxyField {
    /// The name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "Forwarded",
            Self::XForwardedFor => "X-Forwarded-For",
            Self::XForwardedProto => "X-Forwarded-Proto",
            Self::XForwardedHost => "X-Forwarded-Host",
        }
    }
}

impl FromStr for ProxyField {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Forwarded, Self::XForwardedFor, Self::XForwardedProto, Self::XForwardedHost]
            .into_iter()
            .find(|field| field.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::new(format!("no forwarding field is called {text:?}")))
    }
}

/// The symbolic links that are followed within a served folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Links whose relative target lies within the folder.
    Inside,
    /// No links: their targets are not found.
    Never,
    /// All links, to any target.
    Anywhere,
}

/// The format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// On a terminal a short line for people, coloured unless NO_COLOR is set; `Json` elsewhere.
    Auto,
    /// No access log.
    Off,
    /// The Common Log Format of the NCSA server.
    Common,
    /// Common, then Referer and User-Agent.
    Combined,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        // The table overwrites every field, so that each default stands in one place only.
        let mut config = Self {
            backlog_length: 0,
            max_workers: 0,
            max_waiting_requests: None,
            waiting_timeout: Duration::ZERO,
            reactors: 0,
            max_websockets: 0,
            max_topics: 0,
            max_published: 0,
            history: Vec::new(),
            max_shared: 0,
            bus: None,
            process_timeout: Duration::ZERO,
            termination_timeout: Duration::ZERO,
            cancel_on_disconnect: false,
            max_requests: None,
            max_worker_memory: None,
            drain_delay: Duration::ZERO,
            drain_idle: Duration::ZERO,
            health_route: None,
            ready_route: None,
            live_route: None,
            metrics: None,
            metrics_allow: Vec::new(),
            status_page: false,
            recv_size: 0,
            send_size: 0,
            keep_alive: false,
            max_socket_reuse: 0,
            max_body_size: 0,
            max_hosted_body_size: None,
            spool_above: 0,
            spool_max: 0,
            max_body_memory: None,
            form_limits: FormLimits::DEFAULT,
            cors: None,
            security_headers: SecurityHeaders::default(),
            access_log: AccessLog::Off,
            access_log_fields: Vec::new(),
            request_ids: false,
            header_timeout: Duration::ZERO,
            first_byte_timeout: Duration::ZERO,
            keep_alive_idle: Duration::ZERO,
            body_stall_timeout: Duration::ZERO,
            write_stall_timeout: Duration::ZERO,
            min_rate: 0,
            max_unsent: None,
            max_unsent_per_connection: None,
            max_request_line: 0,
            max_header_fields: 0,
            max_header_size: 0,
            max_query_parameters: 0,
            max_cookies: 0,
            max_connections: None,
            max_connections_per_ip: None,
            max_websocket_connections: None,
            allow_range_from: None,
            symlinks: Symlinks::Inside,
            file_cache: 0,
            compression: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_fields: Vec::new(),
            ssl_enabled: false,
            ssl_certfile: PathBuf::new(),
            ssl_keyfile: PathBuf::new(),
            ssl_certificates: Vec::new(),
            tls_handshake_timeout: Duration::ZERO,
            h2c: false,
            h2_ping: Duration::ZERO,
            hsts: None,
            https_redirect: None,
            no_plain_http: false,
            domains: Vec::new(),
            acme: AcmeConfig::default(),
            debug: false,
            secret: Secrets::default(),
            session_life: Duration::ZERO,
            max_background: 0,
            problem_errors: false,
            redirect_slashes: false,
            loopback_hosts_only: false,
        };
        for key in KEYS {
            (key.apply)(&mut config, &key.default);
        }
        config
    }
}

impl Config {
    /// Turns names and values into settings; keys that are not named keep their defaults.
    ///
    /// # Errors
    /// One message with a line for each unknown name, with the nearest right name, and for each refused value, with the
    /// allowed ones.
    pub fn from_values<'a>(values: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Self, Error> {
        let mut config = Self::default();
        let mut faults = Vec::new();
        let mut bounds_spools = false;
        for (name, value) in values {
            bounds_spools |= name == "spool_max_mb" && value != Value::Integer(1024);
            match KEYS.iter().find(|key| key.name == name) {
                Some(key) if (key.apply)(&mut config, &value) => {
                    if name == "max_body_size_mb" {
                        config.max_hosted_body_size = Some(config.max_body_size as u64);
                    }
                }
                Some(key) => {
                    // A secret does not go into a log.
                    let given = match name {
                        "secret" => hidden(&value),
                        "bus" => bus::described(&value),
                        _ => shown(&value),
                    };
                    faults.push(format!("config[{name:?}] is {given}; allowed: {}", key.allowed));
                }
                None => {
                    let nearest = nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                    faults.push(format!("config[{name:?}] is not a setting (given: {}){nearest}", shown(&value)));
                }
            }
        }
        if let Err(fault) = config.check() {
            faults.push(fault.to_string());
        }
        let (most, one) = (config.spool_max, config.max_body_size as u64);
        if bounds_spools && most < one && (config.spool_above as u64) < one {
            faults.push(format!(
                "config[\"spool_max_mb\"] is {}, less than one body may have: config[\"max_body_size_mb\"] is {}",
                most as f64 / 1_048_576.0,
                one as f64 / 1_048_576.0
            ));
        }
        let one = config.spool_above.min(config.max_body_size);
        if let Some(most) = config.max_body_memory.filter(|most| *most < one) {
            faults.push(format!(
                "config[\"max_body_memory_mb\"] is {}, less than one body may have in memory: that is {} by \
                 config[\"spool_above_mb\"] and config[\"max_body_size_mb\"]",
                most as f64 / 1_048_576.0,
                one as f64 / 1_048_576.0
            ));
        }
        if faults.is_empty() { Ok(config) } else { Err(Error::new(faults.join("\n"))) }
    }

    /// Bytes of answers that clients have not taken, for all connections together.
    pub(crate) fn most_unsent(&self) -> usize {
        self.max_unsent.unwrap_or_else(quarter_of_memory)
    }

    /// Bytes of request content that comes in to memory, for all connections together.
    pub(crate) fn most_body_memory(&self) -> usize {
        self.max_body_memory.unwrap_or_else(quarter_of_memory)
    }

    /// Bytes of answers that the client of one connection has not taken.
    pub(crate) fn most_unsent_per_connection(&self) -> usize {
        const USUAL: usize = 4 << 20;
        self.max_unsent_per_connection.unwrap_or_else(|| self.max_unsent.map_or(USUAL, |most| most.min(USUAL)))
    }

    /// The same with the consequences of `domains`: TLS at the constructor's place, a redirect to it, and its hosts.
    pub(crate) fn with_domains(&self) -> Self {
        let mut config = self.clone();
        if config.domains.is_empty() {
            return config;
        }
        config.ssl_enabled = true;
        if config.https_redirect.is_none() && !config.no_plain_http {
            config.https_redirect = Some((None, 80));
        }
        if config.allowed_hosts.is_empty() {
            let names = config.domains.iter().flat_map(Domain::names);
            config.allowed_hosts = names.filter_map(|name| name.parse().ok()).collect();
        }
        config
    }

    /// Refuses bounds that contradict each other.
    ///
    /// # Errors
    /// One message with a line for each contradiction.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(secret) = self.secret.iter().find(|secret| secret.len() < Secrets::SHORTEST) {
            let (given, least) = (secret.len(), Secrets::SHORTEST);
            return Err(Error::new(format!(
                "config.secret is a text of {given} bytes; allowed: at least {least} bytes"
            )));
        }
        self.check_metrics()?;
        let mut faults = self.faults_of_places();
        let process = self.most_unsent();
        if let Some(connection) = self.max_unsent_per_connection.filter(|connection| *connection > process) {
            let mib = |bytes: usize| bytes as f64 / 1_048_576.0;
            faults.push(format!(
                "config[\"max_unsent_per_connection_mb\"] is {}; allowed: at most config[\"max_unsent_mb\"], which is {}",
                mib(connection),
                mib(process)
            ));
        }
        if faults.is_empty() { Ok(()) } else { Err(Error::new(faults.join("\n"))) }
    }

    /// A line for each part of the connections that is more than all of them.
    fn faults_of_places(&self) -> Vec<String> {
        let Some(all) = self.max_connections else { return Vec::new() };
        let parts = [
            ("max_connections_per_ip", self.max_connections_per_ip),
            ("max_websocket_connections", self.max_websocket_connections),
        ];
        let fault = |(name, part): (&str, Option<usize>)| {
            let part = part.filter(|part| *part > all)?;
            Some(format!("config[{name:?}] is {part}; allowed: at most config[\"max_connections\"], which is {all}"))
        };
        parts.into_iter().filter_map(fault).collect()
    }

    /// The files of all certificates, the one of `ssl_certfile` first.
    pub(crate) fn certificates(&self) -> Vec<CertificateFiles> {
        let mut files = Vec::new();
        if !self.ssl_certfile.as_os_str().is_empty() {
            let key = if self.ssl_keyfile.as_os_str().is_empty() { &self.ssl_certfile } else { &self.ssl_keyfile };
            files.push(CertificateFiles { certfile: self.ssl_certfile.clone(), keyfile: key.clone() });
        }
        files.extend(self.ssl_certificates.iter().cloned());
        files
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    let scored = KEYS.iter().map(|key| (strsim::jaro_winkler(name, key.name), key.name));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}
