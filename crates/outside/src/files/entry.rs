//! A file of a folder as cached between requests, with all its representations.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::open::{OpenFile, Patience, Stamp, Unopened, read_all, read_unmeasured};
use super::representation::{About, FileBytes, Representation, etag};
use super::root::FRESH;
use crate::compression::{CompressionLevel, LEAST, compress};
use crate::protocol::negotiation::{AcceptedCodings, Coding, Codings};

/// Bytes of the largest file that is compressed when a client asks for it.
pub(crate) const MOST_TO_COMPRESS: u64 = 1 << 20;

/// Bytes of the largest file that is read for its hash, and bytes that are read of it at once.
const MOST_TO_HASH: u64 = 256 << 20;
const HASHED_AT_ONCE: usize = 128 << 10;

/// One file, at one moment.
#[derive(Debug)]
pub(crate) struct StoredFile {
    /// Time of the last check against the file system, in milliseconds of the store's clock.
    looked_at: AtomicU64,
    /// The state at that time: of the file, and of the compressed files beside it, in the order of `Coding::ALL`.
    pub(super) stamps: [Option<Stamp>; 4],
    identity: Arc<Representation>,
    /// In the order of `Coding::ALL`.
    coded: [Coded; 3],
    /// Whether codings may be made for which there is no file beside it.
    compresses: bool,
    cache_control: Option<String>,
    ranges_from: Option<u64>,
    /// The cache key: the number of the folder, and a path.
    pub(super) key: (u64, Box<[u8]>),
    is_stable: bool,
    digest: OnceLock<Option<String>>,
}

/// One content coding of a file.
#[derive(Debug, Default)]
struct Coded {
    /// `None` in it: the coding would not be smaller.
    made: OnceLock<Option<Arc<Representation>>>,
    is_being_made: AtomicBool,
}

/// The representation for a request.
pub(crate) enum Offered {
    /// This one.
    Ready(Arc<Representation>),
    /// A coding that has to be made first, by [`StoredFile::make`].
    ToMake(Coding),
}

impl StoredFile {
    pub(super) fn new(
        about: &About<'_>,
        stamps: [Option<Stamp>; 4],
        contents: [Option<FileBytes>; 4],
        compresses: bool,
        (number, path): (u64, &[u8]),
        now: u64,
    ) -> Option<Self> {
        // The bytes that were read may differ from the announced size: files of the kernel are made when they are read,
        // and others are just being written.
        let is_stable = match &contents[Coding::Identity as usize] {
            Some(FileBytes::Memory(bytes)) => bytes.len() as u64 == about.stamp.size,
            _ => true,
        };
        let compresses = compresses && is_stable && (LEAST as u64..=MOST_TO_COMPRESS).contains(&about.stamp.size);
        let varies = compresses || stamps[..3].iter().any(Option::is_some);
        let about = About { varies, is_stable, ..*about };
        let mut representations =
            Coding::ALL.into_iter().zip(stamps).zip(contents).map(|((coding, stamp), content)| {
                let (stamp, content) = (stamp?, content?);
                let length = match &content {
                    FileBytes::Memory(bytes) => bytes.len() as u64,
                    FileBytes::File(_) => stamp.size,
                };
                Some(Arc::new(Representation::new(&About { stamp, coding, ..about }, content, length)))
            });
        let mut coded = || {
            let coded = Coded::default();
            if let Some(Some(representation)) = representations.next() {
                // The cell is new, so it cannot be full.
                coded.made.get_or_init(|| Some(representation));
            }
            coded
        };
        let coded = [coded(), coded(), coded()];
        let identity = representations.next()??;
        Some(Self {
            looked_at: AtomicU64::new(now),
            stamps,
            identity,
            coded,
            compresses,
            cache_control: about.cache_control.map(str::to_owned),
            ranges_from: about.ranges_from,
            key: (number, path.into()),
            is_stable,
            digest: OnceLock::new(),
        })
    }

    /// Whether the file was checked so recently that it is sent without another check.
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.looked_at.load(Ordering::Relaxed)) < FRESH
    }

    /// Whether size and time of the file tell when its content has changed.
    pub(super) fn is_stable(&self) -> bool {
        self.is_stable
    }

    /// Notes that the file was checked and is the same.
    pub(super) fn touch(&self, now: u64) {
        self.looked_at.store(now, Ordering::Relaxed);
    }

    /// The representation for a client that accepts these codings. A request for a range gets a representation that
    /// exists already, because the length of one that is compressed while it is sent is not known before.
    pub(crate) fn offer(&self, accepted: AcceptedCodings, asks_for_range: bool) -> Offered {
        let coding = self.choose(accepted, asks_for_range);
        let Some(coded) = self.coded.get(coding as usize) else { return Offered::Ready(Arc::clone(&self.identity)) };
        match coded.made.get() {
            Some(Some(made)) => Offered::Ready(Arc::clone(made)),
            // One request makes the coding; others do not wait for it and get the plain file.
            _ if coded.is_being_made.swap(true, Ordering::Relaxed) => Offered::Ready(Arc::clone(&self.identity)),
            _ => Offered::ToMake(coding),
        }
    }

    /// The representation that would be offered, or the one that it would be made from, and its entity tag.
    pub(crate) fn preview(&self, accepted: AcceptedCodings, asks_for_range: bool) -> (&Representation, String) {
        let coding = self.choose(accepted, asks_for_range);
        match self.coded.get(coding as usize).map(|coded| coded.made.get()) {
            Some(Some(Some(made))) => (made, made.etag().to_owned()),
            Some(_) => (&self.identity, self.stamps[3].map(|stamp| etag(&stamp, coding)).unwrap_or_default()),
            None => (&self.identity, self.identity.etag().to_owned()),
        }
    }

    fn choose(&self, accepted: AcceptedCodings, asks_for_range: bool) -> Coding {
        let is_available = |coding: Coding| {
            let lies_there = self.stamps[coding as usize].is_some();
            let made = self.coded[coding as usize].made.get();
            lies_there || self.compresses && !asks_for_range && made.is_none_or(Option::is_some)
        };
        let available = Coding::ALL.into_iter().take(3).filter(|&coding| is_available(coding));
        accepted.best(available.fold(Codings::NONE, Codings::with))
    }

    /// Whether this query asks for the hash of a file that is not held in memory, and was not read for its hash yet.
    pub(crate) fn wants_digest(&self, query: &str) -> bool {
        self.digest.get().is_none() && hash_in(query).is_some() && matches!(self.identity.content, FileBytes::File(_))
    }

    /// The first 16 hexadecimal digits of the SHA-256 of its bytes, which addresses of static files carry. Reads a file that
    /// is not held in memory, which may wait for a disk. `None` if the bytes that are sent may be others: those of a
    /// compressed file beside it, or of one that is very large or changes.
    pub(crate) fn digest(&self) -> Option<&str> {
        let made = || {
            let stamp = self.stamps[Coding::Identity as usize]?;
            if self.stamps[..3].iter().any(Option::is_some) || !self.is_stable {
                return None;
            }
            let digest = match &self.identity.content {
                FileBytes::Memory(bytes) => aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes),
                FileBytes::File(_) if stamp.size > MOST_TO_HASH => return None,
                FileBytes::File(file) => digest_of(&file.file, stamp.size).ok()?,
            };
            self.is_the_same().then(|| digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
        };
        self.digest.get_or_init(made).as_deref()
    }

    /// Whether this query has the hash of the bytes that are sent: `v=` and 16 digits.
    pub(super) fn is_named_by(&self, query: &str) -> bool {
        hash_in(query)
            .is_some_and(|given| !self.wants_digest(query) && self.digest() == Some(given) && self.is_the_same())
    }

    /// Whether an open file is in the state in which it was opened. A client would keep other bytes for a year.
    fn is_the_same(&self) -> bool {
        match &self.identity.content {
            FileBytes::Memory(_) => true,
            FileBytes::File(file) => {
                let now = file.file.metadata().ok().map(|metadata| Stamp::of(&metadata));
                now.is_some() && now == self.stamps[Coding::Identity as usize]
            }
        }
    }

    /// The file as it is.
    pub(crate) fn identity(&self) -> &Representation {
        &self.identity
    }

    /// The path of the file, for the log and for hooks.
    pub(crate) fn path(&self) -> &Arc<Path> {
        &self.identity.path
    }

    /// Makes a coding. Takes milliseconds, and may wait for a disk.
    pub(crate) fn make(&self, coding: Coding) -> Arc<Representation> {
        let made = self
            .coded
            .get(coding as usize)
            .and_then(|coded| coded.made.get_or_init(|| self.compressed(coding).map(Arc::new)).clone());
        made.unwrap_or_else(|| Arc::clone(&self.identity))
    }

    fn compressed(&self, coding: Coding) -> Option<Representation> {
        let stamp = self.stamps[Coding::Identity as usize]?;
        let encoded = match &self.identity.content {
            FileBytes::Memory(bytes) => compress(coding, CompressionLevel::Thorough, bytes)?,
            FileBytes::File(file) => {
                let bytes = read_all(&file.file, stamp.size, Patience::Any).ok()?;
                compress(coding, CompressionLevel::Thorough, &bytes)?
            }
        };
        let about = About {
            path: &self.identity.path,
            stamp,
            is_stable: true,
            coding,
            varies: true,
            cache_control: self.cache_control.as_deref(),
            ranges_from: self.ranges_from,
        };
        let length = encoded.len() as u64;
        Some(Representation::new(&about, FileBytes::Memory(encoded.into()), length))
    }

    /// Bytes of memory that it holds, and the number of files that it holds open.
    pub(crate) fn weight(&self) -> (u64, u64) {
        let coded = self.coded.iter().filter_map(|coded| coded.made.get()?.as_ref());
        coded.chain([&self.identity]).fold((0, 0), |(bytes, files), representation| {
            let is_open = matches!(representation.content, FileBytes::File(_));
            (bytes + representation.weight(), files + u64::from(is_open))
        })
    }
}

/// The hash in the query of an address that was made with one.
fn hash_in(query: &str) -> Option<&str> {
    query.strip_prefix("v=").filter(|given| given.len() == 16)
}

fn digest_of(file: &std::fs::File, size: u64) -> std::io::Result<aws_lc_rs::digest::Digest> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    let (mut piece, mut at) = (vec![0; HASHED_AT_ONCE], 0);
    while at < size {
        let count = usize::try_from(size - at).unwrap_or(usize::MAX).min(piece.len());
        file.read_exact_at(&mut piece[..count], at)?;
        context.update(&piece[..count]);
        at += count as u64;
    }
    Ok(context.finish())
}

/// The opened file as content: its bytes in memory, or the open file.
pub(super) fn content(
    file: std::fs::File,
    size: u64,
    in_memory_up_to: u64,
    patience: Patience,
) -> Result<FileBytes, Unopened> {
    match size {
        0 => Ok(FileBytes::Memory(read_unmeasured(&file, patience)?.into())),
        _ if size <= in_memory_up_to => Ok(FileBytes::Memory(read_all(&file, size, patience)?.into())),
        _ => Ok(FileBytes::File(Arc::new(OpenFile::new(file)))),
    }
}
