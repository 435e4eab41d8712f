//! Freed memory goes back to the system.

/// Has the C library give back what it keeps of freed memory. It keeps much: pieces between others that are still in use.
/// May take some time, while threads that allocate wait in turn. Other C libraries give memory back by themselves.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn release_memory() {
    // SAFETY: the declaration is that of malloc_trim(3), which any thread may call at any time, and which touches freed
    // memory alone.
    unsafe {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // Whether there was any does not matter.
        let _ = malloc_trim(0);
    }
}

/// There is nothing to be done.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn release_memory() {}
