//! Waits for descriptors by `epoll`.
//!
//! The caller of the hub adds descriptors of its own to the same `epoll` instance, with their numbers as data. Only the
//! lower half of the data counts: Python leaves the upper half unset.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

/// Events that are taken with one call.
const MAX_EVENTS: usize = 64;

/// A descriptor that is ready.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadyEvent {
    /// The data of the descriptor.
    pub(super) token: u32,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
}

#[derive(Debug)]
pub(super) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    pub(super) fn add(&self, descriptor: BorrowedFd<'_>, token: u32) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, EventData::new_u64(token.into()), EventFlags::IN)?)
    }

    /// Whether the wait is also for room to write.
    pub(super) fn set_writing(&self, descriptor: BorrowedFd<'_>, token: u32, writes: bool) -> io::Result<()> {
        let flags = if writes { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.epoll, descriptor, EventData::new_u64(token.into()), flags)?)
    }

    pub(super) fn remove(&self, descriptor: BorrowedFd<'_>) {
        // A failure means that it is not there.
        let _ = epoll::delete(&self.epoll, descriptor);
    }

    /// The descriptors that are ready, after at most this time. A signal ends the wait with an error.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<ReadyEvent>> {
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let mut events = [MaybeUninit::<Event>::uninit(); MAX_EVENTS];
        let (events, _) = epoll::wait(&self.epoll, &mut events, timeout.as_ref())?;
        let ended = EventFlags::HUP | EventFlags::ERR;
        let found = events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            ReadyEvent {
                token: u32::try_from(data.u64() & u64::from(u32::MAX)).unwrap_or(u32::MAX),
                is_readable: flags.intersects(EventFlags::IN | ended),
                is_writable: flags.intersects(EventFlags::OUT | ended),
            }
        });
        Ok(found.collect())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
