//! The folder of accounts, keys, certificates and challenges: for its owner alone, whole after any crash.
//!
//! `acme/accounts/HOST.json`; `acme/certificates/NAME/` with `certificate.pem` (key and chain in one file, so that a
//! reader never sees half a pair), `state.json`, `lock` and `wish`; `acme/challenges/`; `acme/answering`. A file is written beside its
//! place, synced and renamed; then the folder is synced, since power may fail too.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::schedule::Wish;
use crate::config::Config;
use crate::descriptors::OwnFile;
use crate::error::Error;

/// The storage of a server.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    root: PathBuf,
}

/// The lead for one certificate, given back when it is dropped; the kernel gives it back when the process dies.
#[derive(Debug)]
pub(crate) struct Lead(OwnFile);

/// This process among those that answer challenges from one folder: a shared lock, which the kernel gives back when the
/// process dies.
#[derive(Debug)]
pub(crate) struct Presence(File);

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The age at which a challenge or half a file is a remnant of a process that was killed.
const REMNANT_AGE: Duration = Duration::from_secs(3600);
/// Bytes of a file at most.
const LARGEST: u64 = 1 << 20;
/// The type of an overlay, as containers have it for files that end with them (statfs(2)).
#[cfg(target_os = "linux")]
const OVERLAY: u64 = 0x794c_7630;

impl Storage {
    /// The folder of the configuration, or of the system. Nothing is made.
    ///
    /// # Errors
    /// None is configured, and there is no home.
    pub(crate) fn locate(config: &Config) -> Result<Self, Error> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let of_service = || {
            // systemd lists several folders with colons between them.
            let list = std::env::var("STATE_DIRECTORY").ok()?;
            list.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
        };
        let own = Some(config.acme.storage.clone()).filter(|path| !path.as_os_str().is_empty());
        let found = own
            .or_else(of_service)
            .or_else(|| variable("XDG_STATE_HOME").map(|path| path.join("outside")))
            .or_else(|| variable("HOME").map(|path| path.join(".local/state/outside")));
        let found = found.ok_or_else(|| {
            Error::new("certificates have no folder, since there is neither HOME nor STATE_DIRECTORY: set config[\"acme_storage\"]")
        })?;
        let found = std::path::absolute(&found).unwrap_or(found);
        Ok(Self { root: found.join("acme") })
    }

    /// Makes the folders and repairs their modes. Returns warnings.
    ///
    /// # Errors
    /// The storage cannot be written, or other users could read it and this user cannot change that.
    pub(crate) fn prepare(&self) -> Result<Vec<String>, Error> {
        let mut warnings = Vec::new();
        let failed = |path: &Path, error: &io::Error| {
            Error::new(format!(
                "the folder of certificates, {path:?}, cannot be written: {error}; config[\"acme_storage\"] names another"
            ))
        };
        for folder in [self.root.clone(), self.root.join("accounts"), self.root.join("certificates"), self.challenges()]
        {
            make_folder(&folder).map_err(|error| failed(&folder, &error))?;
            warnings.extend(protect(&folder, FOLDER_MODE)?);
        }
        let trial = self.root.join(".trial");
        write(&trial, b"").and_then(|()| std::fs::remove_file(&trial)).map_err(|error| failed(&self.root, &error))?;
        for folder in self.certificate_folders() {
            warnings.extend(protect(&folder, FOLDER_MODE)?);
            for file in ["certificate.pem", "state.json"].map(|name| folder.join(name)) {
                if file.exists() {
                    warnings.extend(protect(&file, FILE_MODE)?);
                }
            }
        }
        if self.is_lost_with_container() {
            warnings.push(format!(
                "certificates in {:?} are lost with this container, and authorities give few new ones each week: mount a volume \
                 there, or set config[\"acme_storage\"]",
                self.root
            ));
        }
        Ok(warnings)
    }

    #[cfg(target_os = "linux")]
    fn is_lost_with_container(&self) -> bool {
        let is_contained = ["/.dockerenv", "/run/.containerenv"].into_iter().any(|path| Path::new(path).exists());
        is_contained && rustix::fs::statfs(&self.root).is_ok_and(|found| found.f_type as u64 == OVERLAY)
    }

    #[cfg(not(target_os = "linux"))]
    fn is_lost_with_container(&self) -> bool {
        false
    }

    /// The folder of challenges.
    pub(crate) fn challenges(&self) -> PathBuf {
        self.root.join("challenges")
    }

    /// The file of an account at the authority of this name.
    pub(crate) fn account(&self, authority: &str) -> PathBuf {
        self.root.join("accounts").join(format!("{authority}.json"))
    }

    /// The folders of all certificates.
    pub(crate) fn certificate_folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.join("certificates")).into_iter().flatten().flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }

    /// The folder of a certificate: that of its first name.
    pub(crate) fn folder(&self, names: &[String]) -> PathBuf {
        let first = names.first().map_or("", String::as_str);
        self.root.join("certificates").join(first.replace(['*', ':'], "_"))
    }

    /// Removes challenges and halves of files that killed processes have left.
    pub(crate) fn remove_remnants(&self) {
        let mut folders = vec![self.root.clone(), self.root.join("accounts")];
        folders.extend(self.certificate_folders());
        let is_half = |path: &Path| path.extension().is_some_and(|extension| extension == "half");
        for folder in folders {
            remove_old(&folder, is_half);
        }
        remove_old(&self.challenges(), |_| true);
    }
}

fn remove_old(folder: &Path, is_meant: impl Fn(&Path) -> bool) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|found| found.modified());
        let is_old = modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > REMNANT_AGE));
        if is_old && is_meant(&entry.path()) {
            std::fs::remove_file(entry.path()).unwrap_or_default();
        }
    }
}

/// The path of the certificate in its folder.
pub(crate) fn certificate_file(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// Makes a folder and those above it; new ones are for their owner alone, and outlive a loss of power.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(is_missing).collect();
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    for above in missing.into_iter().filter_map(Path::parent) {
        // A folder that this user may not read cannot be synced; its file system does that in time.
        if let Ok(folder) = File::open(above) {
            folder.sync_all()?;
        }
    }
    Ok(())
}

/// Takes the rights of other users away. A file system without modes is a warning.
fn protect(path: &Path, mode: u32) -> Result<Option<String>, Error> {
    let looked = |path: &Path| {
        std::fs::symlink_metadata(path).map_err(|error| Error::new(format!("{path:?} cannot be read: {error}")))
    };
    if looked(path)?.mode() & 0o077 == 0 {
        return Ok(None);
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| {
        Error::new(format!(
            "{path:?} holds keys and is open to other users, which cannot be changed: {error}; give it to the user of this program, \
             with mode {mode:o}"
        ))
    })?;
    let is_open = looked(path)?.mode() & 0o077 != 0;
    Ok(is_open.then(|| format!("the file system of {path:?} has no modes: other users may read the keys in it")))
}

/// Puts a file in its place, whole: after a crash at any moment the old content is there or the new one.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let half = folder.join(format!(".{name}.{}.{number}.half", std::process::id()));
    let written = write_half(&half, content).and_then(|()| {
        step("rename");
        std::fs::rename(&half, path)
    });
    if written.is_err() {
        std::fs::remove_file(&half).unwrap_or_default();
    }
    written?;
    step("sync of the folder");
    File::open(folder)?.sync_all()?;
    step("end");
    Ok(())
}

fn write_half(half: &Path, content: &[u8]) -> io::Result<()> {
    step("creation");
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(half) {
        // Left by a process that had the same number, and was killed.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(half)?;
            OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(half)
        }
        opened => opened,
    }?;
    step("content");
    let (first, second) = content.split_at(content.len() / 2);
    file.write_all(first)?;
    step("half of the content");
    file.write_all(second)?;
    step("sync");
    file.sync_all()
}

/// Called before each step of writing, so that a test can end the process there.
#[cfg(not(test))]
fn step(_: &str) {}

#[cfg(test)]
fn step(name: &str) {
    if std::env::var("OUTSIDE_TEST_ENDS_BEFORE").is_ok_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

/// The content of a file; `None` if it is missing.
///
/// # Errors
/// It cannot be read, or is too large.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    use std::io::Read as _;
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(LARGEST).read_to_string(&mut text).map(|_| Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Lead {
    /// Takes the lead for the certificate of this folder; `None` if another process has it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn take(folder: &Path) -> io::Result<Option<Self>> {
        make_folder(folder)?;
        let path = folder.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(OwnFile::new(file)))),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // A child that was forked meanwhile has the same lock, and must not keep it.
        flock(&*self.0, FlockOperation::Unlock).unwrap_or_default();
    }
}

impl Presence {
    /// Joins the processes that answer challenges from this folder.
    ///
    /// # Errors
    /// The folder cannot be written, or its file system has no locks.
    pub(crate) fn join(challenges: &Path) -> io::Result<Self> {
        let path = challenges.with_file_name("answering");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?;
        flock(&file, FlockOperation::LockShared)?;
        Ok(Self(file))
    }

    /// Whether no other process is there.
    pub(crate) fn is_alone(&self) -> bool {
        // The lock is exclusive for a moment only, so that the shared one is soon free for this process and new ones.
        let is_alone = flock(&self.0, FlockOperation::NonBlockingLockExclusive).is_ok();
        flock(&self.0, FlockOperation::LockShared).is_ok() && is_alone
    }
}

impl Wish {
    /// Leaves a wish to the process that leads. A renewal includes a retry.
    pub(crate) fn leave(self, folder: &Path) -> io::Result<()> {
        let path = folder.join("wish");
        if self == Self::Retry && path.exists() {
            return Ok(());
        }
        write(&path, if self == Self::Renew { b"renew" } else { b"retry" })
    }

    /// Reads the wish that was left.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        match read(&folder.join("wish")).ok()??.trim() {
            "renew" => Some(Self::Renew),
            _ => Some(Self::Retry),
        }
    }

    /// Forgets it: it is being fulfilled.
    pub(crate) fn forget(folder: &Path) {
        std::fs::remove_file(folder.join("wish")).unwrap_or_default();
    }
}
