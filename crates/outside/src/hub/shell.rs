//! The hub's loop: reads the sockets of all seats, and writes to them what the core has for them. One thread, no file.
//!
//! It takes the place of `poll` in the process that was started: that process adds descriptors of its own to the same
//! `epoll` instance, and [`HubShell::wait`] returns only for them, so that a message runs no code of the caller.
//!
//! Workers of that process get seats by [`HubShell::add_seat`]. A generation, which forks workers of its own, makes the
//! pairs of sockets itself and sends one end of each through a channel ([`HubShell::open_channel`]).

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::core::{HubCore, SeatNumber};
use super::poller::{Poller, ReadyEvent};
use super::{machine, random};
use crate::shared::SharedMemory;

/// Bytes that one seat may send in a turn before the others have theirs.
const MAX_READ: usize = 64 << 10;
/// Of a token: it is the number of a seat. Descriptors of the caller have neither of these bits.
const SEAT: u32 = 1 << 31;
/// Of a token, beside [`SEAT`]: it is the number of a channel.
const CHANNEL: u32 = 1 << 30;
/// Seats that are taken from a channel at once.
const MAX_SEATS: usize = 16;

/// The hub of a machine, with the sockets of its seats.
#[derive(Debug)]
pub struct HubShell {
    core: HubCore,
    poller: Poller,
    seats: BTreeMap<SeatNumber, SeatSocket>,
    channels: BTreeMap<u32, UnixStream>,
    last_channel: u32,
    scratch: Vec<u8>,
    complaints: Vec<String>,
    memory: SharedMemory,
}

#[derive(Debug)]
struct SeatSocket {
    stream: UnixStream,
    /// Whether the socket has taken all that it can for now.
    is_blocked: bool,
}

impl HubShell {
    /// A hub without seats.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Self::with_memory(SharedMemory::new())
    }

    /// The same, with the shared state of this memory, which the process itself goes on using.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub fn with_memory(memory: SharedMemory) -> io::Result<Self> {
        // Before workers are forked, so that they have the same number.
        machine();
        Ok(Self {
            core: HubCore::with_memory(random(), memory.clone()),
            poller: Poller::new()?,
            seats: BTreeMap::new(),
            channels: BTreeMap::new(),
            last_channel: 0,
            scratch: vec![0; MAX_READ],
            complaints: Vec::new(),
            memory,
        })
    }

    /// Adds a seat with this end of a pair of sockets.
    ///
    /// # Errors
    /// It is no socket, or the system is out of memory.
    pub fn add_seat(&mut self, near: OwnedFd) -> io::Result<()> {
        let stream = UnixStream::from(near);
        stream.set_nonblocking(true)?;
        let seat = self.core.add_seat();
        if let Err(error) = self.poller.add(stream.as_fd(), token_of(seat)) {
            self.core.remove_seat(seat);
            return Err(error);
        }
        self.seats.insert(seat, SeatSocket { stream, is_blocked: false });
        Ok(())
    }

    /// The far end of a channel, for a generation: it sends ends of seats through it.
    ///
    /// # Errors
    /// The system is out of descriptors.
    pub fn open_channel(&mut self) -> io::Result<OwnedFd> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        self.last_channel = (self.last_channel + 1) % CHANNEL;
        self.poller.add(near.as_fd(), SEAT | CHANNEL | self.last_channel)?;
        self.channels.insert(self.last_channel, near);
        Ok(far.into())
    }

    /// Closes its descriptors in a process that was forked, and leaves the memory as it is: the pages of the core are
    /// shared with the process that goes on with it.
    pub fn release(self) {
        std::mem::forget(self.core);
    }

    /// The core, for questions.
    pub fn core(&self) -> &HubCore {
        &self.core
    }

    /// Moves messages until a descriptor of the caller is ready, a signal has come, or the time is over. Returns the
    /// descriptors that are ready.
    ///
    /// # Errors
    /// The system refuses to wait.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<RawFd>> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let events = match self.poller.wait(left) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            self.core.set_time(self.memory.now());
            let mut ready = Vec::new();
            for event in &events {
                if event.token & SEAT == 0 {
                    ready.extend(RawFd::try_from(event.token));
                } else if event.token & CHANNEL != 0 {
                    self.take_seats(event.token & !(SEAT | CHANNEL));
                } else {
                    self.attend(event);
                }
            }
            self.flush();
            if !ready.is_empty() || !self.complaints.is_empty() || left.is_some_and(|left| left.is_zero()) {
                return Ok(ready);
            }
        }
    }

    /// Texts for the log since the last call: about seats that had to be removed.
    pub fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    fn attend(&mut self, event: &ReadyEvent) {
        let Ok(seat) = usize::try_from(event.token & !SEAT) else { return };
        if event.is_writable && self.seats.get(&seat).is_some_and(|socket| socket.is_blocked) {
            self.set_blocked(seat, false);
            self.write(seat);
        }
        if event.is_readable {
            self.read(seat);
        }
    }

    fn read(&mut self, seat: SeatNumber) {
        let Some(socket) = self.seats.get_mut(&seat) else { return };
        let count = match socket.stream.read(&mut self.scratch) {
            Ok(0) => return self.remove(seat),
            Ok(count) => count,
            Err(error) if is_for_now(&error) => return,
            Err(_) => return self.remove(seat),
        };
        if let Err(error) = self.core.receive(seat, &self.scratch[..count]) {
            self.complaints.push(format!("a worker process has sent {error}: topics do not reach it any more"));
            self.remove(seat);
        }
    }

    /// Sends to each seat with something new, as far as that is possible without waiting.
    fn flush(&mut self) {
        for seat in self.core.take_changed() {
            if self.seats.get(&seat).is_some_and(|socket| !socket.is_blocked) {
                self.write(seat);
            }
        }
    }

    fn write(&mut self, seat: SeatNumber) {
        loop {
            let Some(socket) = self.seats.get_mut(&seat) else { return };
            let slices = self.core.slices(seat);
            if slices.is_empty() {
                return;
            }
            match socket.stream.write_vectored(&slices) {
                Ok(count) => drop(self.core.advance(seat, count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.set_blocked(seat, true),
                // The end is read next.
                Err(_) => return,
            }
        }
    }

    fn set_blocked(&mut self, seat: SeatNumber, is_blocked: bool) {
        if let Some(socket) = self.seats.get_mut(&seat) {
            socket.is_blocked = is_blocked;
            if self.poller.set_writing(socket.stream.as_fd(), token_of(seat), is_blocked).is_err() {
                self.remove(seat);
            }
        }
    }

    fn remove(&mut self, seat: SeatNumber) {
        if let Some(socket) = self.seats.remove(&seat) {
            self.poller.remove(socket.stream.as_fd());
        }
        self.core.remove_seat(seat);
    }

    /// Takes the seats that a generation has sent.
    fn take_seats(&mut self, number: u32) {
        let Some(channel) = self.channels.get(&number) else { return };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SEATS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 64];
        let received = recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
        match received.map(|message| message.bytes).map_err(io::Error::from) {
            Ok(1..) => {}
            Err(error) if is_for_now(&error) => return,
            Ok(0) | Err(_) => {
                if let Some(channel) = self.channels.remove(&number) {
                    self.poller.remove(channel.as_fd());
                }
                return;
            }
        }
        let seats: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        for seat in seats {
            if let Err(error) = self.add_seat(seat) {
                self.complaints.push(format!("a worker process has no part in topics: {error}"));
            }
        }
    }
}

impl AsFd for HubShell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

fn token_of(seat: SeatNumber) -> u32 {
    SEAT | u32::try_from(seat).unwrap_or(0)
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
