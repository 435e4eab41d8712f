//! The topics and the shared state of a server that begins: tasks on an event loop, histories and bounds of the
//! configuration. Its broker is there already (`app`).

use std::io;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::exchange::Service;
use crate::hub::{Keep, KeepRules};
use crate::metrics::BusCells;
use crate::websocket::Bus as _;

/// Begins what the topics need: their tasks on this reactor, and the history of the configuration.
pub(super) fn begin(service: &Arc<Service>) -> io::Result<Vec<AbortHandle>> {
    let (topics, config) = (&service.site.topics, &service.config);
    let runtime = service.executor.runtime.handle();
    service.site.shared.store().set_bound(config.max_shared);
    let mut rules = KeepRules::default();
    for rule in &config.history {
        rules.add(&rule.pattern, Keep { messages: rule.messages, bytes: rule.bytes });
    }
    let is_needed = !rules.is_empty() || config.bus.is_some();
    let bus = if is_needed { topics.need_machine_bus() } else { topics.machine_bus() };
    let mut tasks = Vec::new();
    if let Some(seat) = service.site.shared.state_seat() {
        tasks.extend(Arc::clone(seat).start(topics, runtime)?);
    }
    let Some(bus) = bus else { return Ok(tasks) };
    // A process alone has a bus for its history: nothing goes to other processes then.
    if let Some(meter) = &service.meter
        && (config.bus.is_some() || service.site.shared.seat().is_some())
    {
        topics.count_bus_in(BusCells::new(&meter.meter, config.bus.is_some()));
    }
    tasks.extend(Arc::clone(bus).start(topics, runtime)?);
    // Rules of a configuration before this one end even if there are no others.
    bus.keep(topics, &rules.to_text());
    Ok(tasks)
}
