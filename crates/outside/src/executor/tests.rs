//! The lease by itself, on the threads of this machine; the model has the rest.

use super::leader_lease::{CALL_MASK, Epoch, LeaderLease, LeasedCall, RUNNING};
use super::sync::AtomicU64;

#[test]
fn exactly_one_side_wins() {
    let lease = LeaderLease::new();
    let call = lease.begin(Epoch::FIRST).unwrap();
    assert_eq!(LeasedCall::in_lease(lease.snapshot()), Some(call));
    let epoch = lease.take_over(call).unwrap();
    assert!(!lease.end(call), "the late thread has lost");
    assert!(lease.begin(Epoch::FIRST).is_none(), "and leads no more");
    let call = lease.begin(epoch).unwrap();
    assert!(lease.end(call));
    assert!(lease.take_over(call).is_none(), "a call that has ended cannot be taken over");
}

#[test]
fn call_numbers_wrap_within_their_term() {
    let lease = LeaderLease(AtomicU64::new(CALL_MASK & !RUNNING));
    let call = lease.begin(Epoch::FIRST).unwrap();
    assert!(lease.end(call));
    assert!(lease.begin(Epoch::FIRST).is_some());
}
