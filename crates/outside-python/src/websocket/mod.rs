//! The Python classes of WebSockets: the handler of a route, a connection, and the functions that are called for one.

pub(crate) mod connection;
pub(crate) mod connection_bytes;
pub(crate) mod gaps;
pub(crate) mod message_id;
pub(crate) mod route;
pub(crate) mod running;
pub(crate) mod session;
pub(crate) mod topic_reader;
pub(crate) mod topics;
