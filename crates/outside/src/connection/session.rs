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

use super::buffer::{Input, give_output, take_output};
use super::handle::{Handle, Order};
use super::{Connection, Seat, Service};
use crate::executor::{Exchange, Job, Mailbox, Occasion, Turn, Work};
use crate::log::Level;
use crate::protocol::websocket::{DeflateTerms, Event, MessageKind, Receiver};
use crate::site::Snapshot;
use crate::transport::Stream;
use crate::websocket::{Message, Outgoing, Style, WebSocket, WebSocketConnection};

/// What was agreed on when a WebSocket was opened.
pub(super) struct Opening {
    pub(super) websocket: Arc<WebSocket>,
    pub(super) connection: WebSocketConnection,
    pub(super) receiver: Receiver,
    pub(super) terms: Option<DeflateTerms>,
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
    /// Frames that were taken from the queue and not written yet; small ones together in `out`.
    outgoing: VecDeque<Outgoing>,
    out: Vec<u8>,
    written: usize,
    style: Style,
    mailbox: Arc<Mailbox>,
    /// The turn that is not with the executor.
    turn: Option<Box<Turn>>,
    /// In milliseconds of the clock.
    heard: u64,
    pong_due: Option<u64>,
    close_due: Option<u64>,
    write_due: Option<u64>,
    /// The client has closed its side, or broken the protocol: nothing of it is read any more.
    is_deaf: bool,
    _seat: Seat,
}

/// A closing handshake may take this long.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// As many reads are made before others have their turn.
const MOST_READS: usize = 8;
/// As much is gathered for one write, in bytes.
const GATHERED: usize = 64 << 10;

impl Session {
    pub(super) fn new(connection: Connection, opening: Opening) -> Self {
        let Connection { stream, input, service, handle, seat, site, mailbox, .. } = connection;
        let Opening { websocket, connection, receiver, .. } = opening;
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
            outgoing: VecDeque::new(),
            out: Vec::new(),
            written: 0,
            mailbox,
            heard,
            pong_due: None,
            close_due: None,
            write_due: None,
            is_deaf: false,
            _seat: seat,
        }
    }

    /// The whole session.
    pub(super) async fn run(mut self) {
        self.begin();
        self.schedule();
        poll_fn(|context| self.poll(context)).await;
        drop(poll_fn(|context| self.stream.poll_shutdown(context)).await);
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
                let (log, crowd) = (Arc::clone(&self.service.log), Arc::clone(&self.service.crowd));
                let started = self.service.executor.start_thread(move || {
                    let mut turn = Turn::new(websocket, connection);
                    turn.perform(&log);
                    turn.occasion = Occasion::Exit;
                    turn.perform(&log);
                    crowd.leave_session();
                });
                if let Err(error) = started {
                    self.service.crowd.leave_session();
                    self.fail(&format!("no thread could be started: {error}"));
                }
            }
        }
    }

    fn fail(&self, reason: &str) {
        self.service.log.event(Level::Error, format!("WebSocket {}: {reason}", self.connection.request().url()));
        self.close(1011, "");
    }

    fn close(&self, code: u16, reason: &str) {
        if let Err(error) = self.connection.exit(code, reason) {
            self.service.log.event(Level::Error, error.to_string());
        }
    }

    /// Ready when the session is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.connection.attend(context);
        let mut reads = 0;
        loop {
            match self.handle.order(context) {
                Order::None | Order::Shed => {}
                Order::Retire => self.close(1012, "the server starts anew"),
                Order::Drain => self.close(1001, "the server stops"),
                Order::TimedOut => {
                    self.handle.forgive();
                    if self.tick().is_break() {
                        return Poll::Ready(());
                    }
                }
                Order::Cut => return Poll::Ready(()),
            }
            if self.turn.is_none() {
                let _is_back = self.poll_turn(context);
            }
            let is_written = match self.poll_write(context) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            if self.connection.is_closing() && self.close_due.is_none() {
                self.close_due = Some(self.service.clock.after(CLOSE_TIME));
                self.schedule();
            }
            if is_written && self.connection.is_closed() {
                return Poll::Ready(());
            }
            if !self.may_read() {
                return Poll::Pending;
            }
            if !self.input.unread().is_empty() {
                // It came with the handshake.
                self.hear();
                continue;
            }
            if reads == MOST_READS {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            reads += 1;
            let room = self.input.room(self.service.config.recv_size);
            match self.stream.poll_read(context, room) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    self.input.filled(count);
                    self.heard = self.service.clock.now();
                    self.pong_due = None;
                    self.hear();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    self.input.unused();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Reading stops while the handler has enough to do.
    fn may_read(&self) -> bool {
        match (self.style, &self.turn) {
            (Style::Callbacks, None) => false,
            (Style::Callbacks, Some(_)) => true,
            _ => self.is_deaf || self.connection.may_read(),
        }
    }

    /// Understands what has been read.
    fn hear(&mut self) {
        let mut unread = self.input.unread_mut();
        let mut messages = Vec::new();
        let failure = loop {
            match self.receiver.receive(&mut unread) {
                Ok(Some(Event::Message(kind, payload))) => {
                    let payload = Bytes::from(payload.into_owned());
                    let message = Message::received(kind == MessageKind::Text, payload);
                    match (self.style, &mut self.turn) {
                        (Style::Callbacks, Some(turn)) => turn.messages.push(message),
                        _ => messages.push(message),
                    }
                }
                Ok(Some(Event::Ping(payload))) => self.connection.receive_ping(&payload),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(close))) => {
                    // What came before it is delivered first.
                    self.connection.deliver(messages.drain(..));
                    self.connection.receive_close(close);
                    self.is_deaf = true;
                }
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            }
        };
        let all = self.input.unread().len();
        self.input.consume(all);
        if !messages.is_empty() {
            self.connection.deliver(messages.into_iter());
        }
        if let Some(failure) = failure {
            self.is_deaf = true;
            self.connection.fail(&failure);
        }
        if self.turn.as_ref().is_some_and(|turn| !turn.messages.is_empty()) {
            self.push_turn(Occasion::Messages);
        }
    }

    /// Gives the handler's next call to the executor.
    fn push_turn(&mut self, occasion: Occasion) {
        if let Some(mut turn) = self.turn.take() {
            turn.occasion = occasion;
            let (site, mailbox) = (Arc::clone(&self.site), Arc::clone(&self.mailbox));
            self.service.executor.push(Job { exchanges: vec![Exchange::new(None, Work::Turn(turn))], site, mailbox });
        }
    }

    /// Ready when the handler's call has come back.
    fn poll_turn(&mut self, context: &Context<'_>) -> Poll<()> {
        let Some(exchanges) = self.mailbox.poll(context) else { return Poll::Pending };
        for exchange in exchanges {
            if let Work::Turned(turn) = exchange.work {
                self.turn = Some(turn);
            }
        }
        Poll::Ready(())
    }

    /// Ready when all that is queued has been written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.written == self.out.len() && !self.gather() {
                if self.write_due.take().is_some() {
                    self.schedule();
                }
                return Poll::Ready(Ok(()));
            }
            let first = io::IoSlice::new(&self.out[self.written..]);
            match self.stream.poll_write(context, &[first]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.write_due = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.write_due.is_none() {
                        self.write_due = Some(self.service.clock.after(self.service.config.write_stall_timeout));
                        self.schedule();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Puts what is queued together for one write; `false` if there is nothing.
    fn gather(&mut self) -> bool {
        self.written = 0;
        self.out.clear();
        self.connection.take_outgoing(&mut self.outgoing, GATHERED);
        if self.outgoing.is_empty() {
            if self.out.capacity() > 0 {
                give_output(std::mem::take(&mut self.out));
            }
            return false;
        }
        if self.out.capacity() == 0 {
            self.out = take_output();
        }
        while let Some(outgoing) = self.outgoing.pop_front() {
            self.out.extend_from_slice(&outgoing.frame);
        }
        true
    }

    /// A deadline has passed.
    fn tick(&mut self) -> std::ops::ControlFlow<()> {
        let now = self.service.clock.now();
        let has_passed = |due: Option<u64>| due.is_some_and(|due| due <= now);
        if has_passed(self.close_due) || has_passed(self.write_due) {
            return std::ops::ControlFlow::Break(());
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
