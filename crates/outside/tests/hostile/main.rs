//! The codec against inputs that mean harm: mutations, floods of one byte, and a comparison with hyper.
//!
//! The checks stand in `crates/test-support`, where the fuzz targets have them too.

mod differential;
mod linear;
mod mutation;
mod seeds;
