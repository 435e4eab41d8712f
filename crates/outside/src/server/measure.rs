//! The values of a moment, once a second: connections, threads, topics, certificates, and the process itself; and the
//! way of all numbers to the board, ten times a second.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::reactors::Reactors;
use super::ticker::Ticker;
use crate::exchange::{ConnectionStates, Service};
use crate::handler::{Handler, RunningCall};
use crate::message::Request;
use crate::metrics::names::{
    ACTIVE_REQUESTS, BUS_CONNECTED, BUS_QUEUE, CERTIFICATE_EXPIRY, CONNECTIONS, CPU, GIVEN_UP, HANDOVERS, LOCK_WAIT,
    MEMORY, Metric, OPEN_FILES, POOL_THREADS, QUEUE, START_TIME, SUBSCRIBERS, THREADS, TOPICS,
};
use crate::metrics::{Meter, RequestKind, Vitals, handler_cells, now, route_number, since_1970};
use crate::transport::Tls;

/// Interval at which the numbers are written to the board.
const WRITE: Duration = Duration::from_millis(100);
/// The values of a moment are looked at in each so many writes, and those of the process in each so many looks.
const LOOK: u32 = 10;
const LOOK_AT_PROCESS: u32 = 2;
/// Time after which a call that runs is shown.
const LONG: Duration = Duration::from_secs(1);
/// Calls and topics that are shown.
const MOST_CALLS: usize = 50;
const MOST_TOPICS: usize = 20;

/// Measures until aborted: a task of the first event loop.
pub(super) async fn measure(meter: Arc<Meter>, reactors: Arc<Reactors>, tls: Vec<Arc<Tls>>) {
    let mut measured = Measured {
        meter,
        reactors,
        tls,
        began: SystemTime::now(),
        running: HashMap::new(),
        active: BTreeMap::new(),
        looks: 0,
        vitals: Vitals::default(),
        counted: LastSums::default(),
    };
    let mut ticker = Ticker::every(WRITE);
    for turn in 0u32.. {
        ticker.tick().await;
        if turn % LOOK == 0 {
            measured.look();
        }
        measured.meter.flush();
    }
}

struct Measured {
    meter: Arc<Meter>,
    reactors: Arc<Reactors>,
    tls: Vec<Arc<Tls>>,
    began: SystemTime,
    /// The calls that ran at the last look, by the address of the request, and since when.
    running: HashMap<usize, (Weak<Request>, Instant)>,
    /// The answers in flight by method and scheme; a kind that was there once stays.
    active: BTreeMap<RequestKind, usize>,
    looks: u32,
    vitals: Vitals,
    counted: LastSums,
}

/// Sums that others count, as they were at the last look.
#[derive(Default)]
struct LastSums {
    handovers: u64,
    given_up: u64,
    waited: Duration,
    cpu: f64,
}

impl Measured {
    fn look(&mut self) {
        let Some(service) = self.reactors.iter().next().cloned() else { return };
        self.note_connections();
        self.note_threads(&service);
        let topics = self.note_topics(&service);
        self.note_bus(&service);
        self.note_certificates();
        self.note_handlers(&service);
        if self.looks.is_multiple_of(LOOK_AT_PROCESS) {
            self.note_process();
        }
        self.looks = self.looks.wrapping_add(1);
        let has_page = service.config.status_page;
        let running = if has_page { self.running_calls(&service) } else { Value::Null };
        let topics = if has_page { topics } else { Value::Null };
        let stacks = service.executor.host.stack_source();
        let stacks = stacks.map(|it| json!([it.questions, it.answers, it.stacks, it.signal]));
        let words = json!({
            "worker": self.meter.worker(),
            "started": since_1970(self.began),
            "state": if service.is_leaving() { "ending" } else { "serving" },
            "running": running,
            "topics": topics,
            "stacks": stacks,
        });
        self.meter.set_words(words.to_string().into_bytes());
    }

    fn gauge(&self, metric: Metric, values: &[&str], value: f64) {
        self.meter.set(metric.series(values), value);
    }

    /// The value of the label that names this process.
    fn worker(&self) -> String {
        self.meter.worker().to_string()
    }

    fn note_connections(&mut self) {
        let sum = self.reactors.iter().map(|service| service.registry.states()).fold(
            ConnectionStates::default(),
            |sum, more| ConnectionStates {
                idle: sum.idle + more.idle,
                active: sum.active + more.active,
                handshake: sum.handshake + more.handshake,
                websocket: sum.websocket + more.websocket,
                closing: sum.closing + more.closing,
            },
        );
        for (state, count) in [
            ("idle", sum.idle),
            ("active", sum.active),
            ("handshake", sum.handshake),
            ("websocket", sum.websocket),
            ("closing", sum.closing),
        ] {
            self.gauge(CONNECTIONS, &[state], count as f64);
        }
        self.active.values_mut().for_each(|count| *count = 0);
        self.reactors.iter().for_each(|service| service.registry.count_active(&mut self.active));
        for (kind, count) in &self.active {
            self.gauge(ACTIVE_REQUESTS, &kind.labels(), *count as f64);
        }
    }

    fn note_threads(&mut self, service: &Service) {
        let counts: Vec<_> = self.reactors.iter().map(|service| service.executor.counts()).collect();
        let sum = |of: fn(&crate::executor::ThreadCounts) -> usize| counts.iter().map(of).sum::<usize>() as f64;
        let worker = &*self.worker();
        self.gauge(QUEUE, &[worker], sum(|counts| counts.queue));
        for (state, count) in [
            ("busy", sum(|counts| counts.busy)),
            ("standby", sum(|counts| counts.standby)),
            ("given_up", sum(|counts| counts.given_up)),
        ] {
            self.gauge(POOL_THREADS, &[state, worker], count);
        }
        let handovers = counts.iter().map(|counts| counts.handovers).sum();
        self.add(HANDOVERS, &[worker], handovers - self.counted.handovers);
        self.counted.handovers = handovers;
        let given_up = counts.iter().map(|counts| counts.all_given_up).sum();
        self.add(GIVEN_UP, &[worker], given_up - self.counted.given_up);
        self.counted.given_up = given_up;
        if let Some(waited) = service.executor.host.waited() {
            let more = waited.saturating_sub(self.counted.waited).as_nanos();
            self.add(LOCK_WAIT, &[worker], u64::try_from(more).unwrap_or(0));
            self.counted.waited = waited;
        }
    }

    fn add(&self, metric: Metric, values: &[&str], more: u64) {
        self.meter.cells(metric.series(values))[0].fetch_add(more, std::sync::atomic::Ordering::Relaxed);
    }

    fn note_bus(&self, service: &Service) {
        let topics = &service.site.topics;
        if !topics.counts_bus() {
            return;
        }
        let loads = topics.broker().into_iter().chain(topics.machine_bus()).map(|bus| bus.load());
        let (bytes, connected) =
            loads.fold((0, None), |(sum, known), (bytes, connected)| (sum + bytes, known.or(connected)));
        self.gauge(BUS_QUEUE, &[], bytes as f64);
        if let Some(is_connected) = connected {
            self.gauge(BUS_CONNECTED, &[], f64::from(u8::from(is_connected)));
        }
    }

    /// The topics with most subscribers, for the status page.
    fn note_topics(&self, service: &Service) -> Value {
        let (topics, subscribers, largest) = service.site.topics.largest(MOST_TOPICS);
        self.gauge(TOPICS, &[], topics as f64);
        self.gauge(SUBSCRIBERS, &[], subscribers as f64);
        largest.iter().map(|(topic, subscribers)| json!([cut(topic), subscribers])).collect()
    }

    /// Has the calls of functions on routes counted, those of new routes too.
    fn note_handlers(&self, service: &Service) {
        let site = service.site.snapshot();
        let plain = site.routes.iter().map(|route| (route.number, route.handler.clone()));
        let patterns = site.routes.patterns().into_iter().map(|route| (route_number(&route.pattern), route.handler));
        for (number, handler) in plain.chain(patterns) {
            if let Handler::Sync(function) = handler {
                function.placement.count_in(|| handler_cells(&self.meter, number));
            }
        }
    }

    fn note_certificates(&self) {
        for (name, end) in self.tls.iter().flat_map(|tls| tls.expiries()) {
            self.gauge(CERTIFICATE_EXPIRY, &[&*name], since_1970(end).floor());
        }
    }

    fn note_process(&mut self) {
        self.vitals = Vitals::now();
        let vitals = self.vitals;
        let worker = &*self.worker();
        self.add(CPU, &[worker], ((vitals.cpu - self.counted.cpu).max(0.0) * 1e9) as u64);
        self.counted.cpu = vitals.cpu;
        self.gauge(MEMORY, &[worker], vitals.memory as f64);
        self.gauge(THREADS, &[worker], vitals.threads as f64);
        if let Some(files) = vitals.files {
            self.gauge(OPEN_FILES, &[worker], files as f64);
        }
        self.gauge(START_TIME, &[worker], since_1970(self.began));
    }

    /// The calls that have run for long, the longest first. A call is first seen at a look, so that it costs nothing
    /// before.
    fn running_calls(&mut self, service: &Service) -> Value {
        let now = Instant::now();
        let mut running = HashMap::new();
        let mut shown: Vec<(Duration, RunningCall)> = Vec::new();
        for call in service.executor.host.running() {
            let address = Arc::as_ptr(&call.request) as usize;
            // The memory of a request may be used again for another one; then the weak reference is dead.
            let known = self
                .running
                .remove(&address)
                .filter(|(request, _)| request.upgrade().is_some_and(|request| Arc::ptr_eq(&request, &call.request)));
            let (weak, since) = known.unwrap_or_else(|| (Arc::downgrade(&call.request), now));
            running.insert(address, (weak, since));
            if now - since >= LONG {
                shown.push((now - since, call));
            }
        }
        self.running = running;
        // A WebSocket may be quiet for hours, so requests come first.
        shown.sort_by_key(|(lasted, call)| (call.is_websocket, std::cmp::Reverse(*lasted)));
        shown.truncate(MOST_CALLS);
        shown.iter().map(|(lasted, call)| described(*lasted, call)).collect()
    }
}

/// A call in words: no query and no field of its request, since those may hold secrets.
fn described(lasted: Duration, call: &RunningCall) -> Value {
    let request = &call.request;
    json!({
        "method": if call.is_websocket { "WebSocket".to_owned() } else { cut(request.method()) },
        "path": cut(request.raw_path()),
        "client": request.address.ip().to_canonical().to_string(),
        "since": now().saturating_sub(u64::try_from(lasted.as_millis()).unwrap_or(0)),
        "thread": call.thread.map(|thread| format!("{thread:x}")),
        "call": format!("{:x}", Arc::as_ptr(request) as usize),
    })
}

/// A text of a client, as much as a page has room for.
fn cut(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
