//! The requests that a process may have before another one takes its place (`max_requests`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::handler::LanguageRuntime;

/// A count that is shared by all reactors of a process.
pub(crate) struct RequestCount {
    received: AtomicU64,
    most: u64,
    host: Arc<dyn LanguageRuntime>,
}

impl RequestCount {
    pub(crate) fn new(most: u64, host: Arc<dyn LanguageRuntime>) -> Self {
        Self { received: AtomicU64::new(0), most, host }
    }

    /// Counts a request. With the last one, another process is asked for; this one serves until that is there.
    pub(super) fn note(&self) {
        if self.received.fetch_add(1, Ordering::Relaxed) + 1 == self.most {
            self.host.recycle();
        }
    }
}

impl fmt::Debug for RequestCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestCount").field("most", &self.most).finish_non_exhaustive()
    }
}
