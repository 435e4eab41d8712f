//! HTTP/2 over real sockets: the rules of RFC 9113 section 8 for requests and answers, and the cost of attacks.
//!
//! Frames are written by hand where the exact bytes matter; elsewhere the client is that of the crate `h2`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod attacks;
mod lengths;
mod life;
mod malformed;
mod messages;
mod mutation;
mod streaming;
mod trailers;
