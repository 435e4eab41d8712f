//! The state that all processes of a server share, as its site has it: the engine, and the seat at the hub.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::Site;
use crate::hub::{Seat, SeatStore};
use crate::message::Request;
use crate::shared::{LocalStore, SharedMemory, SharedStore, SharedValues};

/// The engine of shared state.
#[derive(Default)]
pub(crate) struct SiteShared {
    /// The memory of this process, made when it is first used.
    local: OnceLock<Arc<LocalStore>>,
    /// An engine that other processes have too, in its place.
    common: RwLock<Option<Arc<dyn SharedStore>>>,
    /// The seat at the hub, which counts connections of all processes.
    seat: OnceLock<Arc<SeatStore>>,
    /// The seat of a process alone, which has shared state at the hub and nothing else.
    state_seat: OnceLock<Arc<Seat>>,
}

impl SiteShared {
    /// The engine that calls go to.
    pub(crate) fn store(&self) -> Arc<dyn SharedStore> {
        let common = self.common.read().unwrap_or_else(PoisonError::into_inner);
        match &*common {
            Some(store) => Arc::clone(store),
            None => Arc::<LocalStore>::clone(self.local()),
        }
    }

    fn local(&self) -> &Arc<LocalStore> {
        self.local.get_or_init(Arc::default)
    }

    /// The memory of this process, for a hub that goes on with it.
    pub(crate) fn memory(&self) -> SharedMemory {
        self.local().memory().clone()
    }

    /// Has calls go to this engine from now on.
    pub(crate) fn set_store(&self, store: Arc<dyn SharedStore>) {
        *self.common.write().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    /// The seat of this process at the hub.
    pub(crate) fn seat(&self) -> Option<&Arc<SeatStore>> {
        self.seat.get()
    }

    /// The seat of a process alone, which has shared state at the hub and nothing else.
    pub(crate) fn state_seat(&self) -> Option<&Arc<Seat>> {
        self.state_seat.get()
    }

    /// Takes a seat for shared state alone.
    pub(crate) fn set_state_seat(&self, seat: Arc<Seat>, store: SeatStore) {
        self.set_store(Arc::new(store));
        // A process takes one seat.
        let _ = self.state_seat.set(seat);
    }

    /// Takes the seat: its store is the engine, unless there is another one already.
    pub(crate) fn set_seat(&self, seat: Arc<SeatStore>) {
        let mut common = self.common.write().unwrap_or_else(PoisonError::into_inner);
        if common.is_none() {
            *common = Some(Arc::<SeatStore>::clone(&seat));
        }
        // A process takes one seat.
        let _ = self.seat.set(seat);
    }
}

impl Request {
    /// Small values that all processes of the server share; `None` for a request that was made by hand.
    pub fn shared(&self) -> Option<SharedValues> {
        self.shared_store().map(SharedValues::new)
    }

    /// The engine of the state that all processes of the server share; `None` for a request that was made by hand.
    pub fn shared_store(&self) -> Option<Arc<dyn SharedStore>> {
        self.site().map(|site: Arc<Site>| site.shared.store())
    }
}
