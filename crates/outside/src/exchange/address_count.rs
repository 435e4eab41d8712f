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

/// A connection that the hub counts. Its owner knows seat and address: each of many connections has one of these.
pub(super) struct AddressCount(Arc<AtomicU8>);

/// The hub's verdict, on its way.
pub(crate) struct AddressVerdict(oneshot::Receiver<bool>);

impl AddressCount {
    /// Asks for one more connection of an address, which may have `most`.
    pub(super) fn ask(seat: &Arc<SeatStore>, address: u64, most: usize) -> (Self, AddressVerdict) {
        let (tell, verdict) = oneshot::channel();
        let count = Self(Arc::new(AtomicU8::new(ASKED)));
        let (counting, stage) = (Arc::clone(seat), Arc::clone(&count.0));
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

    /// Takes the connection off the hub's count.
    pub(super) fn end(&self, seat: &SeatStore, address: u64) {
        if self.0.swap(LEFT, Ordering::SeqCst) == COUNTED {
            seat.end_connection(address);
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
