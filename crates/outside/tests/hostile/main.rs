//! The codec against hostile input: mutations, floods of one byte, and a comparison with hyper.
//!
//! The checks stand in `crates/test-support`, where the fuzz targets have them too.

mod authority;
mod differential;
mod linear;
mod mutation;
mod seeds;
