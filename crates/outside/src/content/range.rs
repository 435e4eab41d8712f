//! Some bytes of a request's content: read, or saved as a file, by the kernel alone where that is possible.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;

use super::spooled::file_of;
use crate::message::{ContentSource, Request};

/// Bytes of the content of a request, wherever that lies. Nothing is read before somebody asks.
#[derive(Clone, Debug)]
pub struct ContentRange<'a> {
    stored: Stored<'a>,
    range: Range<u64>,
}

/// Where the whole content lies.
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
                None => Self::Source(&*spooled.source),
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

/// As much is held in memory while a file is copied by hand.
const PIECE: usize = 256 << 10;

impl Request {
    /// These bytes of the content: a half-open range, cut where the content ends.
    pub fn content_range(&self, range: Range<u64>) -> ContentRange<'_> {
        ContentRange::new(Stored::of(self), range)
    }
}

impl<'a> ContentRange<'a> {
    pub(super) fn new(stored: Stored<'a>, range: Range<u64>) -> Self {
        let end = range.end.min(stored.length());
        Self { stored, range: range.start.min(end)..end }
    }

    /// Where in the content they lie.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// How many they are.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// All of them; not copied if they are in memory already.
    ///
    /// # Errors
    /// Those of reading a file.
    pub fn read(&self) -> io::Result<Cow<'a, [u8]>> {
        if let Stored::Memory(content) = self.stored {
            return Ok(Cow::Borrowed(&content[self.range.start as usize..self.range.end as usize]));
        }
        let mut bytes = vec![0; usize::try_from(self.len()).map_err(io::Error::other)?];
        self.read_into(&mut bytes, 0)?;
        Ok(Cow::Owned(bytes))
    }

    /// Fills a buffer with those from `at` on.
    ///
    /// # Errors
    /// There are fewer, or those of reading a file.
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

    /// Writes all of them to this file, which is made, or replaced; returns how many they were.
    ///
    /// # Errors
    /// Those of making and writing a file.
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

/// Copies by the kernel, as far as it can; file systems that share blocks need not even move the bytes. How many it was.
#[cfg(target_os = "linux")]
fn copy(from: &File, to: &File, range: Range<u64>) -> io::Result<u64> {
    let (mut at, mut copied, mut within) = (range.start, 0, true);
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(1 << 30);
        let moved = match within {
            true => rustix::fs::copy_file_range(from, Some(&mut at), to, None, left),
            false => rustix::fs::sendfile(to, from, Some(&mut at), left),
        };
        match moved {
            Ok(0) => break,
            Ok(count) => copied += count as u64,
            Err(rustix::io::Errno::INTR) => {}
            // Not between these two files: the other call can.
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
