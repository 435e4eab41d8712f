//! The writer of HTTP/2: the same steps as in HTTP/1.1, with streams and windows in place of a socket.
//!
//! Content leaves as fast as the client's windows open. A client that opens them by a few bytes at a time is given up
//! (docs/security.md S19, S21): fewer than [`USEFUL`] bytes are no progress, and the minimum rate holds.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderValue;
use http::Response as Head;

use super::exchange::StreamExchange;
use super::shared::Sender;
use crate::exchange::{Dispatcher, Exchange, ResponseMeta, Sealed, Stop, Waiting, Work, access_line, sample, seal};
use crate::files::{FileContent, FileSegment, Patience, bring_into_memory};
use crate::log::Moment;
use crate::message::{Body, BodyStream, Response};
use crate::protocol::ContentLength;
use crate::protocol::http2::{response_head, trailer_fields};
use crate::site::Front;

/// Bytes that a client has to take for it to count as progress; fewer do not move the stall deadline.
const USEFUL: u64 = 1 << 10;
/// Bytes of a file that are brought into memory at once if they are not there.
const AHEAD: u64 = 512 << 10;

/// The content behind a head.
pub(super) enum OutgoingContent {
    Nothing,
    Bytes(Bytes),
    File(Box<FileContent>),
    /// A stream, with its length if that is declared.
    Stream(Box<dyn BodyStream>, Option<u64>),
    /// A stream that the client does not want.
    Unwanted(Box<dyn BodyStream>),
}

/// Renders the head of an answer, and takes its content out.
pub(super) fn render(
    exchange: &mut Exchange,
    response: &mut Response,
    values: &mut Values,
    front: &Front,
) -> (Head<()>, OutgoingContent) {
    let Sealed { body, file, meta } = seal(front, exchange, false, response);
    let ResponseMeta { length, content_type, sends_content } = meta;
    let declared = match length {
        ContentLength::Known(length) => Some(length),
        _ => None,
    };
    let length = declared.map(|length| values.length(length));
    let head = response_head(response.status, &response.headers, content_type, length, values.date());
    let content = match (body, file) {
        (Body::Stream(stream), _) if sends_content => OutgoingContent::Stream(stream, declared),
        (Body::Stream(stream), _) => OutgoingContent::Unwanted(stream),
        _ if !sends_content => OutgoingContent::Nothing,
        (_, Some(file)) if file.len() > 0 => OutgoingContent::File(file),
        (Body::Bytes(bytes), _) if !bytes.is_empty() => OutgoingContent::Bytes(bytes),
        _ => OutgoingContent::Nothing,
    };
    (head, content)
}

/// Field values that many answers have in common.
#[derive(Debug)]
pub(super) struct Values {
    text: [u8; 29],
    date: HeaderValue,
    /// Whether the date was read from the clock in this poll.
    is_present: bool,
    length: (u64, HeaderValue),
}

impl Default for Values {
    fn default() -> Self {
        let empty = || HeaderValue::from_static("");
        Self { text: [0; 29], date: empty(), is_present: false, length: (u64::MAX, empty()) }
    }
}

impl Values {
    /// Has the next date read from the clock again, because time has passed.
    pub(super) fn pass(&mut self) {
        self.is_present = false;
    }

    fn date(&mut self) -> &HeaderValue {
        if !std::mem::replace(&mut self.is_present, true) {
            let text = Moment::now().date;
            if self.text != text {
                self.text = text;
                self.date = HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""));
            }
        }
        &self.date
    }

    fn length(&mut self, length: u64) -> HeaderValue {
        if self.length.0 != length {
            self.length = (length, length.into());
        }
        self.length.1.clone()
    }
}

/// The progress of a transfer: since when it has waited, in milliseconds of the clock, and the bytes that have moved.
#[derive(Debug, Default)]
struct Progress {
    waited_since: Option<u64>,
    moved: u64,
    /// The bytes that had moved, and the time, at the last progress of at least [`USEFUL`] bytes.
    last: (u64, u64),
}

impl Progress {
    /// Sets the deadline of a wait that begins now. Returns whether it is the deadline of the minimum rate.
    fn set_deadline(&mut self, dispatcher: &Dispatcher) -> bool {
        let now = dispatcher.service.clock.now();
        let since = *self.waited_since.get_or_insert_with(|| {
            self.last = (self.moved, now);
            now
        });
        if self.moved - self.last.0 >= USEFUL {
            self.last = (self.moved, now);
        }
        let waited = Duration::from_millis(now.saturating_sub(self.last.1));
        let stall = dispatcher.service.config.write_stall_timeout.saturating_sub(waited);
        dispatcher.set_transfer_deadline(since, self.moved, stall)
    }
}

impl StreamExchange {
    /// Sends the answer, logs it, and calls the hooks.
    pub(super) async fn send(&mut self) -> Result<(), Stop> {
        let exchange = &mut self.accepted.exchange;
        let Work::Answered(mut response) = std::mem::replace(&mut exchange.work, Work::Done) else { return Ok(()) };
        let (head, content) = render(exchange, &mut response, &mut Values::default(), &self.dispatcher.service.front);
        let is_all = matches!(content, OutgoingContent::Nothing | OutgoingContent::Unwanted(_));
        let stream = self.accepted.respond.send_response(head, is_all);
        let result = match (stream, content) {
            (Ok(stream), OutgoingContent::Bytes(bytes)) => self.send_bytes(stream, bytes).await,
            (Ok(stream), OutgoingContent::File(file)) => self.send_file(stream, &file).await,
            (Ok(stream), OutgoingContent::Stream(body, declared)) => self.send_stream(stream, body, declared).await,
            (result, OutgoingContent::Stream(body, _) | OutgoingContent::Unwanted(body)) => {
                self.dispatcher.discard(body);
                result.map(drop).map_err(|_| Stop::Gone)
            }
            (result, _) => result.map(drop).map_err(|_| Stop::Gone),
        };
        self.accepted.exchange.is_cut = result.is_err();
        self.log();
        if self.dispatcher.calls_after(self.accepted.exchange.request.as_ref()) {
            let request = self.accepted.exchange.request.clone();
            self.dispatcher.call_after_hooks(vec![(request, response)]).await?;
        }
        result
    }

    /// Writes the line of this exchange into the access log.
    pub(super) fn log(&self) {
        self.dispatcher.service.measure(std::iter::once(&self.accepted.exchange).filter_map(sample));
        let line = access_line(&self.accepted.exchange, &self.client);
        self.dispatcher.service.log.access(std::iter::once(line), &Moment::now());
    }

    /// Sends the content of an answer whose head has left.
    pub(super) async fn send_bytes(&mut self, mut stream: SendStream<Bytes>, bytes: Bytes) -> Result<(), Stop> {
        self.send_piece(&mut stream, bytes, true, &mut Progress::default()).await
    }

    async fn send_piece(
        &mut self,
        stream: &mut SendStream<Bytes>,
        mut piece: Bytes,
        is_last: bool,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        while !piece.is_empty() {
            let count = self.room(stream, piece.len(), progress).await?;
            let part = piece.split_to(count);
            stream.send_data(part, is_last && piece.is_empty()).map_err(|_| Stop::Gone)?;
            self.accepted.exchange.bytes += count as u64;
            self.dispatcher.account.add_taken(count);
        }
        self.end_transfer(progress);
        Ok(())
    }

    /// Waits until the stream takes some of the `wanted` bytes. Returns their number.
    async fn room(
        &mut self,
        stream: &mut SendStream<Bytes>,
        wanted: usize,
        progress: &mut Progress,
    ) -> Result<usize, Stop> {
        let dispatcher = &self.dispatcher;
        stream.reserve_capacity(wanted);
        let mut by_rate = false;
        let room = poll_fn(|context| {
            let room = match stream.capacity() {
                0 => stream.poll_capacity(context),
                room => Poll::Ready(Some(Ok(room))),
            };
            match room {
                Poll::Ready(Some(Ok(room))) => Poll::Ready(Ok(room.min(wanted))),
                Poll::Ready(_) => Poll::Ready(Err(Stop::Gone)),
                Poll::Pending => {
                    if let Some(stop) = dispatcher.control.stop(context, Waiting::Transfer) {
                        return Poll::Ready(Err(stop));
                    }
                    by_rate = progress.set_deadline(dispatcher);
                    Poll::Pending
                }
            }
        });
        let room = room.await.inspect_err(|stop| {
            if let Stop::TimedOut = stop {
                dispatcher.service.complain_of_slow_reader(by_rate);
            }
        })?;
        progress.moved += room as u64;
        Ok(room)
    }

    /// Clears the deadline of a transfer after the client has taken all bytes.
    fn end_transfer(&self, progress: &mut Progress) {
        if progress.waited_since.is_some() {
            self.dispatcher.control.clear_deadline();
            self.dispatcher.control.clear_timeout();
        }
    }

    async fn send_file(&mut self, mut stream: SendStream<Bytes>, content: &FileContent) -> Result<(), Stop> {
        let (sender, mut progress) = (self.shared.sender(), Progress::default());
        let last = content.segments.len().saturating_sub(1);
        for (index, segment) in content.segments.iter().enumerate() {
            let is_last = index == last;
            match segment {
                FileSegment::Text(text) => self.send_piece(&mut stream, text.clone(), is_last, &mut progress).await?,
                FileSegment::Range(range) => {
                    let range = range.start..range.end;
                    self.send_range(&mut stream, content, range, is_last, (&sender, &mut progress)).await?;
                }
            }
        }
        self.end_transfer(&mut progress);
        Ok(())
    }

    async fn send_range(
        &mut self,
        stream: &mut SendStream<Bytes>,
        content: &FileContent,
        range: std::ops::Range<u64>,
        is_last: bool,
        (sender, progress): (&Sender, &mut Progress),
    ) -> Result<(), Stop> {
        let mut at = range.start;
        while at < range.end {
            let wanted = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(sender.share());
            let room = self.room(stream, wanted, progress).await?;
            // The file is read after the wait: a client that takes no bytes needs none in memory.
            let piece = self.read_file(content, at, room).await?;
            at += piece.len() as u64;
            self.accepted.exchange.bytes += piece.len() as u64;
            stream.send_data(piece, is_last && at == range.end).map_err(|_| Stop::Gone)?;
        }
        Ok(())
    }

    /// At most `most` bytes of a file, and at least one.
    async fn read_file(&mut self, content: &FileContent, at: u64, most: usize) -> Result<Bytes, Stop> {
        let mut buffer = vec![0; most];
        let read = match content.file.read(&mut buffer, at, Patience::Now) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let file = Arc::clone(&content.file);
                let read = self.dispatcher.spawn_blocking(move || {
                    bring_into_memory(&file.file, at, at + AHEAD)?;
                    file.read(&mut buffer, at, Patience::Any).map(|count| (buffer, count))
                });
                read.await?
            }
            read => read.map(|count| (buffer, count)),
        };
        match read {
            Ok((_, 0)) => Err(self.cannot_finish(content, "it has become shorter")),
            Ok((mut buffer, count)) => {
                buffer.truncate(count);
                Ok(buffer.into())
            }
            Err(error) => Err(self.cannot_finish(content, &error.to_string())),
        }
    }

    fn cannot_finish(&mut self, content: &FileContent, reason: &str) -> Stop {
        self.dispatcher.service.cannot_finish(content, reason);
        self.accepted.respond.send_reset(Reason::INTERNAL_ERROR);
        Stop::Failed
    }

    /// Asks a stream for its pieces, one at a time, and sends each at once.
    async fn send_stream(
        &mut self,
        mut stream: SendStream<Bytes>,
        body: Box<dyn BodyStream>,
        declared: Option<u64>,
    ) -> Result<(), Stop> {
        let mut flow = self.dispatcher.response_stream(body, self.accepted.exchange.request.clone());
        if let Some(length) = declared {
            flow = flow.declared(length);
        }
        loop {
            // A piece is made only when the client takes bytes.
            let mut progress = Progress::default();
            if let Err(stop) = self.room(&mut stream, 1, &mut progress).await {
                self.dispatcher.end_flow(&mut flow, &stop);
                return Err(stop);
            }
            self.end_transfer(&mut progress);
            let dispatcher = &self.dispatcher;
            let gone = |context: &mut Context<'_>| match stream.poll_reset(context) {
                Poll::Ready(_) => Poll::Ready(Stop::Gone),
                Poll::Pending => match dispatcher.control.stop(context, Waiting::Handler) {
                    Some(stop) => Poll::Ready(stop),
                    None => Poll::Pending,
                },
            };
            let Some(piece) = dispatcher.next_piece(&mut flow, gone).await? else { break };
            if let Err(stop) = self.send_piece(&mut stream, piece, false, &mut Progress::default()).await {
                self.dispatcher.end_flow(&mut flow, &stop);
                return Err(stop);
            }
        }
        // In HTTP/2 a client that does not know trailers can leave them out (RFC 9113 section 8.1).
        match flow.take_trailers(|_| true) {
            Some(trailers) => stream.send_trailers(trailer_fields(&trailers)),
            None => stream.send_data(Bytes::new(), true),
        }
        .map_err(|_| Stop::Gone)
    }
}
