//! The broker of a server, reached before the program's own functions of the start are called, and until those of the end have
//! returned: so that they publish to all machines, and share state with them.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::OutsideHttp;
use crate::bus::StartedBroker;
use crate::config::Config;
use crate::error::Error;
use crate::hub::{Keep, KeepRules};
use crate::log::Log;
use crate::metrics::Meter;

/// Time for bytes that wait to be sent, at the end.
const LAST: Duration = Duration::from_millis(300);
const GLANCE: Duration = Duration::from_millis(5);

/// The broker is used as long as this value lives. Its end may take 300 milliseconds.
pub struct OpenBus {
    broker: Option<StartedBroker>,
    log: Arc<Log>,
    /// Hands on what the log has about the broker.
    log_thread: Option<JoinHandle<()>>,
}

impl OutsideHttp {
    /// Has topics and shared state go by the broker of this configuration from now on, until the value is dropped; a run does it
    /// by itself. `None` without `bus`. For bindings, whose programs have functions that are called before a run.
    ///
    /// # Errors
    /// The system refuses a thread, or the address has a file that cannot be used.
    pub fn open_bus(&self, config: &Config) -> Result<Option<Arc<OpenBus>>, Error> {
        let Some(address) = &config.bus else { return Ok(None) };
        let mut known = self.open_bus.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = known.upgrade() {
            return Ok(Some(open));
        }
        let log = Log::new(config, Arc::clone(&self.sink));
        let log_thread = Some(log.start()?);
        let mut open = OpenBus { broker: None, log, log_thread };
        let broker = crate::bus::start(address, &keep_rules(config), &self.site.topics, &open.log)?;
        self.site.shared.set_store(Arc::clone(&broker.store));
        open.broker = Some(broker);
        let open = Arc::new(open);
        *known = Arc::downgrade(&open);
        Ok(Some(open))
    }
}

impl OpenBus {
    /// Has its events kept for the status page.
    pub(super) fn count_in(&self, meter: &Arc<Meter>) {
        self.log.count_in(meter);
    }
}

/// The histories of topics that a configuration wants.
fn keep_rules(config: &Config) -> KeepRules {
    let mut rules = KeepRules::default();
    for rule in &config.history {
        rules.add(&rule.pattern, Keep { messages: rule.messages, bytes: rule.bytes });
    }
    rules
}

impl Drop for OpenBus {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            let deadline = Instant::now() + LAST;
            broker.end();
            while !broker.has_ended() && Instant::now() < deadline {
                std::thread::sleep(GLANCE);
            }
        }
        self.log.close();
        // A thread that has panicked has nothing to hand on.
        self.log_thread.take().map(JoinHandle::join);
    }
}

impl fmt::Debug for OpenBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenBus")
    }
}
