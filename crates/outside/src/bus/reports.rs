//! The lines of the log about a broker: one for each event, and not many of one kind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::engine::BrokerFacts;
use crate::config::BusAddress;
use crate::log::{Level, Log};

/// The kinds of lines. After one, others of its kind are counted for a while, and not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReportKind {
    /// A connection that was there is lost.
    Lost,
    /// The broker is there again.
    Back,
    /// The broker cannot be reached.
    Unreachable,
    /// The broker refuses user, password or rights.
    SignIn,
    /// The broker has sent bytes or answers that cannot be.
    Broken,
    /// The broker refuses a command.
    Refused,
    /// A message of another program.
    Foreign,
    /// A fault of this program.
    Panic,
}

impl ReportKind {
    /// The time after a line of this kind without another one.
    fn pause(self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Lost | Self::Back) { 10 } else { 60 })
    }
}

/// Writes lines about one broker.
pub(super) struct Reports {
    log: Arc<Log>,
    /// The place of the broker, without a password.
    place: String,
    password: Option<String>,
    kinds: HashMap<ReportKind, Reported>,
}

#[derive(Clone, Copy, Debug)]
struct Reported {
    at: Instant,
    /// Lines that were not written since.
    left_out: u64,
}

impl Reports {
    pub(super) fn new(log: &Arc<Log>, address: &BusAddress) -> Self {
        let (place, password) = (address.to_string(), address.password.clone());
        Self { log: Arc::clone(log), place, password, kinds: HashMap::new() }
    }

    /// Writes a line, unless one of this kind was written a moment ago.
    pub(super) fn say(&mut self, level: Level, kind: ReportKind, text: &str) {
        let now = Instant::now();
        let before = match self.kinds.get_mut(&kind) {
            Some(reported) if now - reported.at < kind.pause() => {
                reported.left_out += 1;
                return;
            }
            Some(reported) => reported.left_out,
            None => 0,
        };
        self.kinds.insert(kind, Reported { at: now, left_out: 0 });
        let more = if before == 0 { String::new() } else { format!(" ({before} times more before)") };
        // A broker may quote it in its texts.
        let text = match &self.password {
            Some(password) if !password.is_empty() => text.replace(password, "***"),
            _ => text.to_owned(),
        };
        self.log.notable(level, format!("bus {}: {text}{more}", self.place));
    }
}

/// The reason for which a connection was lost, as far as the broker says it afterwards.
pub(super) fn reason(before: &BrokerFacts, after: &BrokerFacts) -> Option<&'static str> {
    match (&before.life, &after.life) {
        (Some(before), Some(after)) if before != after => return Some("the broker was started anew"),
        _ => {}
    }
    match (before.cut, after.cut) {
        (Some(before), Some(after)) if after > before => Some(
            "the broker had cut a connection that did not take its messages fast enough (client-output-buffer-limit)",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_a_broker_gives() {
        let facts = |life: &str, cut| BrokerFacts { life: Some(life.to_owned()), cut };
        assert!(reason(&facts("a", Some(1)), &facts("b", Some(0))).is_some_and(|text| text.contains("anew")));
        assert!(reason(&facts("a", Some(1)), &facts("a", Some(2))).is_some_and(|text| text.contains("limit")));
        assert_eq!(reason(&facts("a", Some(1)), &facts("a", Some(1))), None);
        assert_eq!(reason(&BrokerFacts::default(), &facts("a", Some(1))), None);
    }
}
