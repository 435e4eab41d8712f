//! Content that lies outside of its request: in a file, or still on its way.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// Content outside of the request: in a file, or arriving as a stream. Or content that the client was not asked for yet,
/// which arrives here when the request is shared already.
#[derive(Debug, Default)]
pub(crate) struct Spooled {
    source: OnceLock<Box<dyn ContentSource>>,
    pub(crate) read: OnceLock<Vec<u8>>,
    /// Whether the request was shared before its content came in.
    pub(super) is_late: bool,
    /// Whether a function has asked for the content before it was there.
    pub(super) is_wanted: AtomicBool,
}

impl Spooled {
    pub(crate) fn of(source: Box<dyn ContentSource>) -> Box<Self> {
        Box::new(Self { source: OnceLock::from(source), ..Self::default() })
    }

    /// Outstanding content.
    pub(crate) fn outstanding() -> Box<Self> {
        Box::new(Self { is_late: true, ..Self::default() })
    }

    /// The source; `None` for content in memory, or content that is outstanding.
    pub(crate) fn source(&self) -> Option<&dyn ContentSource> {
        self.source.get().map(|source| &**source)
    }

    /// Whether the content has not come in, and its client was not asked for it.
    pub(crate) fn is_outstanding(&self) -> bool {
        self.source.get().is_none() && self.read.get().is_none()
    }

    /// Takes outstanding content in: from this source if there is one.
    pub(crate) fn arrive(&self, content: Vec<u8>, source: Option<Box<dyn ContentSource>>) {
        // Setting fails if the content is there already: it arrives once.
        let _is_first = match source {
            Some(source) => self.source.set(source).is_ok(),
            None => self.read.set(content).is_ok(),
        };
    }
}

/// The source of such content.
pub(crate) trait ContentSource: Any + fmt::Debug + Send + Sync {
    /// Its length in bytes.
    fn length(&self) -> u64;

    /// Fills the buffer with the bytes from `at` on; the caller makes sure that there are enough.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Reads all bytes.
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(self.length()).map_err(io::Error::other)?];
        self.read_at(&mut content, 0)?;
        Ok(content)
    }
}
