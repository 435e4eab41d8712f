//! The checks of WebSocket, apart from those of HTTP, which bear the same names.

#[path = "../../crates/outside/tests/websocket/differential.rs"]
pub(crate) mod differential;
#[path = "../../crates/outside/tests/websocket/invariants.rs"]
pub(crate) mod invariants;
