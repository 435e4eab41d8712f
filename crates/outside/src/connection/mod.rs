//! One socket from its first byte to its last. THE LOOP is [`Connection::converse`]: receive, answer, send, again.
//!
//! A connection is a task of its reactor's event loop. It never runs user code: its exchanges (`exchange/`, below) hand
//! that to the executor. The server above accepts sockets and gives orders through the registry.

mod buffer;
mod close;
mod guard;
mod handshake;
mod http1;
mod http2;
mod watch;
mod websocket;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pub(crate) use buffer::trim_memory;

use crate::budget::Account;
use crate::error::Refusal;
use crate::exchange::{AddressGuard, Dispatcher, Exchange, Order, ReplySlot, Service, Stop, Waiting};
use crate::log::client_text;
use crate::message::Request;
use crate::protocol::http1::{Framing, HeadScanner};
use crate::transport::{ListenerRole, Stream};
use buffer::{ReadBuffer, poll_read};
use guard::ConnectionGuard;
use handshake::{Greeting, shake_hands};
use http1::Http1Body;
use watch::Watch;
use websocket::{Opening, WebSocketSession};

/// One connection.
pub(crate) struct Connection {
    stream: Stream,
    address: SocketAddr,
    /// The address as text, for the log.
    client: Box<[u8]>,
    dispatcher: Dispatcher,
    guard: ConnectionGuard,
    slot: Arc<ReplySlot>,
    input: ReadBuffer,
    scanner: HeadScanner,
    /// Whether the deadline in force belongs to the head that is being read.
    head_is_timed: bool,
    /// When the first byte of that head came, in milliseconds of the clock.
    head_since: u64,
    /// Exchanges that are being answered, in order.
    exchanges: Vec<Exchange>,
    /// Exchanges behind those, which begin when the client has taken some of the answers before them.
    later: Vec<Exchange>,
    /// The requests whose exchanges the executor has, in order; they stand behind `exchanges`.
    awaited: Vec<Option<Arc<Request>>>,
    /// The next head, which has to wait for the answers of all exchanges before it.
    pending: Option<(Arc<Request>, Framing)>,
    received: u64,
    keep_alive: bool,
    /// Bytes written since the current batch of answers began.
    written: u64,
    /// Whether the deadline in force is one of the minimum rate.
    is_timed_by_rate: bool,
    /// Whether content was sent that ends with the connection.
    is_past_content_until_close: bool,
    /// The terms of a WebSocket, which the connection becomes as soon as the current answer is written.
    opening: Option<Box<Opening>>,
    /// Whether both sides have agreed on HTTP/2, or the client has sent the preface of HTTP/2.
    is_http2: bool,
    /// Content that the handler of the current request takes while it comes in.
    incoming: Option<Box<Http1Body>>,
    /// Whether the last request has content that has not come in.
    is_uploading: bool,
    watch: Watch,
}

impl Connection {
    /// A connection that has not begun to run; from now on it counts within the limit of connections.
    pub(crate) fn new(
        stream: Stream,
        address: SocketAddr,
        of_address: Option<AddressGuard>,
        role: ListenerRole,
        service: Arc<Service>,
    ) -> Self {
        let (number, control) = service.registry.add();
        // The registry gives this order to existing connections; a new one has to set it itself.
        if service.is_draining() {
            control.signal(Order::Drain);
        }
        let keep_alive = service.config.keep_alive;
        // HTTP/1.1 makes answers one after another, and `MOST_HELD` bounds their memory there.
        let account = Account::new(&service.budget, usize::MAX, Arc::clone(&control) as _);
        let dispatcher = Dispatcher { role, ..Dispatcher::new(Arc::clone(&service), control, account) };
        Self {
            stream,
            address,
            client: client_text(address),
            guard: ConnectionGuard {
                service: Arc::clone(&service),
                number,
                is_websocket: false,
                _of_address: of_address,
            },
            slot: dispatcher.reply_slot(),
            dispatcher,
            input: ReadBuffer::default(),
            scanner: HeadScanner::default(),
            head_is_timed: false,
            head_since: 0,
            exchanges: Vec::new(),
            later: Vec::new(),
            awaited: Vec::new(),
            pending: None,
            received: 0,
            keep_alive,
            written: 0,
            is_timed_by_rate: false,
            is_past_content_until_close: false,
            opening: None,
            is_http2: false,
            incoming: None,
            is_uploading: false,
            watch: Watch::default(),
        }
    }

    /// The whole life of the connection: a conversation, and perhaps a WebSocket session behind it.
    pub(crate) fn run(self) -> impl Future<Output = ()> + Send {
        Life::Conversation(Box::pin(self.talk()))
    }

    /// The conversation in HTTP; the session that follows it, if the connection becomes a WebSocket.
    ///
    /// An `async fn` would hold the connection twice, as the argument and as the variable.
    fn talk(self) -> impl Future<Output = Option<Box<WebSocketSession>>> + Send {
        let mut connection = self;
        async move {
            match shake_hands(&mut connection.stream, &connection.dispatcher).await {
                Greeting::Done => connection.is_http2 = connection.stream.speaks_http2(),
                Greeting::InClear => {
                    connection.stream = connection.stream.into_clear();
                    let text = "this port speaks HTTPS: the address begins with https://";
                    connection.refuse(Refusal::bad(text), None, None);
                }
                Greeting::Refused => {
                    connection.stream = connection.stream.into_clear();
                    connection.close(true).await;
                    return None;
                }
                Greeting::Gone => return None,
            }
            let answered = match connection.is_http2 {
                true => false,
                false => match connection.converse().await {
                    Ok(answered) => answered,
                    Err(stop) => {
                        connection.log_unanswered();
                        connection.break_off(&stop).await;
                        return None;
                    }
                },
            };
            if connection.is_http2 {
                let service = Arc::clone(&connection.dispatcher.service);
                connection.dispatcher.control = service.registry.renew(connection.guard.number);
                drop(service.executor.runtime.spawn(connection.into_http2()));
                return None;
            }
            if let Some(opening) = connection.opening.take() {
                let Self { stream, input, dispatcher, guard, .. } = connection;
                return Some(Box::new(WebSocketSession::new(stream, input, dispatcher, guard, *opening)));
            }
            connection.close(answered).await;
            None
        }
    }

    /// Receives the requests of one read, answers them in order with one write, and begins again.
    /// `true` if the conversation ended with an answer, `false` if it ended while the connection was idle.
    async fn converse(&mut self) -> Result<bool, Stop> {
        while self.receive().await? {
            // This takes several rounds if the answers are too large to be held together, or come late.
            while !self.exchanges.is_empty() || !self.awaited.is_empty() || !self.later.is_empty() {
                self.answer().await?;
                self.send().await?;
            }
            if !self.keep_alive || self.opening.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads once into the input. Returns the number of bytes, never 0.
    async fn read(&mut self, waiting: Waiting) -> Result<usize, Stop> {
        let Self { dispatcher, stream, input, .. } = self;
        let size = dispatcher.service.config.recv_size;
        poll_fn(|context| poll_read(stream, input, &dispatcher.control, size, context, waiting)).await
    }

    /// Writes the answers of one round. Nearly always the socket takes them as a whole, so it is asked before the runtime is;
    /// the read that brought the requests has counted as a step of this task, so that no task has more than its turn.
    async fn write_answers(&mut self, answers: &[u8]) -> Result<(), Stop> {
        let count = match self.stream.try_write(&[io::IoSlice::new(answers)]) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.written += count as u64;
        match &answers[count..] {
            [] => Ok(()),
            rest => self.write(rest, b"").await,
        }
    }

    /// Writes all bytes of both slices, with one system call if the socket takes them.
    async fn write(&mut self, first: &[u8], second: &[u8]) -> Result<(), Stop> {
        let total = first.len() + second.len();
        let mut written = 0;
        let mut transfer = Transfer::default();
        while written < total {
            let slices = [
                io::IoSlice::new(&first[written.min(first.len())..]),
                io::IoSlice::new(&second[written.saturating_sub(first.len())..]),
            ];
            let slices = match (first.len() > written, second.is_empty()) {
                (true, true) => &slices[..1],
                (true, false) => &slices[..],
                (false, _) => &slices[1..],
            };
            let send = |stream: &mut Stream, context: &mut Context<'_>| stream.poll_write(context, slices);
            match self.move_on(&mut transfer, send).await? {
                0 => return Err(Stop::Gone),
                count => written += count,
            }
        }
        self.end_transfer(&transfer);
        Ok(())
    }

    /// Calls `send` once, as soon as the socket takes bytes; returns the number of bytes that it took.
    async fn move_on(
        &mut self,
        transfer: &mut Transfer,
        mut send: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Result<usize, Stop> {
        let count = poll_fn(|context| match send(&mut self.stream, context) {
            Poll::Ready(Err(_)) => Poll::Ready(Err(Stop::Gone)),
            Poll::Ready(Ok(count)) => Poll::Ready(Ok(count)),
            Poll::Pending => {
                if let Some(stop) = self.dispatcher.control.stop(context, Waiting::Transfer) {
                    return Poll::Ready(Err(stop));
                }
                // The bytes that the socket took before count for the client, whichever answer they belong to.
                self.dispatcher.account.note_taken(usize::try_from(self.written).unwrap_or(usize::MAX));
                let since = *transfer.waited_since.get_or_insert_with(|| self.dispatcher.service.clock.now());
                self.set_transfer_deadline(since, self.written, self.dispatcher.service.config.write_stall_timeout);
                Poll::Pending
            }
        })
        .await
        .inspect_err(|stop| self.complain_of_reader(stop))?;
        self.written += count as u64;
        Ok(count)
    }

    /// Clears the deadline of a transfer after the socket has taken all bytes.
    fn end_transfer(&self, transfer: &Transfer) {
        if transfer.waited_since.is_some() {
            self.dispatcher.control.clear_deadline();
            self.dispatcher.control.clear_timeout();
        }
    }

    fn complain_of_reader(&self, stop: &Stop) {
        if let Stop::TimedOut = stop {
            self.dispatcher.service.complain_of_slow_reader(self.is_timed_by_rate);
        }
    }

    /// See [`Dispatcher::set_transfer_deadline`].
    fn set_transfer_deadline(&mut self, start: u64, moved: u64, stall: Duration) {
        self.is_timed_by_rate = self.dispatcher.set_transfer_deadline(start, moved, stall);
    }
}

/// The phase of a connection's task. Each phase has its own box: sessions are smaller than conversations, and there are
/// many. The task is smaller for it too: as an `async` block it would take twice the memory.
enum Life<C> {
    Conversation(Pin<Box<C>>),
    Session(Box<WebSocketSession>),
}

impl<C: Future<Output = Option<Box<WebSocketSession>>>> Future for Life<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Conversation(conversation) = &mut *self {
            match ready!(conversation.as_mut().poll(context)) {
                Some(session) => *self = Self::Session(session),
                None => return Poll::Ready(()),
            }
        }
        match &mut *self {
            Self::Session(session) => session.poll(context),
            Self::Conversation(_) => Poll::Ready(()),
        }
    }
}

/// A transfer in progress: since when the socket has not taken all of it, in milliseconds of the clock.
#[derive(Debug, Default)]
struct Transfer {
    waited_since: Option<u64>,
}
