//! The setting `bus`: the broker by which topics and shared state reach other machines. Its password is never shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::value::{Value, shown, text};
use crate::error::Error;

/// Where a broker is, and how to sign in there.
///
/// ```
/// use outside::Config;
///
/// let mut config = Config::default();
/// config.bus = Some("redis://app:secret@broker.internal/0?prefix=shop".parse()?);
/// assert_eq!(format!("{:?}", config.bus), "Some(redis://broker.internal:6379)");
/// assert!("amqp://broker.internal".parse::<outside::config::BusAddress>().is_err());
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct BusAddress {
    /// The place of the broker.
    pub(crate) place: BusPlace,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// The number of the database, in which shared state is. Topics are the same in all.
    pub(crate) database: u32,
    /// The beginning of the names of all channels and keys.
    pub(crate) prefix: String,
}

/// The place of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BusPlace {
    Tcp {
        host: String,
        port: u16,
    },
    /// With TLS; `authority`: the file of a private authority's certificates, empty for the usual ones.
    Tls {
        host: String,
        port: u16,
        authority: PathBuf,
    },
    Unix(PathBuf),
}

impl BusAddress {
    /// Reads the value of the key `bus`. Returns whether it is allowed.
    pub(super) fn read(value: &Value, into: &mut Option<Self>) -> bool {
        match value {
            Value::None => *into = None,
            value => match text(value).map(str::parse) {
                Some(Ok(address)) => *into = Some(address),
                _ => return false,
            },
        }
        true
    }
}

/// The value for a message about it: its scheme and the fault, since the rest may hold a password.
pub(super) fn described(value: &Value) -> String {
    let Some(url) = text(value) else { return shown(value) };
    let reason = url.parse::<BusAddress>().err().map(|error| error.to_string()).unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => format!("'{scheme}://…', {reason}"),
        _ => format!("a str of {} bytes, {reason}", url.len()),
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
}

/// The place alone.
impl fmt::Display for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            BusPlace::Tcp { host, port } => write!(f, "redis://{}:{port}", in_brackets(host)),
            BusPlace::Tls { host, port, .. } => write!(f, "rediss://{}:{port}", in_brackets(host)),
            BusPlace::Unix(path) => write!(f, "redis+unix://{}", path.display()),
        }
    }
}

impl fmt::Debug for BusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn in_brackets(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(not(feature = "bus"))]
impl FromStr for BusAddress {
    type Err = Error;

    fn from_str(_: &str) -> Result<Self, Error> {
        Err(Error::new("which needs the feature `bus`, without which this program was built"))
    }
}

/// The error is a clause about the URL, without any part of it that may be a password.
#[cfg(feature = "bus")]
impl FromStr for BusAddress {
    type Err = Error;

    fn from_str(url: &str) -> Result<Self, Error> {
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        let is_known = ["redis", "rediss", "valkey", "valkeys", "redis+unix", "valkey+unix", "unix"].contains(&scheme);
        if !is_known {
            return Err(Error::new(if is_scheme(scheme) && !scheme.is_empty() {
                format!("and {scheme:?} is no known scheme")
            } else {
                "which has no scheme".to_owned()
            }));
        }
        let fault = |text: &'static str| Error::new(text);
        let Some(parsed) = redis::parse_redis_url(url) else { return Err(fault("which is no URL")) };
        let decoded = |text: &str| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
            decoded.map(|text| text.into_owned()).map_err(|_| fault("whose user or password is not UTF-8"))
        };
        let mut address = Self {
            place: BusPlace::Unix(PathBuf::new()),
            user: None,
            password: None,
            database: 0,
            prefix: "outside".to_owned(),
        };
        let mut authority = PathBuf::new();
        let is_unix = scheme.ends_with("unix");
        let mut database = if is_unix { String::new() } else { parsed.path().trim_matches('/').to_owned() };
        for (name, value) in parsed.query_pairs() {
            let value = value.into_owned();
            match &*name {
                "prefix" if is_prefix(&value) => address.prefix = value,
                "prefix" => {
                    return Err(fault("whose prefix has other characters than letters, digits and ._-, or over 64"));
                }
                "ca" if matches!(scheme, "rediss" | "valkeys") => authority = value.into(),
                "db" if is_unix => database = value,
                "user" if is_unix => address.user = Some(value),
                "pass" if is_unix => address.password = Some(value),
                "ca" => return Err(fault("whose ca needs TLS: rediss://")),
                _ => return Err(fault("which has an unknown parameter; known: prefix and ca")),
            }
        }
        if parsed.fragment().is_some() {
            return Err(fault("which has a # (in a password, write %23)"));
        }
        if !database.is_empty() {
            address.database = database.parse().map_err(|_| fault("whose database is no number"))?;
        }
        if is_unix {
            let path = decoded(parsed.path())?;
            if !path.starts_with('/') || parsed.host_str().is_some_and(|host| !host.is_empty()) {
                return Err(fault("which has no absolute path"));
            }
            address.place = BusPlace::Unix(path.into());
            return Ok(address);
        }
        if !parsed.username().is_empty() {
            address.user = Some(decoded(parsed.username())?);
        }
        address.password = parsed.password().map(decoded).transpose()?;
        if address.user.is_some() && address.password.is_none() {
            return Err(fault("which has a user without a password (user:password@host)"));
        }
        let host = parsed.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(fault("which has no host"));
        }
        let port = parsed.port().unwrap_or(6379);
        address.place = match scheme {
            "redis" | "valkey" => BusPlace::Tcp { host, port },
            _ => BusPlace::Tls { host, port, authority },
        };
        Ok(address)
    }
}

#[cfg(feature = "bus")]
fn is_prefix(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(all(test, feature = "bus"))]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_understood() {
        for (url, shown, user, password, database, prefix) in [
            ("redis://localhost", "redis://localhost:6379", None, None, 0, "outside"),
            ("valkey://10.0.0.1:7000/3", "redis://10.0.0.1:7000", None, None, 3, "outside"),
            ("redis://:p%40ss@h", "redis://h:6379", None, Some("p@ss"), 0, "outside"),
            ("redis://app:pa:ss@[::1]:1?prefix=a.b-c_1", "redis://[::1]:1", Some("app"), Some("pa:ss"), 0, "a.b-c_1"),
            ("rediss://h/?ca=/etc/ca.pem", "rediss://h:6379", None, None, 0, "outside"),
            ("redis+unix:///run/r.sock?db=2&pass=x", "redis+unix:///run/r.sock", None, Some("x"), 2, "outside"),
            ("unix:///run/r.sock", "redis+unix:///run/r.sock", None, None, 0, "outside"),
        ] {
            let address: BusAddress = url.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{url}");
            let found = (address.user.as_deref(), address.password.as_deref(), address.database, &*address.prefix);
            assert_eq!(found, (user, password, database, prefix), "{url}");
        }
        let tls: BusAddress = "valkeys://h?ca=/etc/ca.pem".parse().unwrap();
        assert!(matches!(tls.place, BusPlace::Tls { authority, .. } if authority.as_os_str() == "/etc/ca.pem"));
    }

    #[test]
    fn others_are_refused_without_their_password() {
        for (url, reason) in [
            ("amqp://user:hush@h", "'amqp://…', and \"amqp\" is no known scheme"),
            ("user:hush@h:6379", "a str of 16 bytes, which has no scheme"),
            ("redis://hush", ""),
            ("redis://user:hush", "'redis://…', which is no URL"),
            ("redis://hush@h", "'redis://…', which has a user without a password (user:password@host)"),
            ("redis://:hush@h/x", "'redis://…', whose database is no number"),
            ("redis://:hush@h/?ca=/x", "'redis://…', whose ca needs TLS: rediss://"),
            ("redis://:hush@h/?colour=hush", "'redis://…', which has an unknown parameter; known: prefix and ca"),
            (
                "redis://:hush@h/?prefix=a%20b",
                "'redis://…', whose prefix has other characters than letters, digits and ._-, or over 64",
            ),
            ("redis://:hu#sh@h", "'redis://…', which is no URL"),
            ("redis+unix://hush?db=1", "'redis+unix://…', which has no absolute path"),
        ] {
            let value = Value::Owned(url.to_owned());
            let mut address = None;
            assert_eq!(BusAddress::read(&value, &mut address), reason.is_empty(), "{url}");
            if !reason.is_empty() {
                assert_eq!(described(&value), reason, "{url}");
            }
        }
    }
}
