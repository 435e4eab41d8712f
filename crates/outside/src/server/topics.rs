//! The topics and the shared state of a server that begins: tasks on an event loop, histories and bounds of the
//! configuration.

use std::io;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::exchange::Service;
use crate::hub::{Keep, KeepRules};

/// Begins what the topics need: their tasks on this reactor, and the history of the configuration.
pub(super) fn begin(service: &Arc<Service>) -> io::Result<Vec<AbortHandle>> {
    let topics = &service.site.topics;
    service.site.shared.store().set_bound(service.config.max_shared);
    let mut rules = KeepRules::default();
    for rule in &service.config.history {
        rules.add(&rule.pattern, Keep { messages: rule.messages, bytes: rule.bytes });
    }
    let bus = if rules.is_empty() { topics.bus() } else { topics.need_bus() };
    let Some(bus) = bus else { return Ok(Vec::new()) };
    let tasks = Arc::clone(bus).start(topics, service.executor.runtime.handle())?;
    // Rules of a configuration before this one end even if there are no others.
    bus.keep(topics, &rules.to_text());
    Ok(tasks)
}
