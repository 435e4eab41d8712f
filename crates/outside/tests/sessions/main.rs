//! WebSockets over real sockets: the opening, messages in both directions, and each way to end a connection, seen from
//! both sides. The transcripts of `tests/websocket` cover the meaning of the bytes.

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
