//! The state of a thread as the leader of an event loop.

use std::cell::Cell;

/// The state of a thread as the leader of a loop.
#[derive(Clone, Copy)]
pub(super) struct LoopPosition {
    /// The address of the flush queue of that loop; 0 if the thread leads none.
    pub(super) queue: usize,
    pub(super) epoch: u64,
    /// Whether the thread is inside the loop, not between two turns.
    pub(super) is_inside: bool,
}

pub(super) const LEADS_NO_LOOP: LoopPosition = LoopPosition { queue: 0, epoch: 0, is_inside: false };

thread_local! {
    static POSITION: Cell<LoopPosition> = const { Cell::new(LEADS_NO_LOOP) };
}

/// The state of this thread.
pub(super) fn position() -> LoopPosition {
    POSITION.get()
}

/// Changes the state of this thread.
pub(super) fn set_position(position: LoopPosition) {
    POSITION.set(position);
}
