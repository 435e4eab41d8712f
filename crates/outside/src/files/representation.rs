//! A file as it can be sent: its header fields, made once, and its bytes, in memory or in an open file.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::media_type;
use super::open::{OpenFile, Stamp};
use crate::message::{Headers, KnownHeader};
use crate::protocol::conditional::Validators;
use crate::protocol::negotiation::Coding;

/// A representation of a file (RFC 9110 section 3.2): the file itself, a slice of it, or one content coding of it.
#[derive(Debug)]
pub(crate) struct Representation {
    /// The path of the file, for the log and for hooks.
    pub(crate) path: Arc<Path>,
    /// All fields but those that frame the message.
    pub(crate) headers: Headers,
    pub(crate) content: FileBytes,
    /// The start in the content, and the length, in bytes.
    pub(crate) start: u64,
    pub(crate) length: u64,
    pub(crate) offers_ranges: bool,
    etag: String,
    modified: Option<u64>,
}

/// The place of the bytes.
#[derive(Clone, Debug)]
pub(crate) enum FileBytes {
    Memory(Bytes),
    File(Arc<OpenFile>),
}

/// The facts from which the fields are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About<'a> {
    pub(crate) path: &'a Arc<Path>,
    pub(crate) stamp: Stamp,
    /// Whether size and time tell when the content has changed. Otherwise ETag, Last-Modified and ranges are left out.
    pub(crate) is_stable: bool,
    pub(crate) coding: Coding,
    /// Whether another coding could have been chosen.
    pub(crate) varies: bool,
    pub(crate) cache_control: Option<&'a str>,
    /// Files from this size on offer ranges; `None`: no file does.
    pub(crate) ranges_from: Option<u64>,
}

impl Representation {
    /// All of a file. `path` gives the media type; for a coding, it is that of the file itself.
    pub(crate) fn new(about: &About<'_>, content: FileBytes, length: u64) -> Self {
        let (seconds, _) = about.stamp.modified;
        // A date that HTTP cannot express is left out, and so is one of the future (RFC 9110 section 8.8.2.1).
        let modified = u64::try_from(seconds).ok().filter(|&seconds| seconds < DATES_END && seconds <= seconds_now());
        let modified = modified.filter(|_| about.is_stable);
        let etag = if about.is_stable { etag(&about.stamp, about.coding) } else { String::new() };
        let offers_ranges = about.is_stable && about.ranges_from.is_some_and(|from| length >= from);
        let mut headers = Headers::new();
        headers.push_checked(b"Content-Type", media_type(&about.path.to_string_lossy()).as_bytes());
        if about.coding != Coding::Identity {
            headers.push_checked(b"Content-Encoding", about.coding.token().as_bytes());
        }
        if !etag.is_empty() {
            headers.push_checked(b"ETag", etag.as_bytes());
        }
        if let Some(modified) = modified {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(modified));
            headers.push_checked(b"Last-Modified", date.as_bytes());
        }
        if offers_ranges {
            headers.push_checked(b"Accept-Ranges", b"bytes");
        }
        if let Some(cache_control) = about.cache_control {
            headers.push_checked(b"Cache-Control", cache_control.as_bytes());
        }
        if about.varies {
            headers.push_checked(b"Vary", b"Accept-Encoding");
        }
        headers.push_checked(b"X-Content-Type-Options", b"nosniff");
        let path = Arc::clone(about.path);
        Self { path, headers, content, start: 0, length, offers_ranges, etag, modified }
    }

    /// This half-open slice as a representation.
    pub(crate) fn slice(&self, start: u64, end: u64) -> Self {
        let end = end.min(self.length);
        let start = start.min(end);
        let mut etag = String::new();
        let mut headers = self.headers.clone();
        if let Some(whole) = self.etag.strip_suffix('"') {
            etag = format!("{whole}-{start:x}-{end:x}\"");
            headers.replace_checked(KnownHeader::ETag, b"ETag", etag.as_bytes());
        }
        Self {
            path: Arc::clone(&self.path),
            headers,
            content: self.content.clone(),
            start: self.start + start,
            length: end - start,
            offers_ranges: self.offers_ranges,
            etag,
            modified: self.modified,
        }
    }

    /// The entity tag; empty if there is none.
    pub(super) fn etag(&self) -> &str {
        &self.etag
    }

    /// The validators: entity tag and date.
    pub(crate) fn validators(&self) -> Validators<'_> {
        let etag = Some(self.etag.as_bytes()).filter(|etag| !etag.is_empty());
        Validators { etag, modified: self.modified }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn weight(&self) -> u64 {
        let content = match &self.content {
            FileBytes::Memory(bytes) => bytes.len(),
            FileBytes::File(_) => 0,
        };
        (content + self.headers.wire().len() + self.path.as_os_str().len() + 256) as u64
    }
}

/// A strong entity tag (RFC 9110 section 8.8.3): the time of the last change, the size, and the coding.
pub(super) fn etag(stamp: &Stamp, coding: Coding) -> String {
    let (seconds, nanoseconds) = stamp.modified;
    let dash = if coding == Coding::Identity { "" } else { "-" };
    format!("\"{seconds:x}.{nanoseconds:x}-{:x}{dash}{}\"", stamp.size, coding.token())
}

pub(super) fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Seconds since 1970 from which on an HTTP date cannot name a time: the year 10000.
const DATES_END: u64 = 253_402_300_800;
