//! Bytes to values and values to bytes, pure: no socket, no clock, no runtime.

pub(crate) mod http1;
#[cfg(feature = "testing")]
pub mod testing;
