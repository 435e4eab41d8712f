//! The scheduling policy of a thread, for the time that it waits.

/// Puts the calling thread under the system's policy for batches, or back under the usual one: then it does not preempt another
/// thread when it is woken, and runs when that one sleeps or has used up its slice. Returns whether this was done: a thread
/// that the user has put under another policy stays there.
#[cfg(target_os = "linux")]
pub fn set_batch_policy(is_batch: bool) -> bool {
    use std::ffi::c_int;

    /// `struct sched_param`, with room for the one of any C library. For both policies the system takes a priority of zero.
    type Parameter = [c_int; 32];

    // Of `sched.h` in Linux.
    const USUAL: c_int = 0;
    const BATCH: c_int = 3;

    let (from, to) = if is_batch { (USUAL, BATCH) } else { (BATCH, USUAL) };
    let mut now = USUAL;
    let mut parameter: Parameter = [0; 32];
    // SAFETY: the declarations are those of pthread_self(3), pthread_getschedparam(3) and pthread_setschedparam(3), where the name of a thread is a
    // word. The thread is the calling one, so it lives, and both pointers are to variables of at least the size that the functions expect.
    unsafe {
        unsafe extern "C" {
            fn pthread_self() -> usize;
            fn pthread_getschedparam(thread: usize, policy: *mut c_int, parameter: *mut Parameter) -> c_int;
            fn pthread_setschedparam(thread: usize, policy: c_int, parameter: *const Parameter) -> c_int;
        }
        pthread_getschedparam(pthread_self(), &raw mut now, &raw mut parameter) == 0
            && now == from
            && pthread_setschedparam(pthread_self(), to, &raw const parameter) == 0
    }
}

/// There is no such policy.
#[cfg(not(target_os = "linux"))]
pub fn set_batch_policy(_is_batch: bool) -> bool {
    false
}
