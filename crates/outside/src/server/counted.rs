//! Cells for events that are counted where they happen.

use crate::metrics::{Cells, Definition, Kind, Meter, labels_text};
use crate::transport::{Address, Listener};

/// Cells that count the connections of a listener.
pub(super) fn accepted(meter: &Meter, listener: &Listener) -> Cells {
    let protocol = if listener.tls().is_some() { "https" } else { "http" };
    let address = match listener.address() {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    let labels = labels_text([("listener", &*address), ("protocol", protocol)]);
    meter.part(Definition::new(Kind::Counter, "outside_connections_total", "Connections that were accepted.", labels))
}

/// Cells that count the messages of WebSockets in one direction.
pub(super) fn websocket_messages(meter: &Meter, way: &str) -> Cells {
    let help = "Messages of WebSockets that were received, or queued to be sent.";
    let labels = labels_text([("way", way)]);
    meter.cells(Definition::new(Kind::Counter, "outside_websocket_messages_total", help, labels))
}

/// Cells that count the messages that are published.
pub(super) fn published(meter: &Meter) -> Cells {
    let help = "Messages that were published to topics.";
    meter.cells(Definition::new(Kind::Counter, "outside_topic_published_total", help, ""))
}
