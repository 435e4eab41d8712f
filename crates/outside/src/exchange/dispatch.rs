//! The ways of exchanges to functions, asynchronous handlers and threads beside the event loop, and back.
//!
//! The dispatcher hands jobs to the executor and waits for their answers, under the deadline of a handler. The wire,
//! above, knows the client of a request and writes the answer.

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
use crate::handler::{AsyncHandler, Function, Handler};
use crate::log::{Level, shown_target};
use crate::message::Request;
use crate::route::RouteChoice;
use crate::site::Snapshot;
use crate::transport::ListenerRole;
use crate::websocket::WebSocket;

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
                ..Intake::hosted(config)
            },
            Handler::Async(handler) if handler.is_hosted() => Intake { in_pieces: true, ..Intake::hosted(config) },
            handler @ (Handler::Sync(_) | Handler::Async(_)) => {
                Intake { in_pieces: handler.takes_pieces(), ..whole }.decoded(ContentCoding::of(request.headers()))
            }
            handler => Intake { in_pieces: handler.takes_pieces(), ..whole },
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
        let arrived = loop {
            let arrived = poll_fn(|context| match slot.poll(context) {
                Some(exchanges) => Poll::Ready(Ok(exchanges)),
                None => gone(context).map(Err),
            });
            match arrived.await {
                Err(Stop::TimedOut) if self.goes_on(request) => {}
                arrived => break arrived,
            }
        };
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
        let text = format!("{} {}: no answer within process_timeout", request.method(), shown_target(request.target()));
        self.service.log.event_of(Level::Warning, text, Some(request));
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

    /// Sets the deadline of a handler. A hosted application has none: then it is the moment of a warning.
    pub(crate) fn limit_handler(&self) {
        self.control.clear_timeout();
        self.control.set_deadline(self.service.clock.after(self.service.config.process_timeout));
    }

    /// Whether the wait for a handler goes on after its deadline, as for a hosted application; then the log says where it
    /// is.
    pub(super) fn goes_on(&self, request: Option<&Arc<Request>>) -> bool {
        if !self.is_patient.load(Ordering::Relaxed) {
            return false;
        }
        self.control.clear_timeout();
        self.control.clear_deadline();
        if let Some(request) = request {
            self.service.executor.note_hanging(request);
        }
        true
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
