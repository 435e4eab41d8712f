//! Counts of messages between processes: by the hub of a machine, or by a broker.

use std::sync::atomic::Ordering;

use super::meter::{Cells, Meter};
use super::names::{BUS_DISCONNECTS, BUS_DROPPED, BUS_GAPS, BUS_MESSAGES};

/// The cells that the bus of a process counts in.
#[derive(Debug)]
pub(crate) struct BusCells {
    sent: Cells,
    received: Cells,
    dropped: Cells,
    gaps: Cells,
    /// Of a broker alone.
    disconnects: Option<Cells>,
}

impl BusCells {
    /// Cells of this meter. `has_broker`: whether messages go by a broker, whose connection may be lost.
    pub(crate) fn new(meter: &Meter, has_broker: bool) -> Self {
        Self {
            sent: meter.cells(BUS_MESSAGES.series(&["sent"])),
            received: meter.cells(BUS_MESSAGES.series(&["received"])),
            dropped: meter.cells(BUS_DROPPED.series(&[])),
            gaps: meter.cells(BUS_GAPS.series(&[])),
            disconnects: has_broker.then(|| meter.cells(BUS_DISCONNECTS.series(&[]))),
        }
    }

    pub(crate) fn count_sent(&self) {
        add_one(&self.sent);
    }

    pub(crate) fn count_received(&self) {
        add_one(&self.received);
    }

    pub(crate) fn count_dropped(&self) {
        add_one(&self.dropped);
    }

    pub(crate) fn count_gap(&self) {
        add_one(&self.gaps);
    }

    pub(crate) fn count_disconnect(&self) {
        self.disconnects.iter().for_each(add_one);
    }
}

fn add_one(cells: &Cells) {
    cells[0].fetch_add(1, Ordering::Relaxed);
}
