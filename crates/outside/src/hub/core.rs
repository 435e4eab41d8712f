//! The hub: what worker processes publish goes to the workers with subscribers, in one order for each topic.
//!
//! It takes bytes and gives bytes: no socket, no clock. Each worker has a *seat*. The shell calls, for each seat,
//! [`HubCore::receive`] with bytes that came, then [`HubCore::slices`] and [`HubCore::advance`] for those that leave;
//! [`HubCore::take_changed`] names the seats with something new to send.
//!
//! A message is numbered when it comes; it is sent to each interested seat at most once, and never again. Interests
//! come on the same stream as messages, so that a worker which subscribes and then publishes hears itself.

use std::collections::HashMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use super::connections::ConnectionCounts;
use super::frame::{Frame, FrameError, FrameKind, FrameReader};
use super::history::{KeepRules, KeptMessages, Ring};
use super::postponed::PostponedQuestions;
use super::queue::{ENTRY, MAX_QUEUE, Position, SeatQueue};
use crate::shared::{Outcome, SharedMemory, SharedRefusal, decode_operation, encode_outcome};

/// Bytes of kept messages that one answer brings at most; older ones are a gap.
const MAX_REPLAY: usize = MAX_QUEUE / 2;
/// Bytes that may wait for a seat which asks for shared state or kept messages. With more, the answer is that it has to come again;
/// kept messages wait until the seat has taken some.
const MAX_ANSWERS: usize = MAX_QUEUE / 2;

/// The number of a seat. It is used again when its worker is gone.
pub type SeatNumber = usize;

/// All topics of one machine, and the seats of its worker processes.
#[derive(Debug)]
pub struct HubCore {
    seats: Vec<Option<SeatState>>,
    topics: HashMap<Arc<str>, Topic>,
    rules: KeepRules,
    kept: KeptMessages,
    shared: SharedMemory,
    connections: ConnectionCounts,
    /// The time of the frames that are handled now.
    now: Duration,
    next_epoch: u64,
    changed: Vec<SeatNumber>,
}

#[derive(Debug, Default)]
struct SeatState {
    reader: FrameReader,
    queue: SeatQueue,
    /// Questions for kept messages whose answers have no room in the queue yet.
    postponed: PostponedQuestions,
    /// The topics in which the seat has an interest.
    topics: HashMap<Arc<str>, ()>,
    /// Whether the seat is in `changed`.
    is_changed: bool,
}

/// A topic with subscribers or with kept messages. One without either is forgotten; its next life has another epoch.
#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    epoch: u64,
    /// The number of the last message.
    number: u64,
    interests: Vec<Interest>,
    ring: Ring,
}

/// The interest of a seat in a topic.
#[derive(Debug)]
struct Interest {
    seat: SeatNumber,
    /// Connections that have subscribed.
    subscribers: u64,
}

impl HubCore {
    /// A hub without seats. `seed`: a random number, so that no topic has the epoch of one of another hub.
    pub fn new(seed: u64) -> Self {
        Self::with_memory(seed, SharedMemory::default())
    }

    /// The same, with the shared state of this memory.
    pub fn with_memory(seed: u64, shared: SharedMemory) -> Self {
        Self {
            seats: Vec::new(),
            topics: HashMap::new(),
            rules: KeepRules::default(),
            kept: KeptMessages::default(),
            shared,
            connections: ConnectionCounts::default(),
            now: Duration::ZERO,
            next_epoch: seed,
            changed: Vec::new(),
        }
    }

    /// The tokens of locks are higher than this one from now on.
    pub fn set_last_token(&mut self, token: u64) {
        self.shared.lock().set_last_token(token);
    }

    /// The time since the hub has begun, for the frames that are received next. It only grows.
    pub fn set_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// A seat for one more worker.
    pub fn add_seat(&mut self) -> SeatNumber {
        let seat = self.seats.iter().position(Option::is_none).unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[seat] = Some(SeatState::default());
        seat
    }

    /// Forgets a seat, because its worker is gone: its interests end, and a part of a frame is dropped.
    pub fn remove_seat(&mut self, seat: SeatNumber) {
        let Some(state) = self.seats.get_mut(seat).and_then(Option::take) else { return };
        for (topic, ()) in state.topics {
            self.end_interest(seat, &topic);
        }
        self.shared.lock().release(owner(seat));
        self.connections.release(seat);
    }

    /// Takes bytes that a worker has sent.
    ///
    /// # Errors
    /// They are no frames: the seat has to be removed.
    pub fn receive(&mut self, seat: SeatNumber, bytes: &[u8]) -> Result<(), FrameError> {
        let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) else { return Ok(()) };
        let mut reader = std::mem::take(&mut state.reader);
        let mut understood = Ok(());
        let received = reader.receive(bytes, |frame| {
            if understood.is_ok() {
                understood = self.handle(seat, frame);
            }
        });
        if let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) {
            state.reader = reader;
        }
        received.and(understood)
    }

    /// The next bytes for a seat, as slices for one call of `writev`; none if nothing waits.
    pub fn slices(&mut self, seat: SeatNumber) -> Vec<IoSlice<'_>> {
        match self.seats.get_mut(seat).and_then(Option::as_mut) {
            Some(state) => {
                state.queue.tell_gaps();
                state.queue.slices()
            }
            None => Vec::new(),
        }
    }

    /// Notes that a seat's socket has taken this number of bytes. Returns whether more wait.
    pub fn advance(&mut self, seat: SeatNumber, count: usize) -> bool {
        let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) else { return false };
        state.queue.advance(count);
        self.replay_postponed(seat);
        self.seats.get(seat).and_then(Option::as_ref).is_some_and(|state| !state.queue.is_empty())
    }

    /// The seats that have got something to send since the last call.
    pub fn take_changed(&mut self) -> Vec<SeatNumber> {
        let changed = std::mem::take(&mut self.changed);
        for &seat in &changed {
            if let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) {
                state.is_changed = false;
            }
        }
        changed
    }

    /// Bytes that wait for a seat.
    pub fn queued(&self, seat: SeatNumber) -> usize {
        self.seats.get(seat).and_then(Option::as_ref).map_or(0, |state| state.queue.bytes())
    }

    /// Messages that were dropped because this seat did not take them.
    pub fn dropped(&self, seat: SeatNumber) -> u64 {
        self.seats.get(seat).and_then(Option::as_ref).map_or(0, |state| state.queue.dropped)
    }

    /// Bytes of memory that kept messages take.
    pub fn kept_bytes(&self) -> usize {
        self.kept.bytes()
    }

    /// Topics that the hub knows.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }

    /// Does what a frame asks for.
    fn handle(&mut self, seat: SeatNumber, frame: &Frame<'_>) -> Result<(), FrameError> {
        match frame.kind {
            FrameKind::Publish => self.publish(seat, frame),
            FrameKind::Interest => self.set_interest(seat, frame),
            FrameKind::Lost => self.skip(frame.topic, frame.number),
            FrameKind::After => self.replay_or_postpone(seat, frame),
            FrameKind::Count => self.count(seat, frame),
            FrameKind::Keep => {
                if let Ok(text) = std::str::from_utf8(frame.payload) {
                    self.rules = KeepRules::from_text(text);
                }
            }
            FrameKind::Shared => return self.apply(seat, frame),
            FrameKind::SharedBound => self.shared.lock().set_bound(usize::try_from(frame.number).unwrap_or(usize::MAX)),
            FrameKind::Connected => {
                let is_admitted = self.connections.admit(seat, frame.number, frame.epoch);
                self.tell(seat, frame, &Outcome::Flag(is_admitted));
            }
            FrameKind::Disconnected => self.connections.leave(seat, frame.number),
            _ => return Err(FrameError::OF_WORKER),
        }
        Ok(())
    }

    /// Does an operation on shared state.
    fn apply(&mut self, seat: SeatNumber, frame: &Frame<'_>) -> Result<(), FrameError> {
        let operation = decode_operation(frame.topic, frame.payload).map_err(|_| FrameError::OF_SHARED)?;
        let outcome = if self.queued(seat) > MAX_ANSWERS {
            Outcome::Refused(SharedRefusal::Busy)
        } else {
            self.shared.lock().apply(owner(seat), operation, self.now)
        };
        self.tell(seat, frame, &outcome);
        Ok(())
    }

    /// Answers with an outcome, if the question has an id.
    fn tell(&mut self, seat: SeatNumber, question: &Frame<'_>, outcome: &Outcome) {
        if question.id != 0 {
            let payload = encode_outcome(outcome);
            self.answer(seat, &Frame { id: question.id, payload: &payload, ..Frame::new(FrameKind::Outcome, "") });
        }
    }

    fn publish(&mut self, seat: SeatNumber, frame: &Frame<'_>) {
        let keep = self.rules.of(frame.topic);
        if keep.is_none() && frame.id == 0 && !self.topics.contains_key(frame.topic) {
            return;
        }
        let topic = topic_of(&mut self.topics, &mut self.next_epoch, frame.topic);
        topic.number = topic.number.saturating_add(1);
        let (epoch, number) = (topic.epoch, topic.number);
        let message = Frame { kind: FrameKind::Message, id: 0, epoch, number, ..*frame }.to_bytes();
        for interest in &topic.interests {
            if let Some(state) = self.seats.get_mut(interest.seat).and_then(Option::as_mut) {
                let position = Position { topic: Arc::clone(&topic.name), epoch, number };
                state.queue.push_message(message.clone(), position);
                note_change(state, interest.seat, &mut self.changed);
            }
        }
        match keep {
            Some(keep) => self.kept.add(&mut topic.ring, &topic.name, number, message, keep),
            None if !topic.ring.is_empty() => self.kept.clear(&mut topic.ring, &topic.name),
            None => {}
        }
        self.shrink();
        self.forget_idle(frame.topic);
        if frame.id != 0 {
            self.answer(seat, &Frame { id: frame.id, epoch, number, ..Frame::new(FrameKind::Published, frame.topic) });
        }
    }

    /// Clears topics until all that are kept take no more than they may.
    fn shrink(&mut self) {
        while let Some(name) = self.kept.excess() {
            let Some(topic) = self.topics.get_mut(&name) else { return };
            self.kept.clear(&mut topic.ring, &name);
            self.forget_idle(&name);
        }
    }

    fn set_interest(&mut self, seat: SeatNumber, frame: &Frame<'_>) {
        // The id says whether the program of the worker listens too, which is not a connection.
        let (subscribers, listens) = (frame.number, frame.id != 0);
        if subscribers == 0 && !listens {
            if let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) {
                state.topics.remove(frame.topic);
            }
            return self.end_interest(seat, frame.topic);
        }
        let topic = topic_of(&mut self.topics, &mut self.next_epoch, frame.topic);
        match topic.interests.iter_mut().find(|interest| interest.seat == seat) {
            Some(interest) => interest.subscribers = subscribers,
            None => {
                topic.interests.push(Interest { seat, subscribers });
                if let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) {
                    state.topics.insert(Arc::clone(&topic.name), ());
                }
            }
        }
    }

    fn end_interest(&mut self, seat: SeatNumber, name: &str) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.interests.retain(|interest| interest.seat != seat);
            self.forget_idle(name);
        }
    }

    /// Messages of a worker were dropped before they came here: their numbers are left out, and subscribers are told.
    fn skip(&mut self, name: &str, count: u64) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        topic.number = topic.number.saturating_add(count);
        self.kept.clear(&mut topic.ring, name);
        let gap = Frame { epoch: topic.epoch, number: topic.number, ..Frame::new(FrameKind::Gap, name) }.to_bytes();
        for interest in &topic.interests {
            if let Some(state) = self.seats.get_mut(interest.seat).and_then(Option::as_mut) {
                state.queue.push_answer(gap.clone());
                note_change(state, interest.seat, &mut self.changed);
            }
        }
        self.forget_idle(name);
    }

    /// Answers a question for kept messages, or keeps it until the seat has taken what waits for it: a client asks with a few bytes for
    /// megabytes, as often as it likes.
    fn replay_or_postpone(&mut self, seat: SeatNumber, frame: &Frame<'_>) {
        let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) else { return };
        if state.postponed.is_empty() && state.queue.bytes() <= MAX_ANSWERS {
            self.replay(seat, frame);
        } else if !state.postponed.push(frame) {
            let topic = self.topics.get(frame.topic);
            let (epoch, number) = topic.map_or((0, 0), |topic| (topic.epoch, topic.number));
            self.answer(seat, &Frame { kind: FrameKind::Replayed, has_gap: true, epoch, number, ..*frame });
        }
    }

    /// Answers those for which there is room now.
    fn replay_postponed(&mut self, seat: SeatNumber) {
        while let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut)
            && state.queue.bytes() <= MAX_ANSWERS
            && let Some(question) = state.postponed.pop()
        {
            self.replay(seat, &question.frame());
        }
    }

    /// Sends the kept messages after a position, and says whether something is missing before them.
    fn replay(&mut self, seat: SeatNumber, frame: &Frame<'_>) {
        let mut end = Frame { kind: FrameKind::Replayed, has_gap: true, ..*frame };
        let mut frames = Vec::new();
        if let Some(topic) = self.topics.get(frame.topic) {
            // Number 0 of epoch 0 is the beginning: all that is kept.
            let is_beginning = frame.epoch == 0 && frame.number == 0;
            let is_known = frame.epoch == topic.epoch && frame.number <= topic.number;
            let after = if is_known { frame.number } else { 0 };
            let mut left = MAX_REPLAY;
            let kept = topic.ring.after(after).rev();
            let newest: Vec<_> = kept.take_while(|(_, message)| take(&mut left, message.len() + ENTRY)).collect();
            let first = newest.last().map_or(topic.number.saturating_add(1), |(number, _)| *number);
            end.has_gap = !is_beginning && (!is_known || first > after.saturating_add(1));
            (end.epoch, end.number) = (topic.epoch, topic.number);
            for (_, message) in newest.into_iter().rev() {
                if let Ok(Some((message, _))) = super::frame::decode(message) {
                    frames.push(Frame { kind: FrameKind::Replay, id: frame.id, ..message }.to_bytes());
                }
            }
        } else if frame.epoch == 0 && frame.number == 0 {
            end.has_gap = false;
        }
        for replayed in frames {
            self.answer_with(seat, replayed);
        }
        self.answer(seat, &end);
    }

    fn count(&mut self, seat: SeatNumber, frame: &Frame<'_>) {
        let topic = self.topics.get(frame.topic);
        let number = topic.map_or(0, |topic| {
            topic.interests.iter().fold(0u64, |sum, interest| sum.saturating_add(interest.subscribers))
        });
        self.answer(seat, &Frame { id: frame.id, number, ..Frame::new(FrameKind::Counted, frame.topic) });
    }

    fn answer(&mut self, seat: SeatNumber, frame: &Frame<'_>) {
        self.answer_with(seat, frame.to_bytes());
    }

    fn answer_with(&mut self, seat: SeatNumber, frame: bytes::Bytes) {
        if let Some(state) = self.seats.get_mut(seat).and_then(Option::as_mut) {
            state.queue.push_answer(frame);
            note_change(state, seat, &mut self.changed);
        }
    }

    fn forget_idle(&mut self, name: &str) {
        if self.topics.get(name).is_some_and(|topic| topic.interests.is_empty() && topic.ring.is_empty()) {
            self.topics.remove(name);
        }
    }
}

/// The topic of this name; a new one begins another epoch.
fn topic_of<'a>(topics: &'a mut HashMap<Arc<str>, Topic>, next_epoch: &mut u64, name: &str) -> &'a mut Topic {
    if !topics.contains_key(name) {
        let name: Arc<str> = name.into();
        // Epoch 0 stands for the beginning.
        *next_epoch = next_epoch.wrapping_add(1).max(1);
        let topic = Topic {
            name: Arc::clone(&name),
            epoch: *next_epoch,
            number: 0,
            interests: Vec::new(),
            ring: Ring::default(),
        };
        return topics.entry(name).or_insert(topic);
    }
    match topics.get_mut(name) {
        Some(topic) => topic,
        None => unreachable!("it was looked up a moment ago"),
    }
}

/// A seat as the owner of locks and ticks.
fn owner(seat: SeatNumber) -> u64 {
    u64::try_from(seat).unwrap_or(u64::MAX)
}

fn note_change(state: &mut SeatState, seat: SeatNumber, changed: &mut Vec<SeatNumber>) {
    if !std::mem::replace(&mut state.is_changed, true) {
        changed.push(seat);
    }
}

/// Takes a part of an allowance, if there is enough left.
fn take(left: &mut usize, part: usize) -> bool {
    let is_enough = *left >= part;
    *left = left.saturating_sub(part);
    is_enough
}
