//! The certificates to obtain, as the configuration wants them, and the refusals that are known before anything is asked.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use super::storage::Storage;
use crate::config::{Challenge, Config, Domain};
use crate::error::Error;
use crate::transport::{client_tls, read_roots};

/// Everything that attempts need.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) domains: Vec<Domain>,
    pub(crate) authorities: Vec<Authority>,
    pub(crate) email: Option<String>,
    pub(crate) eab: Option<(String, String)>,
    pub(crate) profile: Option<String>,
    pub(crate) challenges: Vec<Challenge>,
    pub(crate) storage: Storage,
    roots: PathBuf,
}

/// A certificate authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    /// The URL of its directory.
    pub(crate) directory: String,
    /// The directory for trials, if it has one.
    pub(crate) staging: Option<String>,
}

/// Names of authorities, with the directories for certificates and for trials.
const KNOWN: &[(&str, &str, Option<&str>)] = &[
    (
        "letsencrypt",
        "https://acme-v02.api.letsencrypt.org/directory",
        Some("https://acme-staging-v02.api.letsencrypt.org/directory"),
    ),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory", None),
];
/// Hosts of authorities that sign public names alone.
const PUBLIC: &[&str] =
    &["api.letsencrypt.org", "acme.zerossl.com", "api.buypass.com", "dv.acme-v02.api.pki.goog", "acme.ssl.com"];
/// Names that no public authority signs: they have no owner in the DNS (RFC 6761, RFC 6762, RFC 8375).
const PRIVATE: &[&str] = &["localhost", "local", "internal", "test", "example", "invalid", "home.arpa", "lan", "onion"];
/// The profile of Let's Encrypt that has IP addresses.
const WITH_ADDRESSES: &str = "shortlived";

impl Authority {
    fn of(text: &str) -> Self {
        match KNOWN.iter().find(|(name, directory, _)| text == *name || text == *directory) {
            Some((_, directory, staging)) => {
                Self { directory: (*directory).to_owned(), staging: staging.map(str::to_owned) }
            }
            None => Self { directory: text.to_owned(), staging: None },
        }
    }

    /// Its host, for the log.
    pub(crate) fn host(&self) -> &str {
        host_of(&self.directory)
    }

    fn is_public(&self) -> bool {
        PUBLIC.iter().any(|public| {
            let before = self.host().strip_suffix(public);
            before.is_some_and(|before| before.is_empty() || before.ends_with('-') || before.ends_with('.'))
        })
    }
}

/// Host and port of a URL.
pub(crate) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

impl Plan {
    /// The plan of a configuration with `domains`.
    ///
    /// # Errors
    /// An authority cannot sign one of the names, a name cannot be proved, or the roots cannot be read.
    pub(crate) fn of(config: &Config) -> Result<Self, Error> {
        let acme = &config.acme;
        let plan = Self {
            domains: config.domains.clone(),
            authorities: acme.directories.iter().map(|text| Authority::of(text)).collect(),
            email: acme.email.clone(),
            eab: acme.eab.clone(),
            profile: acme.profile.clone(),
            challenges: challenges(config),
            storage: Storage::locate(config)?,
            roots: acme.roots.clone(),
        };
        plan.check(config)?;
        if !plan.roots.as_os_str().is_empty() {
            plan.private_roots()?;
        }
        Ok(plan)
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        let wants_dns = config.acme.challenges.contains(&Challenge::Dns01);
        if wants_dns && !config.acme.has_dns {
            return Err(Error::new("config[\"acme_challenges\"] names dns-01, which needs config[\"acme_dns\"]"));
        }
        if self.challenges.is_empty() {
            return Err(Error::new("config[\"acme_challenges\"] leaves no way to prove a name"));
        }
        let only_http = self.challenges == [Challenge::Http01];
        if only_http && config.no_plain_http {
            return Err(Error::new(
                "config[\"acme_challenges\"] is http-01 alone, which needs a place for plain HTTP, and config[\"https_redirect\"] is False",
            ));
        }
        for name in self.domains.iter().flat_map(Domain::names) {
            if name.starts_with("*.") && !self.challenges.contains(&Challenge::Dns01) {
                return Err(Error::new(format!(
                    "config[\"domains\"] names {name:?}: a wildcard is proved in the DNS, which needs config[\"acme_dns\"]"
                )));
            }
            let Some(authority) = self.authorities.iter().find(|authority| authority.is_public()) else { continue };
            if let Some(reason) = unsignable(name, self.profile.as_deref()) {
                return Err(Error::new(format!(
                    "config[\"domains\"] names {name:?}: {} {reason}; outside cert {name} writes a certificate for development, and \
                     config[\"acme_directory\"] takes the URL of a private authority",
                    authority.host()
                )));
            }
        }
        Ok(())
    }

    fn private_roots(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let path = &self.roots;
        read_roots(path).map_err(|fault| Error::new(format!("config[\"acme_roots\"]: the file {path:?} {fault}")))
    }

    /// The subjects of the private roots, in DER: a chain may end below one.
    pub(crate) fn private_issuers(&self) -> Vec<Vec<u8>> {
        if self.roots.as_os_str().is_empty() {
            return Vec::new();
        }
        let roots = self.private_roots().unwrap_or_default();
        roots.iter().filter_map(|der| crate::transport::subject_of(der)).collect()
    }

    /// The settings of TLS towards the authority.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, Error> {
        client_tls(if self.roots.as_os_str().is_empty() { Vec::new() } else { self.private_roots()? })
    }

    /// The file of the account at an authority: its name has the host and, if it is unusual, the path of the directory.
    pub(crate) fn account_file(&self, directory: &str) -> PathBuf {
        let rest = directory.split_once("://").map_or(directory, |(_, rest)| rest);
        let name = rest.strip_suffix("/directory").unwrap_or(rest).trim_end_matches('/');
        let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-.".contains(letter) { letter } else { '_' };
        self.storage.account(&name.chars().map(safe).take(200).collect::<String>())
    }

    /// Whether this directory is one of the configured ones.
    pub(crate) fn has_authority(&self, directory: &str) -> bool {
        self.authorities.iter().any(|authority| authority.directory == directory)
    }
}

/// The challenges to take, best first.
fn challenges(config: &Config) -> Vec<Challenge> {
    if !config.acme.challenges.is_empty() {
        let mut chosen = config.acme.challenges.clone();
        chosen.dedup();
        return chosen;
    }
    let mut chosen = Vec::new();
    if config.acme.has_dns {
        chosen.push(Challenge::Dns01);
    }
    chosen.push(Challenge::TlsAlpn01);
    if !config.no_plain_http {
        chosen.push(Challenge::Http01);
    }
    chosen
}

/// The reason why no public authority signs this name.
fn unsignable(name: &str, profile: Option<&str>) -> Option<&'static str> {
    if let Ok(address) = name.parse::<IpAddr>() {
        let is_private = match address {
            IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
            IpAddr::V6(v6) => {
                v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
            }
        };
        return match profile {
            _ if is_private => Some("signs no addresses of private networks or of this machine"),
            Some(WITH_ADDRESSES) => None,
            _ => Some("signs IP addresses only with config[\"acme_profile\"] = \"shortlived\""),
        };
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_private = PRIVATE
        .iter()
        .any(|private| last == *private || name.strip_suffix(private).is_some_and(|rest| rest.ends_with('.')));
    match () {
        () if is_private => Some("signs no name that exists on this machine or in this network alone"),
        () if !name.contains('.') => Some("signs no name without a dot"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    fn plan(values: &[(&str, &str)]) -> Result<Plan, String> {
        let values = values.iter().map(|(name, value)| (*name, Value::Owned((*value).to_owned())));
        let storage = ("acme_storage", Value::Owned("/nowhere".to_owned()));
        let config = Config::from_values(values.chain([storage])).map_err(|error| error.to_string())?;
        Plan::of(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_the_authority_cannot_sign() {
        for (name, is_allowed) in [
            ("outside.dev", true),
            ("www.outside.dev", true),
            ("localhost", false),
            ("a.local", false),
            ("router.home.arpa", false),
            ("intranet", false),
            ("8.8.8.8", false),
            ("10.1.1.1", false),
        ] {
            let planned = plan(&[("domains", name)]);
            assert_eq!(planned.is_ok(), is_allowed, "{name}");
            if let Err(text) = planned {
                assert!(text.contains(name) && text.contains("outside cert"), "{text}");
            }
            assert!(plan(&[("domains", name), ("acme_directory", "https://ca.internal/acme/directory")]).is_ok());
        }
        assert!(plan(&[("domains", "8.8.8.8"), ("acme_profile", "shortlived")]).is_ok());
        assert!(plan(&[("domains", "127.0.0.1"), ("acme_profile", "shortlived")]).is_err());
        assert!(plan(&[("domains", "*.outside.dev")]).unwrap_err().contains("acme_dns"));
        assert!(plan(&[("domains", "a.dev"), ("acme_challenges", "dns-01")]).unwrap_err().contains("acme_dns"));
    }

    #[test]
    fn directories() {
        for url in [
            "http://ca.example/directory",
            "https://",
            "ca.example",
            "ftp://ca.example",
            "http://localhost@ca.example/",
        ] {
            assert!(plan(&[("domains", "a.dev"), ("acme_directory", url)]).is_err(), "{url}");
        }
        let both = plan(&[("domains", "a.dev")]).unwrap();
        assert!(both.authorities[0].staging.is_some());
        let local = plan(&[("domains", "a.dev"), ("acme_directory", "http://localhost:14000/dir")]).unwrap();
        assert_eq!(local.authorities[0].host(), "localhost:14000");
        let file =
            |directory: &str| local.account_file(directory).file_name().map(|name| name.to_string_lossy().into_owned());
        assert_eq!(file("https://ca.example/directory").as_deref(), Some("ca.example.json"));
        assert_eq!(file("https://ca.example:9000/acme/x").as_deref(), Some("ca.example_9000_acme_x.json"));
    }
}
