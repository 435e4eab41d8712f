//! The end of functions that run beside requests: the drain waits for them as it does for answers.

use std::time::Instant;

use super::{DRAINING, GLANCE, LAST_PATIENCE, Running};
use crate::application::Background;
use crate::log::Level;

impl Running {
    /// The background functions of the site that all reactors share.
    fn background(&self) -> Option<&Background> {
        self.reactors.iter().next().map(|service| &service.site.application.background)
    }

    /// Waits while functions run or wait, until this moment at most, or until the stage is another one.
    pub(super) fn wait_for_background<E>(
        &self,
        until: Instant,
        on_wake: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let is_busy = || self.background().is_some_and(Background::is_busy);
        let mut result = Ok(());
        while is_busy() && self.control.stage() == DRAINING && Instant::now() < until {
            self.wake_pipe.wait(Some(GLANCE));
            let outcome = on_wake();
            if outcome.is_err() {
                self.control.terminate(true);
            }
            result = result.and(outcome);
        }
        result
    }

    /// Leaves the functions that have not ended, after a last wait for those that the last answers have begun, and names them
    /// in the log.
    pub(super) fn leave_background(&self) {
        let Some(background) = self.background() else { return };
        let deadline = Instant::now() + LAST_PATIENCE;
        while background.is_busy() && Instant::now() < deadline {
            self.wake_pipe.wait(Some(GLANCE));
        }
        let (waiting, running) = background.give_up();
        if waiting > 0 {
            let text = format!("background functions that were not begun before the server ended: {waiting}");
            self.log.event(Level::Error, text);
        }
        if running > 0 {
            let text = format!(
                "background functions that took longer than termination_timeout and were left behind: {running}"
            );
            self.log.event(Level::Error, text);
        }
    }
}
