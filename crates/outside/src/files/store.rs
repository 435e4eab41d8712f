//! The cache of files between requests: small ones in memory, larger ones as open files, within a bound.

use std::fmt;
use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use super::entry::StoredFile;
use super::open::{Stamp, absolute};
use crate::config::{Config, Symlinks};

/// Bytes up to which files are cached in memory.
const SMALL: u64 = 64 << 10;
/// Bytes up to which files are always read into memory. Files of the kernel claim this size, so their content must be
/// read to be known.
const PAGE: u64 = 4 << 10;
/// Number of files for the cache's first allocation.
const EXPECTED: usize = 256;

/// Shared by all folders of a server: the cache, and the settings for files.
pub(crate) struct Store {
    cache: Option<Cache<StoreKey, Kept, Weight, RandomState>>,
    /// Bytes of memory as which an open file counts.
    of_open_file: u64,
    started: Instant,
    pub(crate) symlinks: Symlinks,
    pub(crate) ranges_from: Option<u64>,
    pub(crate) compresses: bool,
    /// Certificates and keys of this server: no folder serves them, under any name.
    withheld: Vec<PathBuf>,
}

/// A folder by its number, and a path below it. Clients choose the paths: the hash has random keys (docs/security.md S33).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StoreKey(u64, Box<[u8]>);

#[derive(Hash)]
struct AsKey<'a>(u64, &'a [u8]);

impl Equivalent<StoreKey> for AsKey<'_> {
    fn equivalent(&self, key: &StoreKey) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

/// An entry, and its weight when it was added. The entry grows later, but the cache must subtract the weight that it
/// has added.
#[derive(Clone)]
struct Kept {
    entry: Arc<StoredFile>,
    weight: u64,
}

#[derive(Clone, Copy, Debug)]
struct Weight;

impl Weighter<StoreKey, Kept> for Weight {
    fn weight(&self, _: &StoreKey, kept: &Kept) -> u64 {
        kept.weight
    }
}

impl Store {
    pub(crate) fn new(config: &Config) -> Self {
        let cache = (config.file_cache > 0)
            .then(|| Cache::with(EXPECTED, config.file_cache, Weight, RandomState::new(), DefaultLifecycle::default()));
        let own = config.certificates().into_iter().flat_map(|files| [files.certfile, files.keyfile]);
        Self {
            withheld: own.map(absolute).collect(),
            cache,
            of_open_file: (config.file_cache / most_open_files().max(1)).max(SMALL),
            started: Instant::now(),
            symlinks: config.symlinks,
            ranges_from: config.allow_range_from,
            compresses: config.compression,
        }
    }

    /// Milliseconds since the store was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether this file is a certificate or key of the server: by its path, and by file identity, since a file may
    /// have other names. Checked each time, because a renewed certificate is another file.
    pub(super) fn withholds(&self, path: impl FnOnce() -> PathBuf, stamp: &Stamp) -> bool {
        if self.withheld.is_empty() {
            return false;
        }
        let path = path();
        let is_same =
            |own: &PathBuf| std::fs::metadata(own).is_ok_and(|metadata| Stamp::of(&metadata).is_of_file(stamp));
        self.withheld.iter().any(|own| *own == path || is_same(own))
    }

    /// Bytes up to which files are read into memory.
    pub(super) fn in_memory_up_to(&self) -> u64 {
        if self.cache.is_some() { SMALL } else { PAGE }
    }

    pub(super) fn find(&self, folder: u64, path: &[u8]) -> Option<Arc<StoredFile>> {
        Some(self.cache.as_ref()?.get(&AsKey(folder, path))?.entry)
    }

    pub(super) fn forget(&self, folder: u64, path: &[u8]) {
        if let Some(cache) = &self.cache {
            cache.remove(&AsKey(folder, path));
        }
    }

    /// Adds an entry, or weighs it again after it has grown. An entry whose size and time do not reveal changes is not
    /// kept.
    pub(crate) fn keep(&self, entry: &Arc<StoredFile>) {
        if let Some(cache) = self.cache.as_ref().filter(|_| entry.is_stable()) {
            let (number, path) = &entry.key;
            let (bytes, files) = entry.weight();
            let weight = bytes + files * self.of_open_file + path.len() as u64;
            cache.insert(StoreKey(*number, path.clone()), Kept { entry: Arc::clone(entry), weight });
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({} files)", self.cache.as_ref().map_or(0, Cache::len))
    }
}

/// The folder number of files that programs name.
pub(super) const PROGRAMS: u64 = u64::MAX;

/// A sixteenth of the descriptors that this process may have, at most 1,024.
fn most_open_files() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(1024, |limit| (limit / 16).min(1024))
}
