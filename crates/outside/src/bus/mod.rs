//! Topics over several machines, by way of a broker: what is published goes to the broker, which hands it to every process
//! that has subscribers, this one included.
//!
//! Each process that serves has a connection of its own and a thread for it (`thread`). [`BrokerBus`] is the `Bus` of the
//! topics: it puts commands into a bounded queue, and never waits. While the broker is away it hands everything to the bus
//! of this machine, and notes the topics of which other machines miss messages; they are told when the broker is back
//! (`carrier`, `gaps`). An `Engine` knows the commands and answers of one kind of broker as bytes, and nothing else:
//! Redis and Valkey are one (`redis`), NATS would be another.
//!
//! Shared state is in the broker too (`operations`): each operation is a command on the same connection.
//!
//! A message has one way, by the broker or within the machine, and is never sent again: one whose fate is not known when
//! the connection is lost is a gap.

mod address;
mod arrivals;
mod carrier;
mod connection;
mod engine;
mod gaps;
mod handshake;
mod line;
mod operations;
mod pending;
mod questions;
mod redis;
mod redis_operations;
mod reports;
mod resp;
mod scripts;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod thread;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use carrier::BrokerBus;
use operations::BrokerStore;
use thread::BrokerService;

use crate::config::BusAddress;
use crate::hub::KeepRules;
use crate::log::Log;
use crate::shared::SharedStore;
use crate::websocket::Topics;

/// A broker that is used.
pub(crate) struct StartedBroker {
    /// Shared state in the broker.
    pub(crate) store: Arc<dyn SharedStore>,
    bus: Arc<BrokerBus>,
    /// The number of the thread that has the connection.
    number: u64,
    thread: JoinHandle<()>,
}

impl StartedBroker {
    /// Ends its use, once what waits was sent, if that takes little time.
    pub(crate) fn end(&self) {
        self.bus.end_thread(self.number);
    }

    /// Whether the connection is closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Has topics go by the broker at this address from now on. Waits for the first connection, but not for long.
///
/// # Errors
/// The system refuses a thread or descriptors, or the address has a file that cannot be used.
pub(crate) fn start(
    address: &BusAddress,
    rules: &KeepRules,
    topics: &Arc<Topics>,
    log: &Arc<Log>,
) -> io::Result<StartedBroker> {
    let machine = topics.need_machine_bus().cloned();
    let machine = machine.ok_or_else(|| io::Error::other("the topics of this server have no bus"))?;
    let known = topics.broker().and_then(|bus| Arc::clone(bus).as_any()?.downcast::<BrokerBus>().ok());
    let bus = match known {
        Some(bus) => bus,
        None => {
            let bus = Arc::new(BrokerBus::new(machine)?);
            topics.set_broker(Arc::clone(&bus) as _);
            bus
        }
    };
    let store = Arc::new(BrokerStore::new(Arc::clone(&bus)));
    let (number, thread) = BrokerService::start(address, rules, &bus, topics, log)?;
    Ok(StartedBroker { store, bus, number, thread })
}
