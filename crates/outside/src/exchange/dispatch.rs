//! The ways of exchanges to functions, asynchronous handlers and threads beside the event loop, and back.
//!
//! The dispatcher hands jobs to the executor and waits for their answers, under the deadline of a handler. The wire,
//! above, knows the client of a request and writes the answer.

use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::control::{ConnectionControl, Stop, Waiting};
use super::executor::{Job, ReplySlot};
use super::intake::Intake;
use super::service::Service;
use super::state::{Exchange, Work};
use crate::budget::Account;
use crate::content::ContentCoding;
use crate::executor::Guard;
use crate::files::Files;
use crate::handler::{AsyncHandler, Function, Handler, Reply, wake_held};
use crate::log::Level;
use crate::message::Request;
use crate::route::RouteChoice;
use crate::site::Snapshot;
use crate::transport::ListenerRole;
use crate::websocket::WebSocket;

/// The time that a cancelled handler has to end before its request is answered without it.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// Milliseconds of a transfer before the minimum rate holds for it.
const RATE_GRACE: u64 = 5000;

/// The tools of an exchange's steps: the site as it is now, the executor, the deadline and the account of answers.
pub(crate) struct Dispatcher {
    pub(crate) service: Arc<Service>,
    /// The deadline of the current wait, and orders to end.
    pub(crate) control: Arc<ConnectionControl>,
    pub(crate) site: (u64, Arc<Snapshot>),
    /// The account of the answers of the connection.
    pub(crate) account: Arc<Account>,
    /// Released when no job of this request is running any more, even if the client has gone.
    pub(crate) guard: Option<Arc<dyn Guard<Exchange>>>,
    /// Whether this listener serves the site or only redirects to HTTPS.
    pub(crate) role: ListenerRole,
    /// Whether the calls that are awaited have no deadline.
    pub(crate) is_patient: AtomicBool,
}

/// The handler of a request that is neither a function nor answered at once.
pub(crate) enum Awaited {
    Async(Arc<dyn AsyncHandler>),
    WebSocket(Arc<WebSocket>),
    /// The files, and the offset in the path of the part below their route.
    Files(Arc<Files>, usize),
    /// The site's gate, which has to let the request pass before it is routed again.
    Gate(Arc<Function>),
}

impl Dispatcher {
    pub(crate) fn new(service: Arc<Service>, control: Arc<ConnectionControl>, account: Arc<Account>) -> Self {
        let site = (u64::MAX, service.site.snapshot());
        Self {
            service,
            control,
            site,
            account,
            guard: None,
            role: ListenerRole::Serve,
            is_patient: AtomicBool::new(false),
        }
    }

    /// How the content of this request, of this length if it is declared, reaches its handler.
    pub(crate) fn intake(&self, request: &Request, declared: Option<u64>) -> Intake {
        let config = &self.service.config;
        let whole = Intake::whole(config);
        let handler = match self.site.1.routes.choose(request) {
            RouteChoice::Plain(route) => &route.handler,
            RouteChoice::Pattern(handler, ..) => handler,
            _ => return whole,
        };
        match handler {
            Handler::Sync(function) if function.is_answering() => Intake {
                in_pieces: declared.is_some_and(|length| length > config.spool_above as u64),
                ..whole.hosted()
            },
            Handler::Async(handler) if handler.is_hosted() => Intake { in_pieces: true, ..whole.hosted() },
            handler @ (Handler::Sync(_) | Handler::Async(_)) => {
                Intake { in_pieces: handler.takes_pieces(), ..whole }.decoded(ContentCoding::of(request.headers()))
            }
            handler => Intake { in_pieces: handler.takes_pieces(), ..whole },
        }
    }

    /// Whether a function takes the content of this request: its handler, or the gate.
    pub(crate) fn wants_content(&self, request: &Request) -> bool {
        let is_function = |handler: &Handler| matches!(handler, Handler::Sync(_) | Handler::Async(_));
        (self.site.1.gate.is_some() && !self.site.1.gates_websockets_only)
            || match self.site.1.routes.choose(request) {
                RouteChoice::Plain(route) => is_function(&route.handler),
                RouteChoice::Pattern(handler, ..) => is_function(handler),
                _ => false,
            }
    }

    /// Whether an asynchronous handler is cancelled when its client leaves; `route` is its route's setting, if any.
    pub(crate) fn is_cancelled(&self, route: Option<bool>) -> bool {
        route.unwrap_or(self.service.config.cancel_on_disconnect)
    }

    /// Whether this is a call that is known to wait, or that a late call holds up.
    pub(crate) fn wants_pool(&self, exchange: &Exchange) -> bool {
        let (now, here) = (self.service.clock.now(), self.service.executor.reactor);
        match &exchange.work {
            Work::Call(function) => function.placement.wants_pool(now, here) || exchange.takes_upload(function),
            _ => false,
        }
    }

    /// Hands exchanges to the executor; `pooled` if their handlers are known to wait.
    pub(crate) fn push(&self, exchanges: Vec<Exchange>, pooled: bool, slot: Arc<ReplySlot>) {
        self.is_patient.store(exchanges.iter().any(|it| is_patient(&it.work)), Ordering::Relaxed);
        let job = Job { commands: exchanges, context: Arc::clone(&self.site.1), slot };
        match pooled {
            true => self.service.executor.push_to_pool(job),
            false => self.service.executor.push(job),
        }
    }

    /// Hands work to the executor whose end no connection waits for.
    pub(crate) fn spawn_detached(&self, exchanges: Vec<Exchange>) {
        self.push(exchanges, false, Arc::default());
    }

    /// Ready when an order ends the wait for a handler.
    pub(crate) fn poll_order(&self, context: &Context<'_>) -> Poll<Stop> {
        self.control.stop(context, Waiting::Handler).map_or(Poll::Pending, Poll::Ready)
    }

    /// The exchanges that the executor delivers next, unless the client is `gone` first or an order ends the wait. Then
    /// calls that have not begun never will, and a late handler of `request` is interrupted.
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

    /// Ends the wait for a job.
    pub(crate) fn abandon(&self, slot: &Arc<ReplySlot>, request: Option<&Arc<Request>>, stop: &Stop) {
        let (executor, config) = (&self.service.executor, &self.service.config);
        let patience = match stop {
            // A handler whose client has left keeps all of its time.
            Stop::Gone => config.process_timeout + config.termination_timeout,
            _ => config.termination_timeout,
        };
        let runs = executor.abandon(slot, request, patience);
        if let (true, Stop::TimedOut, Some(request)) = (runs, stop, request) {
            executor.interrupt(request);
        }
    }

    /// Writes into the log that a handler was late, so that the client gets 504.
    pub(crate) fn note_late(&self, request: &Request) {
        let text = format!("{} {}: no answer within process_timeout", request.method(), request.target());
        self.service.log.event(Level::Warning, text);
    }

    /// Has the executor perform one exchange and waits for it, unless the client is `gone` first.
    pub(crate) async fn execute(
        &self,
        exchange: Exchange,
        pooled: bool,
        gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<Exchange, Stop> {
        // The job has a slot of its own, apart from those that are awaited already.
        let slot = self.reply_slot();
        self.push(vec![exchange], pooled, Arc::clone(&slot));
        self.arrivals(&slot, None, gone).await?.pop().ok_or(Stop::Gone)
    }

    /// A slot for one job.
    pub(crate) fn reply_slot(&self) -> Arc<ReplySlot> {
        Arc::new(ReplySlot::of(Arc::clone(&self.account), self.guard.clone()))
    }

    /// Sets the deadline of a handler.
    pub(crate) fn limit_handler(&self) {
        self.control.clear_timeout();
        match self.is_patient.load(Ordering::Relaxed) {
            true => self.control.clear_deadline(),
            false => self.control.set_deadline(self.service.clock.after(self.service.config.process_timeout)),
        }
    }

    /// Sets the deadline of a transfer: it ends when no byte moves for `stall`, or when it is slower than the minimum
    /// rate after five seconds (docs/security.md S24, S25). Returns whether the rate's deadline comes first.
    pub(crate) fn set_transfer_deadline(&self, start: u64, moved: u64, stall: Duration) -> bool {
        let rate = self.service.config.min_rate;
        let by_rate = moved.saturating_mul(1000).checked_div(rate).map_or(u64::MAX, |time| start + RATE_GRACE + time);
        let by_stall = self.service.clock.after(stall);
        self.control.set_deadline(by_stall.min(by_rate));
        by_rate < by_stall
    }

    /// Has a handler with an event loop of its own answer, unless the client is `gone` first. `false` if the handler
    /// was late, so that the answer is 504.
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
            // The answer is counted before the connection takes it: many answers may come back before that.
            reply_slot.count(&mut answered);
            executor.post_quietly(reply_slot, vec![answered]).into_iter().for_each(wake_held);
        });
        let ticket = handler.submit(Arc::clone(&request), reply);
        self.is_patient.store(handler.is_hosted(), Ordering::Relaxed);
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
                            exchange.is_encoded |= handler.is_hosted();
                            self.respond_or_open(exchange, settled);
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
                    // The future is on the heap: an idle connection has no room for a rare case.
                    exchange.attachment = Box::pin(self.last_words(&slot, gone)).await;
                }
                self.respond_with_status(exchange, 504);
                Ok(false)
            }
        }
    }

    /// The attachment that a cancelled handler leaves to the error handler and the hooks, if the handler ends in time.
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

    /// Runs work that may take long on a thread beside the event loop.
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

    /// Waits until all lines have reached the log's sink; the sink may block, so it is called beside the event loop.
    pub(crate) async fn flush_log(&self) -> Result<(), Stop> {
        let log = Arc::clone(&self.service.log);
        self.spawn_blocking(move || log.flush()).await
    }
}

/// Whether this is a call that may take any time.
pub(crate) fn is_patient(work: &Work) -> bool {
    matches!(work, Work::Call(function) if function.is_answering())
}
