//! HTTP/2 over real sockets: what RFC 9113 section 8 asks of requests and answers, and what attacks may cost.
//!
//! Frames are written out where it matters what exactly is said; else the client is that of the crate `h2`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod attacks;
mod lengths;
mod life;
mod malformed;
mod messages;
mod mutation;
mod streaming;
