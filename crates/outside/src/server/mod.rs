//! Sockets, the reactors behind them, and the end of a server's life.
//!
//! [`Running`] is a server that listens. The thread that called `run()` waits for its end and is never a leader. It
//! sleeps on a [`WakePipe`], which signals and [`Control::terminate`] wake.

mod certificates;
mod descriptors;
mod listen;
mod reactors;
mod topics;
mod wake_pipe;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

pub(crate) use certificates::renew_certificates;
pub(crate) use wake_pipe::WakePipe;

use crate::certificates::Certificates;
use crate::config::Config;
use crate::connection::trim_memory;
use crate::error::Error;
use crate::exchange::{DRAINING, InFlight, Order, RETIRING, Service};
use crate::handler::LanguageRuntime;
use crate::log::{Level, Log, LogSink};
use crate::site::{Front, Site, ToHttps};
use crate::transport::{
    AcceptQueue, Accepting, ConnectionSource, Endpoint, Listener, ListenerOptions, ListenerRole, Listeners,
    MemoryListener, Tls,
};
use reactors::Reactors;

/// The stages of a server's life, and the requests to move on to the next.
#[derive(Debug)]
pub(crate) struct Control {
    stage: Arc<AtomicU8>,
    /// New for each run: after a fork in between, two processes must not share one wake pipe.
    wake_pipe: Mutex<Option<Arc<WakePipe>>>,
    /// Whether certificates are to be read again.
    wants_certificates: AtomicBool,
    /// Whether the process had a terminal when the run began.
    had_terminal: AtomicBool,
    /// Whether another process has taken the place of this one, because a handler here does not end.
    is_replaced: AtomicBool,
}

const SERVING: u8 = 0;
const CUTTING: u8 = 3;
/// No run has begun, or the last one has ended by itself.
const RESTING: u8 = 4;
/// The last run has ended because it was asked to.
const ENDED: u8 = 5;

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: Arc::new(AtomicU8::new(RESTING)),
            wake_pipe: Mutex::default(),
            wants_certificates: AtomicBool::default(),
            had_terminal: AtomicBool::default(),
            is_replaced: AtomicBool::default(),
        })
    }

    /// Begins the end. If the end has begun already, `at_once` cuts the answers in flight.
    pub(crate) fn terminate(&self, at_once: bool) {
        let begins = self.change(SERVING, DRAINING) || self.change(RETIRING, DRAINING);
        if begins || (at_once && self.change(DRAINING, CUTTING)) {
            self.wake();
        }
    }

    /// Begins the end after a new generation has taken over.
    pub(crate) fn retire(&self) {
        if self.change(SERVING, RETIRING) {
            self.wake();
        }
    }

    /// SIGHUP: has the certificates read again. The system also sends it when the terminal is closed; then the server
    /// ends, because its user has gone.
    pub(crate) fn hang_up(&self) {
        if self.had_terminal.load(Ordering::SeqCst) && !terminal_is_there() {
            return self.terminate(false);
        }
        self.wants_certificates.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(crate) fn is_terminating(&self) -> bool {
        matches!(self.stage(), RETIRING | DRAINING | CUTTING | ENDED)
    }

    /// Begins a run; `None` if a run has begun and not ended.
    pub(crate) fn enter(&self) -> io::Result<Option<Arc<WakePipe>>> {
        let wake_pipe = Arc::new(WakePipe::new()?);
        if !self.change(RESTING, SERVING) && !self.change(ENDED, SERVING) {
            return Ok(None);
        }
        self.had_terminal.store(terminal_is_there(), Ordering::SeqCst);
        self.wants_certificates.store(false, Ordering::SeqCst);
        *self.lock() = Some(Arc::clone(&wake_pipe));
        Ok(Some(wake_pipe))
    }

    /// Ends a run.
    pub(crate) fn leave(&self) {
        if !self.change(SERVING, RESTING) {
            self.stage.store(ENDED, Ordering::SeqCst);
        }
        *self.lock() = None;
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::SeqCst)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn wake(&self) {
        if let Some(wake_pipe) = &*self.lock() {
            wake_pipe.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<WakePipe>>> {
        self.wake_pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn terminal_is_there() -> bool {
    let flags = rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open("/dev/tty", flags, rustix::fs::Mode::empty()).is_ok()
}

/// A server that listens.
pub(crate) struct Running {
    reactors: Arc<Reactors>,
    control: Arc<Control>,
    wake_pipe: Arc<WakePipe>,
    endpoints: Vec<Endpoint>,
    /// The TLS configurations of all listeners, each once.
    tls: Vec<Arc<Tls>>,
    accepting: Vec<AbortHandle>,
    /// The queue of each listener, its role, and the service that answers its connections.
    queues: Vec<(AcceptQueue, ListenerOptions, Arc<Service>)>,
    ticking: Vec<AbortHandle>,
    log: Arc<Log>,
    log_thread: std::thread::JoinHandle<()>,
    certificates: Option<Certificates>,
}

/// Interval at which deadlines are checked.
const TICK: Duration = Duration::from_millis(100);
/// Interval at which a draining server checks whether connections are left.
const GLANCE: Duration = Duration::from_millis(10);
/// Interval of such checks for events that take one turn of the event loops.
const SHORT_GLANCE: Duration = Duration::from_millis(1);
/// Time after which a drain is no longer short: then the log says how many answers it waits for.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Time for threads to end after all connections were cut.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// Interval at which the files of certificates are checked.
const LOOK: Duration = Duration::from_secs(1);

impl Running {
    /// Begins to serve on all of these listeners; reactors without a listener of their own share one.
    pub(crate) fn start(
        source: ConnectionSource,
        config: &Config,
        site: &Arc<Site>,
        host: &Arc<dyn LanguageRuntime>,
        sink: Arc<dyn LogSink>,
        control: Arc<Control>,
        wake_pipe: Arc<WakePipe>,
    ) -> Result<Self, Error> {
        let (listeners, memory) = match source {
            ConnectionSource::Listeners(listeners) => (listeners, None),
            ConnectionSource::Memory(memory) => (Listeners::default(), Some(memory)),
        };
        config.check()?;
        let endpoints = listeners.endpoints();
        if endpoints.is_empty() && memory.is_none() {
            return Err(Error::new("nothing to listen on"));
        }
        if config.debug {
            listeners.iter().try_for_each(|listener| listener.address().check_debug())?;
        }
        let tls = listeners.certificates();
        let secure =
            endpoints.iter().filter(|endpoint| endpoint.is_secure).find_map(|found| found.address.socket_addr());
        let to_https = secure.map(|address| ToHttps::new(config, address.port(), tls.clone()));
        let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        let is_local = !endpoints.is_empty()
            && endpoints.iter().all(|endpoint| endpoint.address.socket_addr().is_some_and(is_loopback));
        let challenges = tls.iter().find_map(|tls| tls.challenges().cloned());
        let front = Front::of(config).with_https(to_https).with_challenges(challenges);
        let front = if is_local { front.on_loopback(config) } else { front };
        let log = Log::new(config.access_log, sink);
        // Raised first, because other bounds are computed from it.
        descriptors::raise_limit();
        let reactors = Arc::new(Reactors::start(config, front, site, host, &log, &control.stage)?);
        let log_thread = log.start().inspect_err(|_| reactors.stop())?;
        let (accepting, queues, ticking) = (Vec::new(), Vec::new(), Vec::new());
        let mut running = Self {
            reactors,
            control,
            wake_pipe,
            endpoints,
            tls,
            accepting,
            queues,
            ticking,
            log,
            log_thread,
            certificates: None,
        };
        match running.begin(listeners, memory) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.end();
                Err(error.into())
            }
        }
    }

    fn begin(&mut self, listeners: Listeners, memory: Option<MemoryListener>) -> io::Result<()> {
        let reactors = &self.reactors;
        for service in reactors.iter() {
            let ticking = service.executor.runtime.spawn(tick(Arc::clone(service), Arc::clone(&self.control)));
            let publishing = service.executor.runtime.spawn(Arc::clone(&service.room).serve());
            self.ticking.extend([ticking.abort_handle(), publishing.abort_handle()]);
        }
        if let Some(service) = reactors.iter().next() {
            self.ticking.extend(topics::begin(service)?);
        }
        if let (Some(memory), Some(service)) = (memory, reactors.iter().next()) {
            let options = ListenerOptions { tls: None, role: ListenerRole::Serve };
            let (accepting, reactors) = (Accepting::Memory(memory), Arc::clone(reactors));
            let accepting = listen::accept(accepting, options, reactors, Arc::clone(service));
            self.accepting.push(service.executor.runtime.spawn(accepting).abort_handle());
        }
        for place in listeners.into_places() {
            let place = Listener::share(place, reactors.len())?;
            for (listener, service) in place.into_iter().zip(reactors.iter().cycle()) {
                let runtime = &service.executor.runtime;
                let options = listener.options();
                listener.limit_unsent(service.config.write_stall_timeout);
                let listener = {
                    let _inside = runtime.enter();
                    listener.accepting()?
                };
                let queue = listener.queue().map(|queue| (queue, options.clone(), Arc::clone(service)));
                self.queues.extend(queue);
                let (reactors, service) = (Arc::clone(reactors), Arc::clone(service));
                let accepting = runtime.spawn(listen::accept(listener, options, reactors, service));
                self.accepting.push(accepting.abort_handle());
            }
        }
        Ok(())
    }

    /// The endpoints; their ports are the real ones.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Serves until terminated, then drains: no connections are accepted, idle ones are closed (when retiring: may send
    /// one more request), answers in flight are completed, and those that are left after `termination_timeout` are cut.
    /// `on_wake` is called at each wake-up of the wake pipe.
    pub(crate) fn serve<E>(mut self, config: &Config, mut on_wake: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        // Certificates that were read before a fork may be out of date.
        self.look_at_certificates();
        while self.control.stage() == SERVING {
            let is_woken = self.wake_pipe.wait((!self.tls.is_empty()).then_some(LOOK));
            if self.control.stage() != SERVING {
                // Listeners first: `on_wake` may be a handler that takes its time.
                break;
            }
            self.look_at_certificates();
            if !is_woken {
                continue;
            }
            result = on_wake();
            if result.is_err() {
                self.control.terminate(false);
            }
        }
        if let Some(certificates) = &self.certificates {
            certificates.drain();
        }
        self.close_doors();
        if self.control.stage() == RETIRING {
            self.reactors.signal_all(Order::Retire);
        }
        result = result.and(self.wait_while(RETIRING, config.drain_idle, &mut on_wake));
        self.control.terminate(false);
        self.reactors.signal_all(Order::Drain);
        let patience = config.termination_timeout;
        result = result.and(self.wait_while(DRAINING, AT_ONCE.min(patience), &mut on_wake));
        self.name_awaited_handlers(patience);
        result = result.and(self.wait_while(DRAINING, patience.saturating_sub(AT_ONCE), &mut on_wake));
        self.reactors.signal_all(Order::Cut);
        let deadline = Instant::now() + LAST_PATIENCE;
        while self.reactors.have_connections() && Instant::now() < deadline {
            self.wake_pipe.wait(Some(GLANCE));
        }
        self.end();
        result
    }

    /// Reads certificates again whose files have changed.
    fn look_at_certificates(&self) {
        let is_urgent = self.control.wants_certificates.swap(false, Ordering::SeqCst);
        if is_urgent {
            let said = if self.tls.is_empty() { "there are no certificates" } else { "certificates are read again" };
            let text = format!("SIGHUP: {said}; a single process does not load its program again");
            self.log.event(Level::Warning, text);
            self.certificates.iter().for_each(Certificates::retry);
        }
        for tls in &self.tls {
            renew_certificates(tls, is_urgent, |level, text| self.log.event(level, text));
        }
    }

    /// Stops accepting, except for the connections in the queues: closing a queue would reset connections on which
    /// clients may have sent requests. When this returns, all accepted connections are registered.
    fn close_doors(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
        let deadline = Instant::now() + LAST_PATIENCE;
        while !self.accepting.iter().all(AbortHandle::is_finished) && Instant::now() < deadline {
            self.wake_pipe.wait(Some(SHORT_GLANCE));
        }
        if self.control.is_replaced.load(Ordering::SeqCst) {
            // The handler of this process may keep new connections from being answered; the process in its place
            // accepts from the same queues.
            self.queues.clear();
        }
        // After the process was stopped (SIGSTOP) its clock may be far behind, and new deadlines would have passed at
        // once.
        self.reactors.iter().for_each(|service| service.registry.tick(&service.clock));
        loop {
            self.queues.retain(|(queue, options, service)| !listen::empty(queue, options, &self.reactors, service));
            if self.queues.is_empty() || Instant::now() >= deadline {
                break;
            }
            // Out of descriptors: connections that end give some back.
            self.wake_pipe.wait(Some(GLANCE));
        }
        self.queues.clear();
    }

    /// Ends the event loops, the threads and the log, in this order.
    fn end(mut self) {
        if let Some(certificates) = self.certificates.take() {
            certificates.end();
        }
        self.accepting.iter().chain(&self.ticking).for_each(AbortHandle::abort);
        self.reactors.stop();
        let busy = self.reactors.join(Instant::now() + LAST_PATIENCE) + self.reactors.connections();
        match busy {
            0 => {}
            1 => self.log.event(Level::Warning, "1 handler had not ended and was left behind"),
            _ => self.log.event(Level::Warning, format!("{busy} handlers had not ended and were left behind")),
        }
        self.log.close();
        // A log sink that blocks does not keep the server from ending.
        let deadline = Instant::now() + LAST_PATIENCE;
        while !self.log_thread.is_finished() && Instant::now() < deadline {
            self.wake_pipe.wait(Some(GLANCE));
        }
    }

    /// Says in the log how many answers the end waits for, and for how long at most.
    fn name_awaited_handlers(&self, patience: Duration) {
        let InFlight { answers, websockets } = self.reactors.in_flight();
        if self.control.stage() != DRAINING || answers + websockets == 0 {
            return;
        }
        let count = |count: usize, name: &str| match count {
            0 => None,
            1 => Some(format!("1 {name}")),
            _ => Some(format!("{count} {name}s")),
        };
        let all: Vec<_> = [count(answers, "answer"), count(websockets, "WebSocket")].into_iter().flatten().collect();
        let seconds = patience.as_secs_f64();
        let text = format!("{} in flight, at most {seconds} s; Ctrl+C again cuts", all.join(" and "));
        self.log.event(Level::Warning, text);
    }

    /// Waits until no connection is left, the stage is another one, or this long.
    fn wait_while<E>(
        &self,
        stage: u8,
        at_most: Duration,
        on_wake: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut result = Ok(());
        let deadline = Instant::now() + at_most;
        while self.reactors.have_connections() && self.control.stage() == stage {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wake_pipe.wait(Some(left.min(GLANCE)));
            let outcome = on_wake();
            if outcome.is_err() {
                self.control.terminate(true);
            }
            result = result.and(outcome);
        }
        result
    }
}

async fn tick(service: Arc<Service>, control: Arc<Control>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        service.registry.tick(&service.clock);
        trim_memory();
        if service.budget.has_ended_one() {
            service.log.complain(
                "max_unsent_mb",
                "answers that clients do not take have filled their memory: the slowest connection was cut",
            );
        }
        if service.executor.tick(service.config.termination_timeout) {
            control.is_replaced.store(true, Ordering::SeqCst);
            control.retire();
        }
    }
}
