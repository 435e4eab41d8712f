//! A worker's end of its seat: sends what is published to the hub, and hands out what comes back.
//!
//! Publishing never waits: bytes that the socket does not take wait in a bounded queue, which a task of the event loop
//! empties. Another task reads. A thread that waits for an answer reads too, because it may be the one that drives the
//! event loop; at most one of them reads at a time, so that the order is kept.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::client::{Answer, SeatClient};
use super::frame::{Frame, FrameKind, MAX_PAYLOAD, MAX_TOPIC};
use super::publication;
use super::sending::Sending;
use crate::metrics::BusCells;
use crate::shared::OnOutcome;
use crate::websocket::{Bus, BusError, Joining, Message, MessageId, TopicInterest, Topics};

/// Bytes that are read at once.
const MAX_READ: usize = 64 << 10;
/// The pause of the reading task while subscribers of this process take messages more slowly than they come.
const PAUSE: Duration = Duration::from_millis(1);

/// A worker's end of its seat.
pub struct Seat {
    stream: UnixStream,
    sending: Mutex<Sending>,
    reading: Mutex<Reading>,
    /// Notified when an answer has come, or when the role of the reader is free.
    answered: Condvar,
    /// Notified when the role of the reader is free, for the task.
    reader_left: Notify,
    /// Notified when bytes wait to be sent.
    must_send: Notify,
    /// Whether the event loop has a task that reads.
    has_task: AtomicBool,
}

#[derive(Default)]
struct Reading {
    client: SeatClient,
    scratch: Vec<u8>,
    /// Whether a thread that waits for an answer reads.
    is_taken: bool,
    has_ended: bool,
}

/// The result of one turn of the task that reads.
enum SeatTurn {
    Read,
    /// A thread that waits for an answer reads.
    Taken,
    Ended,
}

impl Seat {
    /// The seat at this end of a pair of sockets, whose other end the hub has.
    ///
    /// # Errors
    /// It is no socket.
    pub fn new(descriptor: OwnedFd) -> io::Result<Arc<Self>> {
        let stream = UnixStream::from(descriptor);
        stream.set_nonblocking(true)?;
        Ok(Arc::new(Self {
            stream,
            sending: Mutex::default(),
            reading: Mutex::default(),
            answered: Condvar::new(),
            reader_left: Notify::new(),
            must_send: Notify::new(),
            has_task: AtomicBool::new(false),
        }))
    }

    /// Queues a frame, and sends as much as the socket takes.
    pub(super) fn send(&self, topics: &Topics, frame: &Frame<'_>) {
        let mut sending = lock(&self.sending);
        let was_empty = sending.is_empty();
        let dropped = !sending.push(frame, topics);
        if was_empty {
            self.send_some(&mut sending);
        }
        let (waits, lost, leaving) = (!sending.is_empty(), sending.lost(), sending.take_leaving());
        drop(sending);
        topics.leave(leaving);
        if waits {
            self.must_send.notify_one();
        }
        if frame.kind == FrameKind::Publish {
            topics.count_bus(if dropped { BusCells::count_dropped } else { BusCells::count_sent });
        }
        if dropped {
            topics
                .complain("max_published_mb", &format!("more is published than the hub takes, {lost} messages so far"));
        }
    }

    /// Queues a frame for the task that sends: for callers that hold locks.
    pub(super) fn queue(&self, topics: &Topics, frame: &Frame<'_>) {
        lock(&self.sending).push(frame, topics);
        self.must_send.notify_one();
    }

    /// Sends what the socket takes. Returns whether more waits.
    fn send_some(&self, sending: &mut Sending) -> bool {
        while !sending.is_empty() {
            match (&self.stream).write(sending.next()) {
                Ok(count) => sending.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => {
                    sending.end();
                    return false;
                }
            }
        }
        false
    }

    /// Reads once, and hands out what has come. Returns whether the socket may have more.
    fn receive(&self, reading: &mut Reading, topics: &Topics) -> bool {
        reading.scratch.resize(MAX_READ, 0);
        match (&self.stream).read(&mut reading.scratch) {
            Ok(count @ 1..) => {
                if let Err(error) = reading.client.receive(&reading.scratch[..count], topics) {
                    topics
                        .complain("processes", &format!("the hub has sent {error}: topics reach this process no more"));
                    reading.has_ended = true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => reading.has_ended = true,
        }
        if reading.has_ended {
            reading.client.end();
        }
        if reading.client.has_answers() || reading.has_ended {
            self.answered.notify_all();
        }
        !reading.has_ended
    }

    /// Reads once for the event loop, unless a thread that waits for an answer reads.
    fn read_in_turn(&self, stream: &tokio::net::UnixStream, topics: &Topics) -> SeatTurn {
        let mut reading = lock(&self.reading);
        if reading.is_taken {
            return SeatTurn::Taken;
        }
        // `WouldBlock` has the event loop wait until there is more to read.
        let _ = stream.try_io(Interest::READABLE, || match self.receive(&mut reading, topics) || reading.has_ended {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        });
        if reading.has_ended { SeatTurn::Ended } else { SeatTurn::Read }
    }

    /// Whether the queue to the hub is so long that an answer would come too late.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.sending).is_full()
    }

    /// Asks about shared state without waiting.
    ///
    /// # Errors
    /// No task would read the answer: the function was not called.
    pub(super) fn begin(&self, topics: &Topics, frame: &Frame<'_>, on_outcome: OnOutcome) -> Result<(), OnOutcome> {
        let id = {
            let mut reading = lock(&self.reading);
            if reading.has_ended || !self.has_task.load(Ordering::Acquire) {
                return Err(on_outcome);
            }
            reading.client.expect_outcome(on_outcome)
        };
        self.send(topics, &Frame { id, ..*frame });
        Ok(())
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&self, topics: &Topics, frame: &Frame<'_>, timeout: Duration) -> Result<Answer, BusError> {
        let deadline = Instant::now() + timeout;
        let id = lock(&self.reading).client.expect_answer();
        self.send(topics, &Frame { id, ..*frame });
        let mut reading = lock(&self.reading);
        loop {
            if let Some(answer) = reading.client.take_answer(id) {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || reading.has_ended {
                reading.client.forget_answer(id);
                return Err(if reading.has_ended { BusError::Ended } else { BusError::TimedOut });
            }
            if reading.is_taken {
                reading = self.answered.wait_timeout(reading, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            reading.is_taken = true;
            drop(reading);
            self.wait(left, topics);
            reading = lock(&self.reading);
            self.receive(&mut reading, topics);
            reading.is_taken = false;
            self.answered.notify_all();
            self.reader_left.notify_one();
        }
    }

    /// Until the socket has something to read, or takes bytes that wait.
    fn wait(&self, at_most: Duration, topics: &Topics) {
        let waits = !lock(&self.sending).is_empty();
        let flags = if waits { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut asked = [PollFd::new(&self.stream, flags)];
        let timeout = Timespec::try_from(at_most).ok();
        // A failure is a short wait, after which the caller checks again.
        let is_writable = poll(&mut asked, timeout.as_ref()).is_ok() && asked[0].revents().contains(PollFlags::OUT);
        if is_writable {
            let mut sending = lock(&self.sending);
            self.send_some(&mut sending);
            let leaving = sending.take_leaving();
            drop(sending);
            topics.leave(leaving);
        }
    }
}

/// Says that the event loop has a task that reads, until it is dropped; then nothing is answered any more unless a thread
/// waits for it.
struct TaskThatReads(Arc<Seat>);

impl Drop for TaskThatReads {
    fn drop(&mut self) {
        let mut reading = lock(&self.0.reading);
        self.0.has_task.store(false, Ordering::Release);
        reading.client.end();
    }
}

/// Hands out what comes, until the other end is gone. `stream`: another handle of the socket, for the event loop.
async fn read(task: TaskThatReads, stream: Arc<tokio::net::UnixStream>, topics: Weak<Topics>) {
    let seat = &task.0;
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        let Some(topics) = topics.upgrade() else { return };
        match seat.read_in_turn(&stream, &topics) {
            SeatTurn::Read => {}
            SeatTurn::Taken => seat.reader_left.notified().await,
            SeatTurn::Ended => return,
        }
        tokio::task::yield_now().await;
        while topics.has_much_to_hand_out(lock(&seat.sending).counted()) {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Sends what waits, whenever the socket takes more.
async fn write(seat: Arc<Seat>, stream: Arc<tokio::net::UnixStream>, topics: Weak<Topics>) {
    loop {
        seat.must_send.notified().await;
        loop {
            if stream.writable().await.is_err() {
                return;
            }
            let Some(topics) = topics.upgrade() else { return };
            let (mut waits, mut leaving) = (false, 0);
            // `WouldBlock` has the event loop wait until the socket takes more.
            let _ = stream.try_io(Interest::WRITABLE, || {
                let mut sending = lock(&seat.sending);
                waits = seat.send_some(&mut sending);
                leaving = sending.take_leaving();
                if waits { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            topics.leave(leaving);
            if !waits {
                break;
            }
        }
    }
}

impl Bus for Seat {
    fn start(self: Arc<Self>, topics: &Arc<Topics>, runtime: &Handle) -> io::Result<Vec<AbortHandle>> {
        let stream = {
            let _inside = runtime.enter();
            Arc::new(tokio::net::UnixStream::from_std(self.stream.try_clone()?)?)
        };
        self.has_task.store(true, Ordering::Release);
        let task = TaskThatReads(Arc::clone(&self));
        let reading = runtime.spawn(read(task, Arc::clone(&stream), Arc::downgrade(topics)));
        // Bytes may wait since before there was an event loop.
        self.must_send.notify_one();
        let writing = runtime.spawn(write(self, stream, Arc::downgrade(topics)));
        Ok(vec![reading.abort_handle(), writing.abort_handle()])
    }

    fn publish(&self, topics: &Topics, topic: &str, message: &Message) {
        self.send(topics, &publication(topic, message));
    }

    fn publish_and_wait(
        &self,
        topics: &Topics,
        topic: &str,
        message: &Message,
        timeout: Duration,
    ) -> Result<MessageId, BusError> {
        let answer = self.ask(topics, &publication(topic, message), timeout)?;
        Ok(MessageId { epoch: answer.epoch, number: answer.number })
    }

    fn set_interest(&self, _topics: &Topics, topic: &str, interest: TopicInterest) {
        let mut sending = lock(&self.sending);
        let was_empty = sending.is_empty();
        sending.push_interest(topic, interest);
        if was_empty && self.send_some(&mut sending) {
            self.must_send.notify_one();
        }
    }

    fn replay(&self, topics: &Topics, topic: &str, after: MessageId, joining: Joining) {
        let id = lock(&self.reading).client.expect_replay(joining);
        let (epoch, number) = (after.epoch, after.number);
        self.send(topics, &Frame { id, epoch, number, ..Frame::new(FrameKind::After, topic) });
    }

    fn subscribers(&self, topics: &Topics, topic: &str, timeout: Duration) -> Result<usize, BusError> {
        let answer = self.ask(topics, &Frame::new(FrameKind::Count, topic), timeout)?;
        Ok(usize::try_from(answer.number).unwrap_or(usize::MAX))
    }

    fn load(&self) -> (usize, Option<bool>) {
        (lock(&self.sending).waiting(), None)
    }

    fn keep(&self, topics: &Topics, rules: &str) {
        self.send(topics, &Frame { payload: rules.as_bytes(), ..Frame::new(FrameKind::Keep, "") });
    }

    fn max_sizes(&self) -> Option<(usize, usize)> {
        Some((MAX_TOPIC, MAX_PAYLOAD))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
