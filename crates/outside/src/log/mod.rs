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
mod form;
mod line;
mod moment;
mod sink;
mod terminal;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use form::LineFormat;
pub(crate) use line::{AccessLine, client_text};
pub(crate) use moment::Moment;
pub use sink::{Level, LogSink, StandardError};

use crate::config::AccessLog;
use crate::error::Refusal;

/// The log of one server.
pub(crate) struct Log {
    form: LineFormat,
    shows_duration: bool,
    pending: Mutex<PendingLines>,
    more: Condvar,
    sink: Arc<dyn LogSink>,
    /// Held while the sink is called, so that lines keep their order.
    sinking: Mutex<()>,
    /// When each limit was last complained about.
    complaints: Mutex<HashMap<&'static str, Instant>>,
}

#[derive(Default)]
struct PendingLines {
    lines: Vec<u8>,
    events: Vec<(Level, String)>,
    lost: u64,
    closed: bool,
}

/// Time that lines wait for further lines, to be handed on together.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of pending lines that are handed on without waiting.
const PLENTY: usize = 64 << 10;
/// Bytes of pending lines beyond which lines are lost.
const TOO_MUCH: usize = 8 << 20;
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

impl Log {
    pub(crate) fn new(setting: AccessLog, sink: Arc<dyn LogSink>) -> Arc<Self> {
        let form = LineFormat::chosen(setting, &*sink);
        Arc::new(Self {
            form,
            shows_duration: form.shows_duration(),
            pending: Mutex::default(),
            more: Condvar::new(),
            sink,
            sinking: Mutex::default(),
            complaints: Mutex::default(),
        })
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
                pending.lost += 1;
            } else {
                line.write_to(&mut pending.lines, self.form, now);
            }
        }
        self.notify(&pending, was_empty);
    }

    /// Adds an event. It becomes one line, even if a client, a file's name or the system has put line ends into it
    /// (docs/security.md S39).
    pub(crate) fn event(&self, level: Level, text: impl Into<String>) {
        let mut pending = self.lock();
        let was_empty = pending.is_empty();
        if pending.events.len() > 10_000 {
            pending.lost += 1;
        } else {
            pending.events.push((level, one_line(&text.into()).into_owned()));
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
        for (level, text) in &taken.events {
            self.sink.event(*level, text);
        }
        if !taken.lines.is_empty() {
            self.sink.access(&taken.lines);
        }
        if taken.lost > 0 {
            self.sink.event(Level::Warning, &format!("{} log lines lost: the log's reader is too slow", taken.lost));
        }
    }

    fn hand_on(&self) {
        loop {
            let mut pending = self.lock();
            while pending.is_empty() && !pending.closed {
                pending = self.more.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            let gathering = |pending: &mut PendingLines| !pending.closed && pending.lines.len() < PLENTY;
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
        if was_empty || pending.lines.len() >= PLENTY {
            self.more.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PendingLines> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        self.lines.is_empty() && self.events.is_empty() && self.lost == 0
    }
}
