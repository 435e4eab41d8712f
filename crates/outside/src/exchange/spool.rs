//! Request content in memory, and in a temporary file if it is too large for memory, while it comes in.

use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::control::Order;
use super::dispatch::Dispatcher;
use crate::budget::SMALL;
use crate::content::{SpoolShare, Spools, spooled};
use crate::descriptors::OwnFile;
use crate::error::Refusal;
use crate::log::Level;
use crate::message::ContentSource;

/// A temporary file that grows while content comes in.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    file: Option<OwnFile>,
    length: u64,
    share: Option<SpoolShare>,
    /// The share of the content that is in memory, once that is more than a little.
    memory: Option<SpoolShare>,
}

/// The refusal of content when all temporary files together have their full size and other content comes in faster.
pub(super) const NO_ROOM: Refusal = Refusal::limit(503, "too much content lies in temporary files", "spool_max_mb");
/// The refusal of content when all that comes in to memory has its full size and other content comes in faster.
const NO_MEMORY: Refusal = Refusal::limit(503, "too much content comes in at once", "max_body_memory_mb");
/// Bytes of content that are gathered for one write to the file, once there is a file.
const PIECE: usize = 256 << 10;

impl Spool {
    /// Bytes that were moved to the file.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Whether this content has to move to the file.
    pub(crate) fn wants(&self, content: &[u8], above: usize) -> bool {
        match self.file {
            Some(_) => content.len() >= PIECE,
            None => content.len() > above,
        }
    }

    /// Counts content that waits in memory for the rest of it.
    ///
    /// # Errors
    /// All such content together takes more than it may, and other content comes in faster.
    pub(crate) fn count(&mut self, dispatcher: &Dispatcher, content: &[u8]) -> Result<(), Refusal> {
        if content.len() <= SMALL {
            return Ok(());
        }
        let now = dispatcher.service.clock.now();
        let share = self.memory.get_or_insert_with(|| share_of(&dispatcher.service.bodies, dispatcher, now));
        if share.grow_to(content.len() as u64, now) { Ok(()) } else { Err(NO_MEMORY) }
    }

    /// Moves all content to the file, beside the event loop; leaves `content` empty with its memory.
    pub(crate) async fn take(&mut self, dispatcher: &Dispatcher, content: &mut Vec<u8>) -> Result<(), Refusal> {
        let now = dispatcher.service.clock.now();
        let share = self.share.get_or_insert_with(|| share_of(&dispatcher.service.spools, dispatcher, now));
        if !share.add(content.len() as u64, now) {
            return Err(NO_ROOM);
        }
        self.write(dispatcher, content).await.map_err(|error| {
            let text = format!("a request's content could not be spooled: {error}");
            dispatcher.service.log.event(Level::Error, text);
            Refusal::new(500, "content could not be stored")
        })?;
        self.memory = None;
        Ok(())
    }

    async fn write(&mut self, dispatcher: &Dispatcher, content: &mut Vec<u8>) -> io::Result<()> {
        let bytes = std::mem::take(content);
        let file = self.file.take();
        let written = dispatcher.service.executor.runtime.handle().spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => OwnFile::new(tempfile::tempfile()?),
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

    /// Fills a buffer with bytes of the file from `at` on, or its beginning if there are fewer. Returns their number.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let Some(file) = &self.file else { return Ok(0) };
        let count = usize::try_from(self.length - at).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..count], at)?;
        Ok(count)
    }

    /// The refusal of this content, if it had to give way to other content.
    pub(crate) fn ended(&self) -> Option<Refusal> {
        let has_ended = |share: &Option<SpoolShare>| share.as_ref().is_some_and(SpoolShare::has_ended);
        if has_ended(&self.share) {
            return Some(NO_ROOM);
        }
        has_ended(&self.memory).then_some(NO_MEMORY)
    }

    /// The file with the content, if the content was moved.
    pub(crate) fn into_source(mut self) -> Result<Option<Box<dyn ContentSource>>, Refusal> {
        let Some(file) = self.file else { return Ok(None) };
        match self.share.as_mut().is_none_or(SpoolShare::complete) {
            // A handler's from now on, which may fork a child for it.
            true => Ok(Some(spooled(Arc::new(file.into_inner()), self.length, self.share))),
            false => Err(NO_ROOM),
        }
    }
}

/// A share of one of the bounds on content. If it has to give way, the connection stops to wait for its client;
/// [`Spool::ended`] then tells the reason.
fn share_of(spools: &Arc<Spools>, dispatcher: &Dispatcher, now: u64) -> SpoolShare {
    let control = Arc::clone(&dispatcher.control);
    spools.begin(now, move || control.signal(Order::TimedOut))
}

/// Content that is made by this process, beside the event loops: in memory, or in a temporary file if it grows too large.
pub(super) struct Growing {
    content: Vec<u8>,
    spool: Spool,
    /// Bytes that memory may hold.
    above: usize,
    share: SpoolShare,
    now: u64,
}

impl Growing {
    pub(super) fn new(above: usize, share: SpoolShare, now: u64) -> Self {
        Self { content: Vec::new(), spool: Spool::default(), above, share, now }
    }

    /// Adds bytes. Returns `false` if there is no room for them.
    pub(super) fn add(&mut self, bytes: &[u8]) -> io::Result<bool> {
        self.content.extend_from_slice(bytes);
        if self.spool.wants(&self.content, self.above) { self.move_to_file() } else { Ok(true) }
    }

    fn move_to_file(&mut self) -> io::Result<bool> {
        if !self.share.add(self.content.len() as u64, self.now) {
            return Ok(false);
        }
        let file = match self.spool.file.take() {
            Some(file) => file,
            None => OwnFile::new(tempfile::tempfile()?),
        };
        (&*file).write_all(&self.content)?;
        self.spool.length += self.content.len() as u64;
        self.spool.file = Some(file);
        self.content.clear();
        Ok(true)
    }

    /// All of it, in memory or in a file.
    pub(super) fn finish(mut self) -> io::Result<(Vec<u8>, Spool)> {
        if self.spool.length > 0 && !self.content.is_empty() && !self.move_to_file()? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.spool.file.is_some() {
            self.spool.share = Some(self.share);
        }
        Ok((self.content, self.spool))
    }
}
