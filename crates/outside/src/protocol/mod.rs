//! Bytes to values and values to bytes, pure: no socket, no clock, no runtime.

pub(crate) mod conditional;
pub(crate) mod http1;
pub(crate) mod negotiation;
pub(crate) mod range;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg_attr(not(feature = "testing"), expect(dead_code, unused_imports, reason = "the session uses it"))]
pub(crate) mod websocket;
