//! The time for which a thread was busy: running, or ready to run while others ran. The rest of the time it waited.
//!
//! Measured for calls of suspected routes only: a measurement takes up to some microseconds.

use std::time::Duration;

use crate::placement::Suspicion;

/// The busy time since this thread began, as exactly as the suspicion is worth.
pub(super) fn busy_time(suspicion: Suspicion) -> Duration {
    let running = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let running = Duration::try_from(running).unwrap_or_default();
    match suspicion {
        Suspicion::Weak => running,
        Suspicion::Strong => running + ready_time(),
    }
}

/// The time for which other threads kept this one from running, if the kernel reports it (the second number, in
/// nanoseconds, of schedstat in proc(5)); 0 otherwise. Without it, a handler that was preempted seems to have waited.
fn ready_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat");
    let number = statistics.ok().and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Duration::from_nanos(number.unwrap_or(0))
}
