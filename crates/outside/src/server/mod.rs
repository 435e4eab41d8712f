//! Sockets, the reactor behind them, and the end of life.
//!
//! [`Running`] is a server that listens. It is waited for by the thread that called `run()`, which is never a leader:
//! it sleeps on a [`Doorbell`] that signals and [`Control::terminate`] ring.

mod doorbell;
mod listen;

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

pub(crate) use doorbell::Doorbell;

use crate::config::{AccessLog, Config};
use crate::connection::{Clock, Handles, Order, Service};
use crate::error::Error;
use crate::executor::{Executor, Host};
use crate::log::{Level, Log, LogSink};
use crate::site::Site;
use crate::transport::{Address, Listener};

/// The stages of a server's life that others may ask for.
#[derive(Debug)]
pub(crate) struct Control {
    stage: Arc<AtomicU8>,
    /// Made anew for each run: a fork in between must not leave two processes with one bell.
    doorbell: Mutex<Option<Arc<Doorbell>>>,
}

const SERVING: u8 = 0;
/// A new generation serves; idle connections may send one more request.
const RETIRING: u8 = 1;
const DRAINING: u8 = 2;
const CUTTING: u8 = 3;
/// No run has begun, or the last one has ended by itself …
const RESTING: u8 = 4;
/// … or by being asked to.
const ENDED: u8 = 5;

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { stage: Arc::new(AtomicU8::new(RESTING)), doorbell: Mutex::default() })
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

    pub(crate) fn is_terminating(&self) -> bool {
        matches!(self.stage(), RETIRING | DRAINING | CUTTING | ENDED)
    }

    /// Begins a run; `None` if one has begun and not ended.
    pub(crate) fn enter(&self) -> io::Result<Option<Arc<Doorbell>>> {
        let doorbell = Arc::new(Doorbell::new()?);
        if !self.change(RESTING, SERVING) && !self.change(ENDED, SERVING) {
            return Ok(None);
        }
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

/// A server that listens.
pub(crate) struct Running {
    service: Arc<Service>,
    control: Arc<Control>,
    doorbell: Arc<Doorbell>,
    address: Address,
    tasks: [AbortHandle; 2],
    log_thread: std::thread::JoinHandle<()>,
}

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);
/// While draining, this often it is looked whether anything is left.
const GLANCE: Duration = Duration::from_millis(10);
/// After everything was cut, threads have this long to end.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

impl Running {
    /// Begins to serve.
    pub(crate) fn start(
        listener: Listener,
        config: &Config,
        site: Arc<Site>,
        host: Arc<dyn Host>,
        sink: Arc<dyn LogSink>,
        control: Arc<Control>,
        doorbell: Arc<Doorbell>,
    ) -> Result<Self, Error> {
        let address = listener.address().clone();
        let log = Log::new(log_format(config.access_log), sink);
        let executor = Executor::start(host, Arc::clone(&log), config.max_workers)?;
        let log_thread = log.start()?;
        let service = Arc::new(Service {
            executor,
            site,
            config: config.clone(),
            log,
            handles: Handles::default(),
            clock: Clock::new(),
            ended: tokio::sync::Notify::new(),
            stage: Arc::clone(&control.stage),
        });
        let runtime = &service.executor.runtime;
        let listener = {
            let _inside = runtime.enter();
            listener.accepting()?
        };
        let accepting = runtime.spawn(listen::accept(listener, Arc::clone(&service))).abort_handle();
        let ticking = runtime.spawn(tick(Arc::clone(&service))).abort_handle();
        Ok(Self { service, control, doorbell, address, tasks: [accepting, ticking], log_thread })
    }

    /// Where it listens; the port is the real one.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Serves until terminated, then drains: no new connections, idle ones are closed (after a retreat: may send one
    /// more request), what is in flight is answered, and what is left after `termination_timeout` is cut. `rung` is
    /// called on each ring of the doorbell.
    pub(crate) fn serve<E>(self, mut rung: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        while self.control.stage() == SERVING {
            self.doorbell.wait(None);
            result = rung();
            if result.is_err() {
                self.control.terminate(false);
            }
        }
        self.tasks[0].abort();
        let config = &self.service.config;
        result = result.and(self.wait_while(RETIRING, config.drain_idle, &mut rung));
        self.control.terminate(false);
        self.service.handles.give_all(Order::Drain);
        result = result.and(self.wait_while(DRAINING, config.termination_timeout, &mut rung));
        self.service.handles.give_all(Order::Cut);
        let deadline = Instant::now() + LAST_PATIENCE;
        while self.service.handles.len() > 0 && Instant::now() < deadline {
            self.doorbell.wait(Some(GLANCE));
        }
        self.tasks[1].abort();
        let executor = &self.service.executor;
        executor.stop();
        let busy = executor.join(LAST_PATIENCE);
        if busy > 0 {
            self.service.log.event(Level::Warning, format!("{busy} handlers had not ended and were left behind"));
        }
        self.service.log.close();
        // A sink that takes nothing any more does not keep the server from ending.
        let deadline = Instant::now() + LAST_PATIENCE;
        while !self.log_thread.is_finished() && Instant::now() < deadline {
            self.doorbell.wait(Some(GLANCE));
        }
        result
    }

    /// Waits until no connection is left, the stage is another one, or this long.
    fn wait_while<E>(&self, stage: u8, at_most: Duration, rung: &mut impl FnMut() -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        let deadline = Instant::now() + at_most;
        while self.service.handles.len() > 0 && self.control.stage() == stage {
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

/// `Auto` is for people on a terminal, and for machines elsewhere.
fn log_format(format: AccessLog) -> AccessLog {
    match format {
        AccessLog::Auto if std::io::IsTerminal::is_terminal(&std::io::stderr()) => AccessLog::Common,
        AccessLog::Auto => AccessLog::Json,
        format => format,
    }
}

async fn tick(service: Arc<Service>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        service.handles.tick(&service.clock);
        service.executor.expire();
    }
}
