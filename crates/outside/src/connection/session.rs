//! A connection after its upgrade: frames in, messages to the handler, frames out (RFC 6455).
//!
//! One task per connection, like before. It reads while the handler keeps up, writes what is queued, pings who is silent,
//! and ends by the closing handshake or a deadline. Handlers that are callbacks are called by the executor, one turn after
//! the other; those that block have a thread of their own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::buffer::{Input, give_exchanges, take_exchanges};
use super::desk::Desk;
use super::handle::{Handle, Order, ThreadSeat};
use super::outlet::Outlet;
use super::{Connection, Seat, Service};
use crate::executor::{Exchange, Job, Mailbox, Occasion, Turn, Work};
use crate::log::Level;
use crate::protocol::websocket::{Close, DeflateTerms, Event, Failure, MessageKind, Receiver};
use crate::site::Snapshot;
use crate::transport::Stream;
use crate::websocket::{Look, Message, Style, WebSocket, WebSocketConnection};

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
    stream: Stream,
    input: Input,
    receiver: Receiver,
    websocket: Arc<WebSocket>,
    connection: WebSocketConnection,
    service: Arc<Service>,
    handle: Arc<Handle>,
    site: Arc<Snapshot>,
    outlet: Outlet,
    style: Style,
    mailbox: Arc<Mailbox>,
    /// The turn that is not with the executor.
    turn: Option<Box<Turn>>,
    /// In milliseconds of the clock.
    heard: u64,
    pong_due: Option<u64>,
    close_due: Option<u64>,
    write_due: Option<u64>,
    /// The client has closed its side, or broken the protocol: nothing of it is understood any more.
    is_deaf: bool,
    /// That end, until the handler has been called for what came before it.
    end: Option<Box<End>>,
    /// The client has broken the protocol: it is not waited for.
    has_failed: bool,
    thread_seat: Option<ThreadSeat>,
    /// Shared with the handler's thread: the server's end waits for both.
    seat: Arc<Seat>,
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
        let Connection { stream, input, desk, seat, mailbox, .. } = connection;
        let Desk { service, handle, site, .. } = desk;
        let Opening { websocket, connection, receiver, thread_seat, .. } = opening;
        let heard = service.clock.now();
        handle.set_busy();
        Self {
            style: websocket.handler().style(),
            turn: Some(Box::new(Turn::new(Arc::clone(&websocket), connection.clone()))),
            stream,
            input,
            receiver,
            websocket,
            connection,
            service,
            handle,
            site: site.1,
            outlet: Outlet::default(),
            mailbox,
            heard,
            pong_due: None,
            close_due: None,
            write_due: None,
            is_deaf: false,
            end: None,
            has_failed: false,
            thread_seat,
            seat: Arc::new(seat),
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
        let shut = poll_fn(|context| self.stream.poll_shutdown(context)).await;
        self.connection.end();
        if self.style == Style::Callbacks {
            if self.turn.is_none() {
                poll_fn(|context| self.poll_turn(context)).await;
            }
            if let Some(mut turn) = self.turn.take() {
                turn.occasion = Occasion::Exit;
                let (site, mailbox) = (Arc::clone(&self.site), Arc::default());
                self.service.executor.push(Job {
                    exchanges: vec![Exchange::new(None, Work::Turn(turn))],
                    site,
                    mailbox,
                });
            }
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
                match self.stream.poll_read(context, room) {
                    Poll::Ready(Ok(count)) if count > 0 => self.input.filled(count),
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
                let seats = (Arc::clone(&self.seat), self.thread_seat.take());
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
            if self.turn.is_none()
                && self.poll_turn(context).is_ready()
                && let Some(end) = self.end.take()
            {
                self.finish(*end);
            }
            let (look, is_written) = match self.poll_write(context) {
                Poll::Ready(Ok(look)) => (look, true),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => (self.connection.look(context, &mut VecDeque::new(), 0), false),
            };
            if look.is_closing && self.close_due.is_none() {
                self.close_due = Some(self.service.clock.after(CLOSE_TIME));
                self.schedule();
            }
            if is_written && (self.has_failed || look.is_closed) {
                return Poll::Ready(());
            }
            let wanted = self.room(|| look.room);
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
            match self.stream.poll_read(context, buffer) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.input.filled(count);
                    self.heard = self.service.clock.now();
                    if self.pong_due.take().is_some() {
                        self.schedule();
                    }
                    self.hear(wanted);
                    if self.turn.is_none() && !self.is_deaf && self.poll_turn(context).is_pending() {
                        // Whatever was queued meanwhile wakes it.
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

    /// Bytes of messages that may be taken in; reading stops while the handler has enough to do.
    fn room(&self, inbox: impl FnOnce() -> usize) -> usize {
        match (self.style, &self.turn) {
            (Style::Callbacks, None) => 0,
            (Style::Callbacks, Some(_)) => self.connection.max_inbox(),
            _ => inbox(),
        }
    }

    /// Understands what has been read, up to this many bytes of messages: a few bytes may inflate to many.
    fn hear(&mut self, room: usize) {
        let mut unread = self.input.unread_mut();
        let all = unread.len();
        let mut messages = Vec::new();
        let mut taken = 0;
        let mut end = None;
        while end.is_none() && taken < room {
            match self.receiver.receive(&mut unread) {
                Ok(Some(Event::Message(kind, payload))) => {
                    taken += payload.len() + MESSAGE_COST;
                    let payload = Bytes::from(payload.into_owned());
                    let message = Message::received(kind == MessageKind::Text, payload);
                    match (self.style, &mut self.turn) {
                        (Style::Callbacks, Some(turn)) => turn.messages.push(message),
                        _ => messages.push(message),
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
            let (site, mailbox) = (Arc::clone(&self.site), Arc::clone(&self.mailbox));
            let mut exchanges = take_exchanges();
            exchanges.push(Exchange::new(None, Work::Turn(turn)));
            self.service.executor.push(Job { exchanges, site, mailbox });
        }
    }

    /// Ready when the handler's call has come back.
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(mut exchanges) = self.mailbox.poll(context) else { return Poll::Pending };
        for exchange in exchanges.drain(..) {
            if let Work::Turned(turn) = exchange.work {
                self.turn = Some(turn);
            }
        }
        give_exchanges(exchanges);
        Poll::Ready(())
    }

    /// Ready when all that is queued has been written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Look>> {
        let before = self.outlet.moved();
        let polled = self.outlet.poll_write(&mut self.stream, &self.connection, context);
        let has_moved = self.outlet.moved() != before;
        if has_moved && self.websocket.options.ping_interval.is_none() {
            // What is sent counts as activity too.
            self.heard = self.service.clock.now();
        }
        if polled.is_ready() || has_moved {
            self.write_due = None;
        }
        if polled.is_pending() && self.write_due.is_none() {
            self.write_due = Some(self.service.clock.after(self.service.config.write_stall_timeout));
            self.schedule();
        }
        polled
    }

    /// A deadline has passed.
    fn tick(&mut self) -> std::ops::ControlFlow<()> {
        let now = self.service.clock.now();
        let has_passed = |due: Option<u64>| due.is_some_and(|due| due <= now);
        if has_passed(self.close_due) || has_passed(self.write_due) {
            return std::ops::ControlFlow::Break(());
        }
        if self.room(|| self.connection.room()) == 0 {
            // Whatever it says, nobody listens: its answer to a ping may be there and wait.
            (self.heard, self.pong_due) = (now, None);
        }
        if has_passed(self.pong_due) {
            self.pong_due = None;
            self.close(1011, "no answer to a ping");
        }
        let options = &self.websocket.options;
        match options.ping_interval {
            Some(interval)
                if self.pong_due.is_none() && self.is_silent(interval, now) && self.connection.ping(b"").is_ok() =>
            {
                self.pong_due = Some(self.service.clock.after(options.ping_timeout));
            }
            None if self.is_silent(self.service.config.process_timeout, now) => {
                self.close(1001, "silent for too long");
            }
            _ => {}
        }
        self.schedule();
        std::ops::ControlFlow::Continue(())
    }

    fn is_silent(&self, at_most: Duration, now: u64) -> bool {
        self.heard + super::handle::millis(at_most) <= now
    }

    /// Sets the nearest of all deadlines.
    fn schedule(&self) {
        let silence = self.websocket.options.ping_interval.unwrap_or(self.service.config.process_timeout);
        let next_look = match self.pong_due {
            Some(due) => due,
            None => self.heard + super::handle::millis(silence),
        };
        let due = [self.close_due, self.write_due].into_iter().flatten().fold(next_look, u64::min);
        self.handle.set_deadline(due);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever waits for a message learns that there will be none, however the task has ended.
        self.connection.end();
    }
}
