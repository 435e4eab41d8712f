//! Between in and out: every exchange gets its answer, from whoever is to give it.
//!
//! Files and redirects are answered here and now. Functions go to the executor, all of them as one job. What has an
//! event loop of its own is handed over there; meanwhile this watches whether the client is still there.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::coding::is_worth_encoding;
use super::{Connection, Stop, Waiting};
use crate::error::Error;
use crate::executor::{Exchange, Job, Mailbox, Work};
use crate::files::Files;
use crate::handler::{Elsewhere, Handler, Reply};
use crate::log::Level;
use crate::message::{Body, Request, Response};
use crate::route::Route;
use crate::site::error_page;
use crate::websocket::WebSocket;

impl Connection {
    /// Leaves the next exchanges answered, in order. If one behind them is late, it and those behind it are `awaited`.
    pub(super) async fn answer(&mut self) -> Result<(), Stop> {
        if self.awaited.is_empty() {
            self.ask().await?;
        }
        if !self.awaited.is_empty() {
            self.exchanges = self.collect().await?;
        }
        if self.service.config.compression && self.exchanges.iter().any(is_worth_encoding) {
            let mut exchanges = std::mem::take(&mut self.exchanges);
            for exchange in exchanges.iter_mut().filter(|exchange| is_worth_encoding(exchange)) {
                self.encode(exchange).await?;
            }
            self.exchanges = exchanges;
        }
        Ok(())
    }

    /// Answers every exchange, or hands all of them to the executor.
    async fn ask(&mut self) -> Result<(), Stop> {
        self.service.site.refresh(&mut self.site);
        let mut exchanges = std::mem::take(&mut self.exchanges);
        for exchange in &mut exchanges {
            match self.route(exchange) {
                None => {}
                Some(Awaited::Elsewhere(handler)) => self.ask_elsewhere(&*handler, exchange).await?,
                Some(Awaited::WebSocket(websocket)) => self.open_websocket(websocket, exchange),
                Some(Awaited::Files(files, below)) => self.answer_with_file(&files, below, exchange).await?,
            }
        }
        if exchanges.iter().any(Exchange::is_open) {
            let (now, here) = (self.service.clock.now(), self.service.executor.reactor);
            let wants_pool =
                |work: &Work| matches!(work, Work::Call(function) if function.placement.wants_pool(now, here));
            let pooled = exchanges.iter().any(|exchange| wants_pool(&exchange.work));
            self.hand_over(exchanges, pooled);
        } else {
            self.exchanges = exchanges;
        }
        Ok(())
    }

    /// Finds out who answers, and answers what can be answered here and now. Returns who has to be waited for.
    fn route(&self, exchange: &mut Exchange) -> Option<Awaited> {
        if matches!(exchange.work, Work::Answered(_) | Work::Call(_)) {
            // Of the round before.
            return None;
        }
        let Work::Done = exchange.work else {
            self.settle_alone(exchange);
            return None;
        };
        let request = exchange.request.as_ref()?;
        if self.service.config.health_route.as_deref().is_some_and(|route| route == request.url()) {
            let response = match self.service.is_ending() {
                true => Response::text("draining\n").with_status(503),
                false => Response::text("ok\n"),
            };
            // Answered by the engine alone, hooks or not: it tells whether the process lives.
            exchange.work = Work::Answered(response.with_header("Cache-Control", "no-store"));
            return None;
        }
        let route = self.site.1.routes.find(request.route());
        match route.map(|route| &route.handler) {
            Some(Handler::Inline(handler)) => exchange.work = Work::Call(Arc::clone(handler)),
            Some(Handler::Elsewhere(handler)) => return Some(Awaited::Elsewhere(Arc::clone(handler))),
            Some(Handler::Files(files)) => {
                let below = route.map_or(0, Route::length);
                return Some(Awaited::Files(Arc::clone(files), below));
            }
            Some(Handler::WebSocket(websocket)) => return Some(Awaited::WebSocket(Arc::clone(websocket))),
            Some(Handler::Redirect(destination)) => {
                let response = redirect(destination, request);
                self.offer(exchange, Ok(response));
            }
            None => {
                exchange.work = Work::Status(404, None);
                self.settle_alone(exchange);
            }
        }
        None
    }

    /// Hands exchanges to the executor; `pooled` if they are known to wait.
    fn hand_over(&mut self, exchanges: Vec<Exchange>, pooled: bool) {
        self.awaited.extend(exchanges.iter().map(|exchange| exchange.request.clone()));
        self.push(exchanges, pooled, Arc::clone(&self.mailbox));
    }

    fn push(&self, exchanges: Vec<Exchange>, pooled: bool, mailbox: Arc<Mailbox>) {
        let job = Job { exchanges, site: Arc::clone(&self.site.1), mailbox };
        match pooled {
            true => self.service.executor.push_to_pool(job),
            false => self.service.executor.push(job),
        }
    }

    /// Waits for the next of what the executor is at. If nothing comes within `process_timeout`, the client gets 504 for
    /// all of it, whatever the handlers do: the one that is late is interrupted, those behind it never begin, and the
    /// connection ends.
    async fn collect(&mut self) -> Result<Vec<Exchange>, Stop> {
        let (mailbox, first) = (Arc::clone(&self.mailbox), self.awaited.first().cloned().flatten());
        match self.arrivals(&mailbox, first.as_ref()).await {
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
        self.mailbox = Arc::default();
        let awaited = std::mem::take(&mut self.awaited).into_iter();
        let mut late: Vec<_> = awaited.map(|request| Exchange::new(request, Work::Status(504, None))).collect();
        late.iter_mut().for_each(|exchange| self.settle_alone(exchange));
        if !late.iter().any(Exchange::is_open) {
            return Ok(late);
        }
        let (mailbox, count) = (Arc::clone(&self.mailbox), late.len());
        self.push(late, true, Arc::clone(&mailbox));
        let mut pages = Vec::with_capacity(count);
        while pages.len() < count {
            pages.extend(self.arrivals(&mailbox, None).await?);
        }
        Ok(pages)
    }

    /// What the executor delivers next. If it is not waited for any longer, what has not begun never will, and a handler
    /// that is late (of this request) is interrupted.
    async fn arrivals(
        &mut self,
        mailbox: &Arc<Mailbox>,
        request: Option<&Arc<Request>>,
    ) -> Result<Vec<Exchange>, Stop> {
        self.limit_handler();
        let arrived = poll_fn(|context| match mailbox.poll(context) {
            Some(exchanges) => Poll::Ready(Ok(exchanges)),
            None => match self.handle.stop(context, Waiting::Handler) {
                Some(stop) => Poll::Ready(Err(stop)),
                None => Poll::Pending,
            },
        });
        let arrived = arrived.await;
        self.handle.clear_deadline();
        if let Err(stop) = &arrived {
            let executor = &self.service.executor;
            let runs = executor.abandon(mailbox, request, self.service.config.termination_timeout);
            if let (true, Stop::TimedOut, Some(request)) = (runs, stop, request) {
                executor.interrupt(request);
            }
        }
        arrived
    }

    /// The client gets 504 instead of an answer to this request, and the connection ends.
    fn miss_deadline(&mut self, request: Option<&Request>) {
        self.keep_alive = false;
        self.handle.forgive();
        if let Some(request) = request {
            let text = format!("{} {}: no answer within process_timeout", request.method(), request.target());
            self.service.log.event(Level::Warning, text);
        }
    }

    /// Has the executor do one thing more and waits for it.
    pub(super) async fn execute(&mut self, exchange: Exchange, pooled: bool) -> Result<Exchange, Stop> {
        // Apart from what is awaited already.
        let mailbox = Arc::<Mailbox>::default();
        self.push(vec![exchange], pooled, Arc::clone(&mailbox));
        self.arrivals(&mailbox, None).await?.pop().ok_or(Stop::Gone)
    }

    /// From now on the deadline is that of a handler.
    pub(super) fn limit_handler(&self) {
        self.handle.forgive();
        self.handle.set_deadline(self.service.clock.after(self.service.config.process_timeout));
    }

    /// Answers a status with the built-in page, unless user code has a say.
    pub(super) fn settle_alone(&self, exchange: &mut Exchange) {
        if let Work::Status(code, message) = &exchange.work
            && !self.site.1.involves_user(*code)
        {
            let page = error_page(exchange.request.as_deref(), *code, message.as_deref());
            exchange.work = Work::Answered(exchange.with_extra(page));
        }
    }

    /// Answers with this status.
    pub(super) fn settle_status(&self, exchange: &mut Exchange, code: u16) {
        exchange.work = Work::Status(code, None);
        self.settle_alone(exchange);
    }

    /// Takes an answer that needed no executor; leaves it to the executor if user code has a say after all.
    pub(super) fn offer(&self, exchange: &mut Exchange, answer: Result<Response, Error>) {
        let hooked = self.site.1.hooks.is_some();
        exchange.work = match answer {
            // A file is opened by the executor: that may wait for a disk.
            Ok(response) if !hooked && response.problem.is_none() && !matches!(response.body, Body::File(_)) => {
                Work::Answered(response)
            }
            answer => Work::Settle(answer),
        };
        self.settle_alone(exchange);
    }

    async fn ask_elsewhere(&mut self, handler: &dyn Elsewhere, exchange: &mut Exchange) -> Result<(), Stop> {
        let Some(request) = exchange.request.clone() else { return Ok(()) };
        let mailbox = Arc::new(Mailbox::default());
        let (executor, letter) = (Arc::clone(&self.service.executor), Arc::clone(&mailbox));
        let reply = Reply::new(move |answer| {
            executor.post(letter, vec![Exchange::new(None, Work::Settle(answer))]);
        });
        let ticket = handler.submit(Arc::clone(&request), reply);
        self.limit_handler();
        let answered = poll_fn(|context| match mailbox.poll(context) {
            Some(exchanges) => Poll::Ready(Ok(exchanges)),
            None => self.poll_gone(context).map(Err),
        })
        .await;
        self.handle.clear_deadline();
        match answered {
            Ok(exchanges) => {
                for answer in exchanges {
                    if let Work::Settle(answer) = answer.work {
                        self.offer(exchange, answer);
                    }
                }
                Ok(())
            }
            Err(stop) => {
                handler.cancel(ticket);
                let Stop::TimedOut = stop else { return Err(stop) };
                self.miss_deadline(Some(&request));
                exchange.work = Work::Status(504, None);
                self.settle_alone(exchange);
                Ok(())
            }
        }
    }

    /// Ready when the client is gone or the connection is cut; keeps what else comes in, up to one buffer.
    pub(super) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Stop> {
        while self.input.unread().len() < self.service.config.recv_size {
            match self.poll_read(context, Waiting::Handler) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(stop)) => return Poll::Ready(stop),
                Poll::Pending => return Poll::Pending,
            }
        }
        match self.handle.stop(context, Waiting::Handler) {
            Some(stop) => Poll::Ready(stop),
            None => Poll::Pending,
        }
    }
}

/// Who answers, if not here and now.
enum Awaited {
    Elsewhere(Arc<dyn Elsewhere>),
    WebSocket(Arc<WebSocket>),
    /// The files, and where in the path what lies below their route begins.
    Files(Arc<Files>, usize),
}

/// The destination joined with the path and query of the request: 301 for GET and HEAD, 308 for the rest, so that a
/// POST stays a POST (RFC 9110 section 15.4).
fn redirect(destination: &str, request: &Request) -> Response {
    let status = if matches!(request.method(), "GET" | "HEAD") { 301 } else { 308 };
    let query = if request.query().is_empty() { "" } else { "?" };
    let location = format!("{}{}{query}{}", destination.trim_end_matches('/'), request.raw_path(), request.query());
    Response::redirect(&location, status)
}
