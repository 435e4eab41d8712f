//! Bytes to values and values to bytes, pure: no socket, no clock, no runtime.

pub(crate) mod conditional;
mod content_length;
pub(crate) mod field_parameter;
#[cfg(feature = "testing")]
pub mod form_testing;
pub(crate) mod forwarded;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod multipart;
pub(crate) mod negotiation;
pub(crate) mod range;
#[cfg(feature = "testing")]
pub mod testing;
pub(crate) mod trace_context;
pub(crate) mod urlencoded;
pub(crate) mod websocket;

pub(crate) use content_length::ContentLength;
