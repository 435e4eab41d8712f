//! From bytes to requests, or to a refusal.
//!
//! The safe requests of one read that have no body are taken together; others wait in order (RFC 9112 section 9.3.2).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::request_body::CONTINUE;
use crate::connection::Connection;
use crate::connection::buffer::{LARGE, push_exchange, take_content, take_request};
use crate::error::Refusal;
use crate::exchange::{
    Exchange, Intake, RateWindow, SHARED, Spool, Stop, Waiting, Work, receive, store_content, too_slow,
};
use crate::message::Request;
use crate::protocol::http1::{BodyLength, ChunkedDecoder, Framing, Scan, decode_head, framing};
use crate::protocol::http2::PREFACE_HEAD;
use crate::transport::ListenerRole;

/// The number of requests that are taken together, and answered with one write, at most.
const MOST_TOGETHER: usize = 64;
/// Bytes of content that one read takes at most, so that a fast client does not keep the event loop for itself.
const LARGEST_READ: usize = 256 << 10;
/// Bytes of room that content gets first: a Content-Length alone must not reserve memory.
const FIRST_ROOM: usize = 64 << 10;
/// Bytes of room that content gets next, or as many as it has, if that is more.
const MORE_ROOM: usize = 2 << 20;
/// Bytes of free room from which content gets no more room.
const LITTLE_ROOM: usize = 4 << 10;

/// A refused head. `request` lacks the framing alone; `fragment` has the request line alone, for the log.
struct Unread {
    refusal: Refusal,
    request: Option<Arc<Request>>,
    fragment: Option<Arc<Request>>,
}

/// Why the connection stopped reading a body.
pub(super) enum BodyFault {
    Refused(Refusal),
    Stopped(Stop),
}

impl From<Refusal> for BodyFault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stop> for BodyFault {
    fn from(stop: Stop) -> Self {
        Self::Stopped(stop)
    }
}

impl Connection {
    /// Fills `exchanges` with requests, or with a refusal behind them; `false` at the end of the conversation.
    pub(in crate::connection) async fn receive(&mut self) -> Result<bool, Stop> {
        loop {
            let (request, framing) = match self.next_head() {
                Ok(Some(head)) => head,
                Ok(None) if !self.exchanges.is_empty() => return Ok(true),
                Ok(None) if self.is_http2 => return Ok(false),
                Ok(None) => match self.read_head().await? {
                    true => continue,
                    false => return Ok(!self.exchanges.is_empty()),
                },
                Err(Unread { refusal, request, fragment }) => {
                    self.refuse(refusal, request, fragment);
                    return Ok(true);
                }
            };
            let alone = framing.body != BodyLength::Known(0) || !request.is_safe() || framing.upgrade;
            if alone && !self.exchanges.is_empty() {
                self.pending = Some((request, framing));
                return Ok(true);
            }
            self.accept(request, framing).await?;
            if alone || !self.keep_alive || self.exchanges.len() >= MOST_TOGETHER {
                return Ok(true);
            }
        }
    }

    /// The next head, if all of it is there.
    fn next_head(&mut self) -> Result<Option<(Arc<Request>, Framing)>, Unread> {
        if self.pending.is_some() {
            return Ok(self.pending.take());
        }
        let unread = self.input.unread();
        if unread.is_empty() {
            return Ok(None);
        }
        let (start, end, fields) = match self.scanner.scan(unread, &self.dispatcher.service.head_limits()) {
            Ok(Scan::Partial) => return Ok(None),
            Ok(Scan::Complete { start, end, fields }) => (start, end, fields),
            Err(refusal) => return Err(Unread { refusal, request: None, fragment: None }),
        };
        let mut request = take_request(self.address);
        let Some(empty) = Arc::get_mut(&mut request) else {
            return Err(Unread { refusal: SHARED, request: None, fragment: None });
        };
        let unread_head = &unread[start..end];
        let peer = (self.address, self.stream.is_secure());
        let service = &self.dispatcher.service;
        let (decoded, welcome) = receive(service, empty, peer, |empty| decode_head(unread_head, fields, empty));
        // A listener that only redirects does so in HTTP/1.1.
        let may_be_http2 = self.received == 0 && service.config.h2c && self.dispatcher.role == ListenerRole::Serve;
        if decoded.is_err() && may_be_http2 && unread[..end] == *PREFACE_HEAD {
            // The preface stays unread: `h2` reads it again.
            self.is_http2 = true;
            return Ok(None);
        }
        self.scanner = Default::default();
        self.input.consume(end);
        self.head_is_timed = false;
        if let Err(refusal) = decoded {
            let fragment = (!request.method().is_empty()).then_some(request);
            return Err(Unread { refusal, request: None, fragment });
        }
        match welcome.and_then(|()| framing(&request)) {
            Ok(framing) => Ok(Some((request, framing))),
            Err(refusal) => Err(Unread { refusal, request: Some(request), fragment: None }),
        }
    }

    /// Waits for more bytes of a head; `false` if no request will come.
    async fn read_head(&mut self) -> Result<bool, Stop> {
        let begun = self.scanner.has_begun(self.input.unread());
        if begun {
            // The deadline of a head counts from its first byte, however slowly the others follow.
            if !std::mem::replace(&mut self.head_is_timed, true) {
                self.head_since = self.dispatcher.service.clock.now();
                self.dispatcher
                    .control
                    .set_deadline(self.dispatcher.service.clock.after(self.dispatcher.service.config.header_timeout));
            }
            self.dispatcher.control.set_incomplete(self.head_since);
        } else {
            let config = &self.dispatcher.service.config;
            let patience = if self.received == 0 { config.first_byte_timeout } else { config.keep_alive_idle };
            let now = self.dispatcher.service.clock.now();
            match self.received {
                0 => self.dispatcher.control.set_incomplete(now),
                _ => self.dispatcher.control.set_idle(now),
            }
            self.dispatcher.control.set_deadline(self.dispatcher.service.clock.after(patience));
        }
        let waiting = match (begun, self.received) {
            (true, _) => Waiting::Head,
            (false, 0) => Waiting::First(self.dispatcher.service.clock.now()),
            (false, _) => Waiting::Idle,
        };
        let mut read = self.read(waiting).await;
        if !begun && self.received == 0 && matches!(read, Err(Stop::Ordered)) {
            // A first request that has arrived shows only when the event loop has polled the network again.
            tokio::task::yield_now().await;
            read = self.read(waiting).await;
        }
        self.dispatcher.control.set_busy();
        if !begun {
            self.dispatcher.control.clear_deadline();
            if read.is_ok() {
                self.dispatcher.control.clear_timeout();
            }
        }
        match read {
            Ok(_) => Ok(true),
            Err(Stop::TimedOut) if begun => {
                self.refuse(Refusal::limit(408, "head not complete in time", "header_timeout"), None, None);
                Ok(false)
            }
            // A client that has left, or that gives its place to others, gets no answer.
            Err(stop @ (Stop::Gone | Stop::Ordered)) if begun => Err(stop),
            // An idle connection is closed in good order and at once, for any reason: empty lines are no request.
            Err(_) => {
                let unread = self.input.unread().len();
                self.input.consume(unread);
                Ok(false)
            }
        }
    }

    /// Takes a request in after its head was read: its body, and whether another request may follow.
    async fn accept(&mut self, mut request: Arc<Request>, framing: Framing) -> Result<(), Stop> {
        self.received += 1;
        self.keep_alive = framing.keep_alive
            && self.dispatcher.service.config.keep_alive
            && self.received < self.dispatcher.service.config.max_socket_reuse
            && !self.dispatcher.service.is_ending();
        let began = self.dispatcher.service.began();
        let kind = self.dispatcher.service.note_active(&self.dispatcher.control, &request);
        if framing.body != BodyLength::Known(0) {
            let intake = self.intake(&request, &framing);
            let read = match intake.in_pieces {
                true => self.begin_incoming(&mut request, &framing, intake).map_err(BodyFault::from),
                false if framing.expects_continue && self.input.unread().is_empty() => {
                    let mut exchange = Exchange::new(Some(request), Work::Done);
                    exchange.began = began;
                    // The future is on the heap: an idle connection has no room for a rare case.
                    return Box::pin(self.accept_expecting(exchange, framing, intake)).await;
                }
                false => self.read_body(&mut request, framing, intake).await,
            };
            if let Err(fault) = read {
                return self.refuse_content(fault, request);
            }
        }
        // A deadline that passed at the moment of the last byte was not missed.
        self.dispatcher.control.clear_deadline();
        self.dispatcher.control.clear_timeout();
        let mut exchange = Exchange::new(Some(request), Work::Done);
        (exchange.began, exchange.kind) = (began, kind);
        push_exchange(&mut self.exchanges, exchange);
        Ok(())
    }

    /// Answers a request whose content did not come in as it should, or ends the conversation.
    pub(super) fn refuse_content(&mut self, fault: BodyFault, request: Arc<Request>) -> Result<(), Stop> {
        let refusal = match fault {
            BodyFault::Stopped(Stop::TimedOut) => too_slow(self.is_timed_by_rate),
            BodyFault::Stopped(stop) => {
                // For the log.
                self.exchanges.push(Exchange::new(Some(request), Work::Done));
                return Err(stop);
            }
            BodyFault::Refused(refusal) => refusal,
        };
        self.refuse(refusal, Some(request), None);
        Ok(())
    }

    /// Reads a whole body, into memory or a temporary file.
    pub(super) async fn read_body(
        &mut self,
        request: &mut Arc<Request>,
        framing: Framing,
        intake: Intake,
    ) -> Result<(), BodyFault> {
        let max = usize::try_from(intake.most).unwrap_or(usize::MAX);
        let limits = self.dispatcher.service.head_limits();
        let mut chunks = ChunkedDecoder::new();
        intake.check(framing.body.known())?;
        // A request that is shared already has no memory of an earlier one to be used again.
        let mut content = Arc::get_mut(request).map_or_else(Vec::new, |request| std::mem::take(&mut request.content));
        let mut spool = Spool::default();
        let mut window = RateWindow::new(self.dispatcher.service.clock.now());
        let mut expects_continue = framing.expects_continue;
        loop {
            let unread = self.input.unread();
            let moved = spool.length();
            let done = match framing.body {
                BodyLength::Known(length) => {
                    let missing = usize::try_from(length - moved).unwrap_or(usize::MAX) - content.len();
                    let take = missing.min(unread.len());
                    content.extend_from_slice(&unread[..take]);
                    self.input.consume(take);
                    take == missing
                }
                BodyLength::Chunked => {
                    let left = max.saturating_sub(usize::try_from(moved).unwrap_or(usize::MAX));
                    let step = chunks.receive(unread, &mut content, left, &limits)?;
                    self.input.consume(step.consumed);
                    step.done
                }
            };
            let is_spooling = done && moved > 0;
            if is_spooling || spool.wants(&content, self.dispatcher.service.config.spool_above) {
                spool.take(&self.dispatcher, &mut content).await?;
            }
            if done {
                break;
            }
            spool.count(&self.dispatcher, &content)?;
            let so_far = spool.length() + content.len() as u64;
            if std::mem::take(&mut expects_continue) && so_far == 0 {
                self.write(CONTINUE, b"").await?;
            }
            self.is_timed_by_rate = window.set_deadline(&self.dispatcher, so_far);
            let read = match framing.body {
                BodyLength::Known(length) => self.read_content(&mut content, length - so_far).await,
                BodyLength::Chunked => self.read(Waiting::Transfer).await.map(drop),
            };
            if matches!(read, Err(Stop::TimedOut))
                && let Some(refusal) = spool.ended()
            {
                return Err(refusal.into());
            }
            read?;
        }
        let (content, spool) = self.dispatcher.decode(intake, content, spool).await??;
        store_content(&self.dispatcher.service, request, content, spool)?;
        Ok(())
    }

    /// Reads once: behind `content`, of which `missing` bytes are to come, or into the input where that costs no more.
    async fn read_content(&mut self, content: &mut Vec<u8>, missing: u64) -> Result<(), Stop> {
        let Self { dispatcher, stream, .. } = &mut *self;
        if missing < dispatcher.service.config.recv_size as u64 {
            return self.read(Waiting::Transfer).await.map(drop);
        }
        let missing = usize::try_from(missing).unwrap_or(usize::MAX);
        make_room(content, missing, dispatcher.service.config.spool_above);
        let most = missing.min(LARGEST_READ);
        poll_fn(|context| match stream.poll_read_behind(context, content, most) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Ok(())),
            Poll::Ready(_) => Poll::Ready(Err(Stop::Gone)),
            Poll::Pending => match dispatcher.control.stop(context, Waiting::Transfer) {
                Some(stop) => Poll::Ready(Err(stop)),
                None => Poll::Pending,
            },
        })
        .await
    }

    /// Answers with an error and ends the conversation: the bytes behind the error may be no request.
    pub(in crate::connection) fn refuse(
        &mut self,
        refusal: Refusal,
        request: Option<Arc<Request>>,
        fragment: Option<Arc<Request>>,
    ) {
        self.keep_alive = false;
        let framing = request.as_deref().map(framing);
        self.is_uploading = matches!(framing, Some(Ok(framing)) if framing.body != BodyLength::Known(0));
        self.dispatcher.control.clear_timeout();
        self.dispatcher.control.clear_deadline();
        let mut exchange = Exchange::new(request, Work::Done);
        exchange.fragment = fragment;
        self.dispatcher.refuse(&mut exchange, &refusal);
        self.exchanges.push(exchange);
    }
}

/// Makes room behind content that has next to none: at most for the missing bytes, and for those that memory may hold.
fn make_room(content: &mut Vec<u8>, missing: usize, spool_above: usize) {
    if content.capacity() - content.len() >= missing.min(LITTLE_ROOM) {
        return;
    }
    let most = missing.min(spool_above.saturating_add(LARGEST_READ).saturating_sub(content.len()).max(LARGEST_READ));
    let step = if content.len() < FIRST_ROOM { FIRST_ROOM } else { content.len().max(MORE_ROOM) };
    let room = content.len() + most.min(step);
    if room < LARGE {
        content.reserve_exact(room - content.len());
        return;
    }
    let mut larger = take_content(room);
    larger.extend_from_slice(content);
    *content = larger;
}
