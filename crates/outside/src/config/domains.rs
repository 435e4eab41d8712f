//! The names for which certificates are obtained, and how: the keys `domains` and `acme_…`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::value::{Value, text};
use crate::error::Error;

/// The names that share one certificate: host names, wildcards (`*.example.com`) and IP addresses.
///
/// ```
/// use outside::config::Domain;
/// let shared: Domain = "Example.com+www.example.com".parse()?;
/// assert_eq!(shared.names(), ["example.com", "www.example.com"]);
/// assert!("https://example.com".parse::<Domain>().is_err());
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(Vec<String>);

/// How a certificate authority is shown that a name is this server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
    /// By a request to port 80 (RFC 8555 section 8.3).
    Http01,
    /// By a record in the DNS (RFC 8555 section 8.4), which `acme_dns` sets.
    Dns01,
}

/// Letters of a name in the DNS (RFC 1035 section 2.3.4), and names of one certificate.
const LONGEST_NAME: usize = 253;
const MOST_NAMES: usize = 100;

impl Domain {
    /// Names that share a certificate.
    ///
    /// # Errors
    /// There is no name, one of them is invalid, or it stands twice.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let names: Vec<String> = names.into_iter().map(|name| canonical(name.as_ref())).collect::<Result<_, _>>()?;
        if names.is_empty() || names.len() > MOST_NAMES {
            return Err(Error::new(format!("a certificate has 1 to {MOST_NAMES} names, not {}", names.len())));
        }
        match names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
            Some((_, twice)) => Err(Error::new(format!("the name {twice:?} stands twice"))),
            None => Ok(Self(names)),
        }
    }

    /// The names, in lower case.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// One name, or several with `+` between them.
impl FromStr for Domain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text.split('+').map(str::trim))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("+"))
    }
}

fn canonical(name: &str) -> Result<String, Error> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && (1..64).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let labels = name.strip_prefix("*.").unwrap_or(&name);
    if labels.split('.').all(is_label) && name.len() <= LONGEST_NAME {
        return Ok(name);
    }
    let advice = if name.is_ascii() { "" } else { "; a name with other letters is written in its ASCII form, xn--…" };
    Err(Error::new(format!(
        "a domain is a name such as \"example.com\" or \"*.example.com\", or an IP address, not {name:?}{advice}"
    )))
}

/// Reads the key `domains`: a text, or a list of texts and of lists of texts that share a certificate.
pub(super) fn domains(value: &Value, into: &mut Vec<Domain>) -> bool {
    let read = match value {
        Value::Texts(texts) => texts.iter().map(|text| text.parse().ok()).collect(),
        Value::List(list) => list.iter().map(domain).collect(),
        value => domain(value).map(|one| vec![one]),
    };
    let Some(read) = read else { return false };
    let mut names = Vec::new();
    for name in read.iter().flat_map(Domain::names) {
        if names.contains(&name) {
            return false;
        }
        names.push(name);
    }
    *into = read;
    true
}

fn domain(value: &Value) -> Option<Domain> {
    match value {
        Value::List(names) => Domain::new(names.iter().map(text).collect::<Option<Vec<_>>>()?).ok(),
        value => text(value)?.parse().ok(),
    }
}

impl FromStr for Challenge {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.to_ascii_lowercase().as_str() {
            "tls-alpn-01" => Ok(Self::TlsAlpn01),
            "http-01" => Ok(Self::Http01),
            "dns-01" => Ok(Self::Dns01),
            _ => Err(Error::new(format!("a challenge is tls-alpn-01, http-01 or dns-01, not {text:?}"))),
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
            Self::Dns01 => "dns-01",
        })
    }
}

/// The settings of the certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AcmeConfig {
    /// URLs of directories, or the names `letsencrypt` and `letsencrypt-staging`; later ones are for when the first fails
    /// for a day.
    pub directories: Vec<String>,
    /// The address that the authority may write to.
    pub email: Option<String>,
    /// The identifier and the key, in base64url, of an account that exists at the authority otherwise (RFC 8555 section
    /// 7.3.4).
    pub eab: Option<(String, String)>,
    /// The profile of the certificates.
    pub profile: Option<String>,
    /// The folder of keys and certificates; empty: that of the system.
    pub storage: PathBuf,
    /// A PEM file of the roots that the directory's certificate is checked with; empty: those of the system.
    pub roots: PathBuf,
    /// The challenges to take, best first; empty: those that are possible.
    pub challenges: Vec<Challenge>,
    /// Whether `acme_dns` is set.
    pub has_dns: bool,
}

pub(super) fn text_or_none(value: &Value, into: &mut Option<String>) -> bool {
    match value {
        Value::None => *into = None,
        value => match text(value) {
            Some("") => *into = None,
            Some(text) => *into = Some(text.to_owned()),
            None => return false,
        },
    }
    true
}

/// Reads the key `acme_eab`: `(kid, key)`, a list of the two, or `"kid:key"`.
pub(super) fn eab(value: &Value, into: &mut Option<(String, String)>) -> bool {
    let pair = match value {
        Value::None => None,
        Value::List(list) => match list.as_slice() {
            [kid, key] => match (text(kid), text(key)) {
                (Some(kid), Some(key)) => Some((kid, key)),
                _ => return false,
            },
            _ => return false,
        },
        value => match text(value) {
            Some("") => None,
            Some(text) => match text.split_once(':') {
                Some(pair) => Some(pair),
                None => return false,
            },
            None => return false,
        },
    };
    let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte));
    if pair.is_some_and(|(kid, key)| kid.is_empty() || key.is_empty() || !is_key(key)) {
        return false;
    }
    *into = pair.map(|(kid, key)| (kid.to_owned(), key.to_owned()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (given, expected) in [
            ("Example.COM.", "example.com"),
            ("*.example.com", "*.example.com"),
            ("[::1]", "::1"),
            ("2001:db8:0::1", "2001:db8::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a.example+B.example", "a.example+b.example"),
            ("a.example + [2001:DB8::1]", "a.example+2001:db8::1"),
            ("_acme.a-b.example", "_acme.a-b.example"),
        ] {
            assert_eq!(given.parse::<Domain>().unwrap().to_string(), expected);
        }
        let (long_label, long_name) = (format!("{}.example", "a".repeat(64)), "a.".repeat(127) + "aa");
        for given in [
            "",
            "+",
            "a.example+",
            "a b",
            "https://a.example",
            "a.example:443",
            "[::1]:443",
            "[a.example]",
            "2001:db8::x",
            "192.0.2.1/24",
            "-a.example",
            "a-.example",
            "a..b",
            "a.example..",
            "*",
            "*.*.example",
            "a.*.example",
            "*a.example",
            "bücher.example",
            "a+a",
            "A.example+a.example.",
            "::1+[0::1]",
            &long_label,
            &long_name,
        ] {
            assert!(given.parse::<Domain>().is_err(), "{given}");
        }
        let advice = "bücher.example".parse::<Domain>().unwrap_err().to_string();
        assert!(advice.contains("xn--"), "{advice}");
        let many = |count: usize| Domain::new((0..count).map(|number| format!("n{number}.example")));
        assert_eq!(many(100).unwrap().names().len(), 100);
        assert!(many(101).unwrap_err().to_string().contains("1 to 100 names, not 101"));
    }

    #[test]
    fn values_of_the_key() {
        let owned = |text: &str| Value::Owned(text.to_owned());
        let read = |value: Value| {
            let mut into = Vec::new();
            domains(&value, &mut into).then(|| into.iter().map(Domain::to_string).collect::<Vec<_>>())
        };
        assert_eq!(read(owned("a.example")).unwrap(), ["a.example"]);
        assert_eq!(
            read(Value::List(vec![owned("a"), Value::List(vec![owned("b"), owned("c")])])).unwrap(),
            ["a", "b+c"]
        );
        for value in [
            Value::List(vec![owned("a"), owned("A")]),
            Value::List(vec![Value::Integer(1)]),
            Value::List(vec![Value::List(Vec::new())]),
            Value::Bool(true),
        ] {
            assert_eq!(read(value), None);
        }
        let mut pair = None;
        assert!(eab(&owned("kid-1:zWND-_"), &mut pair));
        assert_eq!(pair, Some(("kid-1".to_owned(), "zWND-_".to_owned())));
        assert!(!eab(&owned("kid-1"), &mut pair) && !eab(&owned(":x"), &mut pair) && !eab(&owned("k:ä"), &mut pair));
    }
}
