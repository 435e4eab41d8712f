//! The time as the exchanges of one turn of the event loop share it: the clock is looked at once for all of them.
//!
//! The requests that one look at the network brings were there at that time. Of the answers that are counted each fourth one has a
//! time of its own, behind its last byte; the others left within three writes of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::metrics::Monotonic;

/// Times of a turn by its number. Only the leader of the event loop reads and writes them.
#[derive(Debug)]
pub(crate) struct TurnTimes {
    /// A time of the monotonic clock in nanoseconds.
    time: TurnValue,
    /// Answers that have ended at this time.
    ended: AtomicU32,
}

/// Answers that share a time as that of their end.
const MOST_ENDS: u32 = 4;

#[derive(Debug, Default)]
struct TurnValue {
    turn: AtomicU64,
    value: AtomicU64,
}

impl TurnTimes {
    pub(crate) fn new() -> Self {
        Self { time: TurnValue::default(), ended: AtomicU32::new(0) }
    }

    /// The time in a turn; as of now without a number.
    pub(super) fn time(&self, turn: Option<u64>) -> Monotonic {
        if let Some(time) = self.time.of(turn) {
            // The answer to this request ends later.
            self.ended.store(MOST_ENDS, Ordering::Relaxed);
            return Monotonic::of(time);
        }
        self.look(turn, MOST_ENDS)
    }

    /// The time at which an answer has left.
    pub(super) fn end(&self, turn: Option<u64>) -> Monotonic {
        let ended = self.ended.load(Ordering::Relaxed);
        match self.time.of(turn) {
            Some(time) if ended < MOST_ENDS => {
                self.ended.store(ended + 1, Ordering::Relaxed);
                Monotonic::of(time)
            }
            _ => self.look(turn, 1),
        }
    }

    /// The time of the clock, as the end of `ended` answers until now.
    fn look(&self, turn: Option<u64>, ended: u32) -> Monotonic {
        let now = Monotonic::now();
        self.time.set(turn, now.nanoseconds());
        self.ended.store(ended, Ordering::Relaxed);
        now
    }
}

impl TurnValue {
    fn of(&self, turn: Option<u64>) -> Option<u64> {
        (turn? == self.turn.load(Ordering::Relaxed)).then(|| self.value.load(Ordering::Relaxed))
    }

    fn set(&self, turn: Option<u64>, value: u64) {
        if let Some(turn) = turn {
            self.value.store(value, Ordering::Relaxed);
            self.turn.store(turn, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_has_one_time() {
        let times = TurnTimes::new();
        let first = times.time(Some(1));
        assert_eq!(times.time(Some(1)), first);
        let second = times.time(Some(2));
        assert!(first < second && times.time(Some(2)) == second, "another turn looks at the clock");
        let (one, other) = (times.time(None), times.time(None));
        assert!(second < one && one < other, "without a number each does");
    }

    #[test]
    fn few_answers_share_the_time_of_their_end() {
        let times = TurnTimes::new();
        let began = times.time(Some(1));
        let ends: Vec<Monotonic> = (0..9).map(|_| times.end(Some(1))).collect();
        assert!(began < ends[0], "an answer does not end at the time at which requests have come");
        assert!(ends[0] == ends[3] && ends[3] < ends[4] && ends[4] == ends[7] && ends[7] < ends[8]);
        assert_eq!(times.time(Some(1)), ends[8], "a request that comes behind them");
        assert!(ends[8] < times.end(Some(1)), "its answer");
        assert!(ends[8] < times.end(Some(2)) && times.end(None) < times.end(None));
    }
}
