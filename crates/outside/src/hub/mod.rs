//! The hub: one place on a machine through which published messages pass, so that all worker processes have the same
//! topics, and which has the state that they share.
//!
//! [`HubCore`] takes bytes and gives bytes. [`HubShell`] runs it over sockets in the process that was started; a
//! [`Seat`] is the end of one worker. A process that has no others beside it uses the core in memory ([`LocalHub`]).
//! Below it, `websocket` knows the hub as a `Bus`; the broker of several machines is another one (`bus`).

mod asking;
mod client;
mod connections;
mod core;
mod frame;
mod history;
mod local;
#[cfg(target_os = "linux")]
mod poller;
mod postponed;
mod queue;
mod seat;
mod sending;
#[cfg(target_os = "linux")]
mod shell;

pub use asking::SeatStore;
pub use core::{HubCore, SeatNumber};
pub use frame::{Frame, FrameError, FrameKind, FrameReader, HEAD, MAX_PAYLOAD, MAX_TOPIC, decode};
pub use history::{Keep, KeepRules, MAX_HISTORY};
pub use local::LocalHub;
pub use queue::MAX_QUEUE;
pub use seat::Seat;
#[cfg(target_os = "linux")]
pub use shell::HubShell;

use std::sync::OnceLock;

use crate::websocket::{Message, TopicInterest};

/// The frame that publishes a message.
fn publication<'a>(topic: &'a str, message: &'a Message) -> Frame<'a> {
    Frame { is_text: message.is_text(), payload: message.as_bytes(), ..Frame::new(FrameKind::Publish, topic) }
}

/// The frame that tells the interest of a process.
fn interest_frame(topic: &str, interest: TopicInterest) -> Frame<'_> {
    let number = u64::try_from(interest.subscribers).unwrap_or(u64::MAX);
    Frame { number, id: u64::from(interest.listens), ..Frame::new(FrameKind::Interest, topic) }
}

/// The number of the hub of this machine. A process that was forked after the hub was made has the same one.
pub(crate) fn machine() -> u64 {
    static NUMBER: OnceLock<u64> = OnceLock::new();
    *NUMBER.get_or_init(|| random().max(1))
}

/// A number that another hub does not have.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without random numbers, the address of the stack is the only thing that differs between processes.
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => std::ptr::from_ref(&bytes).addr() as u64,
    }
}
