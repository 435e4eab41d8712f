//! Sockets, the reactors behind them, and the end of life.
//!
//! [`Running`] is a server that listens. It is waited for by the thread that called `run()`, which is never a leader:
//! it sleeps on a [`Doorbell`] that signals and [`Control::terminate`] ring.

mod descriptors;
mod doorbell;
mod listen;
mod reactors;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

pub(crate) use doorbell::Doorbell;

use crate::config::Config;
use crate::connection::trim_memory;
use crate::error::Error;
use crate::exchange::{DRAINING, InFlight, Order, RETIRING, Service};
use crate::handler::Host;
use crate::log::{Level, Log, LogSink};
use crate::site::{Front, Site, ToHttps};
use crate::transport::{Accepting, Door, Doors, Endpoint, Entrance, Handed, Listener, Listeners, Notice, Queue, Tls};
use reactors::Reactors;

/// The stages of a server's life that others may ask for.
#[derive(Debug)]
pub(crate) struct Control {
    stage: Arc<AtomicU8>,
    /// Made anew for each run: a fork in between must not leave two processes with one bell.
    doorbell: Mutex<Option<Arc<Doorbell>>>,
    /// Somebody has asked for certificates to be read again.
    wants_certificates: AtomicBool,
    /// When the run began.
    had_terminal: AtomicBool,
    /// Whether another process has taken the place of this one, in which a handler does not end.
    is_replaced: AtomicBool,
}

const SERVING: u8 = 0;
const CUTTING: u8 = 3;
/// No run has begun, or the last one has ended by itself …
const RESTING: u8 = 4;
/// … or by being asked to.
const ENDED: u8 = 5;

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stage: Arc::new(AtomicU8::new(RESTING)),
            doorbell: Mutex::default(),
            wants_certificates: AtomicBool::default(),
            had_terminal: AtomicBool::default(),
            is_replaced: AtomicBool::default(),
        })
    }

    /// Begins the end; `at_once` cuts what is in flight if the end has already begun.
    pub(crate) fn terminate(&self, at_once: bool) {
        let begins = self.change(SERVING, DRAINING) || self.change(RETIRING, DRAINING);
        if begins || (at_once && self.change(DRAINING, CUTTING)) {
            self.ring();
        }
    }

    /// Begins the end after a new generation has taken over.
    pub(crate) fn retire(&self) {
        if self.change(SERVING, RETIRING) {
            self.ring();
        }
    }

    /// SIGHUP: has the certificates read again. The system sends it as well when a terminal is closed, and then nobody is
    /// there any more who wants the server.
    pub(crate) fn hang_up(&self) {
        if self.had_terminal.load(Ordering::SeqCst) && !terminal_is_there() {
            return self.terminate(false);
        }
        self.wants_certificates.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(crate) fn is_terminating(&self) -> bool {
        matches!(self.stage(), RETIRING | DRAINING | CUTTING | ENDED)
    }

    /// Begins a run; `None` if one has begun and not ended.
    pub(crate) fn enter(&self) -> io::Result<Option<Arc<Doorbell>>> {
        let doorbell = Arc::new(Doorbell::new()?);
        if !self.change(RESTING, SERVING) && !self.change(ENDED, SERVING) {
            return Ok(None);
        }
        self.had_terminal.store(terminal_is_there(), Ordering::SeqCst);
        self.wants_certificates.store(false, Ordering::SeqCst);
        *self.lock() = Some(Arc::clone(&doorbell));
        Ok(Some(doorbell))
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

    fn ring(&self) {
        if let Some(doorbell) = &*self.lock() {
            doorbell.ring();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Doorbell>>> {
        self.doorbell.lock().unwrap_or_else(PoisonError::into_inner)
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
    doorbell: Arc<Doorbell>,
    endpoints: Vec<Endpoint>,
    /// Of all listeners, each once.
    tls: Vec<Arc<Tls>>,
    accepting: Vec<AbortHandle>,
    /// What each of them accepts from, and for whom.
    queues: Vec<(Queue, Entrance, Arc<Service>)>,
    ticking: Vec<AbortHandle>,
    log: Arc<Log>,
    log_thread: std::thread::JoinHandle<()>,
}

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// While draining, this often it is looked whether anything is left.
const GLANCE: Duration = Duration::from_millis(10);
/// The same for what takes a turn of the event loops.
const SHORT_GLANCE: Duration = Duration::from_millis(1);
/// What ends with the server has ended after this.
const AT_ONCE: Duration = Duration::from_millis(100);
/// After everything was cut, threads have this long to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Running {
    /// Begins to serve on all of these; reactors for which there is no listener of their own share one.
    pub(crate) fn start(
        doors: Doors,
        config: &Config,
        site: &Arc<Site>,
        host: &Arc<dyn Host>,
        sink: Arc<dyn LogSink>,
        control: Arc<Control>,
        doorbell: Arc<Doorbell>,
    ) -> Result<Self, Error> {
        let (listeners, handed) = match doors {
            Doors::Listeners(listeners) => (listeners, None),
            Doors::Memory(handed) => (Listeners::default(), Some(handed)),
        };
        config.check()?;
        let endpoints = listeners.endpoints();
        if endpoints.is_empty() && handed.is_none() {
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
        let front = Front::of(config).with_https(to_https);
        let front = if is_local { front.on_loopback(config) } else { front };
        let log = Log::new(config.access_log, sink);
        // Before anything is bounded by it.
        descriptors::raise_limit();
        let reactors = Arc::new(Reactors::start(config, front, site, host, &log, &control.stage)?);
        let log_thread = log.start().inspect_err(|_| reactors.stop())?;
        let (accepting, queues, ticking) = (Vec::new(), Vec::new(), Vec::new());
        let mut running =
            Self { reactors, control, doorbell, endpoints, tls, accepting, queues, ticking, log, log_thread };
        match running.begin(listeners, handed) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.end();
                Err(error.into())
            }
        }
    }

    fn begin(&mut self, listeners: Listeners, handed: Option<Handed>) -> io::Result<()> {
        let reactors = &self.reactors;
        for service in reactors.iter() {
            let ticking = service.executor.runtime.spawn(tick(Arc::clone(service), Arc::clone(&self.control)));
            let publishing = service.executor.runtime.spawn(Arc::clone(&service.room).serve());
            self.ticking.extend([ticking.abort_handle(), publishing.abort_handle()]);
        }
        if let (Some(handed), Some(service)) = (handed, reactors.iter().next()) {
            let entrance = Entrance { tls: None, door: Door::Site };
            let (door, reactors) = (Accepting::Memory(handed), Arc::clone(reactors));
            let accepting = listen::accept(door, entrance, reactors, Arc::clone(service));
            self.accepting.push(service.executor.runtime.spawn(accepting).abort_handle());
        }
        for place in listeners.into_places() {
            let place = Listener::share(place, reactors.len())?;
            for (listener, service) in place.into_iter().zip(reactors.iter().cycle()) {
                let runtime = &service.executor.runtime;
                let entrance = listener.entrance();
                listener.limit_unsent(service.config.write_stall_timeout);
                let listener = {
                    let _inside = runtime.enter();
                    listener.accepting()?
                };
                let queue = listener.queue().map(|queue| (queue, entrance.clone(), Arc::clone(service)));
                self.queues.extend(queue);
                let (reactors, service) = (Arc::clone(reactors), Arc::clone(service));
                let accepting = runtime.spawn(listen::accept(listener, entrance, reactors, service));
                self.accepting.push(accepting.abort_handle());
            }
        }
        Ok(())
    }

    /// Where it listens; the ports are the real ones.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Serves until terminated, then drains: no new connections, idle ones are closed (after a retreat: may send one
    /// more request), what is in flight is answered, and what is left after `termination_timeout` is cut. `rung` is
    /// called on each ring of the doorbell.
    pub(crate) fn serve<E>(mut self, config: &Config, mut rung: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        // What was read before a fork may be old by now.
        self.look_at_certificates();
        while self.control.stage() == SERVING {
            let has_rung = self.doorbell.wait((!self.tls.is_empty()).then_some(LOOK));
            if self.control.stage() != SERVING {
                // The doors first: whoever is told may be kept waiting by a handler.
                break;
            }
            self.look_at_certificates();
            if !has_rung {
                continue;
            }
            result = rung();
            if result.is_err() {
                self.control.terminate(false);
            }
        }
        self.close_doors();
        if self.control.stage() == RETIRING {
            self.reactors.signal_all(Order::Retire);
        }
        result = result.and(self.wait_while(RETIRING, config.drain_idle, &mut rung));
        self.control.terminate(false);
        self.reactors.signal_all(Order::Drain);
        let patience = config.termination_timeout;
        result = result.and(self.wait_while(DRAINING, AT_ONCE.min(patience), &mut rung));
        self.say_what_is_waited_for(patience);
        result = result.and(self.wait_while(DRAINING, patience.saturating_sub(AT_ONCE), &mut rung));
        self.reactors.signal_all(Order::Cut);
        let deadline = Instant::now() + LAST_PATIENCE;
        while self.reactors.have_connections() && Instant::now() < deadline {
            self.doorbell.wait(Some(GLANCE));
        }
        self.end();
        result
    }

    /// Takes over what has changed in the files of certificates.
    fn look_at_certificates(&self) {
        let is_urgent = self.control.wants_certificates.swap(false, Ordering::SeqCst);
        if is_urgent {
            let certificates =
                if self.tls.is_empty() { "there are no certificates" } else { "certificates are read again" };
            let text = format!("SIGHUP: {certificates}; a single process does not load its program again");
            self.log.event(Level::Warning, text);
        }
        for tls in &self.tls {
            renew_certificates(tls, is_urgent, |level, text| self.log.event(level, text));
        }
    }

    /// Accepts nobody any more but those who wait in the queues: closing these would reset connections on which clients may have sent requests.
    /// Who was accepted is there when this returns.
    fn close_doors(&mut self) {
        self.accepting.iter().for_each(AbortHandle::abort);
        let deadline = Instant::now() + LAST_PATIENCE;
        while !self.accepting.iter().all(AbortHandle::is_finished) && Instant::now() < deadline {
            self.doorbell.wait(Some(SHORT_GLANCE));
        }
        if self.control.is_replaced.load(Ordering::SeqCst) {
            // Its handler may keep others from being answered; the process in its place accepts from the same queues.
            self.queues.clear();
        }
        // A process that was stopped may find its clock far behind, and new deadlines would have passed at once.
        self.reactors.iter().for_each(|service| service.registry.tick(&service.clock));
        loop {
            self.queues.retain(|(queue, entrance, service)| !listen::empty(queue, entrance, &self.reactors, service));
            if self.queues.is_empty() || Instant::now() >= deadline {
                break;
            }
            // Out of descriptors: connections that end give some back.
            self.doorbell.wait(Some(GLANCE));
        }
        self.queues.clear();
    }

    /// Ends the event loops, the threads and the log, in this order.
    fn end(self) {
        self.accepting.iter().chain(&self.ticking).for_each(AbortHandle::abort);
        self.reactors.stop();
        let busy = self.reactors.join(Instant::now() + LAST_PATIENCE) + self.reactors.connections();
        match busy {
            0 => {}
            1 => self.log.event(Level::Warning, "1 handler had not ended and was left behind"),
            _ => self.log.event(Level::Warning, format!("{busy} handlers had not ended and were left behind")),
        }
        self.log.close();
        // A sink that takes nothing any more does not keep the server from ending.
        let deadline = Instant::now() + LAST_PATIENCE;
        while !self.log_thread.is_finished() && Instant::now() < deadline {
            self.doorbell.wait(Some(GLANCE));
        }
    }

    /// Nothing ends before what is in flight: that is said, and for how long.
    fn say_what_is_waited_for(&self, patience: Duration) {
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
    fn wait_while<E>(&self, stage: u8, at_most: Duration, rung: &mut impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        let deadline = Instant::now() + at_most;
        while self.reactors.have_connections() && self.control.stage() == stage {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.doorbell.wait(Some(left.min(GLANCE)));
            let rang = rung();
            if rang.is_err() {
                self.control.terminate(true);
            }
            result = result.and(rang);
        }
        result
    }
}

/// Takes over what has changed in the files of certificates, and says so, or what is wrong with them.
pub(crate) fn renew_certificates(tls: &Tls, is_urgent: bool, mut say: impl FnMut(Level, String)) {
    for notice in tls.renew(is_urgent) {
        match notice {
            Notice::Renewed(files) => say(Level::Info, format!("new certificates are in use: {files:?}")),
            Notice::Fault(text) => say(Level::Error, text),
            Notice::Early(text) => say(Level::Warning, text),
        }
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
                "answers that clients do not take fill the memory they may: the slowest was cut",
            );
        }
        if service.executor.tick(service.config.termination_timeout) {
            control.is_replaced.store(true, Ordering::SeqCst);
            control.retire();
        }
    }
}
