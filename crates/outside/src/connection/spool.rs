//! Request content that is too large for memory goes to a temporary file while it comes in.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use crate::content::spooled;
use crate::executor::Executor;
use crate::message::ContentSource;

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
        Some(spooled(self.file?, self.length))
    }
}
