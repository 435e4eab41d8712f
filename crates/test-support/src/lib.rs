//! Shared by the Rust tests of the engine and the fuzz targets: servers, clients, the corpus, and checks of any input.
//!
//! A test program under `crates/outside/tests` holds tests and their own helpers; a helper that two of them use, or that a
//! fuzz target calls, stands here.

pub mod checks;
pub mod corpus;
pub mod deadline;
pub mod http2;
pub mod latch;
pub mod log;
pub mod mutator;
pub mod server;
pub mod websocket;
