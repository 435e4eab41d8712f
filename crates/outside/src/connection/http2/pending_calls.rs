//! The calls that a connection waits for, in the order in which they were made.
//!
//! What has come of a call is found by its number. Most end in their order, so that the front is what ends next; one that
//! lasts leaves gaps behind it, which are closed once there are more gaps than calls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;

use super::shared::MOST_WORKING;
use crate::budget::Reserved;
use crate::exchange::ReplySlot;
use crate::message::Request;

/// A stream that waits for the answer of a function.
pub(super) struct PendingCall {
    pub(super) respond: SendResponse<Bytes>,
    pub(super) slot: Arc<ReplySlot>,
    pub(super) request: Arc<Request>,
    pub(super) began: Option<Instant>,
    /// Room for its answer, if that may be large.
    pub(super) _reserved: Option<Reserved>,
}

/// All of them.
#[derive(Default)]
pub(super) struct PendingCalls {
    /// Ordered by number, and by when they are due. The first is there.
    entries: VecDeque<CallEntry>,
    next: u64,
}

struct CallEntry {
    number: u64,
    /// In milliseconds of the clock.
    due: u64,
    call: Option<PendingCall>,
}

impl PendingCalls {
    /// The number of the call that is added next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a call that is due not before those that are there.
    pub(super) fn push(&mut self, due: u64, call: PendingCall) {
        self.entries.push_back(CallEntry { number: self.next, due, call: Some(call) });
        self.next += 1;
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.entries.iter().filter(|entry| entry.call.is_some()).count()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingCall> {
        self.entries.iter().filter_map(|entry| entry.call.as_ref())
    }

    /// When the first is due.
    pub(super) fn due(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.due)
    }

    /// Takes the call of this number out, unless that has happened.
    pub(super) fn take(&mut self, number: u64) -> Option<PendingCall> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        let call = self.entries[at].call.take();
        self.close_gaps();
        call
    }

    /// Takes the first call out that is such a one.
    pub(super) fn take_if(&mut self, mut is_such: impl FnMut(&mut PendingCall) -> bool) -> Option<PendingCall> {
        let mut calls = self.entries.iter_mut().map(|entry| &mut entry.call);
        let call = calls.find_map(|call| call.take_if(&mut is_such));
        self.close_gaps();
        call
    }

    /// Takes the first call out if it was due before this time.
    pub(super) fn take_late(&mut self, now: u64) -> Option<PendingCall> {
        let first = self.entries.front_mut().filter(|entry| entry.due < now)?;
        let call = first.call.take();
        self.close_gaps();
        call
    }

    /// Takes all of them out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = PendingCall> {
        self.entries.drain(..).filter_map(|entry| entry.call)
    }

    /// Gives the memory back, if there is none.
    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    fn close_gaps(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.call.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * MOST_WORKING {
            self.entries.retain(|entry| entry.call.is_some());
        }
    }
}
