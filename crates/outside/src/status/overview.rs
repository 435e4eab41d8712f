//! The state of a server as one JSON object: what the page shows, and what `outside status` prints.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::metrics::{
    Combine, DURATION, Definition, Kind, Point, ProcessWords, SLOT_SECONDS, Sheet, label_of, labels_text,
};

/// Time over which rates and durations are taken.
const WINDOW: Duration = Duration::from_secs(10);
/// Least time between two samples.
const SAMPLE: Duration = Duration::from_millis(900);
/// Routes that are shown.
const MOST_ROUTES: usize = 100;
/// Milliseconds after which a process that writes nothing counts as silent: it is stopped, or the machine is.
const SILENT: u64 = 3000;
/// The name of the requests that no route has answered.
const NO_ROUTE: &str = "";

/// Adds the number of processes by their states to the numbers.
pub(super) fn count_workers(sheet: &mut Sheet) {
    let now = crate::metrics::now();
    for process in &sheet.processes {
        let words: Value = serde_json::from_slice(&process.words).unwrap_or_default();
        let labels = labels_text([("state", state_of(process, &words, now))]);
        let kind = Kind::Gauge(Combine::Sum);
        let help = "Worker processes by their states; a silent one has written nothing for three seconds.";
        sheet.totals.add(&Definition::new(kind, "outside_workers", help, labels), &[1f64.to_bits(), now]);
    }
}

/// The state of a process; `now` in milliseconds since 1970.
fn state_of<'w>(process: &ProcessWords, words: &'w Value, now: u64) -> &'w str {
    match now.saturating_sub(process.time) > SILENT {
        true => "silent",
        false => words["state"].as_str().unwrap_or("starting"),
    }
}

/// The sums of each route at the last moments.
#[derive(Default)]
pub(super) struct RouteRates(VecDeque<(Instant, BTreeMap<String, Point>)>);

impl RouteRates {
    /// Notes the sums of this moment.
    pub(super) fn note(&mut self, sheet: &Sheet, now: Instant) {
        if self.0.back().is_some_and(|(last, _)| now - *last < SAMPLE) {
            return;
        }
        self.0.push_back((now, by_route(sheet)));
        // One sample from before the window stays: the difference to it is that of the whole window.
        while self.0.get(1).is_some_and(|(second, _)| now - *second >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// The sums of the routes at the beginning of the window, and seconds since then.
    fn before(&self, now: Instant) -> (Option<&BTreeMap<String, Point>>, f64) {
        match self.0.front() {
            Some((first, sums)) if now - *first >= SAMPLE => (Some(sums), (now - *first).as_secs_f64()),
            _ => (None, 0.0),
        }
    }
}

fn by_route(sheet: &Sheet) -> BTreeMap<String, Point> {
    let mut routes = BTreeMap::<String, Point>::new();
    for reading in sheet.totals.of(DURATION) {
        routes.entry(label_of(&reading.definition.labels, "http_route")).or_default().add(reading);
    }
    routes
}

/// The parts of an overview.
pub(super) struct Overview<'a> {
    pub(super) sheet: &'a Sheet,
    pub(super) history: &'a [Point],
    pub(super) rates: &'a RouteRates,
    /// The moment of the sheet, and the same in milliseconds since 1970.
    pub(super) at: Instant,
    pub(super) now: u64,
}

impl Overview<'_> {
    pub(super) fn to_json(&self) -> String {
        let (before, seconds) = self.rates.before(self.at);
        let latest = &by_route(self.sheet);
        let mut all = (Point::default(), Point::default());
        let mut routes: Vec<(f64, u64, Value)> = Vec::new();
        for (route, sums) in latest {
            let earlier = before.and_then(|before| before.get(route)).cloned().unwrap_or_default();
            // Without a moment before, durations are those since the start.
            let recent = if before.is_some() { sums.since(&earlier) } else { sums.clone() };
            let rate = if seconds > 0.0 { recent.requests as f64 / seconds } else { 0.0 };
            let mut row = figures(&recent, seconds);
            row["route"] = if route == NO_ROUTE { Value::Null } else { json!(route) };
            row["requests"] = json!(sums.requests);
            row["failures"] = json!(sums.failures);
            add(&mut all.0, sums);
            add(&mut all.1, &recent);
            routes.push((rate, sums.requests, row));
        }
        routes.sort_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)));
        let mut totals = figures(&all.1, seconds);
        totals["requests"] = json!(all.0.requests);
        totals["failures"] = json!(all.0.failures);
        totals["active"] = json!(self.value("http_server_active_requests", ""));
        let words: Vec<(&ProcessWords, Value)> = self.words();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "time": self.now / 1000,
            "seconds": round(seconds),
            "totals": totals,
            "routes": routes.into_iter().take(MOST_ROUTES).map(|(_, _, row)| row).collect::<Value>(),
            "running": running(&words, self.now),
            "workers": words.iter().map(|(process, words)| self.worker(process, words)).collect::<Value>(),
            "connections": self.by_label("outside_connections", "state"),
            "topics": self.topics(&words),
            "refusals": self.refusals(),
            "certificates": self.certificates(),
            "history": history(self.history),
        })
        .to_string()
    }

    fn value(&self, name: &str, labels: &str) -> f64 {
        self.sheet.totals.get(name, labels).map_or(0.0, |reading| reading.value())
    }

    /// The processes with their words, by worker; those of the newest generation first.
    fn words(&self) -> Vec<(&ProcessWords, Value)> {
        let read = |process: &ProcessWords| serde_json::from_slice(&process.words).unwrap_or_default();
        let mut words: Vec<(&ProcessWords, Value)> =
            self.sheet.processes.iter().map(|process| (process, read(process))).collect();
        words.sort_by_key(|(process, words)| (u64::MAX - process.generation, words["worker"].as_u64(), process.pid));
        words
    }

    fn worker(&self, process: &ProcessWords, words: &Value) -> Value {
        let labels = format!("worker=\"{}\"", words["worker"]);
        json!({
            "worker": words["worker"],
            "pid": process.pid,
            "generation": process.generation,
            "state": state_of(process, words, self.now),
            "seconds": round(words["started"].as_f64().map_or(0.0, |started| (self.now as f64 / 1000.0 - started).max(0.0))),
            "memory": self.value("process_resident_memory_bytes", &labels),
            "threads": self.value("process_threads", &labels),
            "files": self.value("process_open_fds", &labels),
            "queue": self.value("outside_queue", &labels),
            "busy": self.value("outside_pool_threads", &format!("state=\"busy\",{labels}")),
        })
    }

    fn by_label(&self, name: &str, label: &str) -> Value {
        let readings = self.sheet.totals.of(name);
        let pairs = readings.map(|reading| (label_of(&reading.definition.labels, label), json!(reading.value())));
        Value::Object(pairs.collect())
    }

    fn topics(&self, words: &[(&ProcessWords, Value)]) -> Value {
        let mut largest = BTreeMap::<&str, u64>::new();
        for (_, words) in words {
            for pair in words["topics"].as_array().into_iter().flatten() {
                if let (Some(topic), Some(subscribers)) = (pair[0].as_str(), pair[1].as_u64()) {
                    *largest.entry(topic).or_default() += subscribers;
                }
            }
        }
        let mut largest: Vec<(&str, u64)> = largest.into_iter().collect();
        largest.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
        largest.truncate(20);
        json!({ "subscribers": self.value("outside_topic_subscribers", ""), "largest": largest })
    }

    fn refusals(&self) -> Value {
        let mut rows: Vec<(u64, Value)> = self
            .sheet
            .totals
            .of("outside_refused_total")
            .map(|reading| {
                let (labels, count) = (&reading.definition.labels, reading.value() as u64);
                let row =
                    json!({ "limit": label_of(labels, "limit"), "status": label_of(labels, "status"), "count": count });
                (count, row)
            })
            .collect();
        rows.sort_by_key(|(count, _)| u64::MAX - count);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn certificates(&self) -> Value {
        let mut rows: Vec<(i64, Value)> = self
            .sheet
            .totals
            .of("outside_certificate_expiry_timestamp_seconds")
            .map(|reading| {
                let days = ((reading.value() - self.now as f64 / 1000.0) / 86_400.0).floor() as i64;
                (days, json!({ "name": label_of(&reading.definition.labels, "name"), "days": days }))
            })
            .collect();
        rows.sort_by_key(|(days, _)| *days);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

fn add(sum: &mut Point, more: &Point) {
    sum.requests += more.requests;
    sum.failures += more.failures;
    sum.buckets.iter_mut().zip(more.buckets).for_each(|(sum, more)| *sum += more);
}

/// Rates for each second, and durations in milliseconds.
fn figures(recent: &Point, seconds: f64) -> Value {
    let each_second = |count: u64| if seconds > 0.0 { round(count as f64 / seconds) } else { 0.0 };
    let milliseconds = |part: f64| recent.quantile(part).map(|seconds| round(seconds * 1000.0));
    json!({
        "rate": each_second(recent.requests),
        "failure_rate": each_second(recent.failures),
        "p50": milliseconds(0.5),
        "p90": milliseconds(0.9),
        "p99": milliseconds(0.99),
    })
}

/// The calls that have run for long in any process, the longest first.
fn running(words: &[(&ProcessWords, Value)], now: u64) -> Value {
    let mut rows: Vec<((bool, u64), Value)> = Vec::new();
    for (process, words) in words {
        for call in words["running"].as_array().into_iter().flatten() {
            let since = call["since"].as_u64().unwrap_or(0);
            let mut row = call.clone();
            row["pid"] = json!(process.pid);
            row["worker"] = words["worker"].clone();
            row["seconds"] = json!(round(now.saturating_sub(since) as f64 / 1000.0));
            rows.push(((call["method"] == "WebSocket", since), row));
        }
    }
    rows.sort_by_key(|(order, _)| *order);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// For each slot: the time of its end, requests and failures for each second, durations, requests in progress.
fn history(points: &[Point]) -> Value {
    let between = points.windows(2).filter_map(|pair| {
        let (first, last) = (&pair[0], &pair[1]);
        let recent = last.since(first);
        let seconds = recent.time.max(SLOT_SECONDS) as f64;
        // A board that began anew has smaller sums.
        (last.requests >= first.requests).then(|| {
            let milliseconds = |part: f64| recent.quantile(part).map(|seconds| round(seconds * 1000.0));
            json!([
                last.time,
                round(recent.requests as f64 / seconds),
                round(recent.failures as f64 / seconds),
                milliseconds(0.5),
                milliseconds(0.99),
                last.active,
            ])
        })
    });
    between.collect()
}

/// Three digits behind the point at most.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{BOUNDS, Totals};

    fn sheet(requests: u64) -> Sheet {
        let mut totals = Totals::default();
        for (route, status) in [(Some("/a"), "200"), (Some("/a"), "503"), (None, "404")] {
            let mut labels = vec![("http_response_status_code", status)];
            labels.extend(route.map(|route| ("http_route", route)));
            let definition =
                Definition::new(Kind::Durations, DURATION, "", labels_text(labels)).with_bounds(BOUNDS.into());
            let mut numbers = vec![0; definition.width()];
            numbers[5] = requests;
            totals.add(&definition, &numbers);
        }
        let words = json!({"worker": 1, "state": "serving", "started": 90.0, "topics": [["news", 2]], "running": [
            {"method": "GET", "path": "/a", "since": 95_000, "thread": "1f", "call": "2"}
        ]});
        let process = |pid, time| ProcessWords { pid, time, generation: 1, words: words.to_string().into_bytes() };
        Sheet { totals, processes: vec![process(7, 99_500), process(8, 90_000)] }
    }

    #[test]
    fn rates_routes_and_workers() {
        let (mut rates, start) = (RouteRates::default(), Instant::now());
        rates.note(&sheet(10), start);
        rates.note(&sheet(12), start + Duration::from_millis(100));
        let last = sheet(50);
        let at = start + Duration::from_secs(4);
        rates.note(&last, at);
        let points =
            [Point { time: 96, requests: 5, ..Point::default() }, Point { time: 98, requests: 25, ..Point::default() }];
        let text = Overview { sheet: &last, history: &points, rates: &rates, at, now: 100_000 }.to_json();
        let found: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&found["seconds"], &found["totals"]["rate"]), (&json!(4.0), &json!(30.0)));
        assert_eq!((&found["time"], &found["totals"]["failures"]), (&json!(100), &json!(50)));
        assert_eq!((&found["routes"][0]["route"], &found["routes"][0]["requests"]), (&json!("/a"), &json!(100)));
        assert_eq!((&found["routes"][0]["failure_rate"], &found["routes"][1]["route"]), (&json!(10.0), &Value::Null));
        assert_eq!(
            (&found["workers"][0]["state"], &found["workers"][1]["state"]),
            (&json!("serving"), &json!("silent"))
        );
        assert_eq!((&found["running"][0]["seconds"], &found["running"][0]["pid"]), (&json!(5.0), &json!(7)));
        assert_eq!(found["topics"]["largest"], json!([["news", 4]]));
        assert_eq!(found["history"], json!([[98, 10.0, 0.0, null, null, 0]]));
    }
}
