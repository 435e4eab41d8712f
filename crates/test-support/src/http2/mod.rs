//! A client of HTTP/2 that sends any frames, and the check of a whole conversation.

pub mod hostile;
pub mod wire;
