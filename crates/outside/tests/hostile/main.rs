//! The codec against hostile input: mutations, floods of one byte, and a comparison with hyper.
//!
//! `invariants`, `files`, `forms`, `forwarded`, `negotiation`, `routes`, `seeds` and `differential` are shared with the
//! fuzz targets in `fuzz/` at the root.

mod differential;
mod files;
mod forms;
mod forwarded;
mod hyper_side;
mod invariants;
mod linear;
mod mutation;
mod mutator;
mod negotiation;
#[path = "../corpus/reader.rs"]
#[expect(dead_code, reason = "verdicts are for the corpus test")]
mod reader;
mod routes;
mod seeds;
