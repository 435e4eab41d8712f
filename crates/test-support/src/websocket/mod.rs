//! Checks that hold for every input of a WebSocket.

pub mod differential;
pub mod invariants;
