//! Bytes to values and values to bytes, pure: no socket, no clock, no runtime.

pub(crate) mod http1;
#[expect(dead_code, reason = "nobody negotiates yet")]
pub(crate) mod negotiation;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg_attr(not(feature = "testing"), expect(dead_code, unused_imports, reason = "the session uses it"))]
pub(crate) mod websocket;
