//! Names of hosts, in one canonical form for comparison, and patterns for several names.
//!
//! The form: lower case, without port, without a final dot; an IPv6 address without brackets in its shortest spelling.
//! Nothing is decoded: a name with a percent sign matches no host. Making the form allocates nothing.

use std::collections::HashSet;
use std::fmt;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Error;

/// A host name, or all names below one: `example.com`, `*.example.com`, `127.0.0.1`, `::1`; `*` is every name.
///
/// ```
/// use outside::message::HostPattern;
/// let pattern: HostPattern = "*.Example.com".parse()?;
/// assert!(pattern.matches("shop.example.com:8443") && pattern.matches("a.b.example.com."));
/// assert!(!pattern.matches("example.com") && !pattern.matches("evilexample.com"));
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern(pub(crate) HostKind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostKind {
    /// Every name.
    Any,
    /// This name.
    Exact(Box<str>),
    /// All names below this one, at any depth, but not itself.
    Below(Box<str>),
}

impl HostPattern {
    /// Whether the pattern matches the host of this authority (`host [ ":" port ]`).
    pub fn matches(&self, authority: &str) -> bool {
        match (&self.0, HostName::of(authority)) {
            (HostKind::Any, _) => true,
            (HostKind::Exact(name), Some(host)) => host.as_str() == &**name,
            (HostKind::Below(parent), Some(host)) => host.parents().any(|found| found == &**parent),
            (_, None) => false,
        }
    }
}

/// A port behind the name is allowed and ignored.
impl FromStr for HostPattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(format!(
                "a host is a name such as \"example.com\" or \"*.example.com\", or an IP address, not {text:?}"
            ))
        };
        if text == "*" {
            return Ok(Self(HostKind::Any));
        }
        // An IPv6 address may be given without the brackets that it needs before a port.
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self(HostKind::Exact(address.to_string().into())));
        }
        let (is_parent, name) = match text.strip_prefix("*.") {
            Some(parent) => (true, parent),
            None => (false, text),
        };
        let host = HostName::of(name).ok_or_else(wrong)?;
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let name = host.as_str();
        match (name.contains(':'), is_parent) {
            (true, false) => Ok(Self(HostKind::Exact(name.into()))),
            (false, _) if !name.split('.').all(is_label) => Err(wrong()),
            (false, true) => Ok(Self(HostKind::Below(name.into()))),
            (false, false) => Ok(Self(HostKind::Exact(name.into()))),
            (true, true) => Err(wrong()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            HostKind::Any => f.write_str("*"),
            HostKind::Exact(name) => f.write_str(name),
            HostKind::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// The host of an authority in its canonical form.
pub(crate) struct HostName {
    text: [u8; LONGEST],
    length: u8,
}

/// Bytes of the longest name in the DNS (RFC 1035 section 2.3.4).
const LONGEST: usize = 253;

impl HostName {
    /// `None` if there is no host, or no valid one.
    pub(crate) fn of(authority: &str) -> Option<Self> {
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if !(port.is_empty() || port.starts_with(':') && port.bytes().skip(1).all(|byte| byte.is_ascii_digit())) {
            return None;
        }
        let mut name = Self { text: [0; LONGEST], length: 0 };
        if authority.starts_with('[') {
            let address: Ipv6Addr = host.parse().ok()?;
            let mut room = &mut name.text[..];
            write!(room, "{address}").ok()?;
            name.length = (LONGEST - room.len()) as u8;
            return Some(name);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.ends_with('.') {
            return None;
        }
        let text = name.text.get_mut(..host.len())?;
        text.copy_from_slice(host.as_bytes());
        text.make_ascii_lowercase();
        name.length = host.len() as u8;
        Some(name)
    }

    pub(crate) fn as_str(&self) -> &str {
        // A copy of a text, cut at ASCII characters only.
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }

    /// The names above it, the nearest first.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &str> {
        let text = self.as_str();
        text.match_indices('.').map(|(at, _)| &text[at + 1..])
    }
}

/// Whether the host of this authority is this machine by name or address (RFC 6761 section 6.3): `localhost`, names
/// below it, 127.0.0.0/8, `::1`. Other spellings of an address do not count: clients send the usual one.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Some(host) = HostName::of(authority) else { return false };
    let name = host.as_str();
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Many patterns, with a look-up that does not visit each. Hashed by SipHash, because clients choose the names.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSet {
    any: bool,
    exact: HashSet<Box<str>>,
    below: HashSet<Box<str>>,
}

impl HostSet {
    pub(crate) fn of<'a>(patterns: impl IntoIterator<Item = &'a HostPattern>) -> Self {
        let mut set = Self::default();
        for pattern in patterns {
            match &pattern.0 {
                HostKind::Any => set.any = true,
                HostKind::Exact(name) => drop(set.exact.insert(name.clone())),
                HostKind::Below(parent) => drop(set.below.insert(parent.clone())),
            }
        }
        set
    }

    /// Whether the host of this authority matches.
    pub(crate) fn contains(&self, authority: &str) -> bool {
        self.any || HostName::of(authority).is_some_and(|host| self.names(&host))
    }

    /// Whether the host is listed by name, not only matched by `*`.
    pub(crate) fn names(&self, host: &HostName) -> bool {
        self.exact.contains(host.as_str())
            || !self.below.is_empty() && host.parents().any(|parent| self.below.contains(parent))
    }

    /// Whether any host is listed by name.
    pub(crate) fn has_names(&self) -> bool {
        !self.exact.is_empty() || !self.below.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_patterns() {
        for (pattern, hosts, others) in [
            (
                "example.com",
                &["example.com", "EXAMPLE.com", "example.com.", "example.com:80", "example.com.:8080", "example.com:"]
                    [..],
                &["", ".", ":80", "example.co", "a.example.com", "example.com..", "example.com:x", "xexample.com"][..],
            ),
            ("Example.COM.:443", &["example.com", "example.com:80"], &["example.org"]),
            (
                "*.example.com",
                &["a.example.com", "a.b.example.com", "A.EXAMPLE.COM.:1", "-.example.com"],
                &["example.com", ".com", "evilexample.com", "example.com.evil.org", "*.example.org", "a.example.com.."],
            ),
            ("127.0.0.1", &["127.0.0.1", "127.0.0.1:8080"], &["127.0.0.2", "127.1"]),
            (
                "::1",
                &["[::1]", "[0:0::1]:80", "[0000:0000:0000:0000:0000:0000:0000:0001]"],
                &["[::2]", "::1", "[::1]x"],
            ),
            ("[FD00::1]:443", &["[fd00::1]", "[FD00:0::1]:8443"], &["[fd00::2]", "[fd00::1", "[]"]),
            ("*", &["example.com", "[::1]", "", "%"], &[]),
            ("xn--bcher-kva.example", &["XN--bcher-kva.example"], &["bücher.example", "xn--bcher-kva.example%2e"]),
            ("under_score.example", &["under_score.example"], &["under-score.example"]),
        ] {
            let pattern: HostPattern = pattern.parse().unwrap();
            let set = HostSet::of([&pattern, &"other.invalid".parse().unwrap(), &"*.other.invalid".parse().unwrap()]);
            for host in hosts {
                assert!(pattern.matches(host) && set.contains(host), "{pattern} {host}");
            }
            for host in others {
                assert!(!pattern.matches(host) && !set.contains(host), "{pattern} {host}");
            }
        }
        assert!(!HostSet::default().contains("example.com"));
    }

    #[test]
    fn this_machine() {
        for host in [
            "localhost",
            "LOCALHOST.:8080",
            "app.localhost",
            "127.0.0.1:80",
            "127.255.255.254",
            "[::1]",
            "[::1]:8080",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]:1",
            "[::FFFF:7f00:1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "rebound.example",
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "127.0.0.1..",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::2]",
            "[::1",
            "::1",
            "[::1%25lo]",
            "[::ffff:128.0.0.1]",
            "[::127.0.0.1]",
            "192.168.0.1",
            "localhost:x",
            "user@localhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn malformed_patterns() {
        let long = "a.".repeat(140);
        for text in [
            "",
            ".",
            ".example.com",
            "*.",
            "*.*.com",
            "a.*.com",
            "*example.com",
            "https://example.com",
            "example.com/",
            "a..b",
            "a b",
            "user@example.com",
            "bücher.example",
            "[::1",
            "[x]",
            "*.[::1]",
            "a:b",
            "%61.com",
            &long,
        ] {
            let error = text.parse::<HostPattern>().unwrap_err().to_string();
            assert!(error.contains("\"*.example.com\""), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_longest_name_is_compared_whole() {
        let name = format!("{}com", "a.".repeat(125));
        assert_eq!(name.len(), 253);
        assert!(name.parse::<HostPattern>().unwrap().matches(&name));
        assert!(!"*.com".parse::<HostPattern>().unwrap().matches(&format!("a{name}")));
    }
}
