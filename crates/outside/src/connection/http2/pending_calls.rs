//! The calls that a connection waits for, in the order in which they were made.
//!
//! A call is found by its number. Most calls end in their order, so the next one to end is at the front. A call that
//! lasts leaves gaps behind it, which are closed once there are more gaps than calls.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;

use super::shared::MOST_WORKING;
use crate::budget::Reserved;
use crate::exchange::ReplySlot;
use crate::message::Request;
use crate::metrics::Monotonic;

/// A stream that waits for the answer of a function.
pub(super) struct PendingCall {
    pub(super) respond: SendResponse<Bytes>,
    pub(super) slot: Arc<ReplySlot>,
    pub(super) request: Arc<Request>,
    pub(super) began: Option<Monotonic>,
    /// Room for the answer, if the answer may be large.
    pub(super) _reserved: Option<Reserved>,
}

/// All calls that a connection waits for.
#[derive(Default)]
pub(super) struct PendingCalls {
    /// Ordered by number, and by due time. The first entry always has its call.
    entries: VecDeque<CallEntry>,
    next: u64,
}

struct CallEntry {
    number: u64,
    /// When the call gets 504, in milliseconds of the clock.
    due: u64,
    call: Option<PendingCall>,
}

impl PendingCalls {
    /// The number of the call that is added next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a call, which must not be due before the calls that are there.
    pub(super) fn push(&mut self, due: u64, call: PendingCall) {
        self.entries.push_back(CallEntry { number: self.next, due, call: Some(call) });
        self.next += 1;
    }

    /// Whether the connection waits for no call.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of calls.
    pub(super) fn count(&self) -> usize {
        self.entries.iter().filter(|entry| entry.call.is_some()).count()
    }

    /// All calls, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &PendingCall> {
        self.entries.iter().filter_map(|entry| entry.call.as_ref())
    }

    /// When the first call is due, in milliseconds of the clock.
    pub(super) fn due(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.due)
    }

    /// Takes the call of this number out, if it is still there.
    pub(super) fn take(&mut self, number: u64) -> Option<PendingCall> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        let call = self.entries[at].call.take();
        self.close_gaps();
        call
    }

    /// Takes out the first call for which the predicate is true.
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

    /// Takes all calls out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = PendingCall> {
        self.entries.drain(..).filter_map(|entry| entry.call)
    }

    /// Gives back the memory that the calls do not need.
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
