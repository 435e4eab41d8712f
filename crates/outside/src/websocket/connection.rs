//! One WebSocket connection: its inbox of received messages, its queue of frames to send, and its end.
//!
//! Two sides share it. Handlers take messages and send others, from any thread. The session, which drives the socket,
//! fills the inbox and empties the queue; it is woken when frames or room wait for it. Both are bounded.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::memory::is_much;
use super::message::{BorrowedMessage, Message, WebSocketExit, abnormal};
use super::octets::{ENTRY_COST, Octets, SharedBytes};
use super::pressure::is_in_callback;
use super::shared::{Room, WebSocketConnection, WebSocketShared, WebSocketState};
use super::signal::Signal;
use super::{WebSocket, WhenFull};
use crate::error::Error;
use crate::message::Request;
use crate::protocol::websocket::{Close, Deflater, MAX_CONTROL_PAYLOAD, MAX_SERVER_HEAD, Opcode, encode_frame};

/// Messages that may wait in the inbox.
const MOST_WAITING: usize = 1024;

impl WebSocketConnection {
    pub(crate) fn new(
        request: Arc<Request>,
        websocket: Arc<WebSocket>,
        subprotocol: Option<&str>,
        deflater: Option<Deflater>,
        room: Arc<Room>,
    ) -> Self {
        let state = WebSocketState { deflater: deflater.map(Box::new), ..WebSocketState::default() };
        Self(Arc::new(WebSocketShared {
            request,
            websocket,
            subprotocol: subprotocol.map(|name| Box::new(name.into())),
            room,
            listener: OnceLock::new(),
            frame_sink: OnceLock::new(),
            state: Mutex::new(state),
            is_ending: AtomicBool::new(false),
            turn: AtomicU8::new(0),
            pressure: AtomicU8::new(0),
            data: Mutex::default(),
            received: Signal::default(),
            drained: Signal::default(),
        }))
    }

    /// The request that opened the connection.
    pub fn request(&self) -> &Arc<Request> {
        &self.0.request
    }

    /// The negotiated subprotocol.
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.subprotocol.as_ref().map(|name| name.as_str())
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The connection has ended, and all earlier messages were taken.
    pub fn recv(&self) -> Result<Message, WebSocketExit> {
        match self.receive_until(None)? {
            Some(message) => Ok(message),
            None => Err(abnormal()),
        }
    }

    /// The same; `None` if no message comes within this time.
    ///
    /// # Errors
    /// As [`WebSocketConnection::recv`].
    pub fn recv_timeout(&self, at_most: Duration) -> Result<Option<Message>, WebSocketExit> {
        self.receive_until(Some(Instant::now() + at_most))
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// As [`WebSocketConnection::recv`].
    pub fn try_recv(&self) -> Result<Option<Message>, WebSocketExit> {
        self.take(self.lock()).1
    }

    /// Sends a message: `&str` and `String` as text, bytes as binary. With [`WhenFull::Wait`] it waits while the queue
    /// is full, because the client reads too slowly; it never waits in a callback.
    ///
    /// # Errors
    /// The connection has ended or is ending.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), WebSocketExit> {
        let message = message.into();
        let mut state = self.lock();
        while self.would_wait(&state, message.as_bytes().len()) {
            self.check_open(&state)?;
            state = self.0.drained.wait(state);
        }
        self.enqueue(state, BorrowedMessage::from(&message))
    }

    /// The same without waiting: returns `false` if the queue is full and `send` would wait.
    ///
    /// # Errors
    /// As [`WebSocketConnection::send`].
    pub fn try_send<'a>(&self, message: impl Into<BorrowedMessage<'a>>) -> Result<bool, WebSocketExit> {
        let message = message.into();
        let state = self.lock();
        self.check_open(&state)?;
        if self.would_wait(&state, message.payload.len()) {
            return Ok(false);
        }
        self.enqueue(state, message).map(|()| true)
    }

    /// Sends a ping (RFC 6455 section 5.5.2) with a payload of at most 125 bytes.
    ///
    /// # Errors
    /// The payload is too long. On a connection that has ended this has no effect.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            let given = payload.len();
            return Err(Error::new(format!(
                "the payload of a ping has at most {MAX_CONTROL_PAYLOAD} bytes, not {given}"
            )));
        }
        self.send_control(Opcode::Ping, payload);
        Ok(())
    }

    /// Begins the closing handshake; earlier messages are still sent. Has no effect on a connection that has ended.
    ///
    /// # Errors
    /// The code must not be sent, or the reason has more than 123 bytes (RFC 6455 section 7.4).
    pub fn exit(&self, code: u16, reason: &str) -> Result<(), Error> {
        let close = Close::new(code, reason)?;
        let mut state = self.lock();
        if self.close_in(&mut state, &close) {
            // A handler that ends the connection takes no more messages.
            state.inbox.clear();
            state.inbox_cost = 0;
            self.count_memory(&mut state);
            self.unlock(state);
        }
        Ok(())
    }

    /// The close code, once the connection has ended or begun to end; as in [`WebSocketExit`].
    pub fn close_code(&self) -> Option<u16> {
        self.lock().exit.as_ref().map(|exit| exit.code)
    }

    /// The close reason, once the connection has ended or begun to end.
    pub fn close_reason(&self) -> Option<String> {
        self.lock().exit.as_ref().map(|exit| exit.reason.to_string())
    }

    /// A number that distinguishes this connection from all others that exist now.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn receive_until(&self, deadline: Option<Instant>) -> Result<Option<Message>, WebSocketExit> {
        let mut state = self.lock();
        loop {
            let (rest, taken) = self.take(state);
            let (Some(nothing_yet), Ok(None)) = (rest, &taken) else { return taken };
            let received = &self.0.received;
            state = match deadline {
                None => received.wait(nothing_yet),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    received.wait_timeout(nothing_yet, left)
                }
            };
        }
    }

    /// Takes a message. If there is none yet, gives the lock back.
    pub(super) fn take<'s>(
        &self,
        mut state: MutexGuard<'s, WebSocketState>,
    ) -> (Option<MutexGuard<'s, WebSocketState>>, Result<Option<Message>, WebSocketExit>) {
        if self.is_held() && state.exit.is_none() {
            return (Some(state), Ok(None));
        }
        let Some(message) = state.inbox.pop() else {
            return match state.exit.clone() {
                Some(exit) => (None, Err(*exit)),
                None => (Some(state), Ok(None)),
            };
        };
        let before = state.inbox_cost;
        state.inbox_cost -= message.cost();
        if is_much(before) {
            self.count_memory(&mut state);
        }
        if state.is_paused && state.inbox_cost <= self.max_inbox() / 2 && state.inbox.len() <= MOST_WAITING / 2 {
            state.is_paused = false;
            state.calls_session = true;
            self.unlock(state);
            self.0.drained.notify_all();
        }
        (None, Ok(Some(message)))
    }

    fn check_open(&self, state: &WebSocketState) -> Result<(), WebSocketExit> {
        match (&state.exit, state.closing.is_open() && !state.is_over) {
            (_, true) => Ok(()),
            (Some(exit), false) => Err(exit.as_ref().clone()),
            (None, false) => Err(abnormal()),
        }
    }

    fn would_wait(&self, state: &WebSocketState, more: usize) -> bool {
        self.is_full(state, more) && self.0.websocket.options.when_full == WhenFull::Wait && !is_in_callback()
    }

    /// Whether there is no room for a message of this length. There is always room while half of the queue is free,
    /// because waiting senders are notified at that point.
    fn is_full(&self, state: &WebSocketState, more: usize) -> bool {
        state.queue.cost() > self.max_queue() / 2
            && state.queue.cost() + ENTRY_COST + more > self.max_queue()
            && state.closing.is_open()
            && !state.is_over
    }

    pub(super) fn has_room(&self, state: &WebSocketState) -> bool {
        state.inbox_cost < self.max_inbox() && state.inbox.len() < MOST_WAITING
    }

    fn enqueue(
        &self,
        mut state: MutexGuard<'_, WebSocketState>,
        message: BorrowedMessage<'_>,
    ) -> Result<(), WebSocketExit> {
        let BorrowedMessage { kind, payload } = message;
        self.check_open(&state)?;
        if self.is_full(&state, payload.len()) && !self.may_exceed(&state) {
            self.make_room(&mut state, payload.len());
            self.check_open(&state)?;
        }
        // A compressed message needs less, by an unknown amount.
        let room = if state.deflater.is_some() { 0 } else { MAX_SERVER_HEAD + payload.len() };
        let frame = Octets::filled(room, |frame| match &mut state.deflater {
            Some(deflater) => deflater.encode_message(frame, kind, payload),
            None => encode_frame(frame, kind.into(), payload),
        });
        state.queue.push_message(frame);
        self.unlock(state);
        self.count_messages(false, 1);
        Ok(())
    }

    /// Queues a frame that was encoded for all subscribers of a topic. Never waits.
    pub(super) fn send_frame(&self, frame: &SharedBytes) {
        let mut state = self.lock();
        if self.check_open(&state).is_err() {
            return;
        }
        if self.is_full(&state, frame.len()) {
            self.make_room(&mut state, frame.len());
        }
        if state.closing.is_open() {
            state.queue.push_message(Octets::Shared(Arc::clone(frame)));
        }
        self.unlock(state);
        self.count_messages(false, 1);
    }

    /// How many of these frames, the oldest ones, have no room in the queue. One that comes to an almost empty queue has
    /// room, as any message has.
    pub(super) fn without_room(&self, frames: &[Octets]) -> usize {
        let mut cost = self.lock().queue.cost();
        let has_room = |frame: &&Octets| {
            let is_first = cost <= self.max_queue() / 2;
            cost += frame.cost();
            is_first || cost <= self.max_queue()
        };
        frames.len() - frames.iter().rev().take_while(has_room).count()
    }

    /// Queues frames that are for this connection alone. Never waits.
    pub(super) fn send_own_frames(&self, frames: impl ExactSizeIterator<Item = Octets>) {
        let (mut state, count) = (self.lock(), frames.len());
        if self.check_open(&state).is_err() {
            return;
        }
        frames.for_each(|frame| state.queue.push_message(frame));
        self.unlock(state);
        self.count_messages(false, count);
    }

    /// Counts messages that were received, or else queued to be sent, if anything is counted.
    pub(crate) fn count_messages(&self, were_received: bool, count: usize) {
        self.0.room.bounds().count_messages(were_received, count);
    }

    /// Makes room in a full queue for a sender that may not wait.
    fn make_room(&self, state: &mut WebSocketState, more: usize) {
        if self.0.websocket.options.when_full == WhenFull::DropOldest {
            while state.queue.cost() + ENTRY_COST + more > self.max_queue() && state.queue.drop_oldest() {}
            return;
        }
        if let Ok(close) = Close::new(1013, "the client reads too slowly") {
            // Waiting messages would keep the close from being read in time.
            state.queue.drop_messages();
            self.count_memory(state);
            self.close_in(state, &close);
        }
    }

    pub(super) fn close(&self, close: &Close) {
        let mut state = self.lock();
        if self.close_in(&mut state, close) {
            self.unlock(state);
        }
    }

    /// Begins the closing handshake. Returns `false` if it had begun before.
    fn close_in(&self, state: &mut WebSocketState, close: &Close) -> bool {
        let mut frame = Vec::new();
        let begins = !state.is_over && state.closing.close_to_send(close, &mut frame);
        if begins {
            state.queue.push_close(frame.into());
            let code = close.code.unwrap_or(1005);
            self.set_exit(state, WebSocketExit { code, reason: close.reason.clone() });
        }
        begins
    }

    pub(super) fn set_exit(&self, state: &mut WebSocketState, exit: WebSocketExit) {
        state.exit.get_or_insert_with(|| Box::new(exit));
        self.0.is_ending.store(true, Ordering::Relaxed);
        self.0.received.notify_all();
        self.0.drained.notify_all();
    }

    fn send_control(&self, opcode: Opcode, payload: &[u8]) {
        let mut state = self.lock();
        // A client that floods with pings and does not read gets only as many answers as fit.
        if state.closing.is_open() && !state.is_over && !self.is_full(&state, payload.len()) {
            state.queue.push_control(Octets::control_frame(opcode, payload));
        }
        self.unlock(state);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, WebSocketState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unlocks, and puts the connection into the flush queue or wakes its session, because its state has changed.
    pub(super) fn unlock(&self, mut state: MutexGuard<'_, WebSocketState>) {
        if is_much(state.queue.cost()) {
            self.count_memory(&mut state);
        }
        if std::mem::replace(&mut state.is_queued, true) || state.is_over {
            return;
        }
        let Some(flush_queue) = self.0.room.flush_queue() else {
            let session = state.session.clone();
            drop(state);
            return session.into_iter().for_each(Waker::wake);
        };
        drop(state);
        flush_queue.push(self.clone());
    }
}

impl PartialEq for WebSocketConnection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for WebSocketConnection {}

impl fmt::Debug for WebSocketConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("WebSocketConnection")
            .field("url", &self.0.request.url())
            .field("waiting", &state.inbox.len())
            .field("close_code", &state.exit.as_ref().map(|exit| exit.code))
            .finish()
    }
}
