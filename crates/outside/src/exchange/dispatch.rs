//! Where exchanges get their answers from, whoever is to give them; the same for every version of HTTP.
//!
//! What needs no executor is answered here and now, what does is handed over and waited for. Who sent the request, and
//! how it is to hear the answer, is known above: to the loop of a connection.

use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::control::{ConnectionControl, Stop, Waiting};
use super::service::Service;
use crate::budget::Account;
use crate::error::{Error, Refusal};
use crate::executor::{Exchange, Guard, Job, ReplySlot, Work};
use crate::files::Files;
use crate::handler::{AsyncHandler, Function, Handler, Reply};
use crate::log::Level;
use crate::message::{Body, Request, Response};
use crate::route::RouteChoice;
use crate::site::{Snapshot, error_page, redirect};
use crate::transport::ListenerRole;
use crate::websocket::WebSocket;

/// So long a handler that was cancelled has to end before its request is answered without it.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Milliseconds before the minimum rate is asked for.
const RATE_GRACE: u64 = 5000;

/// The site as it is now, and who answers for it.
pub(crate) struct Dispatcher {
    pub(crate) service: Arc<Service>,
    /// The deadline of whatever is waited for, and orders to end.
    pub(crate) control: Arc<ConnectionControl>,
    pub(crate) site: (u64, Arc<Snapshot>),
    /// What counts the answers of the connection.
    pub(crate) account: Arc<Account>,
    /// What is kept as long as anything runs on behalf of who asks, wanted or not.
    pub(crate) guard: Option<Arc<dyn Guard>>,
    /// What whoever came here gets.
    pub(crate) door: ListenerRole,
}

/// Who answers, if not here and now.
pub(crate) enum Awaited {
    Async(Arc<dyn AsyncHandler>),
    WebSocket(Arc<WebSocket>),
    /// The files, and where in the path what lies below their route begins.
    Files(Arc<Files>, usize),
    /// The site's gate, which has to let the request pass before it is routed again.
    Gate(Arc<Function>),
}

impl Dispatcher {
    pub(crate) fn new(service: Arc<Service>, control: Arc<ConnectionControl>, account: Arc<Account>) -> Self {
        let site = (u64::MAX, service.site.snapshot());
        Self { service, control, site, account, guard: None, door: ListenerRole::Serve }
    }

    /// Whether the process lives, for those that ask at the configured path.
    pub(super) fn health(&self, request: &Request) -> Option<Response> {
        self.service.config.health_route.as_deref().filter(|route| *route == request.url())?;
        let response = match self.service.is_ending() {
            true => Response::text("draining\n").with_status(503),
            false => Response::text("ok\n"),
        };
        Some(response.with_header("Cache-Control", "no-store"))
    }

    /// Where a client is sent that came to a listener which only redirects to HTTPS. One that came by TLS to a trusted proxy
    /// is where it is to be.
    pub(super) fn to_https(&self, request: &Request) -> Option<Result<Response, Refusal>> {
        (self.door == ListenerRole::RedirectToHttps && request.scheme() != "https")
            .then(|| self.service.front.to_https(request))
    }

    /// The answer to a preflight request of CORS, if the site has a policy for it.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        self.site.1.policy.as_ref()?.preflight(request)
    }

    /// Answers with a redirect, or returns a handler that is neither that nor a function.
    pub(super) fn without_function(&self, handler: &Handler, below: usize, exchange: &mut Exchange) -> Option<Awaited> {
        match handler {
            Handler::Files(files) => Some(Awaited::Files(Arc::clone(files), below)),
            Handler::WebSocket(websocket) => Some(Awaited::WebSocket(Arc::clone(websocket))),
            Handler::Redirect(destination) => {
                let response = redirect(destination, exchange.request.as_deref()?);
                self.respond(exchange, Ok(response));
                None
            }
            Handler::Sync(_) | Handler::Async(_) => None,
        }
    }

    /// Answers with this, or with the page of a refusal.
    pub(super) fn respond_or_refuse(&self, exchange: &mut Exchange, answer: Result<Response, Refusal>) {
        match answer {
            Ok(response) => self.respond(exchange, Ok(response)),
            Err(refusal) => {
                self.refuse(exchange, &refusal);
                self.respond_with_page(exchange);
            }
        }
    }

    /// Answers a request that has no handler. If only its method has none: OPTIONS with those that have (RFC 9110 section
    /// 9.3.7), any other with 405, which names them too (section 15.5.6).
    pub(super) fn respond_unrouted(&self, exchange: &mut Exchange, choice: &RouteChoice<'_>) {
        let RouteChoice::Methods(methods) = choice else { return self.respond_with_status(exchange, 404) };
        let methods = methods.join(", ");
        if exchange.request.as_ref().is_some_and(|request| request.method() == "OPTIONS") {
            return self.respond(exchange, Ok(Response::new(204).with_header("Allow", methods)));
        }
        exchange.extra.get_or_insert_default().push_checked(b"Allow", methods.as_bytes());
        self.respond_with_status(exchange, 405);
    }

    /// Adds to an answer what every answer says.
    pub(crate) fn add_policy_headers(&self, exchange: &mut Exchange) {
        if let Some(policy) = &self.site.1.policy
            && let Work::Answered(response) = &mut exchange.work
        {
            policy.add_headers(response, exchange.request.as_deref());
        }
    }

    /// Does the handler of this request take its content while it comes in?
    pub(crate) fn streams(&self, request: &Request) -> bool {
        match self.site.1.routes.choose(request) {
            RouteChoice::Plain(route) => route.handler.takes_pieces(),
            RouteChoice::Pattern(handler, ..) => handler.takes_pieces(),
            _ => false,
        }
    }

    /// Whether the content of this request is for anybody: for a function, its own or the gate.
    pub(crate) fn wants_content(&self, request: &Request) -> bool {
        let is_function = |handler: &Handler| matches!(handler, Handler::Sync(_) | Handler::Async(_));
        self.site.1.gate.is_some()
            || match self.site.1.routes.choose(request) {
                RouteChoice::Plain(route) => is_function(&route.handler),
                RouteChoice::Pattern(handler, ..) => is_function(handler),
                _ => false,
            }
    }

    /// Whether an asynchronous handler of a route that says this, or nothing, is cancelled when its client leaves.
    pub(crate) fn is_cancelled(&self, route: Option<bool>) -> bool {
        route.unwrap_or(self.service.config.cancel_on_disconnect)
    }

    /// Is this a call that is known to wait, or held up by one that is late?
    pub(crate) fn wants_pool(&self, work: &Work) -> bool {
        let (now, here) = (self.service.clock.now(), self.service.executor.reactor);
        matches!(work, Work::Call(function) if function.placement.wants_pool(now, here))
    }

    /// Hands exchanges to the executor; `pooled` if they are known to wait.
    pub(crate) fn push(&self, exchanges: Vec<Exchange>, pooled: bool, slot: Arc<ReplySlot>) {
        let job = Job { exchanges, site: Arc::clone(&self.site.1), slot };
        match pooled {
            true => self.service.executor.push_to_pool(job),
            false => self.service.executor.push(job),
        }
    }

    /// Gives work to the executor that nobody waits for.
    pub(crate) fn spawn_detached(&self, exchanges: Vec<Exchange>) {
        self.push(exchanges, false, Arc::default());
    }

    /// Ready when an order ends the wait for a handler.
    pub(crate) fn poll_order(&self, context: &Context<'_>) -> Poll<Stop> {
        self.control.stop(context, Waiting::Handler).map_or(Poll::Pending, Poll::Ready)
    }

    /// What the executor delivers next, unless the client is `gone` first, or an order says so. If it is not waited for any
    /// longer, what has not begun never will, and a handler that is late (of this request) is interrupted.
    pub(crate) async fn arrivals(
        &self,
        slot: &Arc<ReplySlot>,
        request: Option<&Arc<Request>>,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<Vec<Exchange>, Stop> {
        self.limit_handler();
        let arrived = poll_fn(|context| match slot.poll(context) {
            Some(exchanges) => Poll::Ready(Ok(exchanges)),
            None => gone(context).map(Err),
        });
        let arrived = arrived.await;
        self.control.clear_deadline();
        if let Err(stop) = &arrived {
            self.abandon(slot, request, stop);
        }
        arrived
    }

    /// Waits no longer for a job.
    pub(crate) fn abandon(&self, slot: &Arc<ReplySlot>, request: Option<&Arc<Request>>, stop: &Stop) {
        let (executor, config) = (&self.service.executor, &self.service.config);
        let patience = match stop {
            // A handler whose client has left has its time all the same.
            Stop::Gone => config.process_timeout + config.termination_timeout,
            _ => config.termination_timeout,
        };
        let runs = executor.abandon(slot, request, patience);
        if let (true, Stop::TimedOut, Some(request)) = (runs, stop, request) {
            executor.interrupt(request);
        }
    }

    /// The client gets 504 instead of an answer to this request.
    pub(crate) fn note_late(&self, request: &Request) {
        let text = format!("{} {}: no answer within process_timeout", request.method(), request.target());
        self.service.log.event(Level::Warning, text);
    }

    /// The client gets 504 instead of the answer to its request.
    pub(crate) fn respond_late(&self, exchange: &mut Exchange) {
        if let Some(request) = &exchange.request {
            self.note_late(request);
        }
        self.respond_with_status(exchange, 504);
    }

    /// Has the executor do one thing more and waits for it, unless the client is `gone` first.
    pub(crate) async fn execute(
        &self,
        exchange: Exchange,
        pooled: bool,
        gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<Exchange, Stop> {
        // Apart from what is awaited already.
        let slot = self.reply_slot();
        self.push(vec![exchange], pooled, Arc::clone(&slot));
        self.arrivals(&slot, None, gone).await?.pop().ok_or(Stop::Gone)
    }

    /// A slot for one job.
    pub(crate) fn reply_slot(&self) -> Arc<ReplySlot> {
        Arc::new(ReplySlot::of(Arc::clone(&self.account), self.guard.clone()))
    }

    /// From now on the deadline is that of a handler.
    pub(crate) fn limit_handler(&self) {
        self.control.clear_timeout();
        self.control.set_deadline(self.service.clock.after(self.service.config.process_timeout));
    }

    /// A transfer ends when nothing has moved for a while, or when it is slower than the minimum rate after a grace of five
    /// seconds (docs/security.md S24, S25). Is it the rate that comes first?
    pub(crate) fn set_transfer_deadline(&self, start: u64, moved: u64, stall: Duration) -> bool {
        let rate = self.service.config.min_rate;
        let by_rate = moved.saturating_mul(1000).checked_div(rate).map_or(u64::MAX, |time| start + RATE_GRACE + time);
        let by_stall = self.service.clock.after(stall);
        self.control.set_deadline(by_stall.min(by_rate));
        by_rate < by_stall
    }

    /// Answers a status with the built-in page, unless user code has a say.
    pub(crate) fn respond_with_page(&self, exchange: &mut Exchange) {
        if let Work::Status(code, message) = &exchange.work
            && !self.site.1.involves_user(*code)
        {
            let page = error_page(exchange.request.as_deref(), *code, message.as_deref());
            exchange.work = Work::Answered(exchange.with_extra(page));
        }
    }

    /// Answers with this status.
    pub(crate) fn respond_with_status(&self, exchange: &mut Exchange, code: u16) {
        exchange.work = Work::Status(code, None);
        self.respond_with_page(exchange);
    }

    /// Takes an answer that needed no executor; leaves it to the executor if user code has a say after all.
    pub(crate) fn respond(&self, exchange: &mut Exchange, answer: Result<Response, Error>) {
        let hooked = self.site.1.hooks.is_some();
        exchange.work = match answer {
            // A file is opened by the executor: that may wait for a disk.
            Ok(response)
                if !hooked
                    && response.problem.is_none()
                    && !matches!(response.body, Body::File(_))
                    && !exchange.has_yet_to_begin(&response) =>
            {
                Work::Answered(response)
            }
            answer => Work::Settle(answer),
        };
        self.respond_with_page(exchange);
    }

    /// Has a handler with an event loop of its own answer, unless the client is `gone` first. `false` if it was late, so
    /// that the answer is 504.
    pub(crate) async fn ask_elsewhere(
        &self,
        handler: &dyn AsyncHandler,
        exchange: &mut Exchange,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<bool, Stop> {
        let Some(request) = exchange.request.clone() else { return Ok(true) };
        let slot = self.reply_slot();
        let (executor, reply_slot) = (Arc::clone(&self.service.executor), Arc::clone(&slot));
        let reply = Reply::new(move |answer| {
            let mut answered = Exchange::new(None, Work::Settle(answer));
            // Here, and not where it is waited for: many may come back before one is taken.
            reply_slot.count(&mut answered);
            executor.post(reply_slot, vec![answered]);
        });
        let ticket = handler.submit(Arc::clone(&request), reply);
        self.limit_handler();
        let answered = poll_fn(|context| match slot.poll(context) {
            Some(exchanges) => Poll::Ready(Ok(exchanges)),
            None => gone(context).map(Err),
        })
        .await;
        self.control.clear_deadline();
        match answered {
            Ok(exchanges) => {
                for answer in exchanges {
                    let size = answer.held();
                    match answer.work {
                        Work::Settle(settled) => {
                            handler.sizes().into_iter().for_each(|sizes| sizes.learn(size));
                            exchange.is_counted = answer.is_counted;
                            self.respond(exchange, settled);
                        }
                        work => exchange.work = work,
                    }
                }
                Ok(true)
            }
            Err(stop) => {
                handler.cancel(ticket);
                let Stop::TimedOut = stop else { return Err(stop) };
                self.note_late(&request);
                if self.site.1.involves_user(504) {
                    // On the heap: a connection that rests has no room for what is rare.
                    exchange.attachment = Box::pin(self.last_words(&slot, gone)).await;
                }
                self.respond_with_status(exchange, 504);
                Ok(false)
            }
        }
    }

    /// What a handler that was cancelled leaves to the error handler and the hooks, if it ends in time.
    async fn last_words(
        &self,
        slot: &ReplySlot,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Option<Box<dyn Any + Send>> {
        self.control.clear_timeout();
        self.control.set_deadline(self.service.clock.after(LAST_WORDS));
        let ended = poll_fn(|context| match slot.poll(context) {
            Some(exchanges) => Poll::Ready(Some(exchanges)),
            None => gone(context).map(|_| None),
        });
        let ended = ended.await;
        self.control.clear_deadline();
        match ended?.pop()?.work {
            Work::Settle(Err(mut error)) => error.take_attachment().map(|attachment| attachment as _),
            _ => None,
        }
    }

    /// Runs what may take long beside the event loop.
    pub(crate) async fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stop> {
        let held = self.guard.clone();
        let work = move || {
            let _until_it_is_done = held;
            work()
        };
        let mut running = self.service.executor.runtime.handle().spawn_blocking(work);
        self.limit_handler();
        let done = poll_fn(|context| match Pin::new(&mut running).poll(context) {
            Poll::Ready(done) => Poll::Ready(done.map_err(|_| Stop::Gone)),
            Poll::Pending => match self.control.stop(context, Waiting::Handler) {
                Some(stop) => Poll::Ready(Err(stop)),
                None => Poll::Pending,
            },
        })
        .await;
        self.control.clear_deadline();
        done
    }

    /// Waits until all that was logged has reached the sink; the sink may block, so it is called beside the event loop.
    pub(crate) async fn flush_log(&self) -> Result<(), Stop> {
        let log = Arc::clone(&self.service.log);
        self.spawn_blocking(move || log.flush()).await
    }
}
