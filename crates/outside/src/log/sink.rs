//! The destination of the log: the trait for programs, and standard error.

use std::io::{IsTerminal as _, Write as _};

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

/// The destination of the log. Called from one thread at a time.
pub trait LogSink: Send + Sync {
    /// Complete lines of the access log, each ended by a newline; all of it is ASCII.
    fn access(&self, lines: &[u8]);

    /// One event.
    fn event(&self, level: Level, text: &str);

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
}
