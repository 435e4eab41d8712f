//! The open files of the engine by their numbers: for children that a program forks while it serves.
//!
//! Such a child has a copy of each descriptor, and none of the threads that would close it: a deleted file would keep
//! its disk space, and a lock its owner, for as long as the child lives. So the child takes them away from itself
//! (`outside/_process/at_fork.py`). The numbers are bits without a lock: in the child, nothing would ever open a lock
//! that another thread held at the fork.

use std::fs::File;
use std::ops::Deref;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Descriptors of higher numbers are not noted; the usual limits of a process are below that.
const MOST: usize = 1 << 20;

static OWN: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// An open file of the engine's own.
#[derive(Debug)]
pub(crate) struct OwnFile<T = File> {
    // Dropped before the file is closed: a number that is noted is always the engine's.
    _note: Note,
    file: T,
}

#[derive(Debug)]
struct Note(RawFd);

impl<T: AsRawFd> OwnFile<T> {
    pub(crate) fn new(file: T) -> Self {
        let number = file.as_raw_fd();
        if let Some((word, bit)) = place(number) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Self { _note: Note(number), file }
    }

    /// The file, which belongs to a program from now on.
    pub(crate) fn into_inner(self) -> T {
        self.file
    }
}

impl<T> Deref for OwnFile<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.file
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if let Some((word, bit)) = place(self.0) {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }
}

fn place(number: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let number = usize::try_from(number).ok()?;
    Some((OWN.get(number / 64)?, 1 << (number % 64)))
}

/// The numbers of all descriptors that are the engine's own.
pub fn own_descriptors() -> Vec<RawFd> {
    let mut found = Vec::new();
    for (index, word) in OWN.iter().enumerate() {
        let mut bits = word.load(Ordering::Relaxed);
        while bits != 0 {
            found.extend(RawFd::try_from(index * 64 + bits.trailing_zeros() as usize));
            bits &= bits - 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_noted_while_they_are_open_and_ours() {
        let open = || OwnFile::new(tempfile::tempfile().unwrap());
        let (one, other) = (open(), open());
        let numbers = [one.as_raw_fd(), other.as_raw_fd()];
        assert!(numbers.iter().all(|number| own_descriptors().contains(number)));
        let given = one.into_inner();
        assert!(!own_descriptors().contains(&given.as_raw_fd()));
        assert!(own_descriptors().contains(&numbers[1]));
        drop(other);
        // Another test may have got the number meanwhile; the bit of a closed one is gone or another file's.
        drop(given);
        assert!(place(-1).is_none() && place(MOST as RawFd).is_none());
    }
}
