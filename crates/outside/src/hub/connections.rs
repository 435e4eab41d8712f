//! Connections of each address over all seats, for the bound of one address.

use std::collections::HashMap;

/// The counts of addresses that have connections.
#[derive(Debug, Default)]
pub(super) struct ConnectionCounts {
    by_address: HashMap<u64, Vec<SeatCount>>,
}

/// Connections of one address to one seat.
#[derive(Debug)]
struct SeatCount {
    seat: usize,
    connections: u64,
}

impl ConnectionCounts {
    /// Counts one more connection of an address, if it has fewer than `most` in all.
    pub(super) fn admit(&mut self, seat: usize, address: u64, most: u64) -> bool {
        let counts = self.by_address.entry(address).or_default();
        let sum = counts.iter().fold(0u64, |sum, count| sum.saturating_add(count.connections));
        let is_admitted = sum < most;
        if is_admitted {
            match counts.iter_mut().find(|count| count.seat == seat) {
                Some(count) => count.connections += 1,
                None => counts.push(SeatCount { seat, connections: 1 }),
            }
        } else if counts.is_empty() {
            self.by_address.remove(&address);
        }
        is_admitted
    }

    /// Counts one connection less.
    pub(super) fn leave(&mut self, seat: usize, address: u64) {
        let Some(counts) = self.by_address.get_mut(&address) else { return };
        if let Some(count) = counts.iter_mut().find(|count| count.seat == seat) {
            count.connections -= 1;
        }
        counts.retain(|count| count.connections > 0);
        if counts.is_empty() {
            self.by_address.remove(&address);
        }
    }

    /// A seat is gone, with all its connections.
    pub(super) fn release(&mut self, seat: usize) {
        self.by_address.retain(|_, counts| {
            counts.retain(|count| count.seat != seat);
            !counts.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_in_all() {
        let mut counts = ConnectionCounts::default();
        assert!(counts.admit(0, 7, 2) && counts.admit(1, 7, 2));
        assert!(!counts.admit(0, 7, 2) && !counts.admit(2, 7, 2) && !counts.admit(0, 8, 0));
        assert!(counts.admit(2, 8, 2), "another address");
        counts.leave(1, 7);
        assert!(counts.admit(2, 7, 2) && !counts.admit(1, 7, 2));
        counts.release(2);
        assert!(counts.admit(1, 7, 2) && counts.admit(1, 8, 1));
        counts.leave(5, 7);
        for (seat, address) in [(0, 7), (1, 7), (1, 8)] {
            counts.leave(seat, address);
        }
        assert!(counts.by_address.is_empty(), "an address without connections is not remembered");
    }
}
