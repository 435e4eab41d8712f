//! The core of the hub against a simple model, and its bounds, and the values of brokers: bytes in, bytes out, no socket.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[cfg(target_os = "linux")]
mod bench;
mod bench_bus;
mod bounds;
mod broker;
mod model;
mod mutation;
mod schedules;
mod seats;
mod shared;
