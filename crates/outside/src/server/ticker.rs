//! The regular work of an event loop: a timer of the system, where there is one.
//!
//! As long as the event loop has timers of its own, each of its turns looks at the clock twice more and walks through
//! them. A timer of the system is a file: the loop pays for it when its time has come, and in no other turn.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

/// Comes to an end at regular intervals, the first time at once. Those that were missed are left out.
pub(super) enum Ticker {
    #[cfg(target_os = "linux")]
    System(system::Timer),
    Loop(Interval),
}

impl Ticker {
    /// A ticker of the event loop inside of which this is called.
    pub(super) fn every(time: Duration) -> Self {
        #[cfg(target_os = "linux")]
        if let Ok(timer) = system::Timer::every(time) {
            return Self::System(timer);
        }
        let mut interval = tokio::time::interval(time);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Loop(interval)
    }

    /// Waits for the next tick.
    pub(super) async fn tick(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::System(timer) => timer.expired().await,
            Self::Loop(interval) => drop(interval.tick().await),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::net::unix::pipe::Receiver;

    use crate::descriptors::OwnFile;

    /// A timer that expires again and again (timerfd_create(2)): to tokio, a file that is read as a pipe is.
    pub(in crate::server) struct Timer(OwnFile<Receiver>);

    impl Timer {
        pub(super) fn every(time: Duration) -> io::Result<Self> {
            let file = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
            let it_interval = Timespec::try_from(time).map_err(|_| io::ErrorKind::InvalidInput)?;
            // A value of zero would stop the timer.
            let it_value = Timespec { tv_sec: 0, tv_nsec: 1 };
            timerfd_settime(&file, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
            Ok(Self(OwnFile::new(Receiver::from_owned_fd_unchecked(file)?)))
        }

        /// Waits until the timer has expired since the last call.
        pub(super) async fn expired(&mut self) {
            loop {
                if self.0.readable().await.is_err() {
                    // The event loop ends.
                    return std::future::pending().await;
                }
                // The number of times that the timer has expired.
                let mut count = [0; 8];
                if self.0.try_read(&mut count).is_ok() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_ticks_at_once_and_then_at_intervals() {
        const TIME: Duration = Duration::from_millis(5);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut interval = tokio::time::interval(TIME);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for mut ticker in [Ticker::every(TIME), Ticker::Loop(interval)] {
                ticker.tick().await;
                let began = Instant::now();
                for _ in 0..3 {
                    ticker.tick().await;
                }
                assert!(began.elapsed() >= 2 * TIME, "{:?}", began.elapsed());
            }
        });
    }
}
