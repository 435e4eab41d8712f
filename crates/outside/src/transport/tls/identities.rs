//! The certificates of a listener: which one a client is shown, and new ones in the place of old ones while clients come.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{CertificateError, Identity, read};
use crate::config::CertificateFiles;

/// All certificates of a listener, as their files were when they were read last.
pub(super) struct Identities {
    files: Vec<CertificateFiles>,
    provider: Arc<CryptoProvider>,
    in_use: RwLock<Arc<Directory>>,
    seen: Mutex<Seen>,
}

/// Certificates by the names that they are for.
struct Directory {
    /// For clients that name no host, or none that is known: the first in the configuration.
    first: Option<Arc<CertifiedKey>>,
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

/// How the files looked when they were looked at.
#[derive(Default)]
struct Seen {
    /// Those in use.
    used: Vec<Look>,
    /// Those that were refused, and whether that has been told.
    refused: Option<(Vec<Look>, bool)>,
}

/// What changes when a file is written or replaced: device, inode, size, times of modification and change.
type Look = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// What came of looking at the files again.
#[derive(Debug)]
pub(crate) enum Renewal {
    /// They are as they were, or not whole yet.
    None,
    /// New certificates are in use.
    Done,
    /// What is there now cannot be used; the old ones stay.
    Refused(CertificateError),
}

impl Identities {
    /// Reads all of them.
    pub(super) fn load(files: Vec<CertificateFiles>, provider: Arc<CryptoProvider>) -> Result<Self, CertificateError> {
        let used = looks(&files);
        let directory = Directory::read(&files, &provider)?;
        let seen = Mutex::new(Seen { used, refused: None });
        Ok(Self { files, provider, in_use: RwLock::new(Arc::new(directory)), seen })
    }

    /// Reads those files again that have changed. What fails once may be half of a pair, the other half of which is just
    /// being written: it counts when it is found unchanged the next time, or at once if `is_urgent`; it is told once.
    pub(super) fn renew(&self, is_urgent: bool) -> Renewal {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = looks(&self.files);
        if now == seen.used {
            seen.refused = None;
            return Renewal::None;
        }
        if matches!(&seen.refused, Some((refused, true)) if *refused == now) && !is_urgent {
            return Renewal::None;
        }
        match Directory::read(&self.files, &self.provider) {
            Ok(directory) => {
                *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
                *seen = Seen { used: now, refused: None };
                Renewal::Done
            }
            Err(error) => {
                let is_settled = is_urgent || matches!(&seen.refused, Some((refused, _)) if *refused == now);
                seen.refused = Some((now, is_settled));
                if is_settled { Renewal::Refused(error) } else { Renewal::None }
            }
        }
    }

    /// Is one of them for this name, in lower case?
    pub(super) fn are_for(&self, name: &str) -> bool {
        self.directory().for_name(name).is_some()
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.directory().choose(hello.server_name(), hello.signature_schemes())
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.files).finish()
    }
}

impl Directory {
    fn read(files: &[CertificateFiles], provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let mut first = None;
        let mut by_name: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for pair in files {
            let Identity { key, names } = read(pair, provider)?;
            for name in names {
                by_name.entry(name).or_default().push(Arc::clone(&key));
            }
            first.get_or_insert(key);
        }
        Ok(Self { first, by_name })
    }

    fn for_name(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        let any_beside = || name.split_once('.').and_then(|(_, parent)| self.by_name.get(&format!("*.{parent}")));
        self.by_name.get(name).or_else(any_beside).map(Vec::as_slice)
    }

    /// The one for this very name, for any name beside it, or the first; of several that one whose key the client can use.
    fn choose(&self, name: Option<&str>, offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        let fitting = self.for_name(&name).unwrap_or_default();
        let is_usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(offered).is_some();
        fitting.iter().find(is_usable).or(fitting.first()).or(self.first.as_ref()).cloned()
    }
}

fn looks(files: &[CertificateFiles]) -> Vec<Look> {
    files.iter().flat_map(|pair| [look(&pair.certfile), look(&pair.keyfile)]).collect()
}

fn look(path: &Path) -> Look {
    let found = std::fs::metadata(path).ok()?;
    let (modified, changed) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some((found.dev(), found.ino(), found.size(), modified, changed))
}
