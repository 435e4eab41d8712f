//! The roles of a thread while it performs a job, and its states when a call has ended.

use super::leader_lease::Epoch;
use super::reply_slot::Ended;

/// The role in which a thread performs a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// The thread drives the event loop.
    Leader(Epoch),
    /// The thread drove the event loop until it was late.
    Late,
    /// The thread works in the pool.
    Worker,
}

impl Role {
    pub(super) fn state(self) -> ThreadState {
        match self {
            Self::Leader(_) => ThreadState::Leads,
            Self::Late | Self::Worker => ThreadState::Detached,
        }
    }

    pub(super) fn state_after(self, ended: Ended) -> ThreadState {
        match ended {
            Ended::GivenUp => ThreadState::GivenUp,
            Ended::Uncounted => ThreadState::Uncounted,
            Ended::Awaited | Ended::Abandoned => self.state(),
        }
    }
}

/// The state of a thread after a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThreadState {
    /// The thread drives the event loop.
    Leads,
    /// The thread does not drive the loop, and counts as a worker.
    Detached,
    /// The client of its call was gone, so the thread did not count as a worker.
    Uncounted,
    /// Its call was given up, so the thread did not count as a worker.
    GivenUp,
}
