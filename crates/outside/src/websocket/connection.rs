//! One connection: what came and was not taken yet, what is to go out, and its end.
//!
//! Two sides hold it. Handlers take messages and add others, from any thread. The session, which drives the socket,
//! fills and empties the same queues and is woken when there is something to do. Both queues are bounded.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::driving::FrameSink;
use super::few::Few;
use super::message::{Message, WebSocketExit};
use super::octets::{ENTRY_COST, Octets};
use super::pressure::is_in_callback;
use super::queue::Queue;
use super::signal::Signal;
use super::subscriptions::Subscriptions;
use super::topics::Room;
use super::{SessionData, WebSocket, WhenFull};
use crate::error::Error;
use crate::message::Request;
use crate::protocol::websocket::{
    Close, Closing, Deflater, MAX_CONTROL_PAYLOAD, MAX_SERVER_HEAD, Opcode, encode_frame,
};

/// A WebSocket connection; clones are the same connection.
#[derive(Clone)]
pub struct WebSocketConnection(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) request: Arc<Request>,
    pub(super) websocket: Arc<WebSocket>,
    pub(super) subprotocol: Option<Box<str>>,
    pub(super) room: Arc<Room>,
    /// Called after something has happened that an event loop elsewhere waits for.
    pub(super) listener: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// What takes its frames to the client; missing where the socket is somebody else's.
    pub(super) frame_sink: OnceLock<Arc<dyn FrameSink>>,
    pub(super) state: Mutex<State>,
    /// Is there a reason why there are no more messages?
    pub(super) is_ending: AtomicBool,
    /// Whether its callbacks are being called.
    pub(super) turn: AtomicU8,
    /// Why they are not.
    pub(super) pressure: AtomicU8,
    pub(super) data: Mutex<SessionData>,
    /// A message came, or the end.
    pub(super) received: Signal,
    /// There is room in the queue or in the inbox again, or the end came.
    pub(super) drained: Signal,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) inbox: Few<Message>,
    /// Bytes of memory that it takes.
    pub(super) inbox_cost: usize,
    pub(super) queue: Queue,
    pub(super) closing: Closing,
    pub(super) deflater: Option<Box<Deflater>>,
    /// Why there are no more messages, once that is so.
    pub(super) exit: Option<Box<WebSocketExit>>,
    /// The socket is gone: nothing will be sent any more.
    pub(super) is_over: bool,
    /// The session, and whether it is to look how things stand.
    pub(super) session: Option<Waker>,
    pub(super) calls_session: bool,
    /// Whether it has been put into the flush queue since its own queue was last looked at.
    pub(super) is_queued: bool,
    /// The session reads no more until the inbox has room.
    pub(super) is_paused: bool,
    /// Is the listener to be told?
    pub(super) is_listening: bool,
    pub(super) topics: Subscriptions,
}

/// So many messages at most wait to be taken.
const MOST_WAITING: usize = 1024;

impl WebSocketConnection {
    pub(crate) fn new(
        request: Arc<Request>,
        websocket: Arc<WebSocket>,
        subprotocol: Option<&str>,
        deflater: Option<Deflater>,
        room: Arc<Room>,
    ) -> Self {
        let state = State { deflater: deflater.map(Box::new), ..State::default() };
        Self(Arc::new(Shared {
            request,
            websocket,
            subprotocol: subprotocol.map(Into::into),
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

    /// The request that opened it.
    pub fn request(&self) -> &Arc<Request> {
        &self.0.request
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.subprotocol.as_deref()
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The connection has ended, and all that came before has been taken.
    pub fn recv(&self) -> Result<Message, WebSocketExit> {
        match self.receive_until(None)? {
            Some(message) => Ok(message),
            None => Err(abnormal()),
        }
    }

    /// The same; `None` if there is none after this long.
    ///
    /// # Errors
    /// As [`WebSocketConnection::recv`].
    pub fn recv_timeout(&self, at_most: Duration) -> Result<Option<Message>, WebSocketExit> {
        self.receive_until(Some(Instant::now() + at_most))
    }

    /// The next message if there is one.
    ///
    /// # Errors
    /// As [`WebSocketConnection::recv`].
    pub fn try_recv(&self) -> Result<Option<Message>, WebSocketExit> {
        self.take(self.lock()).1
    }

    /// Sends a message: text of `&str` and `String`, binary of bytes. Waits while the client reads too slowly, if that is
    /// what is to be done when the queue is full ([`WhenFull::Wait`]); never in a callback.
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
        self.enqueue(state, &message)
    }

    /// The same without waiting: `false` if the queue is full and `send` would wait.
    ///
    /// # Errors
    /// As [`WebSocketConnection::send`].
    pub fn try_send(&self, message: &Message) -> Result<bool, WebSocketExit> {
        let state = self.lock();
        self.check_open(&state)?;
        if self.would_wait(&state, message.as_bytes().len()) {
            return Ok(false);
        }
        self.enqueue(state, message).map(|()| true)
    }

    /// Sends a ping (RFC 6455 section 5.5.2) with a payload of at most 125 bytes.
    ///
    /// # Errors
    /// The payload is too long. On a connection that has ended nothing happens.
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

    /// Begins the closing handshake; what was sent before still goes out. On a connection that has ended nothing happens.
    ///
    /// # Errors
    /// A code that must not be sent, or a reason of more than 123 bytes (RFC 6455 section 7.4).
    pub fn exit(&self, code: u16, reason: &str) -> Result<(), Error> {
        let close = Close::new(code, reason)?;
        let mut state = self.lock();
        if self.close_in(&mut state, &close) {
            // Who ends a connection is not interested in what else was said.
            state.inbox.clear();
            state.inbox_cost = 0;
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

    /// Something that distinguishes it from all others there are at this moment.
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

    /// Takes a message, or gives the lock back if there is none yet.
    pub(super) fn take<'s>(
        &self,
        mut state: MutexGuard<'s, State>,
    ) -> (Option<MutexGuard<'s, State>>, Result<Option<Message>, WebSocketExit>) {
        if self.is_held() && state.exit.is_none() {
            return (Some(state), Ok(None));
        }
        let Some(message) = state.inbox.pop() else {
            return match state.exit.clone() {
                Some(exit) => (None, Err(*exit)),
                None => (Some(state), Ok(None)),
            };
        };
        state.inbox_cost -= message.cost();
        if state.is_paused && state.inbox_cost <= self.max_inbox() / 2 && state.inbox.len() <= MOST_WAITING / 2 {
            state.is_paused = false;
            state.calls_session = true;
            self.unlock(state);
            self.0.drained.notify_all();
        }
        (None, Ok(Some(message)))
    }

    fn check_open(&self, state: &State) -> Result<(), WebSocketExit> {
        match (&state.exit, state.closing.is_open() && !state.is_over) {
            (_, true) => Ok(()),
            (Some(exit), false) => Err(exit.as_ref().clone()),
            (None, false) => Err(abnormal()),
        }
    }

    fn would_wait(&self, state: &State, more: usize) -> bool {
        self.0.websocket.options.when_full == WhenFull::Wait && self.is_full(state, more) && !is_in_callback()
    }

    /// Is there no room for a message of this length? There is always room when half of the queue is free: then those that
    /// wait are told.
    fn is_full(&self, state: &State, more: usize) -> bool {
        state.queue.cost() > self.max_queue() / 2
            && state.queue.cost() + ENTRY_COST + more > self.max_queue()
            && state.closing.is_open()
            && !state.is_over
    }

    pub(super) fn has_room(&self, state: &State) -> bool {
        state.inbox_cost < self.max_inbox() && state.inbox.len() < MOST_WAITING
    }

    fn enqueue(&self, mut state: MutexGuard<'_, State>, message: &Message) -> Result<(), WebSocketExit> {
        self.check_open(&state)?;
        let payload = message.as_bytes();
        if self.is_full(&state, payload.len()) && !self.may_exceed(&state) {
            self.make_room(&mut state, payload.len());
            self.check_open(&state)?;
        }
        // What is compressed needs less, one knows not how much.
        let room = if state.deflater.is_some() { 0 } else { MAX_SERVER_HEAD + payload.len() };
        let frame = Octets::filled(room, |frame| match &mut state.deflater {
            Some(deflater) => deflater.encode_message(frame, message.kind(), payload),
            None => encode_frame(frame, message.kind().into(), payload),
        });
        state.queue.push_message(frame);
        self.unlock(state);
        Ok(())
    }

    /// What was encoded for all subscribers of a topic; waits for nobody.
    pub(super) fn send_frame(&self, frame: &Bytes) {
        let mut state = self.lock();
        if self.check_open(&state).is_err() {
            return;
        }
        if self.is_full(&state, frame.len()) {
            self.make_room(&mut state, frame.len());
        }
        if state.closing.is_open() {
            state.queue.push_message(Octets::Shared(frame.clone()));
        }
        self.unlock(state);
    }

    /// The queue is full and nobody may wait.
    fn make_room(&self, state: &mut State, more: usize) {
        if self.0.websocket.options.when_full == WhenFull::DropOldest {
            while state.queue.cost() + ENTRY_COST + more > self.max_queue() && state.queue.drop_oldest() {}
            return;
        }
        if let Ok(close) = Close::new(1013, "the client reads too slowly") {
            // What waits would keep the close from ever being read.
            state.queue.drop_messages();
            self.close_in(state, &close);
        }
    }

    pub(super) fn close(&self, close: &Close) {
        let mut state = self.lock();
        if self.close_in(&mut state, close) {
            self.unlock(state);
        }
    }

    /// `false` if the closing handshake has begun before.
    fn close_in(&self, state: &mut State, close: &Close) -> bool {
        let mut frame = Vec::new();
        let begins = !state.is_over && state.closing.close_to_send(close, &mut frame);
        if begins {
            state.queue.push_close(Octets::Shared(frame.into()));
            let code = close.code.unwrap_or(1005);
            self.set_exit(state, WebSocketExit { code, reason: close.reason.clone() });
        }
        begins
    }

    pub(super) fn set_exit(&self, state: &mut State, exit: WebSocketExit) {
        state.exit.get_or_insert_with(|| Box::new(exit));
        self.0.is_ending.store(true, Ordering::Relaxed);
        self.0.received.notify_all();
        self.0.drained.notify_all();
    }

    fn send_control(&self, opcode: Opcode, payload: &[u8]) {
        let mut state = self.lock();
        // A client that floods and does not read gets no more answers than fit.
        if state.closing.is_open() && !state.is_over && !self.is_full(&state, payload.len()) {
            state.queue.push_control(Octets::control_frame(opcode, payload));
        }
        self.unlock(state);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it seen to, behind the lock, that something was queued or has changed.
    pub(super) fn unlock(&self, mut state: MutexGuard<'_, State>) {
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

/// The connection broke (RFC 6455 section 7.1.5).
pub(super) fn abnormal() -> WebSocketExit {
    WebSocketExit { code: 1006, reason: Box::default() }
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
