//! The access log, with one line for each exchange, and the event log.
//!
//! A thread that logs puts its text into a buffer and goes on; the log's thread hands the buffer to the [`LogSink`]. If
//! the sink is too slow, lines are lost and counted. Logging never blocks a connection.
//!
//! ```
//! use std::sync::Arc;
//!
//! use outside::OutsideHttp;
//! use outside::handler::NoRuntime;
//! use outside::log::{Level, LogSink};
//!
//! struct Warnings;
//!
//! impl LogSink for Warnings {
//!     fn access(&self, _lines: &[u8]) {}
//!
//!     fn event(&self, level: Level, text: &str) {
//!         if level >= Level::Warning {
//!             eprintln!("{text}");
//!         }
//!     }
//! }
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?.embedded(Arc::new(NoRuntime), Arc::new(Warnings));
//! # Ok::<(), outside::Error>(())
//! ```

mod access;
mod fields;
mod form;
mod line;
mod moment;
mod sink;
mod terminal;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use crate::message::shown_target;
use access::push_json_text;
use fields::Fields;
use form::LineFormat;
pub(crate) use line::{AccessLine, End, UNANSWERED, client_text};
pub(crate) use moment::Moment;
pub use sink::{AccessRecord, EventRequest, FieldValue, Level, LogSink, StandardError};

use crate::config::{AccessLog, Config};
use crate::error::Refusal;
use crate::message::Request;
use crate::metrics::names::LINES_LOST;
use crate::metrics::{Cells, Meter};

/// The log of one server.
pub(crate) struct Log {
    form: LineFormat,
    fields: Fields,
    shows_duration: bool,
    /// Whether lines become records with their fields.
    has_records: bool,
    /// Whether events become lines of JSON.
    has_json_events: bool,
    pending: Mutex<PendingLines>,
    more: Condvar,
    sink: Arc<dyn LogSink>,
    /// Held while the sink is called, so that lines keep their order.
    sinking: Mutex<()>,
    /// When each limit was last complained about.
    complaints: Mutex<HashMap<&'static str, Instant>>,
    /// Missing where nothing is counted.
    counted: OnceLock<LogNumbers>,
}

/// The numbers of a server that counts, and the cells of lost lines.
struct LogNumbers {
    meter: Arc<Meter>,
    lost: Cells,
}

#[derive(Default)]
struct PendingLines {
    lines: Vec<u8>,
    records: Vec<AccessRecord>,
    events: Vec<(Level, String, Option<EventRequest>)>,
    lost: u64,
    closed: bool,
}

/// Time that lines wait for further lines, to be handed on together.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of pending lines that are handed on without waiting.
const PLENTY: usize = 64 << 10;
/// Bytes of pending lines beyond which lines are lost.
const TOO_MUCH: usize = 8 << 20;
/// Pending records beyond which records are lost.
const TOO_MANY: usize = 10_000;
/// Pending records that are handed on without waiting.
const MANY: usize = 200;
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

impl Log {
    pub(crate) fn new(config: &Config, sink: Arc<dyn LogSink>) -> Arc<Self> {
        let form = LineFormat::chosen(config.access_log, &*sink);
        let has_records = form != LineFormat::Off && sink.wants_records();
        Arc::new(Self {
            form,
            fields: Fields::of(&config.access_log_fields),
            shows_duration: form.shows_duration() || has_records,
            has_records,
            has_json_events: config.access_log == AccessLog::Json && sink.wants_json(),
            pending: Mutex::default(),
            more: Condvar::new(),
            sink,
            sinking: Mutex::default(),
            complaints: Mutex::default(),
            counted: OnceLock::new(),
        })
    }

    /// Has lost lines counted here, and notable events kept for the status page.
    pub(crate) fn count_in(&self, meter: &Arc<Meter>) {
        let lost = meter.cells(LINES_LOST.series(&[]));
        // A log has one server.
        let _is_first = self.counted.set(LogNumbers { meter: Arc::clone(meter), lost });
    }

    /// The numbers of the server, if it counts.
    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.counted.get().map(|counted| &*counted.meter)
    }

    /// Starts the thread that hands everything on, until [`Log::close`].
    pub(crate) fn start(self: &Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        let log = Arc::clone(self);
        std::thread::Builder::new().name("outside-log".into()).stack_size(8 << 20).spawn(move || log.hand_on())
    }

    /// Ends the thread after everything pending was handed on.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }

    /// Whether a line shows how long an exchange took.
    pub(crate) fn wants_duration(&self) -> bool {
        self.shows_duration
    }

    /// Adds one line for each exchange.
    pub(crate) fn access<'a>(&self, lines: impl Iterator<Item = AccessLine<'a>>, now: &Moment) {
        if self.form == LineFormat::Off {
            return;
        }
        let mut pending = self.lock();
        let was_empty = pending.is_empty();
        for line in lines {
            if pending.lines.len() > TOO_MUCH {
                self.lose(&mut pending);
            } else if self.has_records {
                self.add_record(&mut pending, &line, now);
            } else {
                line.write_to(&mut pending.lines, self.form, &self.fields.of_lines, now);
            }
        }
        self.notify(&pending, was_empty);
    }

    #[cold]
    fn add_record(&self, pending: &mut PendingLines, line: &AccessLine<'_>, now: &Moment) {
        if pending.records.len() >= TOO_MANY {
            self.lose(pending);
            return;
        }
        let mut text = Vec::new();
        line.write_to(&mut text, self.form, &self.fields.of_lines, now);
        text.pop(); // its newline
        // All of it is ASCII.
        let text = String::from_utf8(text).unwrap_or_default();
        pending.records.push(self.fields.record(line, text, now));
    }

    /// Adds an event. It becomes one line, even if a client, a file's name or the system has put line ends into it
    /// (docs/security.md S39).
    pub(crate) fn event(&self, level: Level, text: impl Into<String>) {
        self.add_event(level, &text.into(), None);
    }

    /// The same for an event of the server as a whole: the status page shows it, so its text says nothing of requests.
    pub(crate) fn notable(&self, level: Level, text: impl Into<String>) {
        let text = text.into();
        if let Some(meter) = self.meter()
            && level > Level::Debug
        {
            meter.note_event(level.name(), &one_line(&text));
        }
        self.add_event(level, &text, None);
    }

    /// The same for an event of a request, whose ids go with it.
    pub(crate) fn event_of(&self, level: Level, text: impl Into<String>, request: Option<&Request>) {
        self.add_event(level, &text.into(), request.map(EventRequest::of));
    }

    fn add_event(&self, level: Level, text: &str, request: Option<EventRequest>) {
        let mut pending = self.lock();
        let was_empty = pending.is_empty();
        if pending.events.len() > TOO_MANY {
            self.lose(&mut pending);
        } else {
            pending.events.push((level, one_line(text).into_owned(), request));
        }
        self.notify(&pending, was_empty);
    }

    /// Says that a limit has refused something, at most once a minute for each key.
    pub(crate) fn complain(&self, key: &'static str, reason: &str) {
        self.complain_once(key, format!("{reason}: refused; config[{key:?}] sets this limit"));
    }

    fn complain_once(&self, key: &'static str, text: String) {
        let now = Instant::now();
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.get(key).is_none_or(|last| now - *last >= COMPLAIN_EVERY) {
            complaints.insert(key, now);
            drop(complaints);
            self.event(Level::Warning, text);
        }
    }

    /// The same for a refusal by a limit. A fixed limit, which has no key, is named by the refusal's reason.
    pub(crate) fn complain_of(&self, refusal: &Refusal) {
        match refusal.limit {
            Some(key) => self.complain(key, refusal.reason),
            None if refusal.status == 413 => self.complain_once(refusal.reason, format!("{}: refused", refusal.reason)),
            None => {}
        }
    }

    /// Hands on all pending entries, on the calling thread.
    pub(crate) fn flush(&self) {
        let _order = self.sinking.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.lock().take();
        for (level, text, request) in &taken.events {
            self.hand_on_event(*level, text, request.as_ref());
        }
        if !taken.lines.is_empty() {
            self.sink.access(&taken.lines);
        }
        if !taken.records.is_empty() {
            self.sink.records(&self.fields.names, taken.records);
        }
        if taken.lost > 0 {
            let text = format!("{} log lines lost: the log's reader is too slow", taken.lost);
            self.hand_on_event(Level::Warning, &text, None);
        }
    }

    fn hand_on_event(&self, level: Level, text: &str, request: Option<&EventRequest>) {
        match request {
            _ if self.has_json_events => {
                if level > Level::Debug {
                    self.sink.access(&json_event(level, text, request, &Moment::now()));
                }
            }
            Some(request) => self.sink.event_of(level, text, request),
            None => self.sink.event(level, text),
        }
    }

    fn hand_on(&self) {
        loop {
            let mut pending = self.lock();
            while pending.is_empty() && !pending.closed {
                pending = self.more.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            let gathering = |pending: &mut PendingLines| {
                !pending.closed && pending.lines.len() < PLENTY && pending.records.len() < MANY
            };
            let waited = self.more.wait_timeout_while(pending, GATHER, gathering);
            let closed = waited.unwrap_or_else(PoisonError::into_inner).0.closed;
            self.flush();
            if closed {
                return;
            }
        }
    }

    /// Wakes the log's thread, if it may sleep. It sleeps without a limit only while nothing is pending, and then
    /// gathers lines for [`GATHER`] or up to [`PLENTY`] bytes. So only the first entry and a full buffer need a
    /// wake-up, while one for each line would be a system call in each request.
    fn notify(&self, pending: &PendingLines, was_empty: bool) {
        if was_empty || pending.lines.len() >= PLENTY || pending.records.len() >= MANY {
            self.more.notify_all();
        }
    }

    fn lose(&self, pending: &mut PendingLines) {
        pending.lost += 1;
        if let Some(counted) = self.counted.get() {
            counted.lost[0].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingLines> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as a line of JSON.
fn json_event(level: Level, text: &str, request: Option<&EventRequest>, now: &Moment) -> Vec<u8> {
    let mut line = Vec::with_capacity(text.len() + 96);
    line.extend_from_slice(b"{\"time\":\"");
    line.extend_from_slice(&now.iso);
    line.extend_from_slice(b"\",\"level\":");
    push_json_text(&mut line, level.name());
    line.extend_from_slice(b",\"event\":");
    push_json_text(&mut line, text);
    let ids = request.map(|ids| [("request_id", &ids.id), ("trace_id", &ids.trace_id), ("span_id", &ids.span_id)]);
    for (name, id) in ids.into_iter().flatten() {
        line.extend_from_slice(format!(",\"{name}\":").as_bytes());
        push_json_text(&mut line, id);
    }
    line.extend_from_slice(b"}\n");
    line
}

/// The text as one line: characters that are not visible or could end the line are escaped.
///
/// ```
/// assert_eq!(outside::log::one_line("it's /a\nb \u{1b}[31m"), "it's /a\\nb \\u{1b}[31m");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    Cow::Owned(line)
}

impl PendingLines {
    /// Takes all pending entries; `closed` stays.
    fn take(&mut self) -> Self {
        let closed = self.closed;
        let taken = std::mem::take(self);
        self.closed = closed;
        taken
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.records.is_empty() && self.events.is_empty() && self.lost == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_as_a_line_of_json() {
        let now = Moment::at(1_795_332_600);
        let line = json_event(Level::Warning, "a \"b\" \u{e9}\u{1f600}", None, &now);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "{\"time\":\"2026-11-22T07:30:00Z\",\"level\":\"warning\",\"event\":\"a \\\"b\\\" \\u00e9\\ud83d\\ude00\"}\n"
        );
        let request = Request::default();
        let line = json_event(Level::Error, "failed", Some(&EventRequest::of(&request)), &now);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((line["request_id"].as_str(), line["trace_id"].as_str()), (Some(request.id()), Some(request.id())));
    }
}
