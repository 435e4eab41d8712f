//! Cells for events that are counted where they happen.

use crate::metrics::names::{ACCEPTED, PUBLISHED, WEBSOCKET_MESSAGES};
use crate::metrics::{Cells, Meter};
use crate::transport::{Address, Listener};

/// Cells that count the connections of a listener.
pub(super) fn accepted(meter: &Meter, listener: &Listener) -> Cells {
    let protocol = if listener.tls().is_some() { "https" } else { "http" };
    let address = match listener.address() {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    meter.part(ACCEPTED.series(&[&*address, protocol]))
}

/// Cells that count the messages of WebSockets in one direction.
pub(super) fn websocket_messages(meter: &Meter, way: &str) -> Cells {
    meter.cells(WEBSOCKET_MESSAGES.series(&[way]))
}

/// Cells that count the messages that are published.
pub(super) fn published(meter: &Meter) -> Cells {
    meter.cells(PUBLISHED.series(&[]))
}
