//! The one writer of HTTP/1.1: it renders every answer, then come the log line and the hooks.
//!
//! Answers that wait together leave with one write. Content of at most [`SMALL`] bytes is copied behind its head;
//! larger content is not copied.

use std::task::Context;

use crate::connection::Connection;
use crate::connection::buffer::{give_exchanges, give_output, recycle, take_output};
use crate::exchange::{Exchange, ResponseMeta, Sealed, Stop, Work, access_line, sample, seal};
use crate::log::Moment;
use crate::message::{Body, BodyStream, KnownHeader, Response, Version, takes_trailers};
use crate::protocol::ContentLength;
use crate::protocol::http1::{LAST_CHUNK, ResponseHead, encode_chunk, encode_head, encode_last_chunk};

/// Bytes of content that is copied behind its head; larger content is written from its own memory.
const SMALL: usize = 16 << 10;

impl Connection {
    /// Sends every answer in order, logs each, and calls the hooks.
    pub(in crate::connection) async fn send(&mut self) -> Result<(), Stop> {
        let now = Moment::now();
        let mut exchanges = std::mem::take(&mut self.exchanges);
        // Exchanges behind the first that is not answered wait for the next round.
        let answered = exchanges.iter().position(Exchange::is_open).unwrap_or(exchanges.len());
        let mut rest = exchanges.split_off(answered);
        let mut out = take_output();
        self.written = 0;
        let hooks_wait = self.dispatcher.has_after_hooks();
        let mut seen = Vec::new();
        let mut result = Ok(());
        // The exchanges before this one have left as a whole.
        let mut left = 0;
        let more_follow = !rest.is_empty() || !self.awaited.is_empty() || !self.later.is_empty();
        let last = if more_follow { usize::MAX } else { exchanges.len().saturating_sub(1) };
        for (index, exchange) in exchanges.iter_mut().enumerate() {
            let Work::Answered(mut response) = std::mem::replace(&mut exchange.work, Work::Done) else { continue };
            if index == last && (asks_to_close(&response) || self.dispatcher.service.is_ending()) {
                self.keep_alive = false;
            }
            let closes = index == last && !self.keep_alive;
            result = self.send_one(&mut out, exchange, &mut response, closes, &now).await;
            if out.is_empty() && result.is_ok() {
                left = index + 1;
            }
            if hooks_wait || exchange.request.as_ref().is_some_and(|request| request.after.get().is_some()) {
                seen.push((exchange.request.clone(), response));
            } else {
                response.headers.give_back();
            }
            // No answer can follow content that ends with the connection.
            if result.is_err() || (!self.keep_alive && index < last && self.is_past_content_until_close) {
                rest.clear();
                self.awaited.clear();
                self.later.clear();
                break;
            }
        }
        if result.is_ok() && !out.is_empty() {
            result = self.write_answers(&out).await;
        }
        give_output(out);
        self.dispatcher.service.measure(exchanges.iter().filter_map(sample));
        let has_failed = result.is_err();
        if has_failed {
            exchanges.iter_mut().skip(left).for_each(|exchange| exchange.is_cut = true);
        }
        let ended = exchanges.iter().filter(|exchange| exchange.status > 0 || (has_failed && exchange.has_head()));
        self.dispatcher.service.log.access(ended.map(|exchange| access_line(exchange, &self.client)), &now);
        if !seen.is_empty() {
            self.dispatcher.call_after_hooks(seen).await?;
        }
        exchanges.drain(..).for_each(recycle);
        exchanges.append(&mut rest);
        give_exchanges(&mut exchanges);
        self.exchanges = exchanges;
        result
    }

    /// Writes the lines of the requests that get no answer any more.
    pub(in crate::connection) fn log_unanswered(&mut self) {
        let awaited = std::mem::take(&mut self.awaited).into_iter().map(|request| Exchange::new(request, Work::Done));
        let mut left: Vec<_> = std::mem::take(&mut self.exchanges);
        left.append(&mut self.later);
        left.extend(awaited);
        left.extend(self.pending.take().map(|(request, _)| Exchange::new(Some(request), Work::Done)));
        left.retain(|exchange| exchange.status == 0 && exchange.has_head());
        if !left.is_empty() {
            let lines = left.iter().map(|exchange| access_line(exchange, &self.client));
            self.dispatcher.service.log.access(lines, &Moment::now());
        }
    }

    /// Renders one answer behind the rendered ones in `out`; writes only if the answer does not fit there.
    async fn send_one(
        &mut self,
        out: &mut Vec<u8>,
        exchange: &mut Exchange,
        response: &mut Response,
        closes: bool,
        now: &Moment,
    ) -> Result<(), Stop> {
        if let Some(socket) = response.take_tunnel() {
            return self.tunnel(out, exchange, socket).await;
        }
        let http_1_0 = exchange.request.as_ref().is_some_and(|request| request.version == Version::Http10);
        let is_secure = self.stream.is_secure();
        let Sealed { body, file, meta } = seal(&self.dispatcher.service.front, exchange, is_secure, response);
        let ResponseMeta { length, content_type, sends_content } = meta;
        let closes = closes || length == ContentLength::UntilClose;
        if length == ContentLength::UntilClose {
            self.keep_alive = false;
            self.is_past_content_until_close = true;
        }
        let connection = match (closes, http_1_0) {
            _ if response.status == 101 => Some("Upgrade"),
            (true, _) => Some("close"),
            (false, true) => Some("keep-alive"),
            (false, false) => None,
        };
        let (status, headers, date) = (response.status, &response.headers, &now.date);
        let reason = response.rare.as_ref().and_then(|rare| rare.reason.as_deref());
        encode_head(out, &ResponseHead { status, reason, headers, content_type, length, date, connection });
        match body {
            Body::Stream(stream) if sends_content => self.send_stream(out, exchange, stream, length).await,
            Body::Stream(stream) => {
                self.dispatcher.discard(stream);
                Ok(())
            }
            _ if !sends_content => Ok(()),
            Body::Bytes(bytes) if bytes.len() <= SMALL => {
                exchange.bytes = bytes.len() as u64;
                out.extend_from_slice(&bytes);
                match out.len() > self.dispatcher.service.config.send_size {
                    true => self.flush(out, b"").await,
                    false => Ok(()),
                }
            }
            Body::Bytes(bytes) => {
                let (before, head) = (self.written, out.len() as u64);
                let result = self.flush(out, &bytes).await;
                exchange.bytes = (self.written - before).saturating_sub(head);
                result
            }
            Body::File(_) | Body::Empty => match file {
                Some(file) => self.send_file(out, exchange, file).await,
                None => Ok(()),
            },
        }
    }

    pub(in crate::connection) async fn flush(&mut self, out: &mut Vec<u8>, content: &[u8]) -> Result<(), Stop> {
        let result = self.write(out, content).await;
        out.clear();
        result
    }

    /// Asks a stream for its pieces, one at a time, and sends each at once.
    async fn send_stream(
        &mut self,
        out: &mut Vec<u8>,
        exchange: &mut Exchange,
        stream: Box<dyn BodyStream>,
        length: ContentLength,
    ) -> Result<(), Stop> {
        let mut flow = self.dispatcher.response_stream(stream, exchange.request.clone());
        if let ContentLength::Known(length) = length {
            flow = flow.declared(length);
        }
        let is_cancelled = self.dispatcher.is_cancelled(exchange.cancel_on_disconnect);
        if flow.begins_at_once()
            && let Err(stop) = self.flush(out, b"").await
        {
            self.dispatcher.end_flow(&mut flow, &stop);
            return Err(stop);
        }
        loop {
            let Self { dispatcher, stream: socket, input, watch, .. } = &mut *self;
            let (control, most) = (&dispatcher.control, dispatcher.service.config.recv_size);
            let gone = |context: &mut Context<'_>| match is_cancelled {
                true => watch.poll_leaving(socket, input, control, most, context),
                false => watch.poll(socket, input, control, most, context),
            };
            let Some(piece) = dispatcher.next_piece(&mut flow, gone).await? else { break };
            exchange.bytes += piece.len() as u64;
            if let Err(stop) = self.send_piece(out, &piece, length).await {
                self.dispatcher.end_flow(&mut flow, &stop);
                return Err(stop);
            }
        }
        if length == ContentLength::Chunked {
            match flow.take_trailers(|request| takes_trailers(request.headers())) {
                Some(trailers) => encode_last_chunk(out, &trailers),
                None => out.extend_from_slice(LAST_CHUNK),
            }
        }
        // The stream may have ended because the server ends.
        self.keep_alive &= !self.dispatcher.service.is_ending();
        self.flush(out, b"").await
    }

    /// Sends a piece. An empty one becomes a byte of chunked coding, which a client that is gone answers by a reset.
    async fn send_piece(&mut self, out: &mut Vec<u8>, piece: &[u8], length: ContentLength) -> Result<(), Stop> {
        if piece.is_empty() {
            if out.is_empty() && length == ContentLength::Chunked {
                // The size of the next chunk may begin with zeros (RFC 9112 section 7.1).
                out.push(b'0');
            }
            return self.flush(out, b"").await;
        }
        if length != ContentLength::Chunked {
            return self.flush(out, piece).await;
        }
        if piece.len() <= SMALL {
            encode_chunk(out, piece);
            return self.flush(out, b"").await;
        }
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        let sent = self.flush(out, piece).await;
        out.extend_from_slice(b"\r\n");
        sent
    }
}

/// Whether the handler wants the connection to end with its answer.
fn asks_to_close(response: &Response) -> bool {
    response.headers.known(KnownHeader::Connection).is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
}
