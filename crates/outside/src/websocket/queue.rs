//! The frames for one client in their order, and the memory that they take.
//!
//! The cost of a frame is its entry in the queue and its memory, not only its payload. Pongs have a bound of their own:
//! beyond it only the latest ping is answered (RFC 6455 section 5.5.3).

use super::few::Few;
use super::octets::Octets;
use crate::protocol::websocket::{Opcode, encode_frame};

/// Frames that wait for the socket.
#[derive(Default)]
pub(super) struct SendQueue {
    frames: Few<QueuedFrame>,
    cost: usize,
    /// Bytes of `cost` that other queues have too: those of published messages.
    shared: usize,
    /// Number of pongs among the frames.
    pongs: u8,
    /// The payload of the latest ping, while the pongs are at their bound.
    #[expect(clippy::box_collection, reason = "it is there for moments, and its room would be there for ever")]
    latest_ping: Option<Box<Vec<u8>>>,
}

/// One frame on its way out.
struct QueuedFrame {
    frame: Octets,
    kind: QueuedKind,
}

/// The kind of a frame: only messages are ever dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum QueuedKind {
    Message,
    Control,
    Pong,
}

/// Pongs that may wait.
const MOST_PONGS: u8 = 16;

impl SendQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of memory that all frames take.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Bytes of memory that the frames take in this queue alone.
    pub(super) fn memory(&self) -> usize {
        self.cost - self.shared
    }

    pub(super) fn push_message(&mut self, frame: Octets) {
        self.push(frame, QueuedKind::Message);
    }

    pub(super) fn push_control(&mut self, frame: Octets) {
        self.push(frame, QueuedKind::Control);
    }

    /// Adds the last frame: no ping is answered behind it.
    pub(super) fn push_close(&mut self, frame: Octets) {
        self.latest_ping = None;
        self.push(frame, QueuedKind::Control);
    }

    /// Answers a ping. If the pongs are at their bound, the answer follows one of them, unless a later ping replaces
    /// it.
    pub(super) fn push_pong(&mut self, payload: &[u8]) {
        if self.pongs == MOST_PONGS {
            self.latest_ping = Some(Box::new(payload.to_vec()));
            return;
        }
        self.pongs += 1;
        self.push(Octets::control_frame(Opcode::Pong, payload), QueuedKind::Pong);
    }

    /// The oldest frame.
    pub(super) fn pop(&mut self) -> Option<Octets> {
        let outgoing = self.frames.pop()?;
        Some(self.leave(outgoing))
    }

    /// The only frame; `None` if there are others.
    pub(super) fn pop_only(&mut self) -> Option<Octets> {
        let outgoing = self.frames.pop_only()?;
        Some(self.leave(outgoing))
    }

    /// Drops the oldest message. Returns `false` if there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        let dropped = self.frames.pop_if(|outgoing| outgoing.kind == QueuedKind::Message);
        dropped.map(|outgoing| self.leave(outgoing)).is_some()
    }

    /// Drops all messages.
    pub(super) fn drop_messages(&mut self) {
        self.frames.retain(|outgoing| outgoing.kind != QueuedKind::Message);
        let left = || self.frames.iter().map(|outgoing| &outgoing.frame);
        self.cost = left().map(Octets::cost).sum();
        self.shared = left().map(Octets::shared).sum();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[inline]
    fn push(&mut self, frame: Octets, kind: QueuedKind) {
        self.cost += frame.cost();
        self.shared += frame.shared();
        self.frames.push(QueuedFrame { frame, kind });
    }

    #[inline]
    fn leave(&mut self, outgoing: QueuedFrame) -> Octets {
        self.cost -= outgoing.frame.cost();
        self.shared -= outgoing.frame.shared();
        if outgoing.kind == QueuedKind::Pong {
            self.pong_has_left();
        }
        outgoing.frame
    }

    #[cold]
    fn pong_has_left(&mut self) {
        self.pongs -= 1;
        if let Some(payload) = self.latest_ping.take() {
            self.push_pong(&payload);
        }
    }
}

impl Octets {
    pub(super) fn control_frame(opcode: Opcode, payload: &[u8]) -> Self {
        // The head of a control frame has two bytes (RFC 6455 section 5.5).
        Self::filled(2 + payload.len(), |frame| encode_frame(frame, opcode, payload))
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;
    use crate::websocket::octets::ENTRY_COST;

    fn message(payload: &[u8]) -> Octets {
        Octets::copy_of(payload)
    }

    #[test]
    fn published_bytes_are_not_memory_of_this_queue() {
        let mut queue = SendQueue::default();
        for _ in 0..3 {
            queue.push_message(Octets::Shared(std::sync::Arc::new(vec![0; 10_000].into())));
        }
        queue.push_control(message(&[0; 1000]));
        assert_eq!(queue.cost() - queue.memory(), 30_000);
        assert!(queue.drop_oldest());
        assert_eq!(queue.cost() - queue.memory(), 20_000);
        queue.drop_messages();
        assert!(queue.memory() > 1000 && queue.memory() == queue.cost());
    }

    #[test]
    fn empty_messages_cost_too() {
        let mut queue = SendQueue::default();
        (0..1000).for_each(|_| queue.push_message(message(b"")));
        assert!(queue.cost() >= 1000 * ENTRY_COST);
        while queue.drop_oldest() {}
        assert_eq!((queue.cost(), queue.is_empty()), (0, true));
        queue.push_control(message(b"control"));
        queue.push_message(message(&[0; 1000]));
        queue.drop_messages();
        assert!((ENTRY_COST..1000).contains(&queue.cost()));
        assert_eq!(queue.pop().as_deref(), Some(&b"control"[..]));
        assert_eq!(queue.cost(), 0);
    }

    #[test]
    fn of_many_pings_the_latest_is_answered() {
        for (pings, expected) in
            [(1, vec![0]), (16, (0..16).collect()), (200, (0..16).chain([199]).collect::<Vec<u8>>())]
        {
            let mut queue = SendQueue::default();
            queue.push_message(message(b"first"));
            (0..pings).for_each(|ping| queue.push_pong(&[ping]));
            assert!(queue.cost() < 4000);
            assert_eq!(queue.pop().as_deref(), Some(&b"first"[..]));
            let pongs: Vec<_> = iter::from_fn(|| queue.pop().map(|frame| frame[2])).collect();
            assert_eq!(pongs, expected);
            assert_eq!(queue.cost(), 0);
        }
    }

    #[test]
    fn behind_a_close_no_ping_is_answered() {
        let mut queue = SendQueue::default();
        (0..200).for_each(|ping| queue.push_pong(&[ping]));
        queue.push_close(message(b"close"));
        let frames: Vec<_> = iter::from_fn(|| queue.pop()).collect();
        assert_eq!((frames.len(), &**frames.last().unwrap()), (17, &b"close"[..]));
    }
}
