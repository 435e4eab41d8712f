//! An open file: its kind and state, and reading it without making the event loop wait for a disk.
//!
//! Checks use the open file, never its path: the path may lead to another file by then.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags};

use crate::descriptors::OwnFile;

/// Whether an operation may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It runs on the event loop's thread: a file that is not in memory is [`Unopened::Later`].
    Now,
    /// It may wait for a disk.
    Any,
}

/// The reasons why a file cannot be sent.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// There is no such file, or it may not be seen: 404.
    Missing,
    /// It is not in memory; to be tried again on a thread that may wait.
    Later,
    /// No descriptor or no memory is free: 503, since the file may exist.
    Exhausted,
    /// It exists and cannot be sent; the reason is for the log.
    Refused(String),
}

/// The reason in the log for a 503.
pub(crate) const NO_DESCRIPTOR: &str = "no descriptor was free for a file";

/// One state of a file: as long as it is the same, so is the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    /// Seconds since 1970, and nanoseconds within the second.
    pub(crate) modified: (i64, i64),
    changed: (i64, i64),
    file: (u64, u64),
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            file: (metadata.dev(), metadata.ino()),
        }
    }

    /// Whether it is a state of the same file.
    pub(super) fn is_of_file(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

/// Flags of every open: do not wait for the other end of a FIFO, do not become the owner of a terminal.
pub(super) const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens a path as a program names it, links and all.
pub(crate) fn open_plainly(path: &Path) -> Result<(File, Stamp), Unopened> {
    let flags = (FLAGS - OFlags::CLOEXEC).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| unopened(error.raw_os_error().map(Errno::from_raw_os_error), &error))?;
    let metadata = file.metadata().map_err(|error| Unopened::Refused(error.to_string()))?;
    match kind(&metadata) {
        FileKind::Regular => Ok((file, Stamp::of(&metadata))),
        FileKind::Folder => Err(Unopened::Refused("it is a folder".into())),
        FileKind::Special => Err(Unopened::Refused("it is no regular file".into())),
    }
}

/// The kind of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Regular,
    Folder,
    Special,
}

pub(super) fn kind(metadata: &Metadata) -> FileKind {
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => FileKind::Regular,
        (_, true) => FileKind::Folder,
        _ => FileKind::Special,
    }
}

/// The reason that a failure to open means.
pub(super) fn unopened(errno: Option<Errno>, error: &io::Error) -> Unopened {
    const MISSING: [Errno; 7] = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::XDEV,
        Errno::NAMETOOLONG,
        Errno::INVAL,
        // A socket, or a device without a driver.
        Errno::NXIO,
    ];
    const EXHAUSTED: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    match errno {
        Some(errno) if MISSING.contains(&errno) => Unopened::Missing,
        Some(errno) if EXHAUSTED.contains(&errno) => Unopened::Exhausted,
        // A name with a NUL in it is refused before it reaches the system.
        None if error.kind() == io::ErrorKind::InvalidInput => Unopened::Missing,
        _ => Unopened::Refused(error.to_string()),
    }
}

/// All of a small file.
pub(super) fn read_all(file: &File, size: u64, patience: Patience) -> Result<Vec<u8>, Unopened> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
    let mut at = 0;
    while at < bytes.len() {
        let read = match patience {
            Patience::Now => read_from_memory(file, &mut bytes[at..], at as u64),
            Patience::Any => file.read_at(&mut bytes[at..], at as u64),
        };
        match read {
            // The file has become shorter; the next check notices that it has changed.
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Unopened::Later),
            Err(error) => return Err(Unopened::Refused(error.to_string())),
        }
    }
    bytes.truncate(at);
    Ok(bytes)
}

/// Reads a file whose size is given as zero, which is the case for files that the kernel makes while they are read.
pub(super) fn read_unmeasured(file: &File, patience: Patience) -> Result<Vec<u8>, Unopened> {
    let mut bytes = Vec::new();
    let mut piece = [0; PIECE];
    loop {
        let read = match patience {
            Patience::Now => read_from_memory(file, &mut piece, bytes.len() as u64),
            Patience::Any => file.read_at(&mut piece, bytes.len() as u64),
        };
        match read {
            Ok(0) => return Ok(bytes),
            Ok(count) if bytes.len() + count > MOST_UNMEASURED => {
                return Err(Unopened::Refused("its size is said to be 0, and there is more than 1 MiB of it".into()));
            }
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Unopened::Later),
            Err(error) => return Err(Unopened::Refused(error.to_string())),
        }
    }
}

/// Bytes that are read at once of a file whose length is not known.
const PIECE: usize = 4 << 10;
/// Bytes that are sent at most of a file whose length is not known.
const MOST_UNMEASURED: usize = 1 << 20;

/// Reads bytes that the system holds in memory; `WouldBlock` if it would have to wait for a disk.
#[cfg(target_os = "linux")]
fn read_from_memory(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if lies_in_memory(file) => file.read_at(buffer, at),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Err(io::ErrorKind::WouldBlock.into()),
        read => Ok(read?),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_from_memory(_: &File, _: &mut [u8], _: u64) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Whether the file system is in memory alone.
#[cfg(target_os = "linux")]
fn lies_in_memory(file: &File) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    rustix::fs::fstatfs(file).is_ok_and(|about| [TMPFS, RAMFS].contains(&about.f_type))
}

/// A file whose content goes from the system to a socket.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: OwnFile,
    /// The range that was last found in memory as a whole, and the time of that, in milliseconds of the caller's clock.
    seen: Mutex<(u64, u64, u64)>,
}

impl OpenFile {
    pub(super) fn new(file: File) -> Self {
        Self { file: OwnFile::new(file), seen: Mutex::new((0, 0, 0)) }
    }

    /// Reads some bytes; `WouldBlock` if that would need a disk and may not wait.
    pub(crate) fn read(&self, buffer: &mut [u8], at: u64, patience: Patience) -> io::Result<usize> {
        loop {
            let read = match patience {
                Patience::Now => read_from_memory(&self.file, buffer, at),
                Patience::Any => self.file.read_at(buffer, at),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// Whether this half-open range can probably be sent without waiting for a disk. Checks its first and its last
    /// byte, unless it has done so just now.
    pub(crate) fn is_in_memory(&self, start: u64, end: u64, now: u64) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.1 == start && seen.2 == end && now.saturating_sub(seen.0) < JUST_NOW {
            return true;
        }
        let mut byte = [0];
        let mut has = |at| {
            let read = read_from_memory(&self.file, &mut byte, at);
            !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        };
        let is_there = has(start) && has(end - 1);
        if is_there {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = (now, start, end);
        }
        is_there
    }
}

/// Milliseconds for which a range that was found in memory counts as still there.
const JUST_NOW: u64 = 200;

/// Reads a half-open range into the system's memory, on a thread that may wait for a disk.
pub(crate) fn bring_into_memory(file: &File, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        match file.read_at(&mut buffer[..want], at) {
            Ok(0) => break,
            Ok(count) => at += count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The path as of now: a program may go to another folder later.
pub(super) fn absolute(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
