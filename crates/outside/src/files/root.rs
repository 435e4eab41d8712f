//! The root of a served folder: opens files beneath it, and no others.
//!
//! The kernel resolves the path (`openat2`, beneath the folder's descriptor). Where it cannot, a walk opens one
//! component at a time and follows links itself. In both cases, later checks use the open file, not its path (docs/security.md
//! S28 to S30).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::open::{FLAGS, Patience, Unopened, unopened};
use crate::config::Symlinks;
use crate::descriptors::OwnFile;

/// A folder by its path. Its descriptor is opened anew once a second, so that a replaced folder is noticed.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    held: Mutex<Option<(Arc<OwnFile<OwnedFd>>, u64)>>,
}

/// Milliseconds for which a descriptor of the folder, or a check of a file, counts as current.
pub(super) const FRESH: u64 = 1000;
/// Links that the resolution of one path may follow.
const MOST_LINKS: usize = 40;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, held: Mutex::new(None) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a relative path without empty, `.` or `..` segments; the empty path is the folder itself. `now` in
    /// milliseconds.
    pub(super) fn open(&self, path: &[u8], links: Symlinks, patience: Patience, now: u64) -> Result<File, Unopened> {
        let folder = self.folder(patience, now).map_err(meaning)?;
        let path = if path.is_empty() { b"." } else { path };
        open_beneath(&folder, path, links, patience).map(File::from).map_err(meaning)
    }

    /// The same by the walk, even if the kernel could resolve the path.
    #[cfg(feature = "testing")]
    pub(super) fn open_by_walk(&self, path: &[u8], links: Symlinks) -> Result<File, Unopened> {
        let folder = rustix::fs::open(&self.path, FOLDER, Mode::empty()).map_err(meaning)?;
        walk(&folder, if path.is_empty() { b"." } else { path }, links).map(File::from).map_err(meaning)
    }

    fn folder(&self, patience: Patience, now: u64) -> Result<Arc<OwnFile<OwnedFd>>, Errno> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((folder, since)) = &*held
            && now.saturating_sub(*since) < FRESH
        {
            return Ok(Arc::clone(folder));
        }
        let folder = match patience {
            Patience::Now => kernel::open_cached(&self.path, FOLDER)?,
            Patience::Any => rustix::fs::open(&self.path, FOLDER, Mode::empty())?,
        };
        let folder = Arc::new(OwnFile::new(folder));
        *held = Some((Arc::clone(&folder), now));
        Ok(folder)
    }
}

fn meaning(errno: Errno) -> Unopened {
    if errno == Errno::AGAIN {
        return Unopened::Later;
    }
    unopened(Some(errno), &io::Error::from(errno))
}

fn open_beneath(folder: &OwnedFd, path: &[u8], links: Symlinks, patience: Patience) -> Result<OwnedFd, Errno> {
    match (kernel::open_beneath(folder, path, links, patience), patience) {
        (Some(opened), _) => opened,
        (None, Patience::Now) => Err(Errno::AGAIN),
        (None, Patience::Any) => walk(folder, path, links),
    }
}

#[cfg(target_os = "linux")]
mod kernel {
    use super::*;
    use rustix::fs::{ResolveFlags, openat2};

    /// The calls that this kernel, and the sandbox around this process, offer: determined once.
    #[derive(Debug)]
    struct KernelFeatures {
        openat2: bool,
        /// Whether it looks up names in memory alone on request; since Linux 5.12.
        cached: bool,
    }

    static OFFER: OnceLock<KernelFeatures> = OnceLock::new();
    /// A path that was renamed while it was resolved is resolved again.
    const TRIES: usize = 8;

    fn offer() -> &'static KernelFeatures {
        OFFER.get_or_init(|| {
            let ask = |resolve| openat2(CWD, "/", FOLDER, Mode::empty(), resolve);
            let openat2 = !matches!(ask(ResolveFlags::empty()), Err(Errno::NOSYS | Errno::PERM));
            let cached = openat2 && matches!(ask(ResolveFlags::CACHED), Ok(_) | Err(Errno::AGAIN));
            KernelFeatures { openat2, cached }
        })
    }

    /// Opens a path beneath the folder; `None` if this kernel has no such call.
    pub(super) fn open_beneath(
        folder: &OwnedFd,
        path: &[u8],
        links: Symlinks,
        patience: Patience,
    ) -> Option<Result<OwnedFd, Errno>> {
        let resolve = match links {
            Symlinks::Inside => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
            Symlinks::Never => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Symlinks::Anywhere => ResolveFlags::empty(),
        };
        let open = |resolve| openat2(folder, path, FLAGS, Mode::empty(), resolve);
        match patience {
            _ if !offer().openat2 => None,
            Patience::Now if !offer().cached => Some(Err(Errno::AGAIN)),
            Patience::Now => Some(open(resolve | ResolveFlags::CACHED)),
            Patience::Any => {
                let mut tries = (0..TRIES).map(|_| open(resolve));
                Some(tries.find(|tried| !matches!(tried, Err(Errno::AGAIN | Errno::INTR))).unwrap_or(Err(Errno::NOENT)))
            }
        }
    }

    /// Opens a path if that needs no disk.
    pub(super) fn open_cached(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        if offer().cached { openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) } else { Err(Errno::AGAIN) }
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    use super::*;

    pub(super) fn open_beneath(_: &OwnedFd, _: &[u8], _: Symlinks, _: Patience) -> Option<Result<OwnedFd, Errno>> {
        None
    }

    pub(super) fn open_cached(_: &Path, _: OFlags) -> Result<OwnedFd, Errno> {
        Err(Errno::AGAIN)
    }
}

/// Opens one component after another, so that none of them can lead out: a link is read, and its target is walked too.
fn walk(folder: &OwnedFd, path: &[u8], links: Symlinks) -> Result<OwnedFd, Errno> {
    if links == Symlinks::Anywhere {
        return rustix::fs::openat(folder, path, FLAGS, Mode::empty());
    }
    // The folders on the way, so that `..` in a link's target leads back to the folder before.
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut left: Vec<Vec<u8>> = path.split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec).collect();
    let mut links_left = if links == Symlinks::Never { 0 } else { MOST_LINKS };
    while let Some(name) = left.pop() {
        let here = way.last().unwrap_or(folder);
        match &*name {
            b"" | b"." => {
                if left.is_empty() {
                    return rustix::fs::openat(here, ".", FLAGS, Mode::empty());
                }
                continue;
            }
            b".." => {
                way.pop().ok_or(Errno::XDEV)?;
                if left.is_empty() {
                    left.push(b".".to_vec());
                }
                continue;
            }
            _ => {}
        }
        let flags = if left.is_empty() { FLAGS } else { FOLDER };
        match rustix::fs::openat(here, &*name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(opened) if left.is_empty() => return Ok(opened),
            Ok(opened) => way.push(opened),
            Err(error @ (Errno::LOOP | Errno::NOTDIR)) => {
                let Ok(target) = rustix::fs::readlinkat(here, &*name, Vec::new()) else { return Err(error) };
                if links_left == 0 || target.as_bytes().starts_with(b"/") {
                    return Err(Errno::LOOP);
                }
                links_left -= 1;
                left.extend(target.as_bytes().split(|&byte| byte == b'/').rev().map(<[u8]>::to_vec));
            }
            Err(error) => return Err(error),
        }
    }
    Err(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A folder with links of every kind, beside a secret.
    fn tree() -> (tempfile::TempDir, OwnedFd) {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::create_dir(place.path().join("rootless")).unwrap();
        for (path, text) in [("secret", "secret"), ("rootless/a", "secret"), ("root/a", "a"), ("root/deep/er/b", "b")] {
            fs::write(place.path().join(path), text).unwrap();
        }
        for (target, link) in [
            ("a", "near"),
            ("deep/er/b", "far"),
            ("deep/er", "folder"),
            ("deep/er/../../a", "round"),
            ("deep/../a", "deep/none"),
            ("../a", "deep/up"),
            ("../secret", "out"),
            ("deep/../../secret", "sneaky"),
            ("/etc/passwd", "absolute"),
            ("loop", "loop"),
            ("missing", "dangling"),
            ("near", "twice"),
            (".", "self"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let folder = rustix::fs::open(&root, FOLDER, Mode::empty()).unwrap();
        (place, folder)
    }

    fn content(opened: Result<OwnedFd, Errno>) -> Option<String> {
        opened.ok().and_then(|opened| io::read_to_string(File::from(opened)).ok())
    }

    #[test]
    fn the_walk_and_the_kernel_agree() {
        let (_place, folder) = tree();
        for (path, inside, never) in [
            ("a", Some("a"), Some("a")),
            ("deep/er/b", Some("b"), Some("b")),
            ("near", Some("a"), None),
            ("far", Some("b"), None),
            ("folder/b", Some("b"), None),
            ("round", Some("a"), None),
            ("deep/up", Some("a"), None),
            ("deep/none", None, None),
            ("twice", Some("a"), None),
            ("self/self/a", Some("a"), None),
            ("out", None, None),
            ("sneaky", None, None),
            ("absolute", None, None),
            ("loop", None, None),
            ("dangling", None, None),
            ("missing", None, None),
            ("a/b", None, None),
            ("near/b", None, None),
        ] {
            for (links, expected) in [(Symlinks::Inside, inside), (Symlinks::Never, never)] {
                let expected = expected.map(str::to_owned);
                assert_eq!(content(walk(&folder, path.as_bytes(), links)), expected, "walk {path} {links:?}");
                #[cfg(target_os = "linux")]
                {
                    if let Some(opened) = kernel::open_beneath(&folder, path.as_bytes(), links, Patience::Any) {
                        assert_eq!(content(opened), expected, "openat2 {path} {links:?}");
                    }
                }
            }
            if path == "out" {
                assert_eq!(content(walk(&folder, path.as_bytes(), Symlinks::Anywhere)).as_deref(), Some("secret"));
            }
        }
    }

    #[test]
    fn a_folder_that_was_replaced_is_seen_within_a_second() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("site");
        let make = |text: &str| {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("a"), text).unwrap();
        };
        make("old");
        let root = Root::new(path.clone());
        let read = |now| {
            let opened = root.open(b"a", Symlinks::Inside, Patience::Any, now);
            opened.ok().and_then(|file| io::read_to_string(file).ok()).unwrap_or_default()
        };
        assert_eq!(read(0), "old");
        fs::rename(&path, place.path().join("gone")).unwrap();
        make("new");
        assert_eq!(read(FRESH), "new");
    }
}
