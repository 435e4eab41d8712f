//! Request content that is too large for memory goes to a temporary file while it comes in.

use std::io::{self, Write as _};
use std::sync::Arc;

use super::control::Order;
use super::dispatch::Dispatcher;
use crate::content::{SpoolShare, spooled};
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
}

/// The refusal of content when all temporary files together have their full size and other content comes in faster.
pub(crate) const NO_ROOM: Refusal = Refusal::limit(503, "too much content lies in temporary files", "spool_max_mb");
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

    /// Moves all content to the file, beside the event loop; leaves `content` empty with its memory.
    pub(crate) async fn take(&mut self, dispatcher: &Dispatcher, content: &mut Vec<u8>) -> Result<(), Refusal> {
        let now = dispatcher.service.clock.now();
        let share = self.share.get_or_insert_with(|| {
            let control = Arc::clone(&dispatcher.control);
            // The order ends the connection's wait for its client; `has_ended` then tells the reason.
            dispatcher.service.spools.begin(now, move || control.signal(Order::TimedOut))
        });
        if !share.add(content.len() as u64, now) {
            return Err(NO_ROOM);
        }
        self.write(dispatcher, content).await.map_err(|error| {
            let text = format!("a request's content could not be spooled: {error}");
            dispatcher.service.log.event(Level::Error, text);
            Refusal::new(500, "content could not be stored")
        })
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

    /// Whether this file had to give way to other content.
    pub(crate) fn has_ended(&self) -> bool {
        self.share.as_ref().is_some_and(SpoolShare::has_ended)
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
