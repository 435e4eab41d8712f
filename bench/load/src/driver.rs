//! Drives all connections through the phases: warm-up, drain, measurement, drain.
//!
//! A phase ends when its time or count is over and every connection has its answers, so that the requests counted are
//! exactly those the server worked on between the two moments at which its CPU time is read. One thread, one epoll.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::connection::Connection;
use crate::options::{GroupOptions, Options};
use crate::response::Checker;
use crate::secure::{Secure, Sessions};
use crate::websocket;

/// The counts of a group in one phase.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Nanoseconds from the write of a batch to the read of each of its responses.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) reconnects: u64,
    pub(crate) bytes: u64,
}

struct Group {
    /// `pipeline` requests one after another.
    batch: Vec<u8>,
    request_length: usize,
    pipeline: usize,
    sink: bool,
    /// The request that opens a connection, if it is a WebSocket.
    opening: Option<Vec<u8>>,
    broadcast: bool,
    tls: Option<Sessions>,
    reconnects: bool,
    checker: Checker,
    tally: Tally,
    first_error: Option<String>,
}

/// When a phase stops asking.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    Requests(u64),
}

pub(crate) struct Driver {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    groups: Vec<Group>,
    connections: Vec<Connection>,
    limit: Duration,
    sending: bool,
    /// Requests that may still be asked by the main group; the one beside it only knows time.
    remaining: u64,
    busy: usize,
    failed_connects: u32,
    failed_opens: u32,
    /// How many of them there are to be.
    websockets: usize,
}

/// WebSockets that are being opened at the same time.
const OPENING: usize = 128;

impl Tally {
    fn new() -> io::Result<Self> {
        let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)?;
        Ok(Self { latencies, requests: 0, errors: 0, reconnects: 0, bytes: 0 })
    }
}

impl Group {
    fn new(options: &GroupOptions, address: SocketAddr) -> io::Result<Self> {
        let request = match options.websocket {
            Some(length) => websocket::message(length),
            None => options.request(address),
        };
        Ok(Self {
            batch: request.repeat(options.pipeline),
            request_length: request.len(),
            pipeline: options.pipeline,
            sink: options.sink,
            opening: options.websocket.map(|_| websocket::opening(&options.path, address)),
            broadcast: options.broadcast,
            tls: options.tls,
            reconnects: options.reconnects,
            checker: match options.websocket {
                Some(length) => Checker::of_frames(websocket::echo(length)),
                None => Checker::new(options.expect.clone()),
            },
            tally: Tally::new()?,
            first_error: None,
        })
    }

    fn note(&mut self, count: usize, why: impl FnOnce() -> String) {
        self.tally.errors += count as u64;
        if count > 0 && self.first_error.is_none() {
            self.first_error = Some(why());
        }
    }
}

impl Driver {
    pub(crate) fn new(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut groups = Vec::new();
        let mut connections = Vec::new();
        for (index, group) in options.groups.iter().enumerate() {
            groups.push(Group::new(group, options.address)?);
            // WebSockets may be many, and are opened a few at a time.
            let at_once = if group.websocket.is_some() { 0 } else { group.connections };
            for _ in 0..at_once {
                let token = Token(connections.len());
                let secure = group.tls.map(|sessions| Secure::new(sessions, options.address)).transpose()?;
                connections.push(Connection::open(poll.registry(), token, index, options.address, secure)?);
            }
        }
        Ok(Self {
            address: options.address,
            poll,
            events: Events::with_capacity(1024),
            buffer: vec![0; 256 * 1024],
            groups,
            connections,
            limit: options.limit,
            sending: false,
            remaining: 0,
            busy: 0,
            failed_connects: 0,
            failed_opens: 0,
            websockets: options
                .groups
                .first()
                .filter(|main| main.websocket.is_some())
                .map_or(0, |main| main.connections),
        })
    }

    /// Opens the WebSockets of the main group, if it consists of them.
    pub(crate) fn open_websockets(&mut self) -> io::Result<()> {
        let mut last_opened = Instant::now();
        let mut open = 0;
        while open < self.websockets {
            while self.connections.len() < self.websockets && self.connections.len() - open < OPENING {
                let token = Token(self.connections.len());
                self.connections.push(Connection::open(self.poll.registry(), token, 0, self.address, None)?);
            }
            self.wait()?;
            let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
            let now = Instant::now();
            for event in &events {
                self.handle(event, now)?;
            }
            self.events = events;
            let before = std::mem::replace(&mut open, self.connections.iter().filter(|one| one.ready).count());
            if open > before {
                last_opened = now;
            }
            if now - last_opened > self.limit || self.failed_opens > 0 {
                let why = self.error().map(|error| format!(": {error}")).unwrap_or_default();
                return Err(io::Error::other(format!("{open} of {} WebSockets opened{why}", self.websockets)));
            }
        }
        Ok(())
    }

    /// Runs one phase to its drained end; the seconds it took and the counts of each group.
    pub(crate) fn run(&mut self, until: Until) -> io::Result<(f64, Vec<Tally>)> {
        for group in &mut self.groups {
            group.tally = Tally::new()?;
        }
        let start = Instant::now();
        let (end, remaining) = match until {
            Until::Time(duration) => (Some(start + duration), u64::MAX),
            Until::Requests(count) => (None, count),
        };
        self.remaining = remaining;
        self.sending = true;
        if self.groups[0].broadcast {
            self.send_to_all(Instant::now());
        } else {
            for index in 0..self.connections.len() {
                if self.connections[index].ready {
                    self.send_next(index, Instant::now());
                }
            }
        }
        let mut last_answer = start;
        while self.sending || self.busy > 0 {
            self.wait()?;
            let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
            let mut now = Instant::now();
            for event in &events {
                now = self.handle(event, now)?;
            }
            if !events.is_empty() {
                last_answer = now;
            }
            self.events = events;
            if end.is_some_and(|end| now >= end) || self.remaining == 0 {
                self.sending = false;
            }
            if now - last_answer > self.limit {
                let why = self.error().map(|error| format!("; first error: {error}")).unwrap_or_default();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{} requests unanswered for {:?}{why}", self.busy, self.limit),
                ));
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        let mut tallies = Vec::new();
        for group in &mut self.groups {
            tallies.push(std::mem::replace(&mut group.tally, Tally::new()?));
        }
        Ok((seconds, tallies))
    }

    /// Waits for something to happen, but not for long. A program that was stopped and goes on has waited as well.
    fn wait(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::from_millis(20))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            waited => waited,
        }
    }

    /// The first thing that went wrong, in any phase.
    pub(crate) fn error(&self) -> Option<&str> {
        self.groups.iter().find_map(|group| group.first_error.as_deref())
    }

    fn handle(&mut self, event: &mio::event::Event, now: Instant) -> io::Result<Instant> {
        let index = event.token().0;
        let connection = &mut self.connections[index];
        if !connection.connected {
            match connection.finish_connect() {
                Ok(true) => {
                    self.failed_connects = 0;
                    let group = &self.groups[connection.group];
                    connection.ready = group.opening.is_none() && group.tls.is_none();
                    match &group.opening {
                        // A write that fails is met again as the event of the closed socket.
                        Some(opening) => drop(connection.open_websocket(opening)),
                        None if group.tls.is_some() => return self.shake_hands(index, now),
                        None => self.send_next(index, now),
                    }
                }
                Ok(false) => {}
                Err(error) => {
                    self.failed_connects += 1;
                    if self.failed_connects > 1000 {
                        return Err(error);
                    }
                    self.reopen(index, Some(error.to_string()))?;
                }
            }
            return Ok(now);
        }
        let group = &mut self.groups[connection.group];
        if !connection.ready && group.tls.is_some() {
            return self.shake_hands(index, now);
        }
        if !connection.ready {
            let opened = match &group.opening {
                Some(opening) if event.is_writable() && connection.has_unsent() => connection.write(opening),
                _ => Ok(()),
            };
            match opened.and_then(|()| connection.finish_opening(&mut self.buffer)) {
                Ok(true) if self.sending && !group.broadcast => self.send_next(index, now),
                Ok(_) => {}
                Err(error) => {
                    self.failed_opens += 1;
                    group.note(1, || error.to_string());
                }
            }
            return Ok(now);
        }
        if event.is_writable()
            && connection.has_unsent()
            && let Err(error) = connection.write(&group.batch)
        {
            self.reopen(index, Some(error.to_string()))?;
            return Ok(now);
        }
        if !event.is_readable() {
            return Ok(now);
        }
        let received = match group.sink {
            true => connection.receive_and_drop(&mut self.buffer, &mut group.checker),
            false => connection.receive(&mut self.buffer, &mut group.checker),
        };
        let now = Instant::now();
        group.tally.bytes += received.bytes as u64;
        group.tally.requests += received.responses as u64;
        let since = if group.reconnects { connection.opened_at } else { connection.sent_at };
        let nanoseconds = (now - since).as_nanos() as u64;
        group.tally.latencies.saturating_record_n(nanoseconds, received.responses as u64);
        let why = received.why;
        group.note(received.wrong, || why.clone().unwrap_or_default());
        if received.closed {
            self.reopen(index, why)?;
        } else if connection.in_batch && connection.outstanding == 0 {
            connection.in_batch = false;
            self.busy -= 1;
            if group.reconnects {
                connection.reconnect(self.poll.registry(), Token(index), self.address)?;
                return Ok(now);
            }
            match group.broadcast {
                false => self.send_next(index, now),
                true if self.busy == 0 => self.send_to_all(now),
                true => {}
            }
        }
        Ok(now)
    }

    /// Goes on with the handshake of TLS, and asks as soon as it is done.
    fn shake_hands(&mut self, index: usize, now: Instant) -> io::Result<Instant> {
        let connection = &mut self.connections[index];
        let group = &mut self.groups[connection.group];
        let Some((secure, stream)) = connection.secure() else { return Ok(now) };
        match secure.shake_hands(stream) {
            Ok(false) => {}
            Ok(true) => {
                if group.tls.is_some_and(|sessions| secure.has_forgotten(sessions)) {
                    group.note(1, || "a session was not resumed".into());
                }
                connection.ready = true;
                self.send_next(index, now);
            }
            Err(error) => {
                self.failed_connects += 1;
                if self.failed_connects > 1000 {
                    return Err(error);
                }
                group.note(1, || format!("no handshake: {error}"));
                self.reopen(index, None)?;
            }
        }
        Ok(now)
    }

    /// One message of the first connection, which all have to get.
    fn send_to_all(&mut self, now: Instant) {
        if !self.sending {
            return;
        }
        for connection in &mut self.connections {
            (connection.outstanding, connection.in_batch, connection.sent_at) = (1, true, now);
        }
        self.busy = self.connections.len();
        let (group, first) = (&self.groups[0], &mut self.connections[0]);
        let _ = first.send(&group.batch, 1, group.request_length, now);
    }

    /// A batch more on a connection that has all its answers, unless the phase is over.
    fn send_next(&mut self, index: usize, now: Instant) {
        let connection = &mut self.connections[index];
        let main = connection.group == 0;
        let group = &mut self.groups[connection.group];
        let count = if main { group.pipeline.min(self.remaining as usize) } else { group.pipeline };
        if !self.sending || count == 0 {
            return;
        }
        if main {
            self.remaining -= count as u64;
        }
        self.busy += 1;
        connection.in_batch = true;
        // A write that fails is met again as the event of the closed socket.
        let _ = connection.send(&group.batch, count, count * group.request_length, now);
    }

    fn reopen(&mut self, index: usize, why: Option<String>) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let group = &mut self.groups[connection.group];
        let lost = connection.outstanding;
        group.note(lost, || why.unwrap_or_else(|| "closed with a request unanswered".into()));
        if std::mem::take(&mut connection.in_batch) {
            self.busy -= 1;
        }
        group.tally.reconnects += 1;
        connection.reconnect(self.poll.registry(), Token(index), self.address)
    }
}
