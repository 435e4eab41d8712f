//! The state of a server as one JSON object: what the page shows, and what `outside status` prints.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::metrics::names::{
    ACTIVE_REQUESTS, CERTIFICATE_EXPIRY, CONNECTIONS, CPU, GENERATION, LOCK_WAIT, MEMORY, OPEN_FILES, POOL_THREADS,
    QUEUE, REFUSED, RELOADS, SUBSCRIBERS, THREADS, WORKER_ENDS, WORKERS,
};
use crate::metrics::{BoardEvent, DURATION, Point, ProcessWords, SLOT_SECONDS, Sheet, label_of};

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
        sheet.totals.add(&WORKERS.series(&[state_of(process, &words, now)]), &[1f64.to_bits(), now]);
    }
}

/// The state of a process; `now` in milliseconds since 1970.
fn state_of<'w>(process: &ProcessWords, words: &'w Value, now: u64) -> &'w str {
    match now.saturating_sub(process.time) > SILENT {
        true => "silent",
        false => words["state"].as_str().unwrap_or("starting"),
    }
}

/// The sums of each route and worker at the last moments.
#[derive(Default)]
pub(super) struct RecentSums(VecDeque<(Instant, Sums)>);

/// The sums of a moment.
struct Sums {
    routes: BTreeMap<String, Point>,
    /// Seconds of processor time, and of waiting for Python's lock, by the labels of their series.
    cpu: BTreeMap<Box<str>, f64>,
    lock_wait: BTreeMap<Box<str>, f64>,
}

impl Sums {
    fn of(sheet: &Sheet) -> Self {
        let seconds = |name| {
            let readings = sheet.totals.of(name);
            readings.map(|reading| (reading.definition.labels.clone(), reading.value())).collect()
        };
        Self { routes: by_route(sheet), cpu: seconds(CPU.name), lock_wait: seconds(LOCK_WAIT.name) }
    }
}

impl RecentSums {
    /// Notes the sums of this moment.
    pub(super) fn note(&mut self, sheet: &Sheet, now: Instant) {
        if self.0.back().is_some_and(|(last, _)| now - *last < SAMPLE) {
            return;
        }
        self.0.push_back((now, Sums::of(sheet)));
        // One sample from before the window stays: the difference to it is that of the whole window.
        while self.0.get(1).is_some_and(|(second, _)| now - *second >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// The sums at the beginning of the window, and seconds since then.
    fn before(&self, now: Instant) -> (Option<&Sums>, f64) {
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
    pub(super) recent: &'a RecentSums,
    /// The newest first.
    pub(super) events: &'a [BoardEvent],
    /// The moment of the sheet, and the same in milliseconds since 1970.
    pub(super) at: Instant,
    pub(super) now: u64,
}

impl Overview<'_> {
    pub(super) fn to_json(&self) -> String {
        let (before, seconds) = self.recent.before(self.at);
        let latest = &Sums::of(self.sheet);
        let mut all = (Point::default(), Point::default());
        let mut routes: Vec<(f64, u64, Value)> = Vec::new();
        for (route, sums) in &latest.routes {
            let earlier = before.and_then(|before| before.routes.get(route)).cloned().unwrap_or_default();
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
        totals["active"] = json!(self.sum(ACTIVE_REQUESTS.name));
        let words: Vec<(&ProcessWords, Value)> = self.words();
        // The part of each second since the beginning of the window.
        let part = |of: fn(&Sums) -> &BTreeMap<Box<str>, f64>, worker: &str| {
            let more = of(latest).get(worker)? - before.and_then(|before| of(before).get(worker)).unwrap_or(&0.0);
            (seconds > 0.0).then(|| round(more.max(0.0) / seconds))
        };
        let worker = |(process, words): &(&ProcessWords, Value)| {
            let (mut row, labels) = (self.worker(process, words), format!("worker=\"{}\"", words["worker"]));
            row["cpu"] = json!(part(|sums| &sums.cpu, &labels));
            row["lock_wait"] = json!(part(|sums| &sums.lock_wait, &labels));
            row
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "time": self.now / 1000,
            "seconds": round(seconds),
            "totals": totals,
            "routes": routes.into_iter().take(MOST_ROUTES).map(|(_, _, row)| row).collect::<Value>(),
            "running": running(&words, self.now),
            "workers": words.iter().map(worker).collect::<Value>(),
            "generation": self.value(GENERATION.name, ""),
            "ends": self.by_label(WORKER_ENDS.name, "how"),
            "reloads": self.by_label(RELOADS.name, "result"),
            "events": self.events.iter().map(described).collect::<Value>(),
            "connections": self.by_label(CONNECTIONS.name, "state"),
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

    /// The sum of all series of a name.
    fn sum(&self, name: &str) -> f64 {
        self.sheet.totals.of(name).map(|reading| reading.value()).sum()
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
            "memory": self.value(MEMORY.name, &labels),
            "threads": self.value(THREADS.name, &labels),
            "files": self.value(OPEN_FILES.name, &labels),
            "queue": self.value(QUEUE.name, &labels),
            "busy": self.value(POOL_THREADS.name, &format!("state=\"busy\",{labels}")),
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
        json!({ "subscribers": self.value(SUBSCRIBERS.name, ""), "largest": largest })
    }

    fn refusals(&self) -> Value {
        let mut rows: Vec<(u64, Value)> = self
            .sheet
            .totals
            .of(REFUSED.name)
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
            .of(CERTIFICATE_EXPIRY.name)
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

/// An event in JSON; its time in seconds since 1970.
fn described(event: &BoardEvent) -> Value {
    json!({ "time": event.time as f64 / 1000.0, "level": event.level, "worker": event.worker, "text": event.text })
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
    use crate::metrics::{BOUNDS, Definition, Kind, Meter, Totals, labels_text};

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
        totals.add(&CPU.series(&["1"]), &[requests * 50_000_000]);
        let words = json!({"worker": 1, "state": "serving", "started": 90.0, "topics": [["news", 2]], "running": [
            {"method": "GET", "path": "/a", "since": 95_000, "thread": "1f", "call": "2"}
        ]});
        let process = |pid, time| ProcessWords { pid, time, generation: 1, words: words.to_string().into_bytes() };
        Sheet { totals, processes: vec![process(7, 99_500), process(8, 90_000)] }
    }

    #[test]
    fn rates_routes_and_workers() {
        let (mut recent, start) = (RecentSums::default(), Instant::now());
        recent.note(&sheet(10), start);
        recent.note(&sheet(12), start + Duration::from_millis(100));
        let last = sheet(50);
        let at = start + Duration::from_secs(4);
        recent.note(&last, at);
        let points =
            [Point { time: 96, requests: 5, ..Point::default() }, Point { time: 98, requests: 25, ..Point::default() }];
        let meter = Meter::default();
        meter.open_board(None).unwrap();
        meter.note_event("warning", "worker 1 was killed");
        let (recent, events) = (&recent, &meter.events());
        let text = Overview { sheet: &last, history: &points, recent, events, at, now: 100_000 }.to_json();
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
        assert_eq!((&found["workers"][0]["cpu"], &found["workers"][0]["lock_wait"]), (&json!(0.5), &Value::Null));
        assert_eq!(found["events"][0]["text"], "worker 1 was killed");
        assert_eq!(found["topics"]["largest"], json!([["news", 4]]));
        assert_eq!(found["history"], json!([[98, 10.0, 0.0, null, null, 0]]));
    }
}
