//! TLS over real sockets: negotiation, the choice of certificates, refusals, and costs.

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
