//! WebSockets over real sockets: how they open, what reaches a handler, what reaches the client, and how each of the ways
//! to end a connection looks from both sides. What the bytes mean is told by the transcripts of `tests/websocket`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod client;
mod ends;
mod limits;
mod messages;
mod opening;
mod pings;
mod pressure;
mod server;
mod topics;
