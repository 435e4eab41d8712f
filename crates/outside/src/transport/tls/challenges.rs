//! Proofs that this server has its names, for a certificate authority: key authorizations (HTTP-01, RFC 8555 section 8.3)
//! and challenge certificates (TLS-ALPN-01, RFC 8737), in memory.
//!
//! The process that orders a certificate writes them into a folder; every process keeps its memory in step with that
//! folder, so that any of them answers. Clients choose the tokens and names that are looked up: nothing is read for them.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::error::Error;
use crate::message::{HostName, HostSet};

/// The protocol of a validation by TLS (RFC 8737 section 6.2).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";
/// The path below which a validation by HTTP asks for tokens (RFC 8555 section 8.3).
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";
/// Letters of a token at most, and bytes of a key authorization.
const LONGEST_TOKEN: usize = 128;
const LONGEST_AUTHORIZATION: u64 = 512;
const LARGEST_CERTIFICATE: u64 = 16 << 10;
/// Files of the folder that are read at most.
const MOST: usize = 10_000;
/// A folder that was changed this recently is read again: its time may be coarser than two changes.
const RECENT: Duration = Duration::from_secs(2);

/// The challenges that this process answers now.
pub(crate) struct Challenges {
    folder: PathBuf,
    /// The names of the configured domains.
    hosts: HostSet,
    provider: Arc<CryptoProvider>,
    answers: RwLock<Answers>,
    seen: Mutex<Option<SystemTime>>,
    config: Arc<ServerConfig>,
}

#[derive(Default)]
struct Answers {
    /// Key authorizations by token.
    tokens: HashMap<Box<str>, Box<str>>,
    /// Certificates by the name of the hello.
    certificates: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Challenges {
    /// Those of a folder, for these names. The folder may be missing.
    pub(super) fn new(folder: PathBuf, hosts: HostSet, provider: &Arc<CryptoProvider>) -> Result<Arc<Self>, Error> {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(&versions)?;
        let certificates = Arc::new(ChallengeCertificates(RwLock::default()));
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        // The connection ends with the handshake: there is nothing to resume.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let challenges = Arc::new(Self {
            folder,
            hosts,
            provider: Arc::clone(provider),
            answers: RwLock::default(),
            seen: Mutex::default(),
            config: Arc::new(config),
        });
        *certificates.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&challenges);
        Ok(challenges)
    }

    /// The key authorization that answers a request for this host and path; `None` if it is no challenge of this server.
    pub(crate) fn answer(&self, host: &str, path: &str) -> Option<String> {
        let token = path.strip_prefix(WELL_KNOWN).filter(|token| is_token(token))?;
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        let answer = answers.tokens.get(token)?;
        // The authority follows redirects between the names, but never comes for another host.
        HostName::of(host).filter(|host| self.hosts.names(host)).map(|_| answer.to_string())
    }

    /// The configuration of a connection that is a validation by TLS.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.certificates.get(name.to_ascii_lowercase().as_str()).cloned()
    }

    /// Takes over the files of the folder, if it has changed.
    pub(crate) fn refresh(&self) {
        let changed = std::fs::metadata(&self.folder).ok().and_then(|found| {
            let nanoseconds = u32::try_from(found.ctime_nsec()).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::new(u64::try_from(found.ctime()).ok()?, nanoseconds))
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = changed.is_some_and(|at| SystemTime::now().duration_since(at).map_or(true, |age| age < RECENT));
        if *seen == changed && !is_recent {
            return;
        }
        let found = self.read_folder();
        *self.answers.write().unwrap_or_else(PoisonError::into_inner) = found;
        *seen = changed;
    }

    fn read_folder(&self) -> Answers {
        let mut found = Answers::default();
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return found };
        for entry in entries.flatten().take(MOST) {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(host) = name.strip_suffix(".pem") {
                let key = read_certificate(&entry.path(), &self.provider);
                found.certificates.extend(key.map(|key| (host.into(), key)));
            } else if is_token(name)
                && let Some(text) = read_authorization(&entry.path())
            {
                found.tokens.insert(name.into(), text.into());
            }
        }
        found
    }
}

/// Whether this may be a token: `[A-Za-z0-9_-]{1,128}` (RFC 8555 section 8.3).
pub(crate) fn is_token(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LONGEST_TOKEN).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn read_authorization(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(LONGEST_AUTHORIZATION).read_to_string(&mut text).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && !text.is_empty()).then_some(text)
}

/// Reads a challenge certificate. It is no certificate for other clients: its extension is critical and unknown to them.
fn read_certificate(path: &Path, provider: &CryptoProvider) -> Option<Arc<CertifiedKey>> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(LARGEST_CERTIFICATE).read_to_end(&mut text).ok()?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().ok()?;
    let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(&text).ok()?).ok()?;
    (!chain.is_empty()).then(|| Arc::new(CertifiedKey::new(chain, key)))
}

/// The challenge certificate for the name of a hello.
struct ChallengeCertificates(RwLock<std::sync::Weak<Challenges>>);

impl ResolvesServerCert for ChallengeCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let challenges = self.0.read().unwrap_or_else(PoisonError::into_inner).upgrade()?;
        challenges.certificate(hello.server_name()?)
    }
}

impl fmt::Debug for ChallengeCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeCertificates")
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenges({:?})", self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::HostPattern;

    #[test]
    fn tokens() {
        for token in ["a", "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "-_", &"x".repeat(128)] {
            assert!(is_token(token), "{token}");
        }
        for text in ["", "a.b", "../a", "a/b", "a b", "é", "a%2e", &"x".repeat(129)] {
            assert!(!is_token(text), "{text}");
        }
    }

    #[test]
    fn memory_follows_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let hosts: Vec<HostPattern> = vec!["a.example".parse().unwrap()];
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let challenges = Challenges::new(folder.path().join("challenges"), HostSet::of(&hosts), &provider).unwrap();
        let ask = |host: &str, token: &str| {
            challenges.refresh();
            challenges.answer(host, &format!("{WELL_KNOWN}{token}"))
        };
        assert_eq!(ask("a.example", "token"), None);
        std::fs::create_dir(folder.path().join("challenges")).unwrap();
        let file = |name: &str| folder.path().join("challenges").join(name);
        std::fs::write(file("token"), "token.thumbprint").unwrap();
        std::fs::write(file("bad"), "two\nlines").unwrap();
        std::fs::write(file("a.example.pem"), "no certificate").unwrap();
        assert_eq!(ask("A.example:80", "token").as_deref(), Some("token.thumbprint"));
        for (host, token) in
            [("b.example", "token"), ("", "token"), ("a.example", "bad"), ("a.example", "../challenges/token")]
        {
            assert_eq!(ask(host, token), None, "{host} {token}");
        }
        std::fs::remove_file(file("token")).unwrap();
        assert_eq!(ask("a.example", "token"), None);
    }
}
