//! The memory that the messages of all connections take together: each connection tells its own, in steps.
//!
//! Bytes of a published message are shared by the queues of its subscribers, and are not counted here: the queues of
//! slow subscribers end with the same messages, each within its own bound.

use super::shared::{WebSocketConnection, WebSocketState};
use crate::budget::{Holding, SMALL};

/// Whether a part of a connection's memory is counted.
#[inline]
pub(super) const fn is_much(bytes: usize) -> bool {
    bytes >= SMALL
}

impl WebSocketConnection {
    /// Counts the memory of messages that wait, if it has changed by more than a little. Called when one of the parts has much,
    /// or had.
    #[cold]
    pub(super) fn count_memory(&self, state: &mut WebSocketState) {
        let much = |bytes: usize| if is_much(bytes) { bytes } else { 0 };
        let memory = much(state.queue.memory()) + much(state.inbox_cost) + much(state.unread);
        if memory > 0 && state.holding.is_none() {
            // Most connections never need an account.
            state.holding =
                self.0.frame_sink.get().and_then(|sink| sink.account()).map(|account| Box::new(Holding::new(account)));
        }
        let Some(holding) = &mut state.holding else { return };
        let counted = holding.bytes();
        if memory.abs_diff(counted) >= SMALL || (memory == 0 && counted > 0) {
            holding.set(memory);
        }
    }

    /// Sets the bytes that were read and are no message yet.
    pub(crate) fn set_unread(&self, bytes: usize) {
        let mut state = self.lock();
        state.unread = bytes;
        self.count_memory(&mut state);
    }
}
