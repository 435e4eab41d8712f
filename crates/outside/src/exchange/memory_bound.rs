//! The memory that a process may have before another one takes its place (`max_worker_memory_mb`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::handler::LanguageRuntime;
use crate::log::{Level, Log};

/// A bound that is shared by all reactors of a process.
pub(crate) struct MemoryBound {
    most: u64,
    /// When the next look is due, in milliseconds of the clock.
    due: AtomicU64,
    /// Whether another process was asked for, or would have as much memory.
    is_over: AtomicBool,
    host: Arc<dyn LanguageRuntime>,
}

/// Milliseconds between two looks.
const INTERVAL: u64 = 500;

impl MemoryBound {
    /// A bound of `most` bytes. A process that has more at its start is not replaced: the next one would have as much.
    pub(crate) fn new(most: u64, host: Arc<dyn LanguageRuntime>, log: &Log) -> Self {
        let now = resident();
        if now.is_none() {
            log.event(
                Level::Warning,
                "config[\"max_worker_memory_mb\"] has no effect: the memory of a process is not known here",
            );
        }
        let begins_beyond = now.filter(|bytes| *bytes >= most);
        if let Some(bytes) = begins_beyond {
            let text = format!(
                "config[\"max_worker_memory_mb\"] is {}, but this process has {} MiB when it begins: it is not replaced",
                mebibytes(most),
                mebibytes(bytes)
            );
            log.event(Level::Warning, text);
        }
        let is_over = AtomicBool::new(begins_beyond.is_some());
        Self { most, due: AtomicU64::new(0), is_over, host }
    }

    /// Asks for another process once this one has more memory. Called several times a second; `now` is in milliseconds of
    /// the clock.
    pub(crate) fn look(&self, now: u64, log: &Log) {
        if now < self.due.load(Ordering::Relaxed) || self.is_over.load(Ordering::Relaxed) {
            return;
        }
        self.due.store(now + INTERVAL, Ordering::Relaxed);
        let Some(bytes) = resident().filter(|bytes| *bytes >= self.most) else { return };
        if !self.is_over.swap(true, Ordering::Relaxed) {
            let (has, most) = (mebibytes(bytes), mebibytes(self.most));
            log.event(Level::Info, format!("this process has {has} MiB of memory, max_worker_memory_mb is {most}"));
            self.host.recycle_for_memory();
        }
    }
}

/// Bytes of resident memory of this process; `None` if the system does not tell.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

impl fmt::Debug for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBound").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory() {
        if std::path::Path::new("/proc/self/status").exists() {
            assert!(resident().is_some_and(|bytes| (1 << 20..1 << 40).contains(&bytes)));
        }
    }
}
