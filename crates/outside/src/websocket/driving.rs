//! The side of a connection that its session sees: what came goes in, what is to go out comes out.

use std::collections::VecDeque;
use std::sync::MutexGuard;
use std::task::Context;

use super::connection::{Outgoing, State, WebSocketConnection, abnormal, push};
use super::message::{Message, WebSocketExit};
use crate::protocol::websocket::{Close, Failure, Opcode};

/// How things stand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// There are more frames than were taken.
    pub(crate) has_more: bool,
    /// Nothing more is to be sent but what is queued.
    pub(crate) is_closing: bool,
    /// Both sides have said that they close.
    pub(crate) is_closed: bool,
    /// The socket is gone.
    pub(super) is_over: bool,
    /// Bytes of messages that the inbox takes.
    pub(crate) room: usize,
}

impl WebSocketConnection {
    /// Sees how things stand, and takes frames that are to go out, as many as are worth one write. Whatever happens
    /// later wakes the session.
    pub(crate) fn look(&self, context: &Context<'_>, into: &mut VecDeque<Outgoing>, at_least: usize) -> Look {
        let mut state = self.lock();
        state.is_woken = false;
        if !state.session.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.session = Some(context.waker().clone());
        }
        let mut taken = 0;
        while taken < at_least
            && let Some(outgoing) = state.queue.pop_front()
        {
            taken += outgoing.frame.len();
            into.push_back(outgoing);
        }
        state.queue_bytes -= taken;
        let look = Look {
            has_more: !state.queue.is_empty(),
            is_closing: !state.closing.is_open(),
            is_closed: state.closing.is_complete(),
            is_over: state.is_over,
            room: self.room_in(&state),
        };
        if taken == 0 {
            return look;
        }
        let tell = state.is_listening && state.queue_bytes <= self.0.max_queue / 2;
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

    /// Messages have come; `false` if no more are to be read until some have been taken.
    pub(crate) fn deliver(&self, messages: impl Iterator<Item = Message>) -> bool {
        let mut state = self.lock();
        let before = state.inbox.len();
        if state.exit.is_none() {
            for message in messages {
                state.inbox_bytes += message.as_bytes().len();
                state.inbox.push_back(message);
            }
        }
        let has_room = self.has_room(&state);
        state.is_paused = !has_room;
        let has_come = state.inbox.len() > before;
        let tell = has_come && std::mem::take(&mut state.is_listening);
        drop(state);
        if has_come {
            // Several threads may wait, each for one of them.
            self.0.received.notify_all();
        }
        if tell {
            self.tell();
        }
        has_room
    }

    /// Bytes of messages that the inbox still takes. One that has ended takes none, but that is no reason to wait.
    fn room_in(&self, state: &State) -> usize {
        match &state.exit {
            None if state.is_paused => 0,
            None => self.0.max_inbox.saturating_sub(state.inbox_bytes),
            Some(_) => self.0.max_inbox,
        }
    }

    /// The same at this moment.
    pub(crate) fn room(&self) -> usize {
        self.room_in(&self.lock())
    }

    /// Waits until more messages may be delivered, or none will be wanted.
    pub(super) fn wait_for_room(&self) {
        let mut state = self.lock();
        while state.is_paused && state.exit.is_none() {
            state = self.0.drained.wait(state);
        }
    }

    /// Bytes of messages that wait at most.
    pub(crate) fn max_inbox(&self) -> usize {
        self.0.max_inbox
    }

    pub(crate) fn receive_ping(&self, payload: &[u8]) {
        self.send_control(Opcode::Pong, payload);
    }

    pub(crate) fn receive_close(&self, close: Close) {
        let mut state = self.lock();
        let exit = WebSocketExit { code: close.code.unwrap_or(1005), reason: close.reason.clone() };
        let mut frame = Vec::new();
        state.closing.receive_close(close, &mut frame);
        if !frame.is_empty() {
            push(&mut state, frame.into(), false);
        }
        self.set_exit(&mut state, exit);
        self.tell_if_listening(state);
    }

    /// The client has broken the protocol.
    pub(crate) fn fail(&self, failure: &Failure) {
        if let Ok(close) = Close::new(failure.code, failure.reason) {
            self.close(&close);
        }
        self.tell_if_listening(self.lock());
    }

    /// Has the other side of the socket look.
    pub(super) fn wake(&self) {
        self.unlock(self.lock());
    }

    /// The socket is gone.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let session = state.session.take();
        state.queue = VecDeque::new();
        state.queue_bytes = 0;
        self.set_exit(&mut state, abnormal());
        let topics = std::mem::take(&mut state.topics);
        self.tell_if_listening(state);
        if let Some(session) = session {
            self.0.room.wake(session);
        }
        for topic in topics {
            self.0.room.remove(&topic, self);
        }
    }

    fn tell_if_listening(&self, mut state: MutexGuard<'_, State>) {
        let tell = std::mem::take(&mut state.is_listening);
        drop(state);
        if tell {
            self.tell();
        }
    }

    fn tell(&self) {
        if let Some(listener) = self.0.listener.get() {
            listener();
        }
    }
}
