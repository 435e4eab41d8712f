//! A connection after its upgrade: frames in, messages to the handler, frames out (RFC 6455).
//!
//! One task per connection, like before. It reads while the handler keeps up, writes what is queued, pings who is silent,
//! and ends by the closing handshake or a deadline. Handlers that are callbacks are called by the executor, one turn after
//! the other; those that block have a thread of their own.

mod deadlines;

use std::future::poll_fn;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::buffer::Input;
use super::desk::Desk;
use super::handle::{Handle, Order, ThreadSeat};
use super::outlet::Outlet;
use super::{Connection, Seat, Service};
use crate::executor::{Occasion, Shelf, Turn};
use crate::log::Level;
use crate::protocol::websocket::{Close, DeflateTerms, Event, Failure, MessageKind, Receiver};
use crate::websocket::{Message, Style, WebSocket, WebSocketConnection};

/// What was agreed on when a WebSocket was opened.
pub(super) struct Opening {
    pub(super) websocket: Arc<WebSocket>,
    pub(super) connection: WebSocketConnection,
    pub(super) receiver: Receiver,
    pub(super) terms: Option<DeflateTerms>,
    /// For a handler that blocks.
    pub(super) thread_seat: Option<ThreadSeat>,
}

/// The session of one connection.
pub(super) struct Session {
    input: Input,
    receiver: Receiver,
    websocket: Arc<WebSocket>,
    connection: WebSocketConnection,
    service: Arc<Service>,
    handle: Arc<Handle>,
    outlet: Arc<Outlet>,
    style: Style,
    /// Where the turn lies that the executor has done with.
    shelf: Arc<Shelf>,
    /// The turn that is with neither; callbacks alone have one.
    turn: Option<Box<Turn>>,
    /// It has to look how things stand, and to write.
    looks: bool,
    /// In milliseconds of the clock.
    heard: u64,
    pong_due: Option<NonZeroU64>,
    close_due: Option<NonZeroU64>,
    write_due: Option<NonZeroU64>,
    /// The client has closed its side, or broken the protocol: nothing of it is understood any more.
    is_deaf: bool,
    /// That end, until the handler has been called for what came before it.
    end: Option<Box<End>>,
    /// The client has broken the protocol: it is not waited for.
    has_failed: bool,
    thread_seat: Option<ThreadSeat>,
    seat: Option<Seat>,
    /// The same, shared with a handler's thread: the server's end waits for both.
    _shared_seat: Option<Arc<Seat>>,
}

/// How a client ends what it has to say.
enum End {
    Close(Close),
    Failure(Failure),
}

/// A closing handshake may take this long.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// As many reads are made before others have their turn.
const MOST_READS: usize = 8;
/// Bytes that a waiting message takes beside its payload, about.
const MESSAGE_COST: usize = 64;

impl Session {
    pub(super) fn new(connection: Connection, opening: Opening) -> Self {
        let Connection { stream, input, desk, seat, .. } = connection;
        let Desk { service, handle, .. } = desk;
        let Opening { websocket, connection, receiver, thread_seat, .. } = opening;
        let heard = service.clock.now();
        handle.set_busy();
        let outlet = Arc::new(Outlet::new(stream, Arc::clone(&service.clock)));
        connection.set_line(Arc::<Outlet>::clone(&outlet));
        let style = websocket.handler().style();
        let turn = (style == Style::Callbacks).then(|| Turn::new(Arc::clone(&websocket), connection.clone()));
        Self {
            style,
            turn: turn.map(Box::new),
            input,
            receiver,
            websocket,
            connection,
            service,
            handle,
            outlet,
            shelf: Arc::default(),
            looks: true,
            heard,
            pong_due: None,
            close_due: None,
            write_due: None,
            is_deaf: false,
            end: None,
            has_failed: false,
            thread_seat,
            seat: Some(seat),
            _shared_seat: None,
        }
    }

    /// The whole session.
    ///
    /// Not an `async fn`: that would hold the session twice, as it came and as it is used.
    pub(super) fn run(self) -> impl Future<Output = ()> + Send {
        let mut session = self;
        async move {
            session.live().await;
        }
    }

    async fn live(&mut self) {
        self.begin();
        self.schedule();
        poll_fn(|context| self.poll(context)).await;
        let shut = poll_fn(|context| self.outlet.poll_shutdown(context)).await;
        self.connection.end();
        if self.style == Style::Callbacks {
            let mut turn = match self.turn.take() {
                Some(turn) => turn,
                None => poll_fn(|context| self.shelf.poll(context)).await,
            };
            turn.occasion = Occasion::Exit;
            self.service.executor.push_turn(turn, None);
        }
        if self.has_failed && shut.is_ok() {
            self.linger().await;
        }
    }

    /// Drops what is still on its way from a client that has broken the protocol, until it closes its side or a deadline
    /// has passed: closing with unread input would make the system throw the Close frame away.
    async fn linger(&mut self) {
        self.handle.forgive();
        self.handle.set_deadline(self.service.clock.after(CLOSE_TIME));
        poll_fn(|context| {
            loop {
                let unread = self.input.unread().len();
                self.input.consume(unread);
                if matches!(self.handle.order(context), Order::TimedOut | Order::Cut) {
                    return Poll::Ready(());
                }
                let room = self.input.room(self.service.config.recv_size);
                match self.outlet.poll_read(context, room) {
                    Poll::Ready(Ok((count, _))) if count > 0 => self.input.filled(count),
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => {
                        self.input.unused();
                        return Poll::Pending;
                    }
                }
            }
        })
        .await;
    }

    /// Calls the handler.
    fn begin(&mut self) {
        match self.style {
            Style::Callbacks => self.push_turn(Occasion::Open),
            Style::Elsewhere => {
                if let Err(error) = self.websocket.handler().open(&self.connection, &mut None) {
                    self.fail(&error.to_string());
                }
            }
            Style::Blocking => {
                let (websocket, connection) = (Arc::clone(&self.websocket), self.connection.clone());
                let log = Arc::clone(&self.service.log);
                self._shared_seat = self.seat.take().map(Arc::new);
                let seats = (self._shared_seat.clone(), self.thread_seat.take());
                let started = self.service.executor.start_thread(move || {
                    let mut turn = Turn::new(websocket, connection);
                    turn.perform(&log);
                    turn.occasion = Occasion::Exit;
                    turn.perform(&log);
                    drop(seats);
                });
                if let Err(error) = started {
                    self.fail(&format!("no thread could be started: {error}"));
                }
            }
        }
    }

    fn fail(&self, reason: &str) {
        self.service.log.event(Level::Error, format!("WebSocket {}: {reason}", self.connection.request().url()));
        self.close(1011, "");
    }

    /// Ends the session if the server ends.
    fn leave(&self) {
        if self.service.is_draining() {
            self.close(1001, "the server stops");
        } else if self.service.is_ending() {
            self.close(1012, "the server starts anew");
        }
    }

    fn close(&self, code: u16, reason: &str) {
        if let Err(error) = self.connection.exit(code, reason) {
            self.service.log.event(Level::Error, error.to_string());
        }
    }

    /// Ready when the session is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut reads = 0;
        loop {
            match self.handle.order(context) {
                Order::None => {}
                Order::Retire | Order::Drain => self.leave(),
                Order::Shed => self.handle.forgive(),
                Order::TimedOut => {
                    self.handle.forgive();
                    // An order that it has hidden.
                    self.leave();
                    if self.tick().is_break() {
                        return Poll::Ready(());
                    }
                }
                Order::Cut => return Poll::Ready(()),
            }
            if self.awaits_turn() {
                self.receive_turn(context);
            }
            if (self.outlet.take_call() || self.looks) && self.poll_out(context).is_ready() {
                return Poll::Ready(());
            }
            let wanted = self.room();
            if wanted == 0 {
                return Poll::Pending;
            }
            if !self.input.unread().is_empty() {
                // It came with the handshake, or there was no room for it.
                self.hear(wanted);
                continue;
            }
            if reads == MOST_READS {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let buffer = self.input.room(self.service.config.recv_size);
            match self.outlet.poll_read(context, buffer) {
                Poll::Ready(Ok((count, was_all))) if count > 0 => {
                    self.input.filled(count);
                    self.heard = self.service.clock.now();
                    if self.pong_due.take().is_some() {
                        self.schedule();
                    }
                    self.hear(wanted);
                    // Until the client says more there is nothing to be done. Nor need the turn call the session when it
                    // comes back: most calls are over by then.
                    if was_all && !self.is_deaf && !self.looks && self.input.unread().is_empty() {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    self.input.unused();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Is the handler being called? Nothing more is read until it has come back.
    fn awaits_turn(&self) -> bool {
        self.style == Style::Callbacks && self.turn.is_none()
    }

    /// Bytes of messages that may be taken in; reading stops while the handler has enough to do.
    fn room(&self) -> usize {
        match (self.style, &self.turn) {
            (Style::Callbacks, None) => 0,
            (Style::Callbacks, Some(_)) => self.connection.max_inbox(),
            _ => self.connection.room(),
        }
    }

    /// Understands what has been read, up to this many bytes of messages: a few bytes may inflate to many.
    fn hear(&mut self, room: usize) {
        let mut unread = self.input.unread_mut();
        let all = unread.len();
        let mut messages = Vec::new();
        let mut taken = 0;
        let mut end = None;
        while end.is_none() && taken < room && !unread.is_empty() {
            match self.receiver.receive(&mut unread) {
                Ok(Some(Event::Message(kind, payload))) => {
                    taken += payload.len() + MESSAGE_COST;
                    let payload = Bytes::from(payload.into_owned());
                    let message = Message::received(kind == MessageKind::Text, payload);
                    match &mut self.turn {
                        Some(turn) => turn.messages.push(message),
                        None => messages.push(message),
                    }
                }
                Ok(Some(Event::Ping(payload))) => self.connection.receive_ping(&payload),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(close))) => end = Some(End::Close(close)),
                Ok(None) => break,
                Err(failure) => end = Some(End::Failure(failure)),
            }
        }
        let left = unread.len();
        self.input.consume(all - left);
        // What came before the end is delivered first.
        if !messages.is_empty() {
            self.connection.deliver(messages.into_iter());
        }
        self.is_deaf |= end.is_some();
        if self.turn.as_ref().is_some_and(|turn| !turn.messages.is_empty()) {
            self.end = end.map(Box::new);
            self.push_turn(Occasion::Messages);
        } else if let Some(end) = end {
            self.finish(end);
        }
    }

    /// The client has said its last.
    fn finish(&mut self, end: End) {
        self.looks = true;
        match end {
            End::Close(close) => self.connection.receive_close(close),
            End::Failure(failure) => {
                self.has_failed = true;
                self.connection.fail(&failure);
            }
        }
    }

    /// Gives the handler's next call to the executor.
    fn push_turn(&mut self, occasion: Occasion) {
        if let Some(mut turn) = self.turn.take() {
            turn.occasion = occasion;
            self.service.executor.push_turn(turn, Some(Arc::clone(&self.shelf)));
        }
    }

    /// Takes the turn if the handler's call has come back; else it calls the session when it has.
    fn receive_turn(&mut self, context: &Context<'_>) {
        let Poll::Ready(turn) = self.shelf.poll(context) else { return };
        self.turn = Some(turn);
        if let Some(end) = self.end.take() {
            self.finish(*end);
        }
    }

    /// Writes what is queued and sees how things stand. Ready when nothing more is to be done.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let before = self.connection.look(context);
        let moved = self.outlet.moved();
        let polled = self.outlet.poll_write(&self.connection, context);
        if polled.is_ready() || self.outlet.moved() != moved {
            self.write_due = None;
        }
        if polled.is_pending() && self.write_due.is_none() {
            self.write_due = self.due_after(self.service.config.write_stall_timeout);
            self.schedule();
        }
        let (look, is_written) = match polled {
            Poll::Ready(Ok(look)) => (look, true),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => (before, false),
        };
        self.looks = !is_written || look.is_closing;
        if look.is_closing && self.close_due.is_none() {
            self.close_due = self.due_after(CLOSE_TIME);
            self.schedule();
        }
        match is_written && (self.has_failed || look.is_closed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever waits for a message learns that there will be none, however the task has ended.
        self.connection.end();
        self.outlet.close();
    }
}
