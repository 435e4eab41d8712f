//! The memory that the messages of all connections take together: each connection tells its own, in steps.
//!
//! Bytes of a published message are shared by the queues of its subscribers, and are not counted here: the queues of
//! slow subscribers end with the same messages, each within its own bound.

use std::sync::Arc;

use super::shared::{WebSocketConnection, WebSocketState};
use crate::budget::{Account, Holding, SMALL};

/// Whether a part of a connection's memory is counted.
#[inline]
pub(super) const fn is_much(bytes: usize) -> bool {
    bytes >= SMALL
}

impl WebSocketState {
    /// Counts the memory of messages that wait, if it has changed by more than a little. Called when one of the parts has much,
    /// or had.
    #[cold]
    pub(super) fn count_memory(&mut self) {
        let Some(holding) = &mut self.holding else { return };
        let much = |bytes: usize| if is_much(bytes) { bytes } else { 0 };
        let memory = much(self.queue.memory()) + much(self.inbox_cost) + much(self.unread);
        let counted = holding.bytes();
        if memory.abs_diff(counted) >= SMALL || (memory == 0 && counted > 0) {
            holding.set(memory);
        }
    }
}

impl WebSocketConnection {
    /// Counts memory in this account from now on.
    pub(crate) fn set_account(&self, account: Arc<Account>) {
        self.lock().holding = Some(Holding::new(account));
    }

    /// Sets the bytes that were read and are no message yet.
    pub(crate) fn set_unread(&self, bytes: usize) {
        let mut state = self.lock();
        state.unread = bytes;
        state.count_memory();
    }
}
