//! The scheduling policy, as the system shows it. The module is compiled once more here, so that no library of Python has to be there.

#![cfg(target_os = "linux")]
#![expect(unreachable_pub, reason = "the module is written for the crate, which has this in its public face")]

#[path = "../src/scheduling.rs"]
mod scheduling;

use scheduling::set_batch_policy;

/// The policy of this thread: the 41st field of its statistics (proc(5)).
fn policy() -> u32 {
    let statistics = std::fs::read_to_string("/proc/thread-self/stat").expect("there is /proc");
    let (_, after_name) = statistics.rsplit_once(')').expect("there is a name");
    after_name.split_ascii_whitespace().nth(38).and_then(|field| field.parse().ok()).expect("there is a policy")
}

#[test]
fn a_thread_goes_there_and_back_alone() {
    assert_eq!(policy(), 0);
    assert!(!set_batch_policy(false), "nothing to leave");
    assert!(set_batch_policy(true));
    assert_eq!(policy(), 3);
    assert!(!set_batch_policy(true), "a policy that it did not have from here is not its own to leave");
    assert!(set_batch_policy(false));
    assert_eq!(policy(), 0);
    assert_eq!(std::thread::spawn(policy).join().expect("it ends"), 0);
}
