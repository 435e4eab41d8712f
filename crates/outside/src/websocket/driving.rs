//! The session's side of a connection: received messages go in, frames come out.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::Context;

use super::memory::is_much;
use super::message::{Message, WebSocketExit, abnormal};
use super::octets::Octets;
use super::shared::{FrameSink, WebSocketConnection, WebSocketState};
use crate::protocol::websocket::{Close, Failure};

/// The state of the queue and the connection: several bools in one byte, since each message reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlushStatus(u8);

impl FlushStatus {
    const HAS_MORE: u8 = 1;
    const CALLS_SESSION: u8 = 2;
    const IS_CLOSING: u8 = 4;
    const IS_CLOSED: u8 = 8;
    const IS_OVER: u8 = 16;

    /// Whether frames are left in the queue.
    pub(crate) const fn has_more(self) -> bool {
        self.0 & Self::HAS_MORE != 0
    }

    /// Whether the session has to check the state.
    pub(crate) const fn concerns_session(self) -> bool {
        self.0 & (Self::CALLS_SESSION | Self::IS_CLOSING) != 0
    }

    /// Whether only the queued frames are still to be sent.
    pub(crate) const fn is_closing(self) -> bool {
        self.0 & Self::IS_CLOSING != 0
    }

    /// Whether both sides have sent a Close frame.
    pub(crate) const fn is_closed(self) -> bool {
        self.0 & Self::IS_CLOSED != 0
    }

    /// Whether the socket is gone.
    pub(super) const fn is_over(self) -> bool {
        self.0 & Self::IS_OVER != 0
    }

    fn of(state: &mut WebSocketState) -> Self {
        if !state.calls_session & !state.is_over & state.closing.is_open() & state.queue.is_empty() {
            return Self::default();
        }
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let mut look = flag(!state.queue.is_empty(), Self::HAS_MORE)
            | flag(std::mem::take(&mut state.calls_session), Self::CALLS_SESSION)
            | flag(state.is_over, Self::IS_OVER);
        if !state.closing.is_open() {
            look |= Self::IS_CLOSING | flag(state.closing.is_complete(), Self::IS_CLOSED);
        }
        Self(look)
    }
}

/// Frames on their way from the queue to the socket: first `small`, then `large`.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Small frames, copied together for one write.
    pub(crate) small: Vec<u8>,
    /// One frame that is large or the only one, not copied.
    pub(crate) large: Option<Octets>,
}

/// Bytes of small frames from which no more are added to one write.
const GATHERED: usize = 64 << 10;
/// Bytes from which a frame is not copied.
const LARGE: usize = 16 << 10;

impl WebSocketConnection {
    /// Sets the sink that takes the frames to the client.
    pub(crate) fn set_frame_sink(&self, sink: Arc<dyn FrameSink>) {
        // It is set once, before any frame can be sent.
        let _is_the_first = self.0.frame_sink.set(sink);
    }

    /// Reads a part of the memory that sending needs. Called for many connections in a row: the processor then waits
    /// for the memory of several at once, where it would wait for each one by itself between locks.
    pub(super) fn prefetch(&self) -> bool {
        self.is_ending() | self.0.frame_sink.get().is_some_and(|sink| sink.prefetch())
    }

    /// Sends queued frames, or wakes the session for them; inside the event loop.
    pub(super) fn flush(&self) {
        if !self.0.frame_sink.get().is_some_and(|sink| sink.flush(self)) {
            self.call_session();
        }
    }

    /// The state of queue and connection. Later events wake the session.
    pub(crate) fn poll_flush_status(&self, context: &Context<'_>) -> FlushStatus {
        let mut state = self.lock();
        if !state.session.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.session = Some(context.waker().clone());
        }
        state.is_queued = false;
        FlushStatus::of(&mut state)
    }

    /// The state of queue and connection; later events put the connection into the flush queue.
    pub(crate) fn flush_status(&self) -> FlushStatus {
        let mut state = self.lock();
        state.is_queued = false;
        FlushStatus::of(&mut state)
    }

    /// Takes as many frames to send as are worth one write; a frame that is queued later puts the connection into the
    /// flush queue.
    pub(crate) fn take_frames(&self, into: &mut Frames) -> FlushStatus {
        let mut state = self.lock();
        state.is_queued = false;
        let before = state.queue.cost();
        if let Some(only) = state.queue.pop_only() {
            into.large = Some(only);
        } else {
            while into.large.is_none()
                && into.small.len() < GATHERED
                && let Some(frame) = state.queue.pop()
            {
                if frame.len() < LARGE {
                    into.small.extend_from_slice(&frame);
                } else {
                    into.large = Some(frame);
                }
            }
        }
        if is_much(before) {
            self.count_memory(&mut state);
        }
        self.relieve(&mut state);
        let look = FlushStatus::of(&mut state);
        if before == 0 {
            return look;
        }
        let tell = state.is_listening && state.queue.cost() <= self.max_queue() / 2;
        if tell {
            state.is_listening = false;
        }
        drop(state);
        self.0.drained.notify_all();
        if tell {
            self.tell();
        }
        look
    }

    /// Adds received messages. Returns `false` if no more are to be read until some were taken.
    pub(crate) fn deliver(&self, messages: impl Iterator<Item = Message>) -> bool {
        let mut state = self.lock();
        let before = state.inbox.len();
        if state.exit.is_none() {
            for message in messages {
                state.inbox_cost += message.cost();
                state.inbox.push(message);
            }
        }
        if is_much(state.inbox_cost) {
            self.count_memory(&mut state);
        }
        let has_room = self.has_room(&state);
        state.is_paused = !has_room;
        let has_come = state.inbox.len() > before;
        let tell = has_come && std::mem::take(&mut state.is_listening);
        drop(state);
        if has_come {
            // Several threads may wait, one for each message.
            self.0.received.notify_all();
        }
        if tell {
            self.tell();
        }
        has_room
    }

    /// Bytes of memory that are left in the inbox. After the end messages are dropped, so there is always room.
    pub(crate) fn room(&self) -> usize {
        let state = self.lock();
        match &state.exit {
            None if state.is_paused => 0,
            None => self.max_inbox().saturating_sub(state.inbox_cost),
            Some(_) => self.max_inbox(),
        }
    }

    /// Waits until more messages may be delivered, or the connection has ended.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.lock();
        while state.is_paused && state.exit.is_none() {
            state = self.0.drained.wait(state);
        }
    }

    /// Bytes of memory that waiting messages may take.
    pub(crate) fn max_inbox(&self) -> usize {
        self.0.websocket.options.max_message.max(1 << 16)
    }

    /// Bytes of memory that waiting frames may take.
    pub(super) fn max_queue(&self) -> usize {
        self.0.websocket.options.max_queue
    }

    pub(crate) fn receive_ping(&self, payload: &[u8]) {
        let mut state = self.lock();
        if state.closing.is_open() && !state.is_over {
            state.queue.push_pong(payload);
        }
        self.unlock(state);
    }

    pub(crate) fn receive_close(&self, close: Close) {
        let mut state = self.lock();
        let exit = WebSocketExit { code: close.code.unwrap_or(1005), reason: close.reason.clone() };
        let mut frame = Vec::new();
        state.closing.receive_close(close, &mut frame);
        if !frame.is_empty() {
            state.queue.push_close(frame.into());
        }
        self.set_exit(&mut state, exit);
        self.tell_if_listening(state);
    }

    /// Fails the connection, because the client has broken the protocol.
    pub(crate) fn fail(&self, failure: &Failure) {
        if let Ok(close) = Close::new(failure.code, failure.reason) {
            self.close(&close);
        }
        self.tell_if_listening(self.lock());
    }

    /// Whether the connection has ended, or begun to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.is_ending.load(Ordering::Relaxed)
    }

    /// Wakes the session task.
    pub(super) fn wake(&self) {
        self.unlock(self.lock());
    }

    /// Notes that the socket is gone.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let session = state.session.take();
        state.queue.clear();
        state.unread = 0;
        self.count_memory(&mut state);
        self.set_exit(&mut state, abnormal());
        let topics = std::mem::take(&mut state.topics);
        self.tell_if_listening(state);
        if let Some(session) = session {
            session.wake();
        }
        for topic in topics.into_names() {
            self.end_subscription(&topic);
        }
    }

    fn tell_if_listening(&self, mut state: MutexGuard<'_, WebSocketState>) {
        let tell = std::mem::take(&mut state.is_listening);
        drop(state);
        if tell {
            self.tell();
        }
    }

    pub(super) fn tell(&self) {
        if let Some(listener) = self.0.listener.get() {
            listener();
        }
    }
}
