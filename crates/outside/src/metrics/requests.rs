//! The durations of requests: one histogram for each method, route, status, version and scheme.
//!
//! A reactor has cells of its own, which it finds by one number; the last ones are known without a look-up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bounds::{MOST_SERIES, OTHER};
use super::meter::{Cells, Meter};
use super::monotonic::Monotonic;
use super::names::{HANDLER, HANDLER_WAIT, Metric, REQUEST_DURATION};
use super::routes::route_name;
use super::series::Definition;
use crate::message::Version;

/// The bounds of the histogram in seconds: those that the conventions advise, and five below.
pub(crate) const BOUNDS: [f64; 19] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5,
    10.0,
];
/// The same in nanoseconds.
const NANOSECONDS: [u64; 19] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];
/// By the number of leading zeros of a duration in nanoseconds: the first bucket that it can be in. At most two bounds are compared
/// from there.
const FIRST_BUCKETS: [u8; 65] = {
    let mut first = [0; 65];
    let mut zeros = 0;
    while zeros < 64 {
        let least = 1 << (63 - zeros);
        while (first[zeros] as usize) < NANOSECONDS.len() && NANOSECONDS[first[zeros] as usize] < least {
            first[zeros] += 1;
        }
        zeros += 1;
    }
    first
};

/// The bucket of a duration: that of the first bound that is not below it.
fn bucket_of(nanoseconds: u64) -> usize {
    let mut bucket = usize::from(FIRST_BUCKETS[nanoseconds.leading_zeros() as usize]);
    while NANOSECONDS.get(bucket).is_some_and(|bound| *bound < nanoseconds) {
        bucket += 1;
    }
    bucket
}

/// The methods that have a name: those of RFC 9110 and PATCH.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];

/// The value of the label for all other methods.
const OTHER_METHOD: &str = "_OTHER";

/// Bounds of the durations of handlers in seconds, and the same in nanoseconds: each route has a series.
const HANDLER_BOUNDS: [f64; 6] = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];
const HANDLER_NANOSECONDS: [u64; 6] = [100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000];

/// The cells of a route's handler.
#[derive(Debug)]
pub(crate) struct HandlerCells {
    /// Times from complete heads to calls.
    pub(crate) waited: Cells,
    /// Durations of calls.
    pub(crate) lasted: Cells,
}

/// The cells of a route's handler, by the number of the route's name.
pub(crate) fn handler_cells(meter: &Meter, route: u32) -> HandlerCells {
    let name = route_name(route).unwrap_or_default();
    let cells = |metric: Metric| meter.cells(metric.series(&[&*name]).with_bounds(HANDLER_BOUNDS.into()));
    HandlerCells { waited: cells(HANDLER_WAIT), lasted: cells(HANDLER) }
}

/// Counts one call of a handler in its cells, with its duration in nanoseconds; any thread may count.
pub(crate) fn count_handler(cells: &Cells, lasted: u64) {
    let bucket = HANDLER_NANOSECONDS.iter().position(|bound| lasted <= *bound).unwrap_or(HANDLER_NANOSECONDS.len());
    cells[bucket].fetch_add(1, Ordering::Relaxed);
    cells[HANDLER_NANOSECONDS.len() + 1].fetch_add(lasted, Ordering::Relaxed);
}

/// A finished request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The number of its route; 0 for none.
    pub(crate) route: u32,
    pub(crate) kind: RequestKind,
    pub(crate) status: u16,
    pub(crate) version: Version,
    /// When its head was complete, if that is known.
    pub(crate) began: Option<Monotonic>,
}

/// Counts the requests of one reactor.
pub(crate) struct RequestMeter {
    pub(crate) meter: Arc<Meter>,
    known: Mutex<Known>,
}

struct Known {
    last: u64,
    cells: Cells,
    all: HashMap<u64, Cells>,
    /// The durations of the handlers that count their calls here, by the numbers of their routes.
    handlers: HashMap<u32, Cells>,
}

impl RequestMeter {
    pub(crate) fn new(meter: Arc<Meter>) -> Self {
        // No request has this number: there are fewer routes.
        let cells = Arc::new([const { AtomicU64::new(0) }; 21]);
        let known = Known { last: u64::MAX, cells, all: HashMap::new(), handlers: HashMap::new() };
        Self { meter, known: Mutex::new(known) }
    }

    /// Counts requests whose answers have been sent by now.
    pub(crate) fn record(&self, samples: impl Iterator<Item = Sample>, now: Monotonic) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for sample in samples {
            let number = number_of(&sample);
            if number != known.last {
                known.find(number, &sample, &self.meter);
            }
            let lasted = sample.began.map_or(0, |began| now.nanoseconds_since(began));
            let bucket = bucket_of(lasted);
            // This reactor is the only writer, and the lock is held: no exchange of other threads is lost.
            add(&known.cells[bucket], 1);
            add(&known.cells[NANOSECONDS.len() + 1], lasted);
        }
    }
}

impl RequestMeter {
    /// Counts the call of a handler that knows no cells of its route.
    pub(crate) fn count_handler(&self, route: u32, lasted: Duration) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let cells = known.handlers.entry(route).or_insert_with(|| handler_cells(&self.meter, route).lasted);
        count_handler(cells, nanoseconds(lasted));
    }
}

/// `as_nanos` would calculate with 128 bits, several times for each request.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

impl Known {
    #[cold]
    fn find(&mut self, number: u64, sample: &Sample, meter: &Meter) {
        let (cells, is_full) = (self.all.get(&number).cloned(), self.all.len() >= MOST_SERIES);
        self.cells = cells.unwrap_or_else(|| {
            let number = if is_full { u64::MAX - 1 } else { number };
            let made = || {
                let mut definition = definition_of(sample);
                if is_full {
                    definition.labels = OTHER.into();
                }
                meter.part(definition.with_bounds(BOUNDS.into()))
            };
            Arc::clone(self.all.entry(number).or_insert_with(made))
        });
        self.last = number;
    }
}

fn number_of(sample: &Sample) -> u64 {
    let (status, version) = (u64::from(sample.status), sample.version as u64);
    u64::from(sample.route) << 32 | status << 16 | version << 8 | u64::from(sample.kind.0)
}

fn definition_of(sample: &Sample) -> Definition {
    let (status, route) = (sample.status.to_string(), route_name(sample.route));
    let error = if sample.status >= 500 { &*status } else { "" };
    let [method, scheme] = sample.kind.labels();
    let version = match sample.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    };
    REQUEST_DURATION.series(&[method, &status, route.as_deref().unwrap_or_default(), version, scheme, error])
}

fn scheme_of(is_secure: bool) -> &'static str {
    if is_secure { "https" } else { "http" }
}

fn number_of_method(method: &str) -> u8 {
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len()) as u8
}

/// Method and scheme of the requests that a connection answers, as one number that is never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestKind(pub(crate) u8);

impl RequestKind {
    /// The kind of a request without a readable method.
    pub(crate) const UNKNOWN: Self = Self(1 | (METHODS.len() as u8) << 1);

    pub(crate) fn of(method: &str, is_secure: bool) -> Self {
        // Of nearly all requests: it is the first one.
        let method = if method == METHODS[0] { 0 } else { number_of_method(method) };
        Self(1 | method << 1 | u8::from(is_secure) << 7)
    }

    /// The values of the labels of method and scheme.
    pub(crate) fn labels(self) -> [&'static str; 2] {
        let method = METHODS.get(usize::from(self.0 >> 1 & 0x3f)).copied().unwrap_or(OTHER_METHOD);
        [method, scheme_of(self.0 >> 7 == 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bounds::DURATION;

    const GET: RequestKind = RequestKind(1);
    const HELLO: Sample = Sample { route: 0, kind: GET, status: 200, version: Version::Http11, began: None };

    fn collected(meter: &Meter) -> Vec<(String, u64)> {
        let sheet = meter.collect();
        sheet.totals.of(DURATION).map(|reading| (reading.definition.labels.to_string(), reading.count())).collect()
    }

    fn on_board() -> Arc<Meter> {
        let meter = Arc::<Meter>::default();
        meter.open_board(None).unwrap();
        meter.begin_here().unwrap();
        meter
    }

    #[test]
    fn each_combination_of_labels() {
        let (meter, began) = (on_board(), Monotonic::now());
        let reactors = [RequestMeter::new(Arc::clone(&meter)), RequestMeter::new(Arc::clone(&meter))];
        let slow = Sample { began: Some(began), ..HELLO };
        let (brew, secure) = (RequestKind::of("BREW", false), RequestKind::of("GET", true));
        let now = began + Duration::from_millis(300);
        reactors[0].record([HELLO, HELLO, Sample { status: 503, kind: brew, ..HELLO }, slow].into_iter(), now);
        reactors[1].record([HELLO, Sample { kind: secure, version: Version::Http2, ..HELLO }].into_iter(), now);
        let mut found = collected(&meter);
        found.retain(|(labels, _)| !labels.contains("https"));
        let http = "network_protocol_version=\"1.1\",url_scheme=\"http\"";
        assert_eq!(found[0], (format!("http_request_method=\"GET\",http_response_status_code=\"200\",{http}"), 4));
        let failed =
            format!("http_request_method=\"_OTHER\",http_response_status_code=\"503\",{http},error_type=\"503\"");
        assert_eq!(found[1], (failed, 1));
        let sheet = meter.collect();
        let reading = sheet.totals.of(DURATION).next().unwrap();
        assert_eq!((reading.numbers[0], reading.numbers[12]), (3, 1), "buckets of 0.1 ms and 0.5 s");
        assert!(reading.numbers[20] >= 300_000_000, "the sum in nanoseconds");
    }

    #[test]
    fn hostile_requests_make_no_series() {
        let meter = on_board();
        let requests = RequestMeter::new(Arc::clone(&meter));
        for number in 0..3000u16 {
            let method = format!("M{number}");
            let kind = RequestKind::of(&method, false);
            requests.record([Sample { kind, status: number, ..HELLO }].into_iter(), Monotonic::now());
        }
        let found = collected(&meter);
        assert_eq!(found.iter().map(|(_, count)| count).sum::<u64>(), 3000);
        assert!(found.len() <= MOST_SERIES + 1, "{}", found.len());
        assert!(found.iter().any(|(labels, count)| labels == OTHER && *count >= 2000));
        assert!(meter.has_board());
    }

    #[test]
    fn kinds_of_requests() {
        for (method, is_secure, labels) in [
            ("GET", false, ["GET", "http"]),
            ("TRACE", true, ["TRACE", "https"]),
            ("BREW", false, ["_OTHER", "http"]),
            ("", true, ["_OTHER", "https"]),
        ] {
            let kind = RequestKind::of(method, is_secure);
            assert_eq!((kind.labels(), kind.0 > 0), (labels, true), "{method}");
        }
        assert_eq!((RequestKind::of("GET", false), RequestKind::of("", false)), (GET, RequestKind::UNKNOWN));
    }

    #[test]
    fn buckets_are_those_of_the_bounds() {
        let around = NANOSECONDS.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]);
        for lasted in around.chain([0, 1, 2, u64::MAX]).chain((0..64).map(|shift| 1 << shift)) {
            let bucket = NANOSECONDS.iter().position(|bound| lasted <= *bound).unwrap_or(NANOSECONDS.len());
            assert_eq!(bucket_of(lasted), bucket, "{lasted}");
        }
    }

    #[test]
    fn bounds_agree() {
        let handlers = HANDLER_BOUNDS.iter().zip(HANDLER_NANOSECONDS);
        for (seconds, nanoseconds) in BOUNDS.iter().zip(NANOSECONDS).chain(handlers) {
            assert_eq!((seconds * 1e9).round() as u64, nanoseconds);
        }
    }
}
