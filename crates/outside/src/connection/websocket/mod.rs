//! A connection after its upgrade: frames in, messages to the handler, frames out (RFC 6455).
//!
//! Each session has one task. It reads while the handler keeps up, writes queued frames, pings silent clients, and ends
//! by the closing handshake or a deadline. The executor calls handlers that are callbacks, one turn after the other; a
//! handler that blocks has a thread of its own.

mod deadlines;
mod receive;
mod socket;
mod upgrade;

use std::future::Future as _;
use std::num::NonZeroU64;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::yield_now;

use crate::connection::buffer::{ReadBuffer, with_scratch};
use crate::connection::guard::ConnectionGuard;
use crate::exchange::{Dispatcher, LoopTurn, Occasion, Order, ThreadPermit, Turn};
use crate::log::{Level, shown_target};
use crate::protocol::websocket::{Close, DeflateTerms, Failure, Receiver};
use crate::transport::Stream;
use crate::websocket::{Few, Message, Style, WebSocketConnection};
use socket::WebSocketSocket;
pub(super) use upgrade::open_websocket;

/// The terms on which a WebSocket was opened.
pub(super) struct Opening {
    pub(super) connection: WebSocketConnection,
    pub(super) receiver: Receiver,
    pub(super) terms: Option<DeflateTerms>,
    /// The permit for the thread of a handler that blocks.
    pub(super) thread_permit: Option<ThreadPermit>,
}

/// The session of one connection.
pub(super) struct WebSocketSession {
    /// Bytes that came with the handshake, or for whose messages there was no room yet.
    left: Option<Box<ReadBuffer>>,
    receiver: Receiver,
    connection: WebSocketConnection,
    /// It also has the service and the control of the connection: there are many sessions, and most of them rest.
    socket: Arc<WebSocketSocket>,
    style: Style,
    phase: Phase,
    /// Whether a callback is running, or was running at the last look.
    is_calling: bool,
    /// Whether the session has to read its flush status, and to write.
    looks: bool,
    /// When bytes last came in, in milliseconds of the clock.
    heard: u64,
    /// Its place behind the next look of the event loop at the network, if the share of all sessions is used up.
    loop_turn: LoopTurn,
    pong_due: Option<NonZeroU64>,
    close_due: Option<NonZeroU64>,
    write_due: Option<NonZeroU64>,
    /// Whether the client has closed its side or broken the protocol: its further bytes are not decoded.
    is_deaf: bool,
    /// The end of the client, until the handler has been called for the messages before it.
    end: Option<Box<ClientEnd>>,
    /// Whether the client has broken the protocol, so that the session does not wait for its Close frame.
    has_failed: bool,
    /// Bytes without a whole message, as the connection was told last.
    unread: usize,
    thread_permit: Option<ThreadPermit>,
    guard: SessionGuard,
}

/// The guard of a session's connection.
enum SessionGuard {
    Own(ConnectionGuard),
    /// The thread of the handler has it too: the server's end waits for both.
    Shared(Arc<ConnectionGuard>),
    /// While the one becomes the other.
    Moves,
}

/// The way in which a client ends its messages.
enum ClientEnd {
    Close(Close),
    Failure(Failure),
}

/// The phase of a session.
#[derive(Clone, Copy)]
enum Phase {
    New,
    Open,
    /// All frames are written: the session closes its side of the socket.
    Ending,
    /// The handler is told of the end.
    Leaving,
    Lingering,
}

/// The time that a closing handshake may take; after that the session ends.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// Reads, or decodings of bytes that were read before, that a session makes before other tasks have their turn.
const MOST_READS: usize = 8;
/// Frames without content in one read, beyond which other tasks have their turn: an empty ping has six bytes.
const MOST_IDLE_FRAMES: u32 = 64;

impl WebSocketSession {
    pub(super) fn new(
        stream: Stream,
        input: ReadBuffer,
        dispatcher: Dispatcher,
        guard: ConnectionGuard,
        opening: Opening,
    ) -> Self {
        let Dispatcher { service, control, .. } = dispatcher;
        let Opening { connection, receiver, thread_permit, .. } = opening;
        let heard = service.clock.now();
        control.set_session();
        let socket = Arc::new(WebSocketSocket::new(stream, service, control));
        connection.set_frame_sink(Arc::<WebSocketSocket>::clone(&socket));
        Self {
            style: connection.websocket().handler().style(),
            phase: Phase::New,
            is_calling: false,
            left: (!input.unread().is_empty()).then(|| Box::new(input)),
            receiver,
            connection,
            socket,
            looks: true,
            heard,
            loop_turn: None,
            pong_due: None,
            close_due: None,
            write_due: None,
            is_deaf: false,
            end: None,
            has_failed: false,
            unread: 0,
            thread_permit,
            guard: SessionGuard::Own(guard),
        }
    }

    /// The whole session, polled by hand: `async` blocks hold more memory than a session needs at any time.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.phase {
                Phase::Open => {
                    ready!(self.live(context));
                    self.phase = Phase::Ending;
                }
                Phase::New => {
                    self.begin();
                    self.schedule();
                    self.phase = Phase::Open;
                }
                Phase::Ending => {
                    self.has_failed &= ready!(self.socket.poll_shutdown(context)).is_ok();
                    self.connection.end();
                    self.phase = Phase::Leaving;
                }
                Phase::Leaving => {
                    if self.style == Style::Callbacks {
                        // Asking for the status has the executor wake the session after the turn.
                        self.connection.poll_flush_status(context);
                        if self.is_calling && self.connection.awaits_turn() {
                            return Poll::Pending;
                        }
                        self.call(Occasion::Exit, Few::default());
                    }
                    if !self.has_failed {
                        return Poll::Ready(());
                    }
                    self.left = None;
                    self.socket.control.clear_timeout();
                    self.socket.control.set_deadline(self.socket.service.clock.after(CLOSE_TIME));
                    self.phase = Phase::Lingering;
                }
                Phase::Lingering => return self.linger(context),
            }
        }
    }

    /// Drops the bytes of a client that has broken the protocol, until it closes its side or a deadline has passed:
    /// closing with unread input would make the system discard the Close frame.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if matches!(self.socket.control.order(context), Order::TimedOut | Order::Cut) {
                return Poll::Ready(());
            }
            let size = self.socket.service.config.recv_size;
            match ready!(with_scratch(size, |room| self.socket.poll_read(context, room))) {
                Ok((count, _)) if count > 0 => {}
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Calls the handler for the first time.
    fn begin(&mut self) {
        match self.style {
            Style::Callbacks => self.call(Occasion::Open, Few::default()),
            Style::Async => {
                if let Err(error) = self.connection.websocket().handler().open(&self.connection) {
                    self.fail(&error.to_string());
                }
            }
            Style::Blocking => {
                let mut turn = Turn::new(self.connection.clone(), Occasion::Open);
                let log = Arc::clone(&self.socket.service.log);
                let guards = (self.share_guard(), self.thread_permit.take());
                let started = self.socket.service.executor.start_thread(move || {
                    turn.perform(&log);
                    turn.occasion = Occasion::Exit;
                    turn.perform(&log);
                    drop(guards);
                });
                if let Err(error) = started {
                    self.fail(&format!("no thread could be started: {error}"));
                }
            }
        }
    }

    /// The guard of the connection, for the thread of its handler.
    fn share_guard(&mut self) -> Option<Arc<ConnectionGuard>> {
        let guard = match std::mem::replace(&mut self.guard, SessionGuard::Moves) {
            SessionGuard::Own(guard) => Arc::new(guard),
            SessionGuard::Shared(guard) => guard,
            SessionGuard::Moves => return None,
        };
        self.guard = SessionGuard::Shared(Arc::clone(&guard));
        Some(guard)
    }

    fn fail(&self, reason: &str) {
        self.socket
            .service
            .log
            .event(Level::Error, format!("WebSocket {}: {reason}", shown_target(self.connection.request().target())));
        self.close(1011, "");
    }

    /// Ends the session if the server ends.
    fn leave(&self) {
        if self.socket.service.is_draining() {
            self.close(1001, "the server stops");
        } else if self.socket.service.is_ending() {
            self.close(1012, "the server starts anew");
        }
    }

    fn close(&self, code: u16, reason: &str) {
        if let Err(error) = self.connection.exit(code, reason) {
            self.socket.service.log.event(Level::Error, error.to_string());
        }
    }

    /// Ready when the session has no more frames to write.
    fn live(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut reads = 0;
        loop {
            match self.socket.control.order(context) {
                Order::None => {}
                Order::Retire | Order::Drain => self.leave(),
                Order::Shed => self.socket.control.clear_timeout(),
                Order::TimedOut => {
                    self.socket.control.clear_timeout();
                    // The deadline may have hidden an order.
                    self.leave();
                    if self.tick().is_break() {
                        return Poll::Ready(());
                    }
                }
                Order::Cut => return Poll::Ready(()),
            }
            if (self.socket.take_call() || self.looks) && self.poll_out(context).is_ready() {
                return Poll::Ready(());
            }
            if self.is_calling {
                // The session reads no more until its callback has come back …
                if self.connection.awaits_turn() {
                    return Poll::Pending;
                }
                self.is_calling = false;
            }
            if self.style == Style::Callbacks && self.connection.is_pressed() {
                // … nor until the client has taken the sent frames, and the messages that were left are handled.
                let Some(left) = self.connection.take_back() else { return Poll::Pending };
                if !left.is_empty() {
                    self.call(Occasion::Messages, left);
                    continue;
                }
            }
            if let Some(end) = self.end.take() {
                self.finish(*end);
                continue;
            }
            let wanted = self.room();
            if wanted == 0 {
                return Poll::Pending;
            }
            if reads >= MOST_READS || !self.may_read() {
                // A task that wakes itself is polled again before the reactor looks at its sockets; this one afterwards.
                let _ = pin!(yield_now()).poll(context);
                return Poll::Pending;
            }
            reads += 1;
            if let Some(mut left) = self.left.take() {
                let taken = self.hear(left.unread_mut(), wanted);
                left.consume(taken);
                self.left = (!left.unread().is_empty()).then_some(left);
                self.note_unread();
                continue;
            }
            let size = self.socket.service.config.recv_size;
            match ready!(with_scratch(size, |room| self.read(context, room, wanted))) {
                Ok((count, was_all)) if count > 0 => {
                    // There is no work until the client sends more. Nor need the executor call the session when the
                    // handler comes back: most calls are over by then.
                    if was_all && !self.is_deaf && !self.looks && self.left.is_none() {
                        return Poll::Pending;
                    }
                    if self.receiver.take_idle_frames() > MOST_IDLE_FRAMES {
                        reads = MOST_READS;
                    }
                }
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Whether the share of all sessions is not used up.
    fn may_read(&mut self) -> bool {
        self.socket.service.session_share.may_read(self.socket.service.executor.looks(), &mut self.loop_turn)
    }

    /// Gives a call of the handler to the executor.
    fn call(&mut self, occasion: Occasion, messages: Few<Message>) {
        self.is_calling = true;
        self.socket.service.executor.push_call(Turn { connection: self.connection.clone(), occasion, messages });
    }

    /// Writes queued frames and reads the flush status. Ready when the session has nothing more to do.
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let before = self.connection.poll_flush_status(context);
        let moved = self.socket.moved();
        let polled = self.socket.poll_write(&self.connection, context);
        if polled.is_ready() || self.socket.moved() != moved {
            self.write_due = None;
        }
        if polled.is_pending() && self.write_due.is_none() {
            self.write_due = self.due_after(self.socket.service.config.write_stall_timeout);
            self.schedule();
        }
        let (look, is_written) = match polled {
            Poll::Ready(Ok(look)) => (look, true),
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Pending => (before, false),
        };
        self.looks = !is_written || look.is_closing();
        if look.is_closing() && self.close_due.is_none() {
            self.close_due = self.due_after(CLOSE_TIME);
            self.schedule();
        }
        match is_written && (self.has_failed || look.is_closed()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for WebSocketSession {
    fn drop(&mut self) {
        // A handler that waits for a message learns that there will be none, however the task has ended.
        self.connection.end();
        self.socket.close();
    }
}
