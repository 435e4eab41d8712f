//! The WebSocket codec: transcripts, the examples of the RFCs, bombs, mutations, and a comparison with tungstenite.
//!
//! The checks stand in `crates/test-support`, where the fuzz targets have them too.

mod bombs;
mod compressed;
mod frames;
mod mutation;
mod opening;
mod seeds;
