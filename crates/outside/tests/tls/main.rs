//! TLS over real sockets: what is agreed on, which certificate is shown, what is refused, and what it costs.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod certificates;
mod client;
mod conversation;
mod files;
mod names;
mod places;
mod queues;
mod refusals;
mod renewal;
mod resumption;
mod server;
