//! The configuration: every key with its default, what it may be, and what it means to the engine.
//!
//! Two stages. What was typed is a list of names and [`Value`]s; [`Config::from_values`] makes of it what is meant, or
//! one error that names every bad key. The Rust face fills [`Config`] directly and is checked by the same rules.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;
use crate::message::{Cors, FormLimits, HostPattern, SecurityHeaders, TrustedProxy};

/// The settings of a server as the engine uses them. Defaults and reasons are those of [`KEYS`].
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "KEYS documents each one, with default and unit")]
pub struct Config {
    pub backlog_length: u32,
    pub max_workers: usize,
    pub reactors: usize,
    pub max_websockets: usize,
    pub process_timeout: Duration,
    pub termination_timeout: Duration,
    pub drain_idle: Duration,
    pub health_route: Option<String>,
    pub recv_size: usize,
    pub send_size: usize,
    pub keep_alive: bool,
    pub max_socket_reuse: u64,
    pub max_body_size: usize,
    pub spool_above: usize,
    pub form_limits: FormLimits,
    pub cors: Option<Cors>,
    pub security_headers: SecurityHeaders,
    pub access_log: AccessLog,
    pub header_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub keep_alive_idle: Duration,
    pub body_stall_timeout: Duration,
    pub write_stall_timeout: Duration,
    pub min_rate: u64,
    pub max_request_line: usize,
    pub max_header_fields: usize,
    pub max_header_size: usize,
    pub max_query_parameters: usize,
    pub max_cookies: usize,
    pub max_connections: Option<usize>,
    pub allow_range_from: Option<u64>,
    pub symlinks: Symlinks,
    pub file_cache: u64,
    pub compression: bool,
    pub h2c: bool,
    pub h2_ping: Duration,
    pub allowed_hosts: Vec<HostPattern>,
    pub trusted_proxies: Vec<TrustedProxy>,
    pub proxy_fields: ProxyFields,
    pub hsts: Option<Duration>,
    pub https_redirect: Option<(Option<IpAddr>, u16)>,
    pub ssl_enabled: bool,
    pub ssl_certfile: PathBuf,
    pub ssl_keyfile: PathBuf,
    pub ssl_certificates: Vec<CertificateFiles>,
    pub tls_handshake_timeout: Duration,
    pub debug: bool,
}

/// A certificate with its chain, and its key: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's own certificate first, then those that lead to one that clients know.
    pub certfile: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1; it may be the same file.
    pub keyfile: PathBuf,
}

/// In which fields a trusted proxy says on whose behalf it asks. The proxy has to take away what a client sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFields {
    /// `Forwarded` or `X-Forwarded-*`, whichever there is; a request with both is refused.
    Either,
    /// `Forwarded` (RFC 7239) alone.
    Forwarded,
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` alone.
    XForwarded,
}

/// Which symbolic links within a folder that is served are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Those whose target, named relatively, lies within the folder.
    Inside,
    /// None: what lies behind a link is not found.
    Never,
    /// All of them, wherever they lead.
    Anywhere,
}

/// How the access log is written.
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

/// A value as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A text.
    Text(&'static str),
    /// A text that is not known when the program is built.
    Owned(String),
    /// An address: IP address or host name, and port.
    Address(String, u16),
    /// Several values.
    List(Vec<Value>),
    /// Values with names.
    Table(Vec<(String, Value)>),
    /// Nothing given.
    None,
    /// Something that can be called.
    Callable,
    /// Anything else, as it shows itself.
    Other(String),
}

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The name, as in Python's `config` dictionary.
    pub name: &'static str,
    /// What it is if nobody sets it.
    pub default: Value,
    /// What it may be, for the message that refuses anything else.
    pub allowed: &'static str,
    /// Takes a value over; `false` if it is not allowed.
    apply: fn(&mut Config, &Value) -> bool,
}

/// Every key, in the order in which documents list them.
pub static KEYS: &[Key] = &[
    Key {
        name: "host",
        default: Value::None,
        allowed: "(ip, port) or 'unix:PATH'; what the constructor was given if nobody changes it",
        apply: |_, value| match value {
            Value::None | Value::Address(..) => true,
            Value::Owned(text) => text.len() > 5 && text.starts_with("unix:"),
            _ => false,
        },
    },
    Key {
        name: "backlog_length",
        default: Value::Integer(1024),
        allowed: "a whole number from 1 to 65535",
        apply: |config, value| whole(value, 1, 65_535, |n| config.backlog_length = n as u32),
    },
    Key {
        name: "max_workers",
        default: Value::Integer(150),
        allowed: "a whole number from 1 to 10000",
        apply: |config, value| whole(value, 1, 10_000, |n| config.max_workers = n as usize),
    },
    Key {
        name: "max_websockets",
        default: Value::Integer(2048),
        allowed: "a whole number from 1 to 1000000",
        apply: |config, value| whole(value, 1, 1_000_000, |n| config.max_websockets = n as usize),
    },
    Key {
        name: "process_timeout",
        default: Value::Integer(60),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.process_timeout),
    },
    Key {
        name: "termination_timeout",
        default: Value::Integer(30),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.termination_timeout = Duration::from_secs_f64(n)),
    },
    Key {
        name: "drain_idle",
        default: Value::Integer(30),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.drain_idle = Duration::from_secs_f64(n)),
    },
    Key {
        name: "processes",
        default: Value::Integer(1),
        allowed: "a whole number from 1 to 1024, or 'auto': one for each core",
        apply: |_, value| matches!(value, Value::Owned(text) if text == "auto") || whole(value, 1, 1024, |_| ()),
    },
    Key {
        name: "reactors",
        default: Value::Integer(1),
        allowed: "a whole number from 1 to 64, or 'auto': one for each core",
        apply: |config, value| match value {
            Value::Owned(text) if text == "auto" => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                config.reactors = cores.min(MOST_REACTORS);
                true
            }
            value => whole(value, 1, MOST_REACTORS as i64, |n| config.reactors = n as usize),
        },
    },
    Key { name: "on_worker_start", default: Value::None, allowed: "a function of (slot), or None", apply: callable },
    Key { name: "on_worker_stop", default: Value::None, allowed: "a function of (slot), or None", apply: callable },
    Key {
        name: "health_route",
        default: Value::None,
        allowed: "a path that begins with '/', or None",
        apply: |config, value| match value {
            Value::None => {
                config.health_route = None;
                true
            }
            Value::Owned(path) if path.starts_with('/') => {
                config.health_route = Some(path.clone());
                true
            }
            _ => false,
        },
    },
    Key {
        name: "recv_size",
        default: Value::Integer(16_384),
        allowed: "a whole number of bytes from 1024 to 16777216",
        apply: |config, value| whole(value, 1024, 16 << 20, |n| config.recv_size = n as usize),
    },
    Key {
        name: "send_size",
        default: Value::Integer(65_536),
        allowed: "a whole number of bytes from 1024 to 16777216",
        apply: |config, value| whole(value, 1024, 16 << 20, |n| config.send_size = n as usize),
    },
    Key {
        name: "keep_alive",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| match value {
            Value::Bool(on) => {
                config.keep_alive = *on;
                true
            }
            _ => false,
        },
    },
    Key {
        name: "max_socket_reuse",
        default: Value::Integer(10_000),
        allowed: "a whole number from 1 on",
        apply: |config, value| whole(value, 1, i64::MAX, |n| config.max_socket_reuse = n as u64),
    },
    Key {
        name: "accept_timeout",
        default: Value::Integer(1),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "max_body_size_mb",
        default: Value::Integer(16),
        allowed: "a number of MiB above 0, at most 4095",
        apply: |config, value| number(value, 1e-6, 4095.0, |n| config.max_body_size = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "spool_above_mb",
        default: Value::Integer(1),
        allowed: "a number of MiB from 0 on, at most 4095",
        apply: |config, value| number(value, 0.0, 4095.0, |n| config.spool_above = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "max_form_fields",
        default: Value::Integer(1000),
        allowed: "a whole number from 0 to 1000000",
        apply: |config, value| whole(value, 0, 1_000_000, |n| config.form_limits.fields = n as usize),
    },
    Key {
        name: "max_form_field_size",
        default: Value::Integer(500_000),
        allowed: "a whole number of bytes from 0 to 1073741824",
        apply: |config, value| whole(value, 0, 1 << 30, |n| config.form_limits.field_size = n as usize),
    },
    Key {
        name: "max_form_files",
        default: Value::Integer(100),
        allowed: "a whole number from 0 to 1000000",
        apply: |config, value| whole(value, 0, 1_000_000, |n| config.form_limits.files = n as usize),
    },
    Key {
        name: "cors",
        default: Value::None,
        allowed: "an origin such as 'https://example.com', '*', a list of origins, or a table of origins, methods, headers, \
                  expose, credentials and max_age; credentials are for listed origins, not for '*'",
        apply: |config, value| read_cors(value).map(|cors| config.cors = cors).is_some(),
    },
    Key {
        name: "security_headers",
        default: Value::None,
        allowed: "'basic' (the same as True), 'strict', a table of names and values, or None",
        apply: |config, value| read_security(value).map(|headers| config.security_headers = headers).is_some(),
    },
    Key {
        name: "allow_range_from_mb",
        default: Value::Integer(0),
        allowed: "a number of MiB from 0 on, or -1: never",
        apply: |config, value| match value {
            Value::Integer(-1) => {
                config.allow_range_from = None;
                true
            }
            value => number(value, 0.0, 1e9, |n| config.allow_range_from = Some((n * 1_048_576.0) as u64)),
        },
    },
    Key {
        name: "symlinks",
        default: Value::Text("inside"),
        allowed: "'inside' (followed while they stay within the folder), 'never' or 'anywhere'",
        apply: |config, value| {
            let text = match value {
                Value::Text(text) => text,
                Value::Owned(text) => text.as_str(),
                _ => return false,
            };
            let symlinks = match text {
                "inside" => Symlinks::Inside,
                "never" => Symlinks::Never,
                "anywhere" => Symlinks::Anywhere,
                _ => return false,
            };
            config.symlinks = symlinks;
            true
        },
    },
    Key {
        name: "file_cache_mb",
        default: Value::Integer(64),
        allowed: "a number of MiB from 0 (no cache) to 1048576",
        apply: |config, value| number(value, 0.0, 1_048_576.0, |n| config.file_cache = (n * 1_048_576.0) as u64),
    },
    Key {
        name: "compression",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| match value {
            Value::Bool(on) => {
                config.compression = *on;
                true
            }
            _ => false,
        },
    },
    Key {
        name: "allowed_hosts",
        default: Value::List(Vec::new()),
        allowed: "a list of host names such as 'example.com' or '*.example.com'; empty: any",
        apply: |config, value| each(value, &mut config.allowed_hosts),
    },
    Key {
        name: "trusted_proxies",
        default: Value::List(Vec::new()),
        allowed: "a list of networks such as '10.0.0.0/8', '::1' or 'unix'",
        apply: |config, value| each(value, &mut config.trusted_proxies),
    },
    Key {
        name: "proxy_fields",
        default: Value::Text("either"),
        allowed: "'either', 'forwarded' or 'x-forwarded'",
        apply: |config, value| {
            config.proxy_fields = match text(value) {
                Some("either") => ProxyFields::Either,
                Some("forwarded") => ProxyFields::Forwarded,
                Some("x-forwarded") => ProxyFields::XForwarded,
                _ => return false,
            };
            true
        },
    },
    Key {
        name: "ssl_enabled",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| match value {
            Value::Bool(on) => {
                config.ssl_enabled = *on;
                true
            }
            _ => false,
        },
    },
    Key {
        name: "ssl_certfile",
        default: Value::Text(""),
        allowed: "the path of a PEM file",
        apply: |config, value| path(value, &mut config.ssl_certfile),
    },
    Key {
        name: "ssl_keyfile",
        default: Value::Text(""),
        allowed: "the path of a PEM file; '': the key stands in ssl_certfile",
        apply: |config, value| path(value, &mut config.ssl_keyfile),
    },
    Key {
        name: "ssl_certificates",
        default: Value::None,
        allowed: "a list of {'certfile': path, 'keyfile': path}, or None",
        apply: |config, value| match value {
            Value::None => {
                config.ssl_certificates.clear();
                true
            }
            Value::List(list) => list.iter().map(certificate_files).collect::<Option<_>>().is_some_and(|files| {
                config.ssl_certificates = files;
                true
            }),
            _ => false,
        },
    },
    Key {
        name: "tls_handshake_timeout",
        default: Value::Integer(10),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.tls_handshake_timeout),
    },
    Key {
        name: "https_redirect",
        default: Value::None,
        allowed: "a port, (ip, port), or None",
        apply: |config, value| {
            config.https_redirect = match value {
                Value::None => None,
                Value::Integer(port) => match u16::try_from(*port) {
                    Ok(port) => Some((None, port)),
                    Err(_) => return false,
                },
                Value::Address(ip, port) => match ip.parse() {
                    Ok(ip) => Some((Some(ip), *port)),
                    Err(_) => return false,
                },
                _ => return false,
            };
            true
        },
    },
    Key {
        name: "hsts",
        default: Value::None,
        allowed: "a time such as '30d' or '1y', a whole number of seconds, or None",
        apply: |config, value| {
            config.hsts = match value {
                Value::None => None,
                Value::Integer(seconds) => match u64::try_from(*seconds) {
                    Ok(seconds) => Some(Duration::from_secs(seconds)),
                    Err(_) => return false,
                },
                value => match text(value).and_then(span_of_time) {
                    Some(time) => Some(time),
                    None => return false,
                },
            };
            true
        },
    },
    Key {
        name: "big_definition_mb",
        default: Value::Integer(50),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "big_send_limit_mb",
        default: Value::Integer(100),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "post_callback",
        default: Value::None,
        allowed: "a function of (request, response), or None",
        apply: callable,
    },
    Key { name: "pre_send", default: Value::None, allowed: "a function of (response), or None", apply: callable },
    Key {
        name: "server_cleanup",
        default: Value::None,
        allowed: "a function without arguments, or None",
        apply: callable,
    },
    Key {
        name: "access_log",
        default: Value::Text("auto"),
        allowed: "'auto', 'off', 'common', 'combined' or 'json'",
        apply: |config, value| {
            let text = match value {
                Value::Text(text) => text,
                Value::Owned(text) => text.as_str(),
                _ => return false,
            };
            config.access_log = match text {
                "auto" => AccessLog::Auto,
                "off" => AccessLog::Off,
                "common" => AccessLog::Common,
                "combined" => AccessLog::Combined,
                "json" => AccessLog::Json,
                _ => return false,
            };
            true
        },
    },
    Key {
        name: "header_timeout",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.header_timeout),
    },
    Key {
        name: "first_byte_timeout",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.first_byte_timeout),
    },
    Key {
        name: "keep_alive_idle",
        default: Value::Integer(75),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.keep_alive_idle),
    },
    Key {
        name: "body_stall_timeout",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.body_stall_timeout),
    },
    Key {
        name: "write_stall_timeout",
        default: Value::Integer(60),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.write_stall_timeout),
    },
    Key {
        name: "min_rate",
        default: Value::Integer(240),
        allowed: "a whole number of bytes a second from 0 on",
        apply: |config, value| whole(value, 0, i64::MAX, |n| config.min_rate = n as u64),
    },
    Key {
        name: "max_request_line",
        default: Value::Integer(8192),
        allowed: "a whole number of bytes from 64 to 1048576",
        apply: |config, value| whole(value, 64, 1 << 20, |n| config.max_request_line = n as usize),
    },
    Key {
        name: "max_header_fields",
        default: Value::Integer(100),
        allowed: "a whole number from 1 to 1000",
        apply: |config, value| whole(value, 1, 1000, |n| config.max_header_fields = n as usize),
    },
    Key {
        name: "max_header_size",
        default: Value::Integer(32_768),
        allowed: "a whole number of bytes from 64 to 1048576",
        apply: |config, value| whole(value, 64, 1 << 20, |n| config.max_header_size = n as usize),
    },
    Key {
        name: "h2c",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| match value {
            Value::Bool(on) => {
                config.h2c = *on;
                true
            }
            _ => false,
        },
    },
    Key {
        name: "h2_ping",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.h2_ping),
    },
    Key {
        name: "max_query_parameters",
        default: Value::Integer(1000),
        allowed: "a whole number from 1 to 100000",
        apply: |config, value| whole(value, 1, 100_000, |n| config.max_query_parameters = n as usize),
    },
    Key {
        name: "max_cookies",
        default: Value::Integer(150),
        allowed: "a whole number from 1 to 100000",
        apply: |config, value| whole(value, 1, 100_000, |n| config.max_cookies = n as usize),
    },
    Key {
        name: "max_connections",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: 80 % of the descriptor limit, at most 50000",
        apply: |config, value| match value {
            Value::None => {
                config.max_connections = None;
                true
            }
            value => whole(value, 1, i64::MAX, |n| config.max_connections = Some(n as usize)),
        },
    },
    Key {
        name: "debug",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| match value {
            Value::Bool(on) => {
                config.debug = *on;
                true
            }
            _ => false,
        },
    },
];

/// Where a route is late is a bit for each reactor.
pub(crate) const MOST_REACTORS: usize = 64;

const SECONDS: &str = "seconds, more than 0";

fn whole(value: &Value, least: i64, most: i64, mut take: impl FnMut(i64)) -> bool {
    match value {
        Value::Integer(number) if (least..=most).contains(number) => {
            take(*number);
            true
        }
        _ => false,
    }
}

fn number(value: &Value, least: f64, most: f64, mut take: impl FnMut(f64)) -> bool {
    let number = match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        _ => return false,
    };
    // Not a number is in no range.
    let allowed = (least..=most).contains(&number);
    if allowed {
        take(number);
    }
    allowed
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Owned(text) => Some(text),
        _ => None,
    }
}

/// A whole number and its unit: `90s`, `10m`, `12h`, `30d`, `2w`, `1y`.
fn span_of_time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return None,
    };
    let number: u32 = number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Duration::from_secs(u64::from(number) * seconds))
}

/// A list of texts, each of which means something; a text alone is a list of one.
fn each<T: std::str::FromStr>(value: &Value, into: &mut Vec<T>) -> bool {
    let values = match value {
        Value::List(values) => values.as_slice(),
        Value::Text(_) | Value::Owned(_) => std::slice::from_ref(value),
        _ => return false,
    };
    let read: Option<Vec<T>> = values.iter().map(|value| text(value)?.parse().ok()).collect();
    read.map(|read| *into = read).is_some()
}

fn seconds(value: &Value, into: &mut Duration) -> bool {
    number(value, 0.001, 1e6, |n| *into = Duration::from_secs_f64(n))
}

fn path(value: &Value, into: &mut PathBuf) -> bool {
    let path = text(value);
    if let Some(path) = path {
        *into = path.into();
    }
    path.is_some()
}

impl CertificateFiles {
    /// One table with `certfile` and `keyfile`, or a list of them; `None` if it is neither.
    pub fn listed(value: &Value) -> Option<Vec<Self>> {
        match value {
            Value::List(values) if values.is_empty() => None,
            Value::List(values) => values.iter().map(certificate_files).collect(),
            value => certificate_files(value).map(|files| vec![files]),
        }
    }
}

fn certificate_files(value: &Value) -> Option<CertificateFiles> {
    let Value::Table(fields) = value else { return None };
    let field =
        |name| fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| text(value)).map(PathBuf::from);
    let (certfile, keyfile) = (field("certfile")?, field("keyfile"));
    let is_known =
        |(name, value): &(String, Value)| matches!(&name[..], "certfile" | "keyfile") && text(value).is_some();
    let keyfile = keyfile.filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| certfile.clone());
    fields.iter().all(is_known).then_some(CertificateFiles { certfile, keyfile })
}

fn read_cors(value: &Value) -> Option<Option<Cors>> {
    let texts = |value: &Value| {
        let mut texts = Vec::<String>::new();
        each(value, &mut texts).then_some(texts)
    };
    let Value::Table(fields) = value else {
        return match value {
            Value::None => Some(None),
            value => Cors::new(texts(value)?).ok().map(Some),
        };
    };
    let (_, origins) = fields.iter().find(|(name, _)| name == "origins")?;
    let mut cors = Cors::new(texts(origins)?).ok()?;
    for (name, value) in fields {
        cors = match (name.as_str(), value) {
            ("origins", _) | ("credentials", Value::Bool(false)) => cors,
            ("credentials", Value::Bool(true)) => cors.with_credentials().ok()?,
            ("methods", value) => cors.with_methods(&texts(value)?).ok()?,
            ("headers", value) => cors.with_headers(&texts(value)?).ok()?,
            ("expose", value) => cors.with_exposed(&texts(value)?).ok()?,
            ("max_age", Value::Integer(seconds)) => cors.with_max_age(u32::try_from(*seconds).ok()?),
            _ => return None,
        };
    }
    Some(Some(cors))
}

fn read_security(value: &Value) -> Option<SecurityHeaders> {
    match value {
        Value::None | Value::Bool(false) => Some(SecurityHeaders::default()),
        Value::Bool(true) => Some(SecurityHeaders::basic()),
        Value::Table(fields) => {
            let fields: Option<Vec<_>> =
                fields.iter().map(|(name, value)| Some((name.as_str(), text(value)?))).collect();
            SecurityHeaders::listed(fields?).ok()
        }
        value => match text(value)? {
            "basic" => Some(SecurityHeaders::basic()),
            "strict" => Some(SecurityHeaders::strict()),
            _ => None,
        },
    }
}

fn any_number(_: &mut Config, value: &Value) -> bool {
    number(value, f64::MIN, f64::MAX, |_| ())
}

fn callable(_: &mut Config, value: &Value) -> bool {
    matches!(value, Value::None | Value::Callable)
}

impl Default for Config {
    fn default() -> Self {
        // Everything here is overwritten from the table, so that a default stands in one place.
        let mut config = Self {
            backlog_length: 0,
            max_workers: 0,
            reactors: 0,
            max_websockets: 0,
            process_timeout: Duration::ZERO,
            termination_timeout: Duration::ZERO,
            drain_idle: Duration::ZERO,
            health_route: None,
            recv_size: 0,
            send_size: 0,
            keep_alive: false,
            max_socket_reuse: 0,
            max_body_size: 0,
            spool_above: 0,
            form_limits: FormLimits::DEFAULT,
            cors: None,
            security_headers: SecurityHeaders::default(),
            access_log: AccessLog::Off,
            header_timeout: Duration::ZERO,
            first_byte_timeout: Duration::ZERO,
            keep_alive_idle: Duration::ZERO,
            body_stall_timeout: Duration::ZERO,
            write_stall_timeout: Duration::ZERO,
            min_rate: 0,
            max_request_line: 0,
            max_header_fields: 0,
            max_header_size: 0,
            max_query_parameters: 0,
            max_cookies: 0,
            max_connections: None,
            allow_range_from: None,
            symlinks: Symlinks::Inside,
            file_cache: 0,
            compression: false,
            allowed_hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_fields: ProxyFields::Either,
            ssl_enabled: false,
            ssl_certfile: PathBuf::new(),
            ssl_keyfile: PathBuf::new(),
            ssl_certificates: Vec::new(),
            tls_handshake_timeout: Duration::ZERO,
            h2c: false,
            h2_ping: Duration::ZERO,
            hsts: None,
            https_redirect: None,
            debug: false,
        };
        for key in KEYS {
            (key.apply)(&mut config, &key.default);
        }
        config
    }
}

impl Config {
    /// Makes settings of names and values; keys that are not named keep their defaults.
    ///
    /// # Errors
    /// One message with a line for each unknown name, with the nearest right one, and for each value that is not
    /// allowed, with what is.
    pub fn from_values<'a>(values: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Self, Error> {
        let mut config = Self::default();
        let mut faults = Vec::new();
        for (name, value) in values {
            match KEYS.iter().find(|key| key.name == name) {
                Some(key) if (key.apply)(&mut config, &value) => {}
                Some(key) => faults.push(format!("config[{name:?}] is {}; allowed: {}", shown(&value), key.allowed)),
                None => {
                    let nearest = nearest(name).map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
                    faults.push(format!("config[{name:?}] is not a setting (given: {}){nearest}", shown(&value)));
                }
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(Error::new(faults.join("\n"))) }
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

fn shown(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::Owned(text) => format!("{text:?}"),
        Value::Address(ip, port) => format!("({ip:?}, {port})"),
        Value::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Table(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name:?}: {}", shown(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::None => "None".into(),
        Value::Callable => "a function".into(),
        Value::Other(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed() {
        let mut config = Config::default();
        for key in KEYS {
            assert!((key.apply)(&mut config, &key.default), "{}", key.name);
        }
    }

    #[test]
    fn times_with_a_unit() {
        for (text, seconds) in [("30d", Some(2_592_000)), ("1y", Some(31_536_000)), ("90s", Some(90)), ("0s", Some(0))]
        {
            assert_eq!(span_of_time(text).map(|time| time.as_secs()), seconds, "{text}");
        }
        for text in ["", "d", "30", "30 d", "-1d", "+1d", "1.5d", "1mo", "d1", "1é", "99999999999d"] {
            assert_eq!(span_of_time(text), None, "{text}");
        }
    }

    #[test]
    fn one_message_names_every_fault() {
        let values =
            [("max_worker", Value::Integer(3)), ("keep_alive", Value::Owned("yes".into())), ("zzz", Value::None)];
        let text = Config::from_values(values).unwrap_err().to_string();
        for part in ["\"max_worker\"", "did you mean \"max_workers\"?", "keep_alive", "\"yes\"", "True or False", "zzz"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
