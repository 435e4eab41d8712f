//! The destination of the log: the trait for programs, and standard error.

use std::io::{IsTerminal as _, Write as _};

use crate::message::Request;

/// The severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For debugging.
    Debug,
    /// The normal course of the server.
    Info,
    /// Something is wrong, and the server deals with it.
    Warning,
    /// A request could not be answered as it should.
    Error,
}

impl Level {
    /// The name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A line of the access log with its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// The line in the form of `access_log`, without its newline.
    pub line: String,
    /// The values of the fields, in the order of their names; `None`: the exchange has none.
    pub values: Vec<Option<FieldValue>>,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is what its name says")]
pub enum FieldValue {
    Text(String),
    Number(u64),
}

/// The ids of the request of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the methods of `Request` of these names")]
pub struct EventRequest {
    pub id: String,
    pub trace_id: String,
    pub span_id: String,
}

impl EventRequest {
    pub(crate) fn of(request: &Request) -> Self {
        let (id, trace_id, span_id) = (request.id(), request.trace_id(), request.span_id());
        Self { id: id.to_owned(), trace_id: trace_id.to_owned(), span_id: span_id.to_owned() }
    }
}

/// The destination of the log. Called from one thread at a time.
pub trait LogSink: Send + Sync {
    /// Complete lines of the access log, each ended by a newline; all of it is ASCII.
    fn access(&self, lines: &[u8]);

    /// One event.
    fn event(&self, level: Level, text: &str);

    /// One event of a request: its ids are on the answer too.
    fn event_of(&self, level: Level, text: &str, request: &EventRequest) {
        let _ = request;
        self.event(level, text);
    }

    /// Whether the sink takes each line of the access log as a record, by [`LogSink::records`] instead of
    /// [`LogSink::access`]. Asked once, when the server starts.
    fn wants_records(&self) -> bool {
        false
    }

    /// Lines of the access log with their fields, whose names are `names`.
    fn records(&self, names: &[String], records: Vec<AccessRecord>) {
        let _ = (names, records);
    }

    /// Whether events become lines of JSON, by [`LogSink::access`], where `access_log` is `"json"`.
    fn wants_json(&self) -> bool {
        false
    }

    /// Whether access lines go straight to a terminal. Then `AccessLog::Auto` writes them for people, with colours.
    fn is_terminal(&self) -> bool {
        false
    }
}

/// Writes access lines and events of level info and above to standard error.
#[derive(Debug, Default)]
pub struct StandardError;

impl LogSink for StandardError {
    fn access(&self, lines: &[u8]) {
        // If standard error is gone, there is no place left to report that.
        std::io::stderr().lock().write_all(lines).unwrap_or_default();
    }

    fn event(&self, level: Level, text: &str) {
        if level > Level::Debug {
            let line = format!("outside: {text}\n");
            std::io::stderr().lock().write_all(line.as_bytes()).unwrap_or_default();
        }
    }

    fn is_terminal(&self) -> bool {
        std::io::stderr().is_terminal()
    }

    fn wants_json(&self) -> bool {
        true
    }
}
