//! Checks that hold for every input of HTTP/1.1 and of fields: from bytes to a panic if something does not hold.

pub mod authority;
pub mod differential;
pub mod files;
pub mod forms;
pub mod forwarded;
pub mod hub;
pub mod hyper_side;
pub mod invariants;
pub mod negotiation;
pub mod redis;
pub mod routes;
