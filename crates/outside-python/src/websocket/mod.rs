//! The Python classes of WebSockets: the handler of a route, a connection, and the functions that are called for one.

pub(crate) mod connection;
pub(crate) mod route;
pub(crate) mod session;
pub(crate) mod wire;
