//! The listener that tells the numbers of a server: metrics for Prometheus, and a page that people look at.
//!
//! It is a listener of its own, with a thread and an event loop of its own, so that it answers while handlers keep the
//! others busy. Any process answers for all (`metrics/`, below). It reads, and changes nothing.

mod access;
mod answer;
mod listener;
mod overview;
mod page;
mod stacks;

pub(crate) use listener::StatusListener;
