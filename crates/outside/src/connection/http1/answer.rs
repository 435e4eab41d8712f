//! Between in and out: every exchange gets its answer, from whoever is to give it.
//!
//! Files and redirects are answered here and now. Functions go to the executor, all of them as one job. What has an
//! event loop of its own is handed over there.

use std::sync::Arc;
use std::task::{Context, Poll};

use crate::connection::Connection;
use crate::exchange::{Awaited, Stop, is_worth_encoding};
use crate::executor::{Exchange, MOST_HELD, Work};
use crate::handler::Elsewhere;
use crate::message::Request;

impl Connection {
    /// Leaves the next exchanges answered, in order. If one behind them is late, it and those behind it are `awaited`.
    pub(in crate::connection) async fn answer(&mut self) -> Result<(), Stop> {
        if self.awaited.is_empty() {
            self.ask().await?;
        }
        if !self.awaited.is_empty() {
            let mut arrived = self.collect().await?;
            match self.exchanges.is_empty() {
                true => self.exchanges = arrived,
                // Before them are some that were not begun, because those before these filled the memory that answers may have.
                false => self.exchanges.append(&mut arrived),
            }
        }
        if self.incoming.is_some() {
            self.end_incoming();
        }
        if matches!(self.exchanges.first(), Some(Exchange { work: Work::Begin(_), .. })) {
            // On the heap: a connection that rests has no room for what is rare.
            Box::pin(self.begin_stream()).await?;
        }
        if self.dispatcher.service.config.compression && self.exchanges.iter().any(is_worth_encoding) {
            let mut exchanges = std::mem::take(&mut self.exchanges);
            for exchange in exchanges.iter_mut().filter(|exchange| is_worth_encoding(exchange)) {
                self.dispatcher.encode(exchange).await?;
            }
            self.exchanges = exchanges;
        }
        if self.dispatcher.site.1.policy.is_some() {
            self.exchanges.iter_mut().for_each(|exchange| self.dispatcher.add_policy_headers(exchange));
        }
        Ok(())
    }

    /// Answers every exchange, or hands all of them to the executor; those for whose answers there is no memory before others have
    /// been taken are left for later.
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
            if let Some(Awaited::Gate(gate)) = awaited {
                let is_in_time =
                    self.dispatcher.ask_gate(gate, exchange, |context| self.dispatcher.poll_order(context)).await?;
                self.is_in_time(is_in_time);
                awaited = self.dispatcher.route(exchange);
            }
            match awaited {
                None | Some(Awaited::Gate(_)) => {}
                Some(Awaited::Elsewhere(handler)) => self.ask_elsewhere(&*handler, exchange).await?,
                Some(Awaited::WebSocket(websocket)) => self.open_websocket(websocket, exchange),
                Some(Awaited::Files(files, below)) => self.dispatcher.answer_with_file(&files, below, exchange).await?,
            }
            held += exchange.held();
        }
        if exchanges.iter().any(Exchange::is_for_executor) {
            let pooled = exchanges.iter().any(|exchange| self.dispatcher.wants_pool(&exchange.work));
            self.hand_over(exchanges, pooled);
        } else {
            self.exchanges = exchanges;
        }
        Ok(())
    }

    /// Hands exchanges to the executor; `pooled` if they are known to wait.
    fn hand_over(&mut self, exchanges: Vec<Exchange>, pooled: bool) {
        self.awaited.extend(exchanges.iter().map(|exchange| exchange.request.clone()));
        self.dispatcher.push(exchanges, pooled, Arc::clone(&self.slot));
    }

    /// Waits for the next of what the executor is at. If nothing comes within `process_timeout`, the client gets 504 for
    /// all of it, whatever the handlers do: the one that is late is interrupted, those behind it never begin, and the
    /// connection ends.
    async fn collect(&mut self) -> Result<Vec<Exchange>, Stop> {
        let (slot, first) = (Arc::clone(&self.slot), self.awaited.first().cloned().flatten());
        let Self { dispatcher, stream, input, incoming, .. } = &mut *self;
        let gone = |context: &mut Context<'_>| match incoming {
            Some(incoming) => incoming.poll(dispatcher, stream, input, context),
            None => dispatcher.poll_order(context),
        };
        match dispatcher.arrivals(&slot, first.as_ref(), gone).await {
            Ok(exchanges) => {
                self.awaited.drain(..exchanges.len());
                if self.awaited.is_empty() {
                    // A connection that rests holds room for one.
                    self.awaited.shrink_to(1);
                }
                return Ok(exchanges);
            }
            Err(Stop::TimedOut) => {}
            Err(stop) => return Err(stop),
        }
        self.miss_deadline(first.as_deref());
        // What is late arrives where nobody looks.
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

    async fn ask_elsewhere(&mut self, handler: &dyn Elsewhere, exchange: &mut Exchange) -> Result<(), Stop> {
        let Self { dispatcher, stream, input, incoming, watch, .. } = &mut *self;
        let (control, most) = (&dispatcher.control, dispatcher.service.config.recv_size);
        let is_cancelled = dispatcher.is_cancelled(exchange.cancel_on_disconnect);
        let gone = |context: &mut Context<'_>| match incoming {
            Some(incoming) if !incoming.is_over() => match incoming.poll(dispatcher, stream, input, context) {
                // Its handler learns that no more will come, and says what there is to be said.
                Poll::Ready(Stop::Gone) if !is_cancelled => incoming.abandon(dispatcher, context),
                polled => polled,
            },
            _ if is_cancelled => watch.poll_leaving(stream, input, control, most, context),
            _ => dispatcher.poll_order(context),
        };
        let is_in_time = dispatcher.ask_elsewhere(handler, exchange, gone).await?;
        self.is_in_time(is_in_time);
        Ok(())
    }

    /// Has the stream begin that is the next answer; those behind it begin when it has been sent.
    async fn begin_stream(&mut self) -> Result<(), Stop> {
        let Self { dispatcher, stream, input, exchanges, watch, .. } = &mut *self;
        let Some(exchange) = exchanges.first_mut() else { return Ok(()) };
        let (control, most) = (&dispatcher.control, dispatcher.service.config.recv_size);
        let is_cancelled = dispatcher.is_cancelled(exchange.cancel_on_disconnect);
        let mut has_closed = false;
        let gone = |context: &mut Context<'_>| match is_cancelled {
            true => watch.poll_leaving(stream, input, control, most, context),
            false => match watch.poll(stream, input, control, most, context) {
                Poll::Ready(Stop::Closed) => {
                    has_closed = true;
                    Poll::Ready(Stop::Closed)
                }
                polled => polled,
            },
        };
        let is_in_time = dispatcher.begin_stream(exchange, gone).await?;
        if has_closed {
            watch.forget();
        }
        self.is_in_time(is_in_time);
        Ok(())
    }

    /// A connection whose client was given 504 ends.
    fn is_in_time(&mut self, is_in_time: bool) {
        if !is_in_time {
            self.keep_alive = false;
            self.dispatcher.control.clear_timeout();
        }
    }

    /// The client gets 504 instead of an answer to this request, and the connection ends.
    fn miss_deadline(&mut self, request: Option<&Request>) {
        self.keep_alive = false;
        self.dispatcher.control.clear_timeout();
        if let Some(request) = request {
            self.dispatcher.note_late(request);
        }
    }
}
