//! A connection that speaks HTTP/2 (RFC 9113): one task drives `h2`, and answers requests or gives them tasks.
//!
//! The requests of one read go to the executor together, and answers that are ready together leave with one write. This
//! folder has the bounds that `h2` lacks: the cost of frames, the time of waits, the number of requests at work whose
//! streams are gone. [`calls`] has the ways of a request, this file has the life of the connection.

mod calls;
mod exchange;
mod heads;
mod own_wakes;
mod pending_calls;
mod receive;
mod request_body;
mod send;
mod shared;
mod socket;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Ping, PingPong, Reason, server};

use super::Connection;
use super::close::{ClosingConnection, DRAIN_TIME, MOST_FRAMES};
use super::guard::ConnectionGuard;
use crate::budget::Account;
use crate::exchange::{Dispatcher, Exchange, Job, Order, ReplySlot, Waiting, millis};
use crate::protocol::http2::{TABLE_SIZE, largest_list};
use exchange::PendingStream;
use heads::Heads;
use own_wakes::OwnWakes;
use pending_calls::PendingCalls;
use send::Values;
use shared::{CallReply, SharedByStreams};
use socket::{H2End, SocketState, TaskEnd, socket_ends};

/// Streams of one connection that may be open at a time (docs/security.md S16 to S21).
const MOST_STREAMS: u32 = 100;
/// Bytes that a client may send on one stream before they were taken.
const STREAM_WINDOW: u32 = 64 << 10;
/// Bytes that a client may send on all streams before they were taken: none holds another up (RFC 9113 section 5.2).
const CONNECTION_WINDOW: u32 = MOST_STREAMS * STREAM_WINDOW;
/// Bytes that one stream may have ready to be sent.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that the client may reset before they were accepted; more of them end the connection.
const MOST_RESETS: usize = 20;
/// Streams that `h2` resets because of the client's faults, in the life of a connection; more of them end it.
const MOST_FAULTS: usize = 128;
/// Milliseconds from the first step of the end to the last, if the client has no stream and acknowledges nothing.
const LEAVE_TIME: u64 = 1000;
/// Milliseconds between two looks whether the connection of a client that has closed its side was reset.
const LOOK: u64 = 100;

/// One connection that speaks HTTP/2.
pub(super) struct Http2 {
    h2: server::Connection<H2End, Bytes>,
    line: TaskEnd,
    dispatcher: Dispatcher,
    shared: Arc<SharedByStreams>,
    address: SocketAddr,
    is_secure: bool,
    /// The address as text, for the log.
    client: Arc<[u8]>,
    /// Streams that wait for the answer of a function.
    calls: PendingCalls,
    /// Jobs that go to the executor at the end of this poll.
    jobs: Vec<Job>,
    /// Streams that wait for a permit or for room.
    pending: VecDeque<PendingStream>,
    /// Answered exchanges that are to be logged, each batch as it came back.
    done: Vec<Vec<Exchange>>,
    received: u64,
    /// Streams that the client has opened and `h2` has not handed on.
    unheard: u64,
    /// Streams that were logged because their messages break the rules.
    faulty: Vec<u32>,
    heads: Heads,
    values: Values,
    /// The waker that `h2` has, once the task was polled.
    own_wakes: Option<OwnWakes>,
    /// Empty memory, like the next two fields, to be used again.
    emptied: Vec<Vec<Exchange>>,
    replies: Vec<CallReply>,
    free_slots: Vec<Arc<ReplySlot>>,
    pings: Option<PingPong>,
    /// Times in milliseconds of the clock: since when a ping is unanswered, the connection has no stream, a header
    /// block is incomplete, the end has begun.
    pinged: Option<u64>,
    idle: Option<u64>,
    in_block: Option<u64>,
    leaving: Option<u64>,
    has_failed: bool,
    /// Whether the client has closed its side and was sent a ping, which brings a reset if the client is gone.
    is_probed: bool,
    /// A place among the connections. Requests of a client that has left hold it too, until they are done.
    guard: Arc<ConnectionGuard>,
}

impl Connection {
    /// Goes on as another task that speaks HTTP/2.
    pub(super) fn into_http2(self) -> impl Future<Output = ()> + Send {
        let Connection { stream, input, mut dispatcher, guard, address, client, .. } = self;
        async move {
            let is_secure = stream.is_secure();
            dispatcher.control.set_incomplete(dispatcher.service.clock.now());
            let (budget, most) = (&dispatcher.service.budget, dispatcher.service.config.most_unsent_per_connection());
            dispatcher.account = Account::new(budget, most, Arc::clone(&dispatcher.control) as _);
            let (wire, line) = socket_ends(stream, input, Arc::clone(&dispatcher.service));
            let Some(h2) = handshake(wire, &line, &dispatcher).await else { return };
            dispatcher.control.set_busy();
            let mut connection = Box::new(Http2::new(h2, line, dispatcher, guard, (address, is_secure), client));
            poll_fn(|context| connection.poll(context)).await;
            connection.close().await;
        }
    }
}

/// Sends the settings, and waits for the client's preface.
async fn handshake(wire: H2End, line: &TaskEnd, dispatcher: &Dispatcher) -> Option<server::Connection<H2End, Bytes>> {
    let config = &dispatcher.service.config;
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(MOST_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .header_table_size(TABLE_SIZE.into())
        .max_header_list_size(largest_list(&dispatcher.service.head_limits()))
        .max_pending_accept_reset_streams(MOST_RESETS)
        .max_local_error_reset_streams(Some(MOST_FAULTS));
    let mut handshake = builder.handshake(wire);
    dispatcher.control.set_deadline(dispatcher.service.clock.after(config.first_byte_timeout));
    let waiting = Waiting::First(dispatcher.service.clock.now());
    let h2 = poll_fn(|context| {
        line.refresh();
        let shaken = std::pin::Pin::new(&mut handshake).poll(context);
        // The next write shows whether the bytes have left.
        let _is_on_its_way = line.poll_flush(context);
        match (shaken, dispatcher.control.stop(context, waiting)) {
            (Poll::Ready(h2), _) => Poll::Ready(h2.ok()),
            (Poll::Pending, Some(_)) => Poll::Ready(None),
            (Poll::Pending, None) if line.state().has_ended => Poll::Ready(None),
            (Poll::Pending, None) => Poll::Pending,
        }
    });
    let h2 = h2.await;
    dispatcher.control.clear_deadline();
    dispatcher.control.clear_timeout();
    h2
}

impl Http2 {
    fn new(
        mut h2: server::Connection<H2End, Bytes>,
        line: TaskEnd,
        dispatcher: Dispatcher,
        guard: ConnectionGuard,
        (address, is_secure): (SocketAddr, bool),
        client: Box<[u8]>,
    ) -> Self {
        Self {
            pings: h2.ping_pong(),
            h2,
            line,
            shared: SharedByStreams::new(Arc::clone(&dispatcher.account)),
            dispatcher,
            address,
            is_secure,
            client: client.into(),
            calls: PendingCalls::default(),
            jobs: Vec::new(),
            pending: VecDeque::new(),
            done: Vec::new(),
            received: 0,
            unheard: 0,
            faulty: Vec::new(),
            heads: Heads::default(),
            values: Values::default(),
            own_wakes: None,
            emptied: Vec::new(),
            replies: Vec::new(),
            free_slots: Vec::new(),
            pinged: None,
            idle: None,
            in_block: None,
            leaving: None,
            has_failed: false,
            is_probed: false,
            guard: Arc::new(guard),
        }
    }

    /// Does all work that can be done now; ready at the end of the connection.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.shared.belongs_to(context);
        self.values.pass();
        self.line.refresh();
        let wakes = self.own_wakes.take().unwrap_or_else(|| OwnWakes::of(context));
        let polled = self.poll_noting(context, &wakes);
        wakes.end();
        self.own_wakes = Some(wakes);
        polled
    }

    fn poll_noting(&mut self, context: &mut Context<'_>, wakes: &OwnWakes) -> Poll<()> {
        loop {
            wakes.begin();
            let mut has_news = self.deliver();
            wakes.begin();
            // This call reads frames, and writes the frames of the streams.
            loop {
                match self.h2.poll_accept(&mut Context::from_waker(wakes.waker())) {
                    Poll::Ready(Some(Ok((request, respond)))) => has_news |= self.accept(request, respond),
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                    Poll::Pending => break,
                }
            }
            let state = self.line.state();
            let unheard = state.opened.wrapping_sub(self.received);
            if state.has_touched || state.has_malformed || unheard != self.unheard {
                self.unheard = unheard;
                self.log_malformed();
                self.look_after_resets(context);
            }
            self.begin_pending();
            self.push_jobs();
            self.log_done();
            if !has_news && !self.steer(&state) {
                match self.line.poll_flush(context) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(false)) | Poll::Pending => return self.wait(context),
                }
            }
        }
    }

    /// Begins the end of the connection when that is due; `true` if `h2` has frames to send about it.
    fn steer(&mut self, state: &SocketState) -> bool {
        if state.is_spent && !std::mem::replace(&mut self.has_failed, true) {
            self.h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            return true;
        }
        let config = &self.dispatcher.service.config;
        let is_last = self.received >= config.max_socket_reuse || (self.received > 0 && !config.keep_alive);
        if self.leaving.is_none() && (is_last || self.dispatcher.service.is_ending()) {
            self.leaving = Some(self.dispatcher.service.clock.now());
            self.h2.graceful_shutdown();
            return true;
        }
        false
    }

    /// Sets the next deadline and obeys orders, after all work that can be done now.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = self.dispatcher.service.clock.now();
        let state = self.line.state();
        let has_streams = !self.calls.is_empty() || !self.pending.is_empty() || self.h2.has_streams();
        match (has_streams, self.idle) {
            (false, None) => {
                self.idle = Some(now);
                match self.received {
                    0 => self.dispatcher.control.set_incomplete(now),
                    _ => self.dispatcher.control.set_idle(now),
                }
            }
            (true, Some(_)) => {
                self.idle = None;
                self.dispatcher.control.set_busy();
            }
            _ => {}
        }
        if self.dispatcher.service.is_ending() || self.dispatcher.service.meter.is_some() {
            self.dispatcher.control.set_answers(self.calls.count() + self.pending.len());
        }
        if state.has_ended {
            // Streams that the client opened before are answered (RFC 9112 section 9.6 holds for any version).
            if !has_streams && state.blocked.is_none() {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut self.is_probed, true)
                && self.pings.as_mut().is_some_and(|pings| pings.send_ping(Ping::opaque()).is_ok())
            {
                context.waker().wake_by_ref();
            }
        }
        self.in_block = state.is_in_block.then(|| self.in_block.unwrap_or(now));
        match self.dispatcher.control.order(context) {
            Order::Cut => return Poll::Ready(()),
            Order::TimedOut => {
                self.dispatcher.control.clear_timeout();
                if self.keep_time(context, now, &state) {
                    return Poll::Ready(());
                }
            }
            Order::Shed if self.idle.is_some() => self.go(Reason::NO_ERROR, context),
            Order::Shed => self.dispatcher.control.clear_timeout(),
            Order::None | Order::Retire | Order::Drain => {}
        }
        self.dispatcher.control.set_deadline(self.next_deadline(&state));
        Poll::Pending
    }

    /// The time of the next deadline.
    fn next_deadline(&self, state: &SocketState) -> u64 {
        let config = &self.dispatcher.service.config;
        let dues = [
            self.calls.due(),
            self.pending.front().map(|pending| pending.due).filter(|_| !self.shared.account.is_in_use()),
            Some(self.ping_due(state)).filter(|_| !state.has_ended),
            state.has_ended.then(|| self.dispatcher.service.clock.now() + LOOK),
            self.idle.map(|since| since + millis(config.keep_alive_idle)),
            state.blocked.map(|(since, taken)| self.blocked_due(since, taken)),
            self.in_block.map(|since| since + millis(config.header_timeout)),
            self.leaving.filter(|_| self.idle.is_some()).map(|since| since + LEAVE_TIME),
        ];
        dues.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// When a ping is to be sent, or its answer is overdue.
    fn ping_due(&self, state: &SocketState) -> u64 {
        let interval = millis(self.dispatcher.service.config.h2_ping);
        match self.pinged {
            // Two thirds of the interval are enough for the way there and back.
            Some(since) => since + interval / 3 * 2,
            None => state.heard + interval,
        }
    }

    fn blocked_due(&self, since: u64, taken: u64) -> u64 {
        let config = &self.dispatcher.service.config;
        let by_rate = taken.saturating_mul(1000).checked_div(config.min_rate);
        let stall = millis(config.write_stall_timeout);
        (since + stall).max(by_rate.map_or(u64::MAX, |time| since + time).min(since + 60 * stall))
    }

    /// Acts on deadlines that have passed; `true` if the connection ends without another frame.
    fn keep_time(&mut self, context: &mut Context<'_>, now: u64, state: &SocketState) -> bool {
        let config = &self.dispatcher.service.config;
        let has_passed = |since: Option<u64>, patience: u64| since.is_some_and(|since| now > since + patience);
        if state.blocked.is_some_and(|(since, taken)| now > self.blocked_due(since, taken)) {
            self.dispatcher.service.complain_of_slow_reader(false);
            return true;
        }
        if self.pinged.is_some_and(|since| state.heard >= since) {
            self.pinged = None;
        }
        if state.has_ended && self.line.is_reset() {
            return true;
        }
        if now > self.ping_due(state) && !state.has_ended {
            match (self.pinged, &mut self.pings) {
                (None, Some(pings)) => {
                    // The answer to the ping before, if it came.
                    let _is_taken = pings.poll_pong(context);
                    if pings.send_ping(Ping::opaque()).is_ok() {
                        self.pinged = Some(now);
                        context.waker().wake_by_ref();
                    }
                }
                _ => return true,
            }
        }
        if has_passed(self.in_block, millis(config.header_timeout)) {
            self.dispatcher.service.log.complain("header_timeout", "head not complete in time");
            self.go(Reason::ENHANCE_YOUR_CALM, context);
        } else if has_passed(self.idle, millis(config.keep_alive_idle))
            || (self.idle.is_some() && has_passed(self.leaving, LEAVE_TIME))
        {
            self.go(Reason::NO_ERROR, context);
        }
        self.give_up_late(now);
        if self.idle.is_some() {
            // An idle connection holds little memory.
            self.calls.shrink();
            self.jobs.shrink_to_fit();
            (self.done, self.emptied, self.replies, self.free_slots) = Default::default();
        }
        context.waker().wake_by_ref();
        false
    }

    /// Ends the connection with a GOAWAY frame that carries `reason`.
    fn go(&mut self, reason: Reason, context: &Context<'_>) {
        self.h2.abrupt_shutdown(reason);
        context.waker().wake_by_ref();
    }

    /// Closes like a connection of HTTP/1.1, behind the last frame.
    async fn close(mut self: Box<Self>) {
        self.log_malformed();
        self.log_done();
        self.give_up_all();
        self.dispatcher.control.set_closing(self.dispatcher.service.clock.after(DRAIN_TIME));
        self.dispatcher.control.clear_timeout();
        self.dispatcher.control.set_deadline(self.dispatcher.service.clock.after(DRAIN_TIME));
        let Self { h2, line, dispatcher, guard: _guard, .. } = *self;
        // Dropping `h2` tells the streams that the connection is over.
        drop(h2);
        let is_written = poll_fn(|context| match dispatcher.control.stop(context, Waiting::Transfer) {
            Some(_) => Poll::Ready(false),
            None => line.poll_flush(context).map(|flushed| flushed.is_ok()),
        });
        if !is_written.await {
            return line.reset_on_close();
        }
        let mut closing = ClosingConnection::begin(MOST_FRAMES, false, &dispatcher.control, &dispatcher.service);
        poll_fn(|context| line.poll_close(&mut closing, &dispatcher, context)).await;
    }
}
