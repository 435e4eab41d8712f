//! A folder, or one file, on a route: finds the file for a path below the route.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::entry::{StoredFile, content};
use super::listing;
use super::media_type;
use super::one_file::one_file;
use super::open::{FileKind, Patience, Stamp, Unopened, absolute, kind, open_plainly, unopened};
use super::pattern::{is_hashed_name, matches};
use super::representation::About;
use super::root::Root;
use super::store::Store;
use crate::compression::is_compressible;
use crate::error::Error;
use crate::protocol::negotiation::Coding;

/// A folder whose files are served below a route.
///
/// Hidden files (`.git`, `.env`; not `.well-known`) are not found, nor are targets of links that lead out of the
/// folder.
///
/// ```no_run
/// # let server = outside::OutsideHttp::new(("127.0.0.1", 8080))?;
/// use outside::Folder;
/// server.set_route("/static", Folder::new("public")?.with_listing(true).with_cache_control("*.woff2", "max-age=86400"))?;
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    index: String,
    listing: bool,
    spa: Option<String>,
    cache_control: Vec<(String, String)>,
}

impl Folder {
    /// A folder by its path, with an `index.html` for the folders in it and no listing.
    ///
    /// # Errors
    /// There is no folder at this path.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|error| at(path, error))?;
        if !metadata.is_dir() {
            return Err(at(path, rustix::io::Errno::NOTDIR.into()));
        }
        Ok(Self {
            path: path.to_owned(),
            index: "index.html".into(),
            listing: false,
            spa: None,
            cache_control: Vec::new(),
        })
    }

    /// The same with another name for the file that is served for a folder itself.
    #[must_use]
    pub fn with_index(mut self, name: impl Into<String>) -> Self {
        self.index = name.into();
        self
    }

    /// The same with a page that lists the contents of a folder without an index.
    #[must_use]
    pub fn with_listing(mut self, listing: bool) -> Self {
        self.listing = listing;
        self
    }

    /// The same with a page, by its path below the folder, that answers every navigation to a missing path: for
    /// applications that route in the browser.
    #[must_use]
    pub fn with_spa(mut self, name: impl Into<String>) -> Self {
        self.spa = Some(name.into());
        self
    }

    /// The same with a `Cache-Control` for files whose path below the folder matches; `*` stands for anything, `?` for
    /// one character; the first pattern that matches decides. Files that match none have `max-age=0`, those with a hash
    /// in their name a year.
    #[must_use]
    pub fn with_cache_control(mut self, pattern: impl Into<String>, value: impl Into<String>) -> Self {
        self.cache_control.push((pattern.into(), value.into()));
        self
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn at(path: &Path, error: io::Error) -> Error {
    Error::with_source(format!("{}", path.display()), error)
}

/// The target of a route: a folder, or one file.
#[derive(Debug)]
pub struct Files {
    /// Distinguishes it from all other folders in the cache.
    number: u64,
    kind: Kinds,
}

#[derive(Debug)]
enum Kinds {
    File(PathBuf),
    Folder { root: Root, options: Folder },
}

/// The result of looking up a path below a route.
#[derive(Debug)]
pub(crate) enum Located {
    /// A file, kept under this path.
    File(Arc<StoredFile>),
    /// Nothing is there; a navigation gets the page of the application that routes in the browser.
    Fallback,
    /// A folder without its trailing slash.
    Redirect,
    /// A page that lists a folder.
    Listing(String),
}

impl Files {
    /// The file or folder at a path; a folder gets the defaults.
    ///
    /// # Errors
    /// There is no file or folder at this path.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|error| at(path, error))?;
        if metadata.is_dir() { Folder::new(path).map(Self::folder) } else { Ok(Self::file(path.to_owned())) }
    }

    /// The files of a folder.
    pub fn folder(folder: Folder) -> Self {
        let root = Root::new(absolute(&folder.path));
        Self::new(Kinds::Folder { root, options: folder })
    }

    fn file(path: PathBuf) -> Self {
        Self::new(Kinds::File(absolute(&path)))
    }

    fn new(kind: Kinds) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), kind }
    }

    /// The path of the file or folder.
    pub fn path(&self) -> &Path {
        match &self.kind {
            Kinds::File(path) => path,
            Kinds::Folder { root, .. } => root.path(),
        }
    }

    /// Whether it is a folder rather than one file.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self.kind, Kinds::Folder { .. })
    }

    /// The path of the page for navigations to missing paths.
    pub(crate) fn fallback(&self) -> Option<String> {
        match &self.kind {
            Kinds::Folder { options: Folder { spa: Some(name), .. }, .. } => Some(format!("/{name}")),
            _ => None,
        }
    }

    /// The cached entry of this path, if it is fresh.
    pub(crate) fn find(&self, store: &Store, path: &[u8]) -> Option<Arc<StoredFile>> {
        let path = self.key(path);
        store.find(self.number, path).filter(|entry| entry.is_fresh(store.now()))
    }

    /// Checks the file system. `path` begins behind the route: `""`, or `/` and the rest. A listing shows `route`
    /// before it.
    pub(crate) fn locate(
        &self,
        store: &Store,
        route: &str,
        path: &[u8],
        patience: Patience,
    ) -> Result<Located, Unopened> {
        let now = store.now();
        let path = self.key(path);
        let known = store.find(self.number, path);
        let known = known.as_ref();
        let located = match &self.kind {
            Kinds::File(file) => match patience {
                Patience::Now => Err(Unopened::Later),
                Patience::Any => open_plainly(file)
                    .and_then(|opened| one_file(store, file, opened, known, (self.number, path), Some("max-age=0")))
                    .map(Located::File),
            },
            Kinds::Folder { root, options } => {
                FolderSearch { store, root, options, known, key: (self.number, path), patience, now }
                    .locate(route, path)
            }
        };
        match (&located, known) {
            (Ok(Located::File(entry)), Some(known)) if Arc::ptr_eq(known, entry) => entry.touch(now),
            (Ok(Located::File(entry)), _) => store.keep(entry),
            (Err(Unopened::Later | Unopened::Exhausted), _) | (_, None) => {}
            // The file was deleted. Dropped here, because the disk space stays in use as long as the file is open.
            (_, Some(_)) => store.forget(self.number, path),
        }
        located
    }

    /// A single file has one cache key for all paths below its route.
    fn key<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        if let Kinds::File(_) = self.kind { b"" } else { path }
    }
}

/// A search of the file system below a folder.
struct FolderSearch<'a> {
    store: &'a Store,
    root: &'a Root,
    options: &'a Folder,
    known: Option<&'a Arc<StoredFile>>,
    key: (u64, &'a [u8]),
    patience: Patience,
    now: u64,
}

impl FolderSearch<'_> {
    fn locate(&self, route: &str, path: &[u8]) -> Result<Located, Unopened> {
        let Some((relative, has_slash)) = below(path) else { return Ok(Located::Fallback) };
        match self.search(relative, has_slash, route) {
            Err(Unopened::Missing) => Ok(Located::Fallback),
            found => found,
        }
    }

    fn search(&self, relative: &[u8], has_slash: bool, route: &str) -> Result<Located, Unopened> {
        let (file, found, stamp) = self.open(relative)?;
        match (found, has_slash) {
            (FileKind::Regular, false) => return self.entry(relative, file, stamp).map(Located::File),
            (FileKind::Folder, _) => {}
            (FileKind::Regular | FileKind::Special, _) => return Err(Unopened::Missing),
        }
        let index = joined(relative, self.options.index.as_bytes());
        match self.open(&index) {
            Ok((_, FileKind::Regular, _)) if !has_slash => return Ok(Located::Redirect),
            Ok((file, FileKind::Regular, stamp)) => return self.entry(&index, file, stamp).map(Located::File),
            Ok(_) | Err(Unopened::Missing) => {}
            Err(unopened) => return Err(unopened),
        }
        match (self.options.listing, has_slash, self.patience) {
            (false, ..) => Err(Unopened::Missing),
            (true, false, _) => Ok(Located::Redirect),
            (true, true, Patience::Now) => Err(Unopened::Later),
            (true, true, Patience::Any) => {
                let links = self.store.symlinks;
                let listed = listed(&file, |name| {
                    let path = joined(relative, name);
                    let metadata = self.root.open(&path, links, Patience::Any, self.now).ok()?.metadata().ok()?;
                    (!self.withholds(&path, &Stamp::of(&metadata))).then_some(metadata)
                });
                let meaning = |error: io::Error| unopened(error.raw_os_error().map(Errno::from_raw_os_error), &error);
                let (entries, is_cut) = listed.map_err(meaning)?;
                Ok(Located::Listing(listing::page(route, &String::from_utf8_lossy(relative), entries, is_cut)))
            }
        }
    }

    fn open(&self, relative: &[u8]) -> Result<(std::fs::File, FileKind, Stamp), Unopened> {
        let file = self.root.open(relative, self.store.symlinks, self.patience, self.now)?;
        let metadata = file.metadata().map_err(|error| Unopened::Refused(error.to_string()))?;
        let stamp = Stamp::of(&metadata);
        if self.withholds(relative, &stamp) {
            return Err(Unopened::Missing);
        }
        Ok((file, kind(&metadata), stamp))
    }

    fn withholds(&self, relative: &[u8], stamp: &Stamp) -> bool {
        self.store.withholds(|| self.root.path().join(OsStr::from_bytes(relative)), stamp)
    }

    /// The entry of a file, with the compressed files beside it that are not older than it and are within the folder
    /// too.
    fn entry(&self, relative: &[u8], file: std::fs::File, stamp: Stamp) -> Result<Arc<StoredFile>, Unopened> {
        let name = String::from_utf8_lossy(relative);
        let media_type = media_type(&name);
        let compressible = self.store.compresses && is_compressible(&media_type);
        let mut files = [None, None, None, Some(file)];
        let mut stamps = [None, None, None, Some(stamp)];
        for coding in Coding::ALL.into_iter().take(if self.store.compresses { 3 } else { 0 }) {
            let beside = match self.open(&[relative, coding.suffix().as_bytes()].concat()) {
                Ok((beside, FileKind::Regular, its)) if its.modified >= stamp.modified => Some((beside, its)),
                Ok(_) | Err(Unopened::Missing | Unopened::Refused(_)) => None,
                Err(unopened @ (Unopened::Later | Unopened::Exhausted)) => return Err(unopened),
            };
            if let Some((beside, its)) = beside {
                files[coding as usize] = Some(beside);
                stamps[coding as usize] = Some(its);
            }
        }
        if let Some(known) = self.known.filter(|known| known.stamps == stamps) {
            return Ok(Arc::clone(known));
        }
        let shown: Arc<Path> = self.root.path().join(OsStr::from_bytes(relative)).into();
        let mut contents = [None, None, None, None];
        for ((place, file), stamp) in contents.iter_mut().zip(files).zip(stamps) {
            if let (Some(file), Some(stamp)) = (file, stamp) {
                *place = Some(content(file, stamp.size, self.store.in_memory_up_to(), self.patience)?);
            }
        }
        let about = About {
            path: &shown,
            stamp,
            is_stable: true,
            coding: Coding::Identity,
            varies: false,
            cache_control: Some(self.cache_control(&name)),
            ranges_from: self.store.ranges_from,
        };
        let entry = StoredFile::new(&about, stamps, contents, compressible, self.key, self.now);
        entry.map(Arc::new).ok_or(Unopened::Missing)
    }

    fn cache_control(&self, relative: &str) -> &str {
        let mut patterns = self.options.cache_control.iter();
        match patterns.find(|(pattern, _)| matches(pattern, relative)) {
            Some((_, value)) => value,
            None if is_hashed_name(relative) => "public, max-age=31536000, immutable",
            None => "max-age=0",
        }
    }
}

/// The path below the folder for a path behind the route, and whether a slash ends it; `None` if it may not be seen.
pub(super) fn below(path: &[u8]) -> Option<(&[u8], bool)> {
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    let (relative, has_slash) = match relative.strip_suffix(b"/") {
        // `//` is an empty segment too, and the folder itself is `/`.
        Some(b"") => return None,
        Some(folder) => (folder, true),
        None => (relative, path == b"/"),
    };
    may_be_seen(relative).then_some((relative, has_slash))
}

/// Whether no segment is empty, hidden, or leads elsewhere on some system (docs/security.md S28, S30). The empty path is the
/// folder.
fn may_be_seen(relative: &[u8]) -> bool {
    let visible = |(index, segment): (usize, &[u8])| {
        let hidden = segment.starts_with(b".") && !(index == 0 && segment == b".well-known");
        !segment.is_empty() && !hidden && memchr::memchr2(b'\\', b'\0', segment).is_none()
    };
    relative.is_empty() || relative.split(|&byte| byte == b'/').enumerate().all(visible)
}

/// The path of a name in a folder, which may be the root.
fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// The entries of a folder that a listing shows: those that clients can open; and whether there are more.
fn listed(
    folder: &std::fs::File,
    open: impl Fn(&[u8]) -> Option<std::fs::Metadata>,
) -> io::Result<(Vec<listing::ListingEntry>, bool)> {
    let mut entries = Vec::new();
    for found in rustix::fs::Dir::read_from(folder)? {
        let found = found?;
        // Names that no path can ask for are not shown.
        let name = found.file_name().to_bytes();
        if name.starts_with(b".") || name.contains(&b'\\') {
            continue;
        }
        let Some(metadata) = open(name).filter(|metadata| kind(metadata) != FileKind::Special) else { continue };
        if entries.len() == listing::MOST_ENTRIES {
            return Ok((entries, true));
        }
        entries.push(listing::ListingEntry {
            name: OsStr::from_bytes(name).to_owned(),
            is_folder: metadata.is_dir(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
        });
    }
    Ok((entries, false))
}
