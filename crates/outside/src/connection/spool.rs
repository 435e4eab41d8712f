//! Request content that is too large for memory: in a temporary file without a name, gone when nobody holds it.

use std::any::Any;
use std::fs::File;

use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use crate::executor::Executor;
use crate::message::{ContentSource, Request};

/// A file that grows while content comes in.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Option<Arc<File>>,
    length: u64,
}

/// Content is written in pieces of at least this size.
const PIECE: usize = 256 << 10;

impl Spool {
    /// Bytes that were moved to the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Is it time to move this to the file?
    pub(super) fn wants(&self, content: &[u8], above: usize) -> bool {
        match self.file {
            Some(_) => content.len() >= PIECE,
            None => content.len() > above,
        }
    }

    /// Moves all of this to the file, beside the event loop; leaves `content` empty with its memory.
    pub(super) async fn take(&mut self, executor: &Executor, content: &mut Vec<u8>) -> io::Result<()> {
        let bytes = std::mem::take(content);
        let file = self.file.take();
        let written = executor.runtime.handle().spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile()?),
            };
            (&*file).write_all(&bytes)?;
            Ok::<_, io::Error>((file, bytes))
        });
        let (file, mut bytes) = written.await.map_err(io::Error::other)??;
        self.length += bytes.len() as u64;
        self.file = Some(file);
        bytes.clear();
        bytes.shrink_to(2 * PIECE);
        *content = bytes;
        Ok(())
    }

    /// Where the content lies now, if it was moved.
    pub(super) fn into_source(self) -> Option<Box<dyn ContentSource>> {
        let file = self.file?;
        Some(Box::new(SpooledFile { file, length: self.length }))
    }
}

/// A complete one.
#[derive(Debug)]
struct SpooledFile {
    file: Arc<File>,
    length: u64,
}

/// The content of a request as a file of its own, at its beginning, if it was too large for memory; `None` if it lies in
/// memory. Nothing is copied. The position is shared by all files that this gives for one request.
///
/// # Errors
/// There is no descriptor left.
pub fn content_file(request: &Request) -> io::Result<Option<File>> {
    let source: Option<&dyn Any> = request.spooled.as_ref().map(|spooled| &*spooled.source as &dyn Any);
    let Some(spooled) = source.and_then(|source| source.downcast_ref::<SpooledFile>()) else { return Ok(None) };
    let mut file = spooled.file.try_clone()?;
    file.rewind()?;
    Ok(Some(file))
}

impl ContentSource for SpooledFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_into(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, 0)
    }
}
