//! The connections of one address in all processes, which the hub counts.
//!
//! A connection of an address that is counted asks the hub before it is served. Without an answer in time, as without a
//! hub, this process alone decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::hub::SeatStore;
use crate::shared::{Outcome, StoreError};

/// The time that a connection waits for the hub.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The stages of a connection at the hub.
const ASKED: u8 = 0;
const COUNTED: u8 = 1;
const LEFT: u8 = 2;

/// A connection that the hub counts, until this is dropped.
pub(super) struct AddressCount {
    address: u64,
    seat: Arc<SeatStore>,
    stage: Arc<AtomicU8>,
}

/// The hub's verdict, on its way.
pub(crate) struct AddressVerdict(oneshot::Receiver<bool>);

impl AddressCount {
    /// Asks for one more connection of an address, which may have `most`.
    pub(super) fn ask(seat: &Arc<SeatStore>, address: u64, most: usize) -> (Self, AddressVerdict) {
        let (tell, verdict) = oneshot::channel();
        let count = Self { address, seat: Arc::clone(seat), stage: Arc::new(AtomicU8::new(ASKED)) };
        let (counting, stage) = (Arc::clone(seat), Arc::clone(&count.stage));
        let on_outcome = move |outcome: Result<Outcome, StoreError>| {
            let is_admitted = match outcome {
                Ok(Outcome::Flag(is_admitted)) => is_admitted,
                _ => return,
            };
            if is_admitted && stage.swap(COUNTED, Ordering::SeqCst) == LEFT {
                counting.end_connection(address);
            }
            // The connection may wait no longer.
            let _ = tell.send(is_admitted);
        };
        seat.begin_connection(address, u64::try_from(most).unwrap_or(u64::MAX), Box::new(on_outcome));
        (count, AddressVerdict(verdict))
    }
}

impl Drop for AddressCount {
    fn drop(&mut self) {
        if self.stage.swap(LEFT, Ordering::SeqCst) == COUNTED {
            self.seat.end_connection(self.address);
        }
    }
}

impl AddressVerdict {
    /// Waits for it: whether the connection may be served.
    pub(crate) async fn wait(self) -> bool {
        match tokio::time::timeout(TIMEOUT, self.0).await {
            Ok(Ok(is_admitted)) => is_admitted,
            _ => true,
        }
    }
}
