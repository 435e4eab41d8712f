//! Ranges of a request's content: read, or saved as a file, by the kernel alone where that is possible.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use super::spooled::file_of;
use crate::message::{ContentSource, Request};

/// A range of the content of a request, in memory or in a file. Bytes are read only when they are asked for.
#[derive(Clone, Debug)]
pub struct ContentRange<'a> {
    stored: Stored<'a>,
    range: Range<u64>,
}

/// The place of the whole content.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stored<'a> {
    Memory(&'a [u8]),
    Source(&'a dyn ContentSource),
}

impl<'a> Stored<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        match &request.spooled {
            Some(spooled) => match spooled.read.get() {
                Some(content) => Self::Memory(content),
                None => spooled.source().map_or(Self::Memory(&[]), Self::Source),
            },
            None => Self::Memory(&request.content),
        }
    }

    fn length(self) -> u64 {
        match self {
            Self::Memory(content) => content.len() as u64,
            Self::Source(source) => source.length(),
        }
    }
}

/// Bytes in memory at once while a file is copied without the kernel's help.
const PIECE: usize = 256 << 10;

impl Request {
    /// A half-open range of the content, cut where the content ends.
    pub fn content_range(&self, range: Range<u64>) -> ContentRange<'_> {
        ContentRange::new(Stored::of(self), range)
    }
}

impl<'a> ContentRange<'a> {
    pub(super) fn new(stored: Stored<'a>, range: Range<u64>) -> Self {
        let end = range.end.min(stored.length());
        Self { stored, range: range.start.min(end)..end }
    }

    /// The range within the content.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The number of bytes.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether the range is empty.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// All bytes; not copied if they are in memory already.
    ///
    /// # Errors
    /// Errors of reading the file.
    pub fn read(&self) -> io::Result<Cow<'a, [u8]>> {
        if let Stored::Memory(content) = self.stored {
            return Ok(Cow::Borrowed(&content[self.range.start as usize..self.range.end as usize]));
        }
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(io::Error::other)?];
        self.read_into(&mut bytes, 0)?;
        Ok(Cow::Owned(bytes))
    }

    /// Fills a buffer with the bytes from `at` on.
    ///
    /// # Errors
    /// The range has fewer bytes, or the file cannot be read.
    pub fn read_into(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        if at.saturating_add(buffer.len() as u64) > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = self.range.start + at;
        match self.stored {
            Stored::Memory(content) => buffer.copy_from_slice(&content[start as usize..][..buffer.len()]),
            Stored::Source(source) => source.read_at(buffer, start)?,
        }
        Ok(())
    }

    /// Writes all bytes to this file, which is created or replaced. Returns their number.
    ///
    /// # Errors
    /// Errors of creating and writing the file.
    pub fn save(&self, path: impl AsRef<Path>) -> io::Result<u64> {
        let mut to = File::create(path)?;
        match self.stored {
            Stored::Memory(_) => to.write_all(&self.read()?)?,
            Stored::Source(source) => {
                let copied = file_of(source).map_or(Ok(0), |from| copy(from, &to, self.range()))?;
                self.copy_by_hand(&mut to, copied)?;
            }
        }
        Ok(self.len())
    }

    fn copy_by_hand(&self, to: &mut File, mut at: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE.min(usize::try_from(self.len() - at).unwrap_or(PIECE))];
        while at < self.len() {
            let count = piece.len().min(usize::try_from(self.len() - at).unwrap_or(PIECE));
            self.read_into(&mut piece[..count], at)?;
            to.write_all(&piece[..count])?;
            at += count as u64;
        }
        Ok(())
    }
}

/// Copies by the kernel as far as possible; on file systems that share blocks no byte moves. Returns the number of
/// bytes.
#[cfg(target_os = "linux")]
fn copy(from: &File, to: &File, range: Range<u64>) -> io::Result<u64> {
    let (mut at, mut copied, mut within) = (range.start, 0, true);
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(1 << 30);
        let moved = if within {
            rustix::fs::copy_file_range(from, Some(&mut at), to, None, left)
        } else {
            rustix::fs::sendfile(to, from, Some(&mut at), left)
        };
        match moved {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(rustix::io::Errno::INTR) => {}
            // The kernel does not copy between these two files by this call; the other call may.
            Err(_) if within => within = false,
            Err(error @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT | rustix::io::Errno::FBIG)) => {
                return Err(error.into());
            }
            Err(_) => break,
        }
    }
    Ok(copied)
}

#[cfg(not(target_os = "linux"))]
fn copy(_from: &File, _to: &File, _range: Range<u64>) -> io::Result<u64> {
    Ok(0)
}
