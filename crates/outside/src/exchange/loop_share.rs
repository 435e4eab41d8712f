//! The bytes that WebSocket sessions read between two looks of the event loop at the network.
//!
//! Each session gives way to others after a few reads. With hundreds of busy sessions even that takes milliseconds, so all
//! of them together have a share: when it is used up, the others read after the next look, at which requests come in. A new
//! share begins when the loop has waited for the network or is entered again, and else with the look that was waited for.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The share of all sessions of one event loop, which alone uses it.
#[derive(Debug, Default)]
pub(crate) struct LoopShare {
    used: AtomicUsize,
    /// The look of the loop at the network with which the share began, as the executor counts them.
    look: AtomicU64,
    /// How often the share was used up.
    turns: AtomicU64,
}

/// A session's place behind the next look at the network, if it waits for that.
pub(crate) type LoopTurn = Option<NonZeroU64>;

/// Bytes of one share.
const MOST: usize = 128 << 10;
/// Bytes that a read counts beside those that it brings.
const READ: usize = 1 << 10;

impl LoopShare {
    /// Whether a session may read, behind this look of the loop at the network. If not, it has to wait until the loop has
    /// looked at the network again, and ask with the same turn. Not every look has a number of its own.
    pub(crate) fn may_read(&self, look: u64, turn: &mut LoopTurn) -> bool {
        if self.look.load(Ordering::Relaxed) != look {
            self.look.store(look, Ordering::Relaxed);
            self.used.store(0, Ordering::Relaxed);
        }
        if self.used.load(Ordering::Relaxed) < MOST {
            *turn = None;
            return true;
        }
        let now = NonZeroU64::MIN.saturating_add(self.turns.load(Ordering::Relaxed));
        if *turn != Some(now) {
            *turn = Some(now);
            return false;
        }
        // It is the first one that comes back.
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        *turn = None;
        true
    }

    /// Counts a read.
    pub(crate) fn note(&self, bytes: usize) {
        self.used.store(self.used.load(Ordering::Relaxed).saturating_add(bytes + READ), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_for_each_look_at_the_network() {
        let share = LoopShare::default();
        let mut turns = [None; 3];
        for _ in 0..3 {
            while share.may_read(1, &mut turns[0]) {
                share.note(16 << 10);
            }
            assert!(!share.may_read(1, &mut turns[1]) && !share.may_read(1, &mut turns[2]));
            // The loop has looked; one after another comes back.
            assert!(share.may_read(1, &mut turns[1]));
            share.note(10);
            assert!(share.may_read(1, &mut turns[0]) && share.may_read(1, &mut turns[2]));
        }
    }

    #[test]
    fn a_share_for_each_numbered_look() {
        let share = LoopShare::default();
        for look in 1..1000 {
            let mut turn = None;
            for _ in 0..100 {
                assert!(share.may_read(look, &mut turn));
                share.note(100);
            }
        }
    }

    #[test]
    fn one_session_alone_waits_now_and_then() {
        let share = LoopShare::default();
        let (mut turn, mut waits) = (None, 0);
        for _ in 0..1000 {
            if !share.may_read(1, &mut turn) {
                waits += 1;
                assert!(share.may_read(1, &mut turn));
            }
            share.note(100);
        }
        assert!((5..15).contains(&waits), "{waits}");
    }
}
