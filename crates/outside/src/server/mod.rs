//! Sockets, the reactors behind them, and the end of a server's life.
//!
//! [`Running`] is a server that listens. The thread that called `run()` waits for its end and is never a leader. It
//! sleeps on a [`WakePipe`], which signals and [`Control::terminate`] wake.

mod background;
mod certificates;
mod control;
mod counted;
mod descriptors;
mod listen;
mod measure;
mod reactors;
mod ticker;
mod topics;
mod wake_pipe;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

pub(crate) use certificates::renew_certificates;
pub(crate) use control::Control;
use control::SERVING;
pub(crate) use wake_pipe::WakePipe;

use crate::certificates::Certificates;
use crate::config::Config;
use crate::connection::trim_memory;
use crate::error::Error;
use crate::exchange::{DRAINING, InFlight, LEAVING, Order, RETIRING, Service};
use crate::handler::{LanguageRuntime, wake_overdue};
use crate::log::{Level, Log, LogSink};
use crate::metrics::Meter;
use crate::site::{Front, Site, ToHttps};
use crate::status::StatusListener;
use crate::transport::{
    AcceptQueue, Accepting, ConnectionSource, Endpoint, Listener, ListenerOptions, ListenerRole, Listeners,
    MemoryListener, Tls,
};
use reactors::Reactors;
use ticker::Ticker;

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
    meter: Option<Arc<Meter>>,
    status: Option<StatusListener>,
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
        (control, wake_pipe): (Arc<Control>, Arc<WakePipe>),
        meter: Option<Arc<Meter>>,
    ) -> Result<Self, Error> {
        let (listeners, memory) = match source {
            ConnectionSource::Listeners(listeners) => (listeners, None),
            ConnectionSource::Memory(memory) => (Listeners::default(), Some(memory)),
        };
        config.check()?;
        control.delays.store(!config.drain_delay.is_zero() && memory.is_none(), Ordering::SeqCst);
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
        let log = Log::new(config, sink);
        meter.iter().for_each(|meter| log.count_in(meter));
        // Raised first, because other bounds are computed from it.
        descriptors::raise_limit();
        let reactors = Arc::new(Reactors::start(config, front, site, host, &log, &control.stage, meter.as_ref())?);
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
            meter,
            status: None,
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
        // Certificates that were read before a fork may have expired since: no client is to see those.
        self.look_at_certificates();
        let reactors = &Arc::clone(&self.reactors);
        for service in reactors.iter() {
            let ticking = service.executor.runtime.spawn(tick(Arc::clone(service), Arc::clone(&self.control)));
            let publishing = service.executor.runtime.spawn(Arc::clone(&service.room).serve());
            self.ticking.extend([ticking.abort_handle(), publishing.abort_handle()]);
        }
        if let Some(service) = reactors.iter().next() {
            self.ticking.extend(topics::begin(service)?);
        }
        if let (Some(memory), Some(service)) = (memory, reactors.iter().next()) {
            let options = ListenerOptions { tls: None, role: ListenerRole::Serve, accepted: None };
            let (accepting, reactors) = (Accepting::Memory(memory), Arc::clone(reactors));
            let accepting = listen::accept(accepting, options, reactors, Arc::clone(service));
            self.accepting.push(service.executor.runtime.spawn(accepting).abort_handle());
        }
        if let (Some(meter), Some(service)) = (&self.meter, reactors.iter().next()) {
            let measuring = measure::measure(Arc::clone(meter), Arc::clone(reactors), self.tls.clone());
            self.ticking.push(service.executor.runtime.spawn(measuring).abort_handle());
        }
        for place in listeners.into_places() {
            if place.first().is_some_and(|listener| listener.role() == ListenerRole::Metrics) {
                self.begin_status(place)?;
                continue;
            }
            let place = Listener::share(place, reactors.len())?;
            for (listener, service) in place.into_iter().zip(reactors.iter().cycle()) {
                let runtime = &service.executor.runtime;
                let mut options = listener.options();
                options.accepted = self.meter.as_ref().map(|meter| counted::accepted(meter, &listener));
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

    /// Begins to answer clients that ask for the numbers of the server. All handles of the listener have one queue.
    fn begin_status(&mut self, listeners: Vec<Listener>) -> io::Result<()> {
        let reactors = Arc::clone(&self.reactors);
        if let (Some(meter), Some(service), Some(listener)) =
            (&self.meter, reactors.iter().next(), listeners.into_iter().next())
        {
            self.status = Some(StatusListener::start(listener, meter, &service.config)?);
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
                self.control.drain();
            }
        }
        if self.control.stage() == LEAVING {
            result = result.and(self.delay(config.drain_delay, &mut on_wake));
        }
        if let Some(certificates) = &self.certificates {
            certificates.drain();
        }
        let (is_replaced, begin) = (self.control.stage() == RETIRING, Instant::now());
        self.close_doors();
        if self.control.stage() == RETIRING {
            self.reactors.signal_all(Order::Retire);
        }
        result = result.and(self.wait_while(RETIRING, config.drain_idle, &mut on_wake));
        self.control.drain();
        self.reactors.signal_all(Order::Drain);
        let (patience, drained_by) = (config.termination_timeout, Instant::now() + config.termination_timeout);
        result = result.and(self.wait_while(DRAINING, AT_ONCE.min(patience), &mut on_wake));
        self.name_awaited_handlers(patience);
        result = result.and(self.wait_while(DRAINING, patience.saturating_sub(AT_ONCE), &mut on_wake));
        result = result.and(self.wait_for_background(drained_by, &mut on_wake));
        self.reactors.signal_all(Order::Cut);
        let deadline = Instant::now() + LAST_PATIENCE;
        while self.reactors.have_connections() && Instant::now() < deadline {
            self.wake_pipe.wait(Some(GLANCE));
        }
        if let Some(certificates) = self.certificates.take() {
            // Clients have another process by now, so an order in progress may end: the next leader would make it again.
            let left = patience.saturating_sub(begin.elapsed());
            certificates.end(if is_replaced { left } else { Duration::ZERO });
        }
        self.end();
        result
    }

    /// Serves for this long as before, while load balancers learn that the server is about to end.
    fn delay<E>(&self, delay: Duration, on_wake: &mut impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let seconds = delay.as_secs_f64();
        self.log.notable(Level::Warning, format!("the server ends: it serves for {seconds} s more, then it drains"));
        let deadline = Instant::now() + delay;
        let mut result = Ok(());
        while self.control.stage() == LEAVING {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wake_pipe.wait(Some(left.min(LOOK)));
            self.look_at_certificates();
            result = on_wake();
            if result.is_err() {
                break;
            }
        }
        self.control.change(LEAVING, DRAINING);
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
            renew_certificates(tls, is_urgent, |level, text| self.log.notable(level, text));
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
            certificates.end(Duration::ZERO);
        }
        self.accepting.iter().chain(&self.ticking).for_each(AbortHandle::abort);
        self.reactors.stop();
        let busy = self.reactors.join(Instant::now() + LAST_PATIENCE) + self.reactors.connections();
        match busy {
            0 => {}
            1 => self.log.event(Level::Warning, "1 handler had not ended and was left behind"),
            _ => self.log.event(Level::Warning, format!("{busy} handlers had not ended and were left behind")),
        }
        self.leave_background();
        if let Some(meter) = &self.meter {
            meter.end();
        }
        if let Some(status) = self.status.take() {
            status.end();
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
        if answers > 0
            && let Some(service) = self.reactors.iter().next()
        {
            service.executor.name_running();
        }
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
    let mut ticker = Ticker::every(TICK);
    loop {
        ticker.tick().await;
        service.registry.tick(&service.clock);
        wake_overdue();
        trim_memory();
        service.freed_memory.look(&service.executor, &service.clock);
        if let Some(memory) = &service.memory {
            memory.look(service.clock.now(), &service.log);
        }
        if service.budget.has_ended_one() {
            service.log.complain(
                "max_unsent_mb",
                "what clients do not take, or send too slowly, has filled its memory: the slowest connection was cut",
            );
        }
        if service.executor.tick(service.config.termination_timeout) {
            control.is_replaced.store(true, Ordering::SeqCst);
            control.retire();
        }
    }
}
