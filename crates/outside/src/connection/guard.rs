//! A place among the connections of a reactor: held by a connection, or by the requests that outlive it.

use std::sync::Arc;

use crate::exchange::{AddressGuard, Service};

/// A place among the connections of a reactor, given back when this is dropped.
pub(super) struct ConnectionGuard {
    pub(super) service: Arc<Service>,
    pub(super) number: u32,
    /// Whether the connection also has one of the places for WebSockets.
    pub(super) is_websocket: bool,
    pub(super) _of_address: Option<AddressGuard>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let connection_limit = &self.service.connection_limit;
        self.service.registry.remove(self.number);
        if self.is_websocket {
            connection_limit.leave_websocket();
        }
        // The last step: the server may have room for another connection now, or no connection left to wait for.
        connection_limit.leave();
    }
}
