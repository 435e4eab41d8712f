//! The `Bus` of topics that go by a broker: what threads of the program call, and what the thread of the connection does for
//! them.
//!
//! One lock has the state. It is never held while messages are handed out, nor while the bus of this machine is called with
//! a message.

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Waker;
use super::engine::Engine;
use super::gaps::{GapReach, Gaps};
use super::line::{Expected, Line, channel_of_all};
use super::pending::Operations;
use super::questions::{BrokerQuestions, BrokerReply, PendingReplay};
use crate::hub::{Frame, FrameKind, KeepRules, MAX_PAYLOAD, MAX_TOPIC, machine, random};
use crate::metrics::BusCells;
use crate::shared::StoreError;
use crate::websocket::{Bus, BusError, Joining, Message, MessageId, TopicInterest, Topics};

/// Topics that go by a broker.
pub(super) struct BrokerBus {
    /// The bus of this machine, for the time in which the broker is away.
    machine: Arc<dyn Bus>,
    /// The number of this machine, which no other one has.
    pub(super) machine_number: u64,
    state: Mutex<State>,
    /// Notified when an answer has come, and when the broker is there.
    pub(super) answered: Condvar,
    waker: Waker,
}

pub(super) struct State {
    /// Missing while the broker is away.
    pub(super) line: Option<Line>,
    pub(super) interests: HashMap<Arc<str>, TopicInterest>,
    rules: KeepRules,
    pub(super) gaps: Gaps,
    pub(super) questions: BrokerQuestions,
    pub(super) operations: Operations,
    /// The number of this process, which no other one has, and the number of its last message.
    pub(super) origin: u64,
    number: u64,
    /// Messages that were dropped because the broker did not take them.
    dropped: u64,
    /// Whether subscribers may have missed messages before the next connection.
    tells_gaps: bool,
    /// Whether the thread of the connection waits, so that it has to be woken.
    is_asleep: bool,
    /// The number of the thread that has the connection: another one ends.
    thread: u64,
}

/// The way that a message has taken.
enum Way {
    Broker,
    /// It was dropped, as were this number of messages before it.
    Dropped(u64),
    /// The broker is away.
    Machine,
}

impl BrokerBus {
    pub(super) fn new(machine_bus: Arc<dyn Bus>) -> io::Result<Self> {
        let state = State {
            line: None,
            interests: HashMap::new(),
            rules: KeepRules::default(),
            gaps: Gaps::default(),
            questions: BrokerQuestions::default(),
            operations: Operations::default(),
            origin: random().max(1),
            number: 0,
            dropped: 0,
            tells_gaps: false,
            is_asleep: false,
            thread: 0,
        };
        Ok(Self {
            machine: machine_bus,
            machine_number: machine(),
            state: Mutex::new(state),
            answered: Condvar::new(),
            waker: Waker::new()?,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the state, and wakes the thread of the connection if it has something to send.
    pub(super) fn release(&self, mut state: MutexGuard<'_, State>) {
        let wakes = state.is_asleep && state.line.as_ref().is_some_and(Line::has_commands);
        if wakes {
            state.is_asleep = false;
        }
        drop(state);
        if wakes {
            self.waker.wake();
        }
    }

    /// Waits for the answer of this ticket.
    fn wait(&self, mut state: MutexGuard<'_, State>, ticket: u64, timeout: Duration) -> Result<BrokerReply, BusError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(answer) = state.questions.take(ticket) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.questions.forget(ticket);
                return Err(BusError::TimedOut);
            }
            state = self.answered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl State {
    fn next_id(&mut self) -> MessageId {
        self.number += 1;
        MessageId { epoch: self.origin, number: self.number }
    }

    fn publish(&mut self, topics: &Topics, topic: &str, message: &Message, ticket: u64, id: MessageId) -> Way {
        let Self { line: Some(line), rules, gaps, dropped, .. } = self else {
            self.gaps.note(topic, GapReach::OtherMachines);
            return Way::Machine;
        };
        let MessageId { epoch, number } = id;
        let (is_text, payload) = (message.is_text(), message.as_bytes());
        // Of a topic that the broker keeps and does not know yet. Epoch 0 stands for the beginning.
        let new_epoch = (epoch ^ number.rotate_left(32)).max(1);
        let frame = Frame { epoch, number, is_text, payload, ..Frame::new(FrameKind::Message, topic) };
        if line.publish(&frame, ticket, rules, new_epoch, topics) {
            topics.count_bus(BusCells::count_sent);
            return Way::Broker;
        }
        topics.count_bus(BusCells::count_dropped);
        gaps.note(topic, GapReach::AllProcesses);
        *dropped += 1;
        Way::Dropped(*dropped)
    }

    /// Sends the gaps that are not told yet.
    fn tell_gaps(&mut self, machine: u64) {
        let Self { line: Some(line), gaps, origin, .. } = self else { return };
        for (topic, reach) in gaps.take() {
            let epoch = if reach == GapReach::OtherMachines { machine } else { 0 };
            let id = if reach == GapReach::AllProcesses { 0 } else { *origin };
            let frame = Frame { id, epoch, ..Frame::new(FrameKind::Gap, &topic) };
            let channel = topic.is_empty().then(|| channel_of_all(line.engine.prefix()));
            line.send(Expected::Anything, channel.as_deref(), &frame);
        }
    }
}

impl Bus for BrokerBus {
    fn publish(&self, topics: &Topics, topic: &str, message: &Message) {
        let mut state = self.lock();
        let id = state.next_id();
        let way = state.publish(topics, topic, message, 0, id);
        self.release(state);
        match way {
            Way::Broker => {}
            Way::Machine => self.machine.publish(topics, topic, message),
            Way::Dropped(count) => {
                let text = format!("more is published than the broker takes, {count} messages so far");
                topics.complain("max_published_mb", &text);
            }
        }
    }

    fn publish_and_wait(
        &self,
        topics: &Topics,
        topic: &str,
        message: &Message,
        timeout: Duration,
    ) -> Result<MessageId, BusError> {
        let mut state = self.lock();
        let id = state.next_id();
        let ticket = state.questions.expect_id(id);
        match state.publish(topics, topic, message, ticket, id) {
            Way::Broker => {
                self.release(state);
                match self.wait(self.lock(), ticket, timeout)? {
                    BrokerReply::Id(id) => Ok(id),
                    BrokerReply::Count(_) => Err(BusError::Ended),
                }
            }
            Way::Dropped(_) => {
                state.questions.forget(ticket);
                Err(BusError::Full)
            }
            Way::Machine => {
                state.questions.forget(ticket);
                drop(state);
                self.machine.publish_and_wait(topics, topic, message, timeout)
            }
        }
    }

    fn set_interest(&self, topics: &Topics, topic: &str, interest: TopicInterest) {
        let mut state = self.lock();
        let is_over = interest == TopicInterest::default();
        let State { line, interests, .. } = &mut *state;
        let known = interests.remove_entry(topic);
        match (known, is_over) {
            (Some((_, _)), true) => {
                if let Some(line) = line {
                    line.unsubscribe(topic);
                }
            }
            (None, true) => {}
            (Some((topic, _)), false) => drop(interests.insert(topic, interest)),
            (None, false) => {
                let topic: Arc<str> = topic.into();
                if let Some(line) = line {
                    line.subscribe(&topic, false);
                }
                interests.insert(topic, interest);
            }
        }
        self.release(state);
        self.machine.set_interest(topics, topic, interest);
    }

    fn replay(&self, topics: &Topics, topic: &str, after: MessageId, joining: Joining) {
        let mut state = self.lock();
        if state.line.is_none() {
            drop(state);
            return self.machine.replay(topics, topic, after, joining);
        }
        let has_kept = state.rules.of(topic).is_some();
        let ticket = state.questions.expect_replay(PendingReplay { topic: topic.into(), after, joining });
        if let Some(line) = &mut state.line {
            match has_kept {
                true => line.replay(topic, after, ticket),
                // Any answer will do: it comes behind the one to the subscription.
                false => line.replay_nothing(ticket),
            }
        }
        self.release(state);
    }

    fn subscribers(&self, topics: &Topics, topic: &str, timeout: Duration) -> Result<usize, BusError> {
        let mut state = self.lock();
        if state.line.is_none() {
            drop(state);
            return self.machine.subscribers(topics, topic, timeout);
        }
        let (ticket, origin) = (state.questions.expect_count(), state.origin);
        if let Some(line) = &mut state.line {
            let question = Frame { id: ticket, epoch: origin, ..Frame::new(FrameKind::Count, topic) };
            line.send(Expected::Count { ticket }, None, &question);
        }
        self.release(state);
        match self.wait(self.lock(), ticket, timeout)? {
            BrokerReply::Count(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
            BrokerReply::Id(_) => Err(BusError::Ended),
        }
    }

    fn load(&self) -> (usize, Option<bool>) {
        let state = self.lock();
        (state.line.as_ref().map_or(0, Line::waiting), Some(state.line.is_some()))
    }

    fn as_any(self: Arc<Self>) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self)
    }

    fn max_sizes(&self) -> Option<(usize, usize)> {
        Some((MAX_TOPIC, MAX_PAYLOAD))
    }

    fn keep(&self, topics: &Topics, rules: &str) {
        self.lock().rules = KeepRules::from_text(rules);
        self.machine.keep(topics, rules);
    }
}

/// For the thread of the connection.
impl BrokerBus {
    /// A new thread has the connection; the one before it ends.
    pub(super) fn begin_thread(&self, rules: &KeepRules) -> u64 {
        let mut state = self.lock();
        state.rules = rules.clone();
        state.thread += 1;
        let thread = state.thread;
        drop(state);
        self.waker.wake();
        thread
    }

    /// Ends the thread of this number.
    pub(super) fn end_thread(&self, thread: u64) {
        let mut state = self.lock();
        if state.thread == thread {
            state.thread += 1;
        }
        drop(state);
        self.waker.wake();
    }

    pub(super) fn is_thread(&self, thread: u64) -> bool {
        self.lock().thread == thread
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// The number of this process, in the name of its channel.
    pub(super) fn origin(&self) -> u64 {
        self.lock().origin
    }

    /// Waits until the broker is there; `false` if it is not after this time. From then on, subscribers may miss messages.
    pub(super) fn wait_for_line(&self, timeout: Duration) -> bool {
        let (mut state, _) = self
            .answered
            .wait_timeout_while(self.lock(), timeout, |state| state.line.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.tells_gaps |= state.line.is_none();
        state.line.is_some()
    }

    /// The broker takes commands: subscribes to all topics, and tells other processes of gaps. Returns whether subscribers
    /// of this process are told too.
    pub(super) fn arrive(&self, engine: &Arc<dyn Engine>) -> bool {
        let mut state = self.lock();
        let tells_gap = std::mem::take(&mut state.tells_gaps);
        let mut line = Line::new(Arc::clone(engine));
        for topic in state.interests.keys() {
            line.subscribe(topic, tells_gap);
        }
        state.line = Some(line);
        state.tell_gaps(self.machine_number);
        drop(state);
        self.answered.notify_all();
        tells_gap
    }

    /// The connection is lost. Messages that were not sent, or whose answers have not come, are not sent again. Returns
    /// whether there was a connection.
    pub(super) fn lose(&self, topics: Option<&Topics>) -> bool {
        let mut state = self.lock();
        let Some(mut line) = state.line.take() else { return false };
        state.tells_gaps = true;
        let mut leaving = 0;
        while let Some((_, counted)) = line.take() {
            leaving += counted;
        }
        for expected in line.into_expected() {
            if let Expected::Publication { topic, .. } = expected {
                state.gaps.note(&topic, GapReach::OtherProcesses);
            }
        }
        let (replays, operations) = (state.questions.fail(), state.operations.fail());
        drop(state);
        self.answered.notify_all();
        operations.into_iter().for_each(|on_outcome| on_outcome(Err(StoreError::Away)));
        if let Some(topics) = topics {
            topics.count_bus(BusCells::count_disconnect);
            topics.leave(leaving);
            for PendingReplay { topic, after, joining } in replays {
                self.machine.replay(topics, &topic, after, joining);
            }
        }
        true
    }

    /// The next bytes to send. If there are none, the thread may fall asleep, and will be woken.
    pub(super) fn take_commands(&self, topics: &Topics) -> Option<Vec<u8>> {
        let mut state = self.lock();
        if state.line.as_ref().is_some_and(Line::has_room) && !state.gaps.is_empty() {
            state.tell_gaps(self.machine_number);
        }
        let taken = state.line.as_mut().and_then(Line::take);
        state.is_asleep = taken.is_none();
        drop(state);
        let (bytes, leaving) = taken?;
        topics.leave(leaving);
        Some(bytes)
    }

    /// Whether answers are outstanding.
    pub(super) fn expects_answers(&self) -> bool {
        self.lock().line.as_ref().is_some_and(Line::expects_answers)
    }

    /// Bytes that wait to be sent, as far as the bounds of the topics know of them.
    pub(super) fn counted(&self) -> usize {
        self.lock().line.as_ref().map_or(0, Line::counted)
    }

    /// Asks the broker for a sign of life.
    pub(super) fn ping(&self) {
        if let Some(line) = &mut self.lock().line {
            line.ping();
        }
    }
}
