//! The vital signs of this process: memory, processor time, threads, open files.

use std::time::SystemTime;

/// Open files that are counted at most, since that takes time.
const MOST_COUNTED: usize = 4096;

/// The vital signs of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vitals {
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// Bytes of memory that lie in the machine's.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    /// The number of open files; `None` where the system does not tell.
    pub(crate) files: Option<u64>,
}

impl Vitals {
    /// Those of this moment.
    pub(crate) fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let cpu = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        // Since Linux 6.2 the size of the folder is their number. Before, they are counted, unless there are very many.
        let size = std::fs::metadata("/proc/self/fd").map_or(0, |folder| folder.len());
        let counted =
            || std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.take(MOST_COUNTED).count() as u64);
        let files = if size > 0 { Some(size) } else { counted() };
        Self { cpu, memory: number("VmRSS") * 1024, threads: number("Threads"), files }
    }
}

/// Seconds since 1970, with fractions.
pub(crate) fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_lives() {
        let vitals = Vitals::now();
        assert!(vitals.memory > 1 << 20 && vitals.threads > 0 && vitals.files > Some(2), "{vitals:?}");
        assert!(vitals.cpu >= 0.0 && since_1970(SystemTime::now()) > 1.6e9);
    }
}
