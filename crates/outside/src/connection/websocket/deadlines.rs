//! Deadlines of a session: it pings a silent client, and leaves a client that does not answer, does not read, or does
//! not finish the closing handshake in time.
//!
//! The session sets one deadline, the nearest; when that has passed, the session looks which of its deadlines it was.

use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::time::Duration;

use super::WebSocketSession;
use crate::exchange::millis;

impl WebSocketSession {
    /// Acts on the deadlines that have passed.
    pub(super) fn tick(&mut self) -> ControlFlow<()> {
        let now = self.socket.service.clock.now();
        let has_passed = |due: Option<NonZeroU64>| due.is_some_and(|due| due.get() <= now);
        if has_passed(self.close_due) || has_passed(self.write_due) {
            return ControlFlow::Break(());
        }
        if self.room() == 0 {
            // The session reads no more from now on, so an answer to its ping may lie unread in the socket.
            (self.heard, self.pong_due) = (now, None);
        }
        if has_passed(self.pong_due) {
            self.pong_due = None;
            self.close(1011, "no answer to a ping");
        }
        let options = &self.connection.websocket().options;
        match options.ping_interval {
            Some(interval)
                if self.pong_due.is_none() && self.is_silent(interval, now) && self.connection.ping(b"").is_ok() =>
            {
                self.pong_due = self.due_after(options.ping_timeout);
            }
            None if self.is_silent(self.socket.service.config.process_timeout, now) => {
                self.close(1001, "silent for too long");
            }
            _ => {}
        }
        self.schedule();
        ControlFlow::Continue(())
    }

    fn is_silent(&self, at_most: Duration, now: u64) -> bool {
        self.last_activity() + millis(at_most) <= now
    }

    /// When the client was last active, in milliseconds of the clock: it sent bytes or, without pings, took bytes.
    fn last_activity(&self) -> u64 {
        match self.connection.websocket().options.ping_interval {
            Some(_) => self.heard,
            None => self.heard.max(self.socket.moved()),
        }
    }

    /// The time `duration` from now, in milliseconds of the clock.
    pub(super) fn due_after(&self, duration: Duration) -> Option<NonZeroU64> {
        NonZeroU64::new(self.socket.service.clock.after(duration))
    }

    /// Sets the nearest of all deadlines.
    pub(super) fn schedule(&self) {
        let silence =
            self.connection.websocket().options.ping_interval.unwrap_or(self.socket.service.config.process_timeout);
        let next_look = match self.pong_due {
            Some(due) => due.get(),
            None => self.last_activity() + millis(silence),
        };
        let due = [self.close_due, self.write_due]
            .into_iter()
            .flatten()
            .fold(next_look, |nearest, due| nearest.min(due.get()));
        self.socket.control.set_deadline(due);
    }
}
