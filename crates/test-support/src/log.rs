//! The log of a server, recorded for its test.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use outside::log::{Level, LogSink};

use crate::deadline::DEADLINE;

/// Access lines and events, in the order in which they came. Clones are the same log.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Vec<Entry>>, Condvar)>);

/// One line; the level of an event, none for an access.
type Entry = (Option<Level>, String);

impl Log {
    /// The first line, of accesses or events, that holds this; waits for it.
    pub fn wait_for(&self, text: &str) -> String {
        let entries = self.wait_until(|entries| entries.iter().any(|(_, line)| line.contains(text)), text);
        entries.iter().find(|(_, line)| line.contains(text)).unwrap().1.clone()
    }

    /// Waits for an event of this level that holds this.
    pub fn wait_for_event(&self, level: Level, text: &str) {
        drop(
            self.wait_until(|entries| entries.iter().any(|(at, line)| *at == Some(level) && line.contains(text)), text),
        );
    }

    /// Waits for so many events; all that have come.
    pub fn wait_for_events(&self, count: usize) -> Vec<String> {
        let events = |entries: &[Entry]| entries.iter().filter(|(level, _)| level.is_some()).count();
        drop(self.wait_until(|entries| events(entries) >= count, "events"));
        self.events()
    }

    /// The events so far.
    pub fn events(&self) -> Vec<String> {
        self.entries().iter().filter(|(level, _)| level.is_some()).map(|(_, line)| line.clone()).collect()
    }

    /// The access lines so far.
    pub fn accesses(&self) -> Vec<String> {
        self.entries().iter().filter(|(level, _)| level.is_none()).map(|(_, line)| line.clone()).collect()
    }

    /// The lines so far, of accesses or events, that hold this.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        self.entries().iter().filter(|(_, line)| line.contains(text)).map(|(_, line)| line.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.0.lock().unwrap()
    }

    fn wait_until(&self, enough: impl Fn(&[Entry]) -> bool, wanted: &str) -> MutexGuard<'_, Vec<Entry>> {
        let deadline = Instant::now() + DEADLINE;
        let mut entries = self.entries();
        while !enough(&entries) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{wanted:?} is not in {entries:?}");
            entries = self.0.1.wait_timeout(entries, left).unwrap().0;
        }
        entries
    }
}

impl LogSink for Log {
    fn access(&self, lines: &[u8]) {
        self.entries().extend(String::from_utf8_lossy(lines).lines().map(|line| (None, line.to_owned())));
        self.0.1.notify_all();
    }

    fn event(&self, level: Level, text: &str) {
        self.entries().push((Some(level), text.to_owned()));
        self.0.1.notify_all();
    }
}
