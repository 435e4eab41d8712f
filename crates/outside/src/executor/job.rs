//! A job: the commands of one connection that are performed in order.

use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::reply_slot::ReplySlot;
use crate::placement::{Placement, Reactor};

/// Commands of one connection that are performed in order and delivered together: all of them, or as many as fit into
/// [`super::command::MOST_HELD`]; the others stay open.
pub(crate) struct Job<C: Command> {
    pub(crate) commands: Vec<C>,
    pub(crate) context: Arc<C::Context>,
    pub(crate) slot: Arc<ReplySlot<C>>,
}

impl<C: Command> Job<C> {
    /// Whether no byte of its answers has been sent yet, so that 503 can be answered. A stream that has begun goes on.
    pub(super) fn may_be_turned_away(&self) -> bool {
        self.commands.iter().all(C::may_be_turned_away)
    }

    /// Whether the job would call a function that is late with an earlier call.
    pub(super) fn is_held_up(&self, here: Reactor) -> bool {
        self.placements().any(|placement| placement.is_late(here))
    }

    /// Whether the job would call a function that is known to wait, or has been late for long.
    pub(super) fn waits_for_long(&self, here: Reactor, now: Duration) -> bool {
        self.placements().any(|placement| placement.waits_for_long(here, now))
    }

    /// Whether the job would call functions only, none of which waits or is late.
    pub(super) fn belongs_to_the_loop(&self, here: Reactor) -> bool {
        let is_quick = |placement: &Placement| !placement.is_pooled() && !placement.is_late(here);
        self.placements().next().is_some() && self.placements().all(is_quick)
    }

    /// Whether the job would hold a thread for as long as its client uploads.
    pub(super) fn takes_upload(&self) -> bool {
        self.commands.iter().any(C::takes_upload)
    }

    fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.commands.iter().filter_map(|command| Some(command.function()?.as_ref()))
    }
}
