//! The Python classes of WebSockets: what stands on a route, a connection, and the handlers of one.

pub(crate) mod connection;
pub(crate) mod route;
pub(crate) mod session;
pub(crate) mod wire;
