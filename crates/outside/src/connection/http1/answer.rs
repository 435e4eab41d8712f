//! Between reading and writing: the connection takes every exchange of a batch through the steps of the pipeline.
//!
//! Files and redirects are answered at once. Functions go to the executor, all of them as one job. A handler with an
//! event loop of its own gets its request through that loop.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::connection::Connection;
use crate::connection::buffer::ReadBuffer;
use crate::connection::guard::ConnectionGuard;
use crate::connection::http1::Http1Body;
use crate::connection::watch::Watch;
use crate::connection::websocket::{Opening, open_websocket};
use crate::exchange::{Awaited, Dispatcher, Exchange, Stop, Wait, Waiting, WebSocketOpener, Wire, Work, is_patient};
use crate::executor::MOST_HELD;
use crate::message::{Headers, Request};
use crate::protocol::http1::encode_hints;
use crate::transport::Stream;

impl Connection {
    /// Leaves the next exchanges answered, in order. A late one and those behind it stay `awaited`.
    pub(in crate::connection) async fn answer(&mut self) -> Result<(), Stop> {
        if self.awaited.is_empty() {
            self.ask().await?;
        }
        if !self.awaited.is_empty() {
            let mut arrived = self.collect().await?;
            match self.exchanges.is_empty() {
                true => self.exchanges = arrived,
                // Exchanges before these did not begin, because earlier answers filled the memory for answers.
                false => self.exchanges.append(&mut arrived),
            }
        }
        if self.incoming.is_some() {
            self.end_incoming();
        }
        if matches!(self.exchanges.first(), Some(Exchange { work: Work::Begin(_), .. })) {
            // The future is on the heap: an idle connection has no room for a rare case.
            Box::pin(self.begin_stream()).await?;
        }
        if self.exchanges.iter().any(|exchange| self.dispatcher.compresses(exchange)) {
            let mut exchanges = std::mem::take(&mut self.exchanges);
            let mut completed = Ok(());
            for exchange in &mut exchanges {
                if completed.is_ok() {
                    completed = self.dispatcher.complete(exchange).await;
                }
            }
            self.exchanges = exchanges;
            completed?;
        } else if self.dispatcher.site.1.policy.is_some() {
            self.exchanges.iter_mut().for_each(|exchange| self.dispatcher.add_policy_headers(exchange));
        }
        Ok(())
    }

    /// Answers every exchange, or hands all of them to the executor. When the answers fill the memory that they may
    /// have, the exchanges behind them stay in `later`.
    async fn ask(&mut self) -> Result<(), Stop> {
        self.dispatcher.service.site.refresh(&mut self.dispatcher.site);
        let mut exchanges = std::mem::take(&mut self.exchanges);
        exchanges.append(&mut self.later);
        let mut held = 0;
        for index in 0..exchanges.len() {
            if held > MOST_HELD {
                self.later = exchanges.split_off(index);
                break;
            }
            let exchange = &mut exchanges[index];
            let mut awaited = self.dispatcher.route(exchange);
            let is_alone = is_patient(&exchange.work) || is_hosted(awaited.as_ref());
            if is_alone && index > 0 {
                // A call that may answer early is a job of its own, behind the answers before it.
                self.later = exchanges.split_off(index);
                break;
            }
            if awaited.is_some() {
                match self.ask_wire(&mut awaited, exchange).await {
                    Ok(is_in_time) => self.is_in_time(is_in_time),
                    Err(stop) => {
                        // For the log.
                        self.exchanges = exchanges;
                        return Err(stop);
                    }
                }
            }
            if is_alone {
                self.later = exchanges.split_off(1);
                break;
            }
            held += exchange.held();
        }
        if exchanges.iter().any(Exchange::is_for_executor) {
            let pooled = exchanges.iter().any(|exchange| self.dispatcher.wants_pool(exchange));
            self.hand_over(exchanges, pooled);
        } else {
            self.exchanges = exchanges;
        }
        Ok(())
    }

    /// Takes one exchange through the gate and to a handler that is no function. Returns whether both were in time.
    async fn ask_wire(&mut self, awaited: &mut Option<Awaited>, exchange: &mut Exchange) -> Result<bool, Stop> {
        let (dispatcher, mut wire) = self.split();
        let passed = dispatcher.pass_gate(awaited, exchange, &mut wire).await?;
        Ok(dispatcher.ask(awaited.take(), exchange, &mut wire).await? && passed)
    }

    /// The dispatcher, which has the steps of an exchange, and the wire that it sees.
    fn split(&mut self) -> (&Dispatcher, Http1Wire<'_>) {
        let Self { dispatcher, stream, input, incoming, watch, guard, opening, .. } = self;
        let (incoming, has_closed) = (incoming.as_deref_mut(), false);
        (dispatcher, Http1Wire { stream, input, incoming, watch, guard, opening, has_closed })
    }

    /// Hands exchanges to the executor; `pooled` if their handlers are known to wait.
    fn hand_over(&mut self, exchanges: Vec<Exchange>, pooled: bool) {
        self.awaited.extend(exchanges.iter().map(|exchange| exchange.request.clone()));
        self.dispatcher.push(exchanges, pooled, Arc::clone(&self.slot));
    }

    /// Waits for the next exchanges from the executor. If none comes within `process_timeout`, the client gets 504 for
    /// all that are awaited: the late handler is interrupted, the handlers behind it are never called, and the
    /// connection ends.
    async fn collect(&mut self) -> Result<Vec<Exchange>, Stop> {
        // Borrowed where they are: a count of references costs as much as ten other steps.
        let Self { dispatcher, stream, input, incoming, watch, guard, opening, slot, awaited, .. } = &mut *self;
        let (dispatcher, slot) = (&*dispatcher, &*slot);
        let first = awaited.first().and_then(Option::as_ref);
        let incoming = incoming.as_deref_mut();
        let mut wire = Http1Wire { stream, input, incoming, watch, guard, opening, has_closed: false };
        let arrived = loop {
            let gone = |context: &mut Context<'_>| wire.poll_gone(dispatcher, Wait::Function, context);
            match dispatcher.arrivals(slot, first, gone).await {
                Ok(exchanges) => match dispatcher.send_hints(first, exchanges, &mut wire).await {
                    Ok(answers) if answers.is_empty() => {}
                    Ok(answers) => break Ok(answers),
                    Err(stop) => {
                        dispatcher.abandon(slot, first, &stop);
                        break Err(stop);
                    }
                },
                stopped => break stopped,
            }
        };
        match arrived {
            Ok(exchanges) => {
                self.awaited.drain(..exchanges.len());
                if exchanges.iter().any(|exchange| exchange.is_early) {
                    // The call behind this answer still runs in the old slot.
                    self.slot = self.dispatcher.reply_slot();
                }
                if self.awaited.is_empty() {
                    // An idle connection holds room for one exchange.
                    self.awaited.shrink_to(1);
                }
                return Ok(exchanges);
            }
            Err(Stop::TimedOut) => {}
            Err(stop) => return Err(stop),
        }
        let first = self.awaited.first().cloned().flatten();
        self.miss_deadline(first.as_deref());
        // A late answer arrives in the old slot, which the connection has left.
        self.slot = self.dispatcher.reply_slot();
        let awaited = std::mem::take(&mut self.awaited).into_iter();
        let mut late: Vec<_> = awaited.map(|request| Exchange::new(request, Work::Status(504, None))).collect();
        late.iter_mut().for_each(|exchange| self.dispatcher.respond_with_page(exchange));
        if !late.iter().any(Exchange::is_open) {
            return Ok(late);
        }
        let (slot, count) = (Arc::clone(&self.slot), late.len());
        self.dispatcher.push(late, true, Arc::clone(&slot));
        let mut pages = Vec::with_capacity(count);
        while pages.len() < count {
            pages.extend(self.dispatcher.arrivals(&slot, None, |context| self.dispatcher.poll_order(context)).await?);
        }
        Ok(pages)
    }

    /// Begins the stream that is the next answer; the streams behind it begin when it has been sent.
    async fn begin_stream(&mut self) -> Result<(), Stop> {
        let mut exchanges = std::mem::take(&mut self.exchanges);
        let (dispatcher, mut wire) = self.split();
        let begun = match exchanges.first_mut() {
            Some(exchange) => dispatcher.begin(exchange, &mut wire).await,
            None => Ok(true),
        };
        if wire.has_closed {
            wire.watch.forget();
        }
        self.exchanges = exchanges;
        self.is_in_time(begun?);
        Ok(())
    }

    /// Has the connection end after a 504.
    fn is_in_time(&mut self, is_in_time: bool) {
        if !is_in_time {
            self.keep_alive = false;
            self.dispatcher.control.clear_timeout();
        }
    }

    /// Has the connection end, because the client gets 504 instead of an answer to this request.
    fn miss_deadline(&mut self, request: Option<&Request>) {
        self.keep_alive = false;
        self.dispatcher.control.clear_timeout();
        if let Some(request) = request {
            self.dispatcher.note_late(request);
        }
    }
}

/// Whether this is a hosted application.
fn is_hosted(awaited: Option<&Awaited>) -> bool {
    matches!(awaited, Some(Awaited::Async(handler)) if handler.is_hosted())
}

/// The connection as the steps of an exchange see it.
struct Http1Wire<'c> {
    stream: &'c mut Stream,
    input: &'c mut ReadBuffer,
    /// Content that the handler of the current request takes while it comes in.
    incoming: Option<&'c mut Http1Body>,
    watch: &'c mut Watch,
    guard: &'c mut ConnectionGuard,
    opening: &'c mut Option<Box<Opening>>,
    /// Whether the client has closed its side before the first piece of a stream came.
    has_closed: bool,
}

impl Wire for Http1Wire<'_> {
    fn poll_gone(&mut self, dispatcher: &Dispatcher, wait: Wait, context: &mut Context<'_>) -> Poll<Stop> {
        let Self { stream, input, watch, .. } = self;
        let (control, most) = (&dispatcher.control, dispatcher.service.config.recv_size);
        match (wait, &mut self.incoming) {
            (Wait::Function, Some(incoming)) => incoming.poll(dispatcher, stream, input, context),
            (Wait::Handler { is_cancelled }, Some(incoming)) if !incoming.is_over() => {
                match incoming.poll(dispatcher, stream, input, context) {
                    // The handler learns that no more content will come, and may still answer.
                    Poll::Ready(Stop::Gone) if !is_cancelled => incoming.abandon(dispatcher, context),
                    polled => polled,
                }
            }
            (Wait::Handler { is_cancelled: true } | Wait::FirstPiece { is_cancelled: true }, _) => {
                watch.poll_leaving(stream, input, control, most, context)
            }
            (Wait::FirstPiece { is_cancelled: false }, _) => {
                let polled = watch.poll(stream, input, control, most, context);
                self.has_closed |= matches!(polled, Poll::Ready(Stop::Closed));
                polled
            }
            (Wait::Function | Wait::Handler { is_cancelled: false }, _) => dispatcher.poll_order(context),
        }
    }

    async fn hint(&mut self, dispatcher: &Dispatcher, fields: &Headers) -> Result<(), Stop> {
        let mut out = Vec::new();
        encode_hints(&mut out, fields);
        let (control, service) = (&dispatcher.control, &dispatcher.service);
        dispatcher.set_transfer_deadline(service.clock.now(), 0, service.config.write_stall_timeout);
        let mut rest = &out[..];
        while !rest.is_empty() {
            let stream = &mut *self.stream;
            let written = poll_fn(|context| match stream.poll_write(context, &[IoSlice::new(rest)]) {
                Poll::Ready(Ok(count)) if count > 0 => Poll::Ready(Ok(count)),
                Poll::Ready(_) => Poll::Ready(Err(Stop::Gone)),
                Poll::Pending => control.stop(context, Waiting::Transfer).map_or(Poll::Pending, |stop| {
                    Poll::Ready(Err(match stop {
                        // No other answer can follow a part of this one.
                        Stop::TimedOut => Stop::Gone,
                        stop => stop,
                    }))
                }),
            });
            rest = &rest[written.await?..];
        }
        control.clear_deadline();
        Ok(())
    }

    fn open_websocket(&mut self, dispatcher: &Dispatcher, opener: WebSocketOpener, exchange: &mut Exchange) {
        *self.opening = open_websocket(dispatcher, self.guard, opener, exchange).map(Box::new);
    }
}
