//! How long a thread has been busy: running, or ready to run while others did. The rest of the time it waited.
//!
//! Asked for calls of suspected routes only: it takes up to some microseconds.

use std::time::Duration;

use crate::placement::Suspicion;

/// Since this thread began, as exactly as its suspicion is worth.
pub(super) fn busy_time(suspicion: Suspicion) -> Duration {
    let running = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let running = Duration::try_from(running).unwrap_or_default();
    match suspicion {
        Suspicion::Weak => running,
        Suspicion::Strong => running + ready_time(),
    }
}

/// How long it was kept from running by others, as far as the kernel says so (the second number, in nanoseconds, of what
/// proc(5) calls schedstat). Without that, a handler that was preempted seems to have waited.
fn ready_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat");
    let number = statistics.ok().and_then(|text| text.split_whitespace().nth(1)?.parse().ok());
    Duration::from_nanos(number.unwrap_or(0))
}
