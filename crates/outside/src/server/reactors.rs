//! Several event loops as one server: each has its own connections, jobs and threads; the log and the bounds are
//! shared.
//!
//! A reactor accepts from a queue of its own, or all reactors share the only queue. A reactor with more than its share
//! hands new connections on: a kernel that spreads many clients evenly may still leave few of them on one reactor.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Instant;

use super::counted::{published, websocket_messages};
use crate::budget::Budget;
use crate::compression::Press;
use crate::config::{Config, MOST_REACTORS};
use crate::content::Spools;
use crate::error::Error;
use crate::exchange::{
    Clock, ConnectionLimit, ConnectionRegistry, Executor, FreedMemory, Handshakes, InFlight, LoopShare, MemoryBound,
    Order, Rank, RequestCount, Service, TurnTimes,
};
use crate::executor::PoolLimits;
use crate::files::Store;
use crate::handler::LanguageRuntime;
use crate::log::{Level, Log};
use crate::metrics::{Meter, RequestMeter};
use crate::protocol::websocket::DeflatePool;
use crate::site::{Front, Site};
use crate::websocket::WebSocketBounds;

/// Divisor: one in this many of the connections that can give way does so at once.
const SHED_AT_ONCE: usize = 32;

/// All reactors of a server; there is at least one.
pub(super) struct Reactors(Vec<Arc<Service>>);

impl Reactors {
    /// Starts the configured number of event loops.
    pub(super) fn start(
        config: &Config,
        front: Front,
        site: &Arc<Site>,
        host: &Arc<dyn LanguageRuntime>,
        log: &Arc<Log>,
        stage: &Arc<AtomicU8>,
        meter: Option<&Arc<Meter>>,
    ) -> Result<Self, Error> {
        let (clock, connection_limit) = (Arc::new(Clock::new()), Arc::new(ConnectionLimit::new(config)));
        if let Some(seat) = site.shared.seat() {
            connection_limit.count_at(seat);
        }
        site.edit(|site| {
            site.store = Arc::new(Store::new(config));
            site.edit_policy(|policy| {
                policy.cors.clone_from(&config.cors);
                policy.security.clone_from(&config.security_headers);
                policy.is_debug = config.debug;
            });
            Ok(())
        })?;
        let failures = Arc::clone(log);
        site.begin(config, host.is_native(), move |text| failures.event(Level::Error, text))?;
        let deflate = Arc::<DeflatePool>::default();
        let front = Arc::new(front);
        let (budget, press) = (Budget::new(config.most_unsent()), Press::new());
        // The spool has room for at least one body of the largest allowed size.
        let spools = Arc::new(Spools::new(config.spool_max.max(config.max_body_size as u64)));
        // And so has the memory, for one that does not go to the spool.
        let largest = config.spool_above.min(config.max_body_size);
        let bodies = Arc::new(Spools::new(config.most_body_memory().max(largest) as u64));
        let freed_memory = FreedMemory::new(Arc::clone(&budget), Arc::clone(&bodies));
        let counted = meter.map(|meter| {
            site.topics.count_in(published(meter));
            [websocket_messages(meter, "received"), websocket_messages(meter, "sent")]
        });
        let complaints = Arc::clone(log);
        let complain = move |key, text: &str| complaints.complain(key, text);
        let bounds = Arc::new(WebSocketBounds::new(config.max_topics, config.max_published, complain, counted));
        let requests = config.max_requests.map(|most| Arc::new(RequestCount::new(most, Arc::clone(host))));
        let memory = config.max_worker_memory.map(|most| Arc::new(MemoryBound::new(most, Arc::clone(host), log)));
        let mut reactors = Self(Vec::new());
        let limits = PoolLimits {
            max_workers: config.max_workers,
            max_waiting: config.max_waiting_requests.unwrap_or(4 * config.max_workers),
            longest_wait: config.waiting_timeout,
        };
        for reactor in 0..config.reactors.clamp(1, MOST_REACTORS) {
            let executor = match Executor::start(reactor, Arc::clone(host), Arc::clone(log), limits) {
                Ok(executor) => executor,
                Err(error) => {
                    reactors.stop();
                    return Err(error.into());
                }
            };
            let room = site.topics.new_room(Arc::clone(&executor.woken), Arc::clone(&bounds));
            reactors.0.push(Arc::new(Service {
                executor,
                site: Arc::clone(site),
                config: config.clone(),
                checks_forgery: !config.secret.is_empty() && host.is_native(),
                front: Arc::clone(&front),
                log: Arc::clone(log),
                registry: ConnectionRegistry::default(),
                clock: Arc::clone(&clock),
                times: TurnTimes::new(),
                connection_limit: Arc::clone(&connection_limit),
                stage: Arc::clone(stage),
                room,
                session_share: LoopShare::default(),
                deflate: Arc::clone(&deflate),
                budget: Arc::clone(&budget),
                press: Arc::clone(&press),
                handshakes: Handshakes::default(),
                spools: Arc::clone(&spools),
                bodies: Arc::clone(&bodies),
                freed_memory: Arc::clone(&freed_memory),
                requests: requests.clone(),
                memory: memory.clone(),
                meter: meter.map(|meter| RequestMeter::new(Arc::clone(meter))),
                is_timed: log.wants_duration() || meter.is_some(),
            }));
        }
        Ok(reactors)
    }

    /// The service that takes an accepted connection: this one, unless another has less than half as many connections.
    pub(super) fn home<'a>(&'a self, accepting: &'a Arc<Service>) -> &'a Arc<Service> {
        if self.0.len() == 1 {
            return accepting;
        }
        let own = accepting.registry.len() + 1;
        let lightest = self.0.iter().map(|service| (service.registry.len(), service)).min_by_key(|(size, _)| *size);
        match lightest {
            Some((size, service)) if own > 2 * size + 1 => service,
            _ => accepting,
        }
    }

    /// Asks connections to give way. Of those without a complete head, or being closed the oldest, several at once, because the search
    /// costs more than making room for one. Else the connection that has been idle longest. Returns `false` if none
    /// can.
    pub(super) fn shed(&self) -> bool {
        let mut yielding: Vec<(Rank, u32, &Arc<Service>)> = Vec::new();
        for service in &self.0 {
            let of_service = service.registry.yielding(&service.clock);
            yielding.extend(of_service.into_iter().map(|(rank, number)| (rank, number, service)));
        }
        if yielding.is_empty() {
            return false;
        }
        let most = (yielding.len() / SHED_AT_ONCE).max(1);
        let (first, last, _) = yielding.select_nth_unstable_by_key(most - 1, |(rank, ..)| *rank);
        let last = *last;
        let mut shed = first.iter().chain([&last]).filter(|(rank, ..)| !rank.is_resting()).peekable();
        if shed.peek().is_none() {
            let longest = first.iter().chain([&last]).min_by_key(|(rank, ..)| *rank);
            longest.into_iter().for_each(|(rank, number, service)| service.registry.shed(*rank, *number));
        }
        shed.for_each(|(rank, number, service)| service.registry.shed(*rank, *number));
        true
    }

    /// Whether there are any connections.
    pub(super) fn have_connections(&self) -> bool {
        self.connections() > 0
    }

    /// The number of connections. Of an event loop that has ended, only those that a handler thread still serves count.
    pub(super) fn connections(&self) -> usize {
        self.0.iter().map(|service| service.registry.len()).sum()
    }

    /// The number of answers and WebSockets in flight on all reactors.
    pub(super) fn in_flight(&self) -> InFlight {
        self.0.iter().map(|service| service.registry.in_flight()).fold(InFlight::default(), |sum, more| InFlight {
            answers: sum.answers + more.answers,
            websockets: sum.websockets + more.websockets,
        })
    }

    /// Gives an order to all connections.
    pub(super) fn signal_all(&self, order: Order) {
        self.0.iter().for_each(|service| service.registry.signal_all(order));
    }

    /// Ends the event loops. Connections that are still there are dropped with them.
    pub(super) fn stop(&self) {
        self.0.iter().for_each(|service| service.executor.stop());
    }

    /// Waits until all threads have ended, at most until the deadline. Returns the number of those that have not.
    pub(super) fn join(&self, deadline: Instant) -> usize {
        let join = |service: &Arc<Service>| service.executor.join(deadline.saturating_duration_since(Instant::now()));
        self.0.iter().map(join).sum()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Arc<Service>> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
