//! The WebSocket codec: transcripts, the examples of the RFCs, bombs, mutations, and a comparison with tungstenite.
//!
//! `invariants` and `differential` are shared with the fuzz targets in `fuzz/` at the root.

mod bombs;
mod compressed;
mod differential;
mod frames;
mod invariants;
mod mutation;
#[path = "../hostile/mutator.rs"]
mod mutator;
mod opening;
mod seeds;
