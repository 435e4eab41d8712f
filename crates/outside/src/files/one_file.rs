//! One file that was opened, as an entry of the store: the file of a route, or one that a program names.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::entry::{StoredFile, content};
use super::media_type;
use super::open::{Patience, Stamp, Unopened, open_plainly};
use super::representation::About;
use super::store::{PROGRAMS, Store};
use crate::compression::is_compressible;
use crate::protocol::negotiation::Coding;

impl Store {
    /// A file that a program names: opened and checked each time, since the program may have just written it.
    pub(crate) fn open(&self, path: &Path) -> Result<Arc<StoredFile>, Unopened> {
        let (file, stamp) = open_plainly(path)?;
        let key = path.as_os_str().as_bytes();
        let known = self.find(PROGRAMS, key);
        let entry = one_file(self, path, (file, stamp), known.as_ref(), (PROGRAMS, key), None)?;
        // Such a file is opened each time, so keeping it open gains nothing. A program may also delete a file after
        // sending it, and an open file would keep its disk space.
        let is_open = entry.weight().1 > 0;
        if !is_open && !known.is_some_and(|known| Arc::ptr_eq(&known, &entry)) {
            self.keep(&entry);
        }
        Ok(entry)
    }
}

/// The entry of a file that was opened; the cached one if the file is the same.
pub(super) fn one_file(
    store: &Store,
    path: &Path,
    (file, stamp): (std::fs::File, Stamp),
    known: Option<&Arc<StoredFile>>,
    key: (u64, &[u8]),
    cache_control: Option<&str>,
) -> Result<Arc<StoredFile>, Unopened> {
    let stamps = [None, None, None, Some(stamp)];
    if let Some(known) = known.filter(|known| known.stamps == stamps) {
        return Ok(Arc::clone(known));
    }
    let shown: Arc<Path> = path.into();
    let content = content(file, stamp.size, store.in_memory_up_to(), Patience::Any)?;
    let compresses = store.compresses && is_compressible(&media_type(&path.to_string_lossy()));
    let about = About {
        path: &shown,
        stamp,
        is_stable: true,
        coding: Coding::Identity,
        varies: false,
        cache_control,
        ranges_from: store.ranges_from,
    };
    let entry = StoredFile::new(&about, stamps, [None, None, None, Some(content)], compresses, key, store.now());
    entry.map(Arc::new).ok_or(Unopened::Missing)
}
