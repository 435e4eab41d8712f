//! Which bytes of which file, and whether at all.
//!
//! Opens a path and looks at what was opened, never at the path again: between two looks it may be another file.

#[expect(dead_code, reason = "no folder is listed yet")]
mod listing;

use std::fs::{File, OpenOptions};
use std::io;

use std::os::unix::fs::OpenOptionsExt;

/// A regular file, open for reading, and the half-open range of bytes to send.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Why a file cannot be sent.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// There is none, or its path cannot be one: 404.
    Missing,
    /// It is a folder or no regular file: 500, the reason is for the log.
    NotAFile(&'static str),
    /// The system refused: 500 (403 would tell a stranger that it exists).
    Failed(io::Error),
}

impl OpenFile {
    /// Opens a file whole. Never waits for a writer at the other end of a FIFO.
    pub(crate) fn open(path: &str) -> Result<Self, Unopened> {
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file =
            OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidFilename => Unopened::Missing,
                _ => Unopened::Failed(error),
            })?;
        let metadata = file.metadata().map_err(Unopened::Failed)?;
        if metadata.is_dir() {
            return Err(Unopened::NotAFile("it is a folder"));
        }
        if !metadata.is_file() {
            return Err(Unopened::NotAFile("it is no regular file"));
        }
        Ok(Self { file, start: 0, end: metadata.len() })
    }

    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }
}

/// The media type of a file by its name; text comes with its charset.
///
/// ```
/// assert_eq!(outside::media_type("a/b.html"), "text/html; charset=utf-8");
/// assert_eq!(outside::media_type("data.unknown"), "application/octet-stream");
/// ```
pub fn media_type(path: &str) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    match guess.type_() == "text" {
        true => format!("{}; charset=utf-8", guess.essence_str()),
        false => guess.essence_str().to_owned(),
    }
}
