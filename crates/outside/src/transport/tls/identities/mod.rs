//! The certificates of a listener: the choice for each client, and renewal while connections come in.
//!
//! Each pair of files is independent: a pair that cannot be used does not keep others from being used or renewed.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::{CertificateError, Identity, Standing, read};
use crate::config::CertificateFiles;

/// All certificates of a listener, as their files were when they were last read.
pub(super) struct Identities {
    files: Vec<CertificateFiles>,
    provider: Arc<CryptoProvider>,
    in_use: RwLock<Arc<Directory>>,
    entries: Mutex<Vec<WatchedFiles>>,
}

/// Certificates by their names.
#[derive(Default)]
struct Directory {
    /// For clients that name no host or an unknown one: the first of the configuration, preferring those that are valid
    /// now.
    first: Option<Arc<CertifiedKey>>,
    valid: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Certificates that are not valid yet or have expired, for names without a valid one.
    untimely: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// Names whose certificate is still to be obtained.
    missing: HashSet<String>,
    /// The standings from which this directory was built.
    standings: Vec<Option<Standing>>,
}

/// A certificate that is obtained by the server: its file, with the key in it, may not be there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManagedCertificate {
    pub(crate) names: Vec<String>,
    pub(crate) file: PathBuf,
}

/// A pair of files of the configuration.
struct WatchedFiles {
    files: CertificateFiles,
    /// The names for which the server obtains this certificate; empty for a user's files.
    managed: Vec<String>,
    /// The certificate in use, and the state of the files when it was read.
    used: Option<(FileStamps, Identity)>,
    /// The newer content of the files, if it cannot be used.
    refused: Option<Refused>,
    /// The last message in the log about this pair, and its time.
    told: Option<(String, SystemTime)>,
}

/// A certificate that cannot be used; read again until it can.
struct Refused {
    looks: FileStamps,
    error: CertificateError,
    /// Whether it was found unchanged a second time, so that it is not a file that is just being written.
    is_settled: bool,
    since: SystemTime,
    /// The pause before the files are read again.
    pause: Duration,
    /// The beginning of its validity, if it lacks nothing else.
    valid_from: Option<SystemTime>,
}

/// The states of certificate file and key file.
type FileStamps = [FileStamp; 2];

/// The metadata that changes when a file is written or replaced: device, inode, size, times of modification and change.
type FileStamp = Option<(u64, u64, u64, (i64, i64), (i64, i64))>;

/// First pause before refused files that have not changed are read again; less than the interval of checks. Each pause
/// is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause before refused files are read again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Interval after which the log repeats a fault that lasts.
const DAY: Duration = Duration::from_secs(86_400);

/// A message for the log after a check of the files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The certificates of these files are in use now.
    Renewed(Vec<CertificateFiles>),
    /// A certificate cannot be used, or clients will refuse it.
    Fault(String),
    /// A certificate is in use before its validity begins.
    Early(String),
}

impl Identities {
    /// Reads all certificates.
    ///
    /// # Errors
    /// There is no usable certificate: each one is faulty or has expired.
    pub(super) fn load(
        files: Vec<CertificateFiles>,
        managed: Vec<ManagedCertificate>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, CertificateError> {
        let now = SystemTime::now();
        let mut entries: Vec<WatchedFiles> = files.iter().cloned().map(WatchedFiles::new).collect();
        let is_managed = !managed.is_empty();
        entries.extend(managed.into_iter().map(WatchedFiles::managed));
        for entry in &mut entries {
            entry.look(&provider, now, true);
        }
        if !is_managed && entries.iter().all(|entry| entry.standing(now) <= Some(Standing::Expired)) {
            let fault = |entry: WatchedFiles| match (entry.refused, entry.used) {
                (Some(refused), _) => Some(refused.error),
                (None, Some((_, identity))) => identity.untimely(now),
                (None, None) => None,
            };
            if let Some(error) = entries.drain(..).find_map(fault) {
                return Err(error);
            }
        }
        let directory = Directory::of(&entries, now);
        Ok(Self { files, provider, in_use: RwLock::new(Arc::new(directory)), entries: Mutex::new(entries) })
    }

    /// Reads files again that have changed or could not be used so far. A failure may be one file of a pair whose other
    /// file is still being written, so it counts only if the files are unchanged at the next check, or at once if
    /// `is_urgent`. The log hears of a fault once a day.
    pub(super) fn renew(&self, is_urgent: bool) -> Vec<Notice> {
        self.renew_at(SystemTime::now(), is_urgent)
    }

    fn renew_at(&self, now: SystemTime, is_urgent: bool) -> Vec<Notice> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut renewed = Vec::new();
        for entry in &mut *entries {
            if entry.look(&self.provider, now, is_urgent) {
                renewed.push(entry.files.clone());
            }
        }
        if !renewed.is_empty() || self.directory().standings != standings(&entries, now) {
            let directory = Arc::new(Directory::of(&entries, now));
            *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = directory;
        }
        let mut notices: Vec<Notice> = entries.iter_mut().filter_map(|entry| entry.notice(now, is_urgent)).collect();
        if !renewed.is_empty() {
            notices.insert(0, Notice::Renewed(renewed));
        }
        notices
    }

    /// Whether one of the certificates is for this name, in lower case.
    pub(super) fn are_for(&self, name: &str) -> bool {
        self.directory().for_name(name).is_some()
    }

    /// The name and the end of the validity of each certificate in use.
    pub(super) fn expiries(&self) -> Vec<(String, SystemTime)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(|entry| entry.used.as_ref().map(|(_, identity)| identity.expiry())).collect()
    }

    /// Whether the certificate for this name, in lower case, is still to be obtained; without a name: the first of all.
    pub(super) fn lack(&self, name: &str) -> bool {
        self.directory().lacks(name)
    }

    /// Whether any certificate is still to be obtained.
    pub(super) fn are_incomplete(&self) -> bool {
        !self.directory().missing.is_empty()
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

impl WatchedFiles {
    fn new(files: CertificateFiles) -> Self {
        Self { files, managed: Vec::new(), used: None, refused: None, told: None }
    }

    fn managed(managed: ManagedCertificate) -> Self {
        let files = CertificateFiles { certfile: managed.file.clone(), keyfile: managed.file };
        Self { managed: managed.names, ..Self::new(files) }
    }

    fn standing(&self, now: SystemTime) -> Option<Standing> {
        self.used.as_ref().map(|(_, identity)| identity.standing(now))
    }

    /// Checks the files, and reads them if needed. Returns whether their content is in use from now on.
    fn look(&mut self, provider: &CryptoProvider, now: SystemTime, is_urgent: bool) -> bool {
        let looks = [look(&self.files.certfile), look(&self.files.keyfile)];
        if self.used.as_ref().is_some_and(|(used, _)| *used == looks) {
            self.refused = None;
            return false;
        }
        if looks[0].is_none() && !self.managed.is_empty() {
            // Not there yet, or gone: the one that was read stays in use until a new one comes.
            self.refused = None;
            return false;
        }
        let before = self.refused.as_ref().filter(|refused| refused.looks == looks);
        if !is_urgent && before.is_some_and(|before| !before.is_due(now)) {
            return false;
        }
        let is_settled = is_urgent || before.is_some();
        let pause = before.map_or(FIRST_PAUSE, |before| LONGEST_PAUSE.min(before.pause * 2));
        let (error, valid_from) = match read(&self.files, provider) {
            Ok(new) => match new.untimely(now) {
                // A certificate that clients refuse replaces only one with a worse standing.
                Some(error) if self.standing(now) >= Some(new.standing(now)) => {
                    let is_early = new.standing(now) == Standing::Early;
                    (error, is_early.then_some(new.not_before))
                }
                _ => {
                    self.used = Some((looks, new));
                    self.refused = None;
                    return true;
                }
            },
            Err(error) => (error, None),
        };
        self.refused = Some(Refused { looks, error, is_settled, since: now, pause, valid_from });
        false
    }

    /// The message about this pair, if one is due.
    fn notice(&mut self, now: SystemTime, is_urgent: bool) -> Option<Notice> {
        let (is_fault, text) = match (&self.refused, &self.used) {
            (Some(refused), Some(_)) if refused.is_settled => {
                (true, format!("new certificates are refused, the old ones stay: {}", refused.error))
            }
            (Some(refused), None) if refused.is_settled => {
                (true, format!("a certificate is left out until it can be used: {}", refused.error))
            }
            (_, Some((_, identity))) => match (identity.standing(now), identity.untimely(now)) {
                (Standing::Early, Some(error)) => {
                    (false, format!("a certificate is shown before its time, unless the clock is behind: {error}"))
                }
                (_, Some(error)) => (true, format!("a certificate that clients refuse is shown: {error}")),
                (_, None) => {
                    self.told = None;
                    return None;
                }
            },
            _ => return None,
        };
        // After the clock was set back, the age of the last message is unknown, so the message is repeated.
        let is_recent = |at: &SystemTime| now.duration_since(*at).is_ok_and(|since| since < DAY);
        if !is_urgent && self.told.as_ref().is_some_and(|(told, at)| *told == text && is_recent(at)) {
            return None;
        }
        self.told = Some((text.clone(), now));
        Some(if is_fault { Notice::Fault(text) } else { Notice::Early(text) })
    }
}

impl Refused {
    /// Whether the files are to be read again.
    fn is_due(&self, now: SystemTime) -> bool {
        let waits = now.duration_since(self.since).is_ok_and(|waited| waited < self.pause);
        !waits || self.valid_from.is_some_and(|from| from <= now)
    }
}

impl Directory {
    fn of(entries: &[WatchedFiles], now: SystemTime) -> Self {
        let mut directory = Self { standings: standings(entries, now), missing: missing(entries), ..Self::default() };
        let mut best = None;
        for (_, identity) in entries.iter().filter_map(|entry| entry.used.as_ref()) {
            let standing = Some(identity.standing(now));
            let is_valid = standing == Some(Standing::Valid);
            let by_name = if is_valid { &mut directory.valid } else { &mut directory.untimely };
            for name in &identity.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(&identity.key));
            }
            if standing > best {
                (best, directory.first) = (standing, Some(Arc::clone(&identity.key)));
            }
        }
        directory
    }

    fn for_name(&self, name: &str) -> Option<&[Arc<CertifiedKey>]> {
        [&self.valid, &self.untimely].into_iter().find_map(|by_name| {
            let any_beside = || name.split_once('.').and_then(|(_, parent)| by_name.get(&format!("*.{parent}")));
            by_name.get(name).or_else(any_beside).map(Vec::as_slice)
        })
    }

    /// Whether the certificate for this name is still to be obtained: another one in its place would be refused.
    fn lacks(&self, name: &str) -> bool {
        if self.missing.is_empty() || self.for_name(name).is_some() {
            return false;
        }
        let beside = || name.split_once('.').is_some_and(|(_, parent)| self.missing.contains(&format!("*.{parent}")));
        self.missing.contains(name) || beside() || self.first.is_none()
    }

    /// The certificate for a name: one for exactly this name, else one for any label beside it (`*.parent`), else the
    /// first of the configuration. Of several for one name, the first whose key fits the signature schemes that the
    /// client offers; a client that no key fits gets the first anyway, and rustls ends the handshake with the right
    /// alert.
    fn choose(&self, name: Option<&str>, offered: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let name = name.map(str::to_ascii_lowercase).unwrap_or_default();
        if self.lacks(&name) {
            return None;
        }
        let fitting = self.for_name(&name).unwrap_or_default();
        let is_usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(offered).is_some();
        fitting.iter().find(is_usable).or(fitting.first()).or(self.first.as_ref()).cloned()
    }
}

fn missing(entries: &[WatchedFiles]) -> HashSet<String> {
    entries.iter().filter(|entry| entry.used.is_none()).flat_map(|entry| entry.managed.iter().cloned()).collect()
}

fn standings(entries: &[WatchedFiles], now: SystemTime) -> Vec<Option<Standing>> {
    entries.iter().map(|entry| entry.standing(now)).collect()
}

fn look(path: &Path) -> FileStamp {
    let found = std::fs::metadata(path).ok()?;
    let (modified, changed) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some((found.dev(), found.ino(), found.size(), modified, changed))
}

#[cfg(test)]
mod tests;
