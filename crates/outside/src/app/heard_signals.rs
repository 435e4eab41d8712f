//! The signals that the thread which waits for the end has heard of.

use std::sync::Arc;

use crate::server::WakePipe;

/// The signals that a run has heard of: see [`ServerRun::signals`](crate::ServerRun::signals).
#[derive(Clone, Debug)]
pub struct HeardSignals(Arc<WakePipe>);

impl HeardSignals {
    pub(super) fn of(wake_pipe: &Arc<WakePipe>) -> Self {
        Self(Arc::clone(wake_pipe))
    }

    /// The numbers of the signals that have come since the last call.
    pub fn take(&self) -> impl Iterator<Item = u8> {
        let bits = self.0.take_signals();
        (1..64).filter(move |number| bits & 1 << number != 0)
    }
}
