//! Content too large for memory: in a temporary file without a name, which vanishes when its last handle is dropped.

use std::any::Any;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::SpoolShare;
use crate::message::{ContentSource, Request};

/// The content of a request as a file.
#[derive(Debug)]
struct SpooledFile {
    file: Arc<File>,
    length: u64,
    /// Released together with the file.
    _share: Option<SpoolShare>,
}

/// Content that was written to this file.
pub(crate) fn spooled(file: Arc<File>, length: u64, share: Option<SpoolShare>) -> Box<dyn ContentSource> {
    Box::new(SpooledFile { file, length, _share: share })
}

/// The file behind such content.
pub(super) fn file_of(source: &dyn ContentSource) -> Option<&File> {
    let source: &dyn Any = source;
    source.downcast_ref::<SpooledFile>().map(|spooled| &*spooled.file)
}

/// The content of a request as an open file at its beginning, if it was too large for memory; `None` if it is in
/// memory. Nothing is copied. All files that this gives for one request share one position.
///
/// # Errors
/// The process has no descriptor left.
pub fn content_file(request: &Request) -> io::Result<Option<File>> {
    let source = request.spooled.as_ref().and_then(|spooled| spooled.source());
    let Some(file) = source.and_then(file_of) else { return Ok(None) };
    let mut file = file.try_clone()?;
    file.rewind()?;
    Ok(Some(file))
}

/// The number of the file with the content of a request, if it was too large for memory. For bindings.
pub fn content_descriptor(request: &Request) -> Option<RawFd> {
    let source = request.spooled.as_ref().and_then(|spooled| spooled.source());
    source.and_then(file_of).map(File::as_raw_fd)
}

impl ContentSource for SpooledFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }
}
