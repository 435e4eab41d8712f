//! Shorter turns at Python's lock while handlers wait for it.
//!
//! A thread that computes lets go of the lock when another one has waited for it for the switch interval, 5 ms by default. As
//! long as our threads wait that long to call handlers the interval is lowered; then the user's value comes back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::support::lock_attached;

/// Waiting for the lock for so long is no accident …
const LONG: Duration = Duration::from_micros(900);
/// … and when this time has passed without it, it is over.
const CALM: Duration = Duration::from_secs(1);
/// In seconds. Each turn costs some ten microseconds more.
const LOWERED: f64 = 0.001;

static IS_LOWERED: AtomicBool = AtomicBool::new(false);

/// The user's interval in seconds, while it is lowered, and when a thread has waited long.
static BEFORE: Mutex<Option<(f64, Instant)>> = Mutex::new(None);

/// A thread has server_run Python after waiting so long.
pub(crate) fn note(py: Python<'_>, waited: Duration) {
    let is_long = waited >= LONG;
    if !is_long && !IS_LOWERED.load(Ordering::Relaxed) {
        return;
    }
    let mut before = lock_attached(&BEFORE, py);
    let changed = match &mut *before {
        Some((_, last)) if is_long => {
            *last = Instant::now();
            Ok(())
        }
        Some((_, last)) if last.elapsed() < CALM => Ok(()),
        Some(_) => restore(py, &mut before),
        None if is_long => lower(py, &mut before),
        None => Ok(()),
    };
    IS_LOWERED.store(before.is_some(), Ordering::Relaxed);
    // An interval that cannot be changed is as good as one that need not be.
    drop(changed);
}

/// No server runs any more.
pub(crate) fn end(py: Python<'_>) -> PyResult<()> {
    let mut before = lock_attached(&BEFORE, py);
    IS_LOWERED.store(false, Ordering::Relaxed);
    restore(py, &mut before)
}

fn lower(py: Python<'_>, before: &mut Option<(f64, Instant)>) -> PyResult<()> {
    let interval: f64 = py.import("sys")?.call_method0("getswitchinterval")?.extract()?;
    if interval > LOWERED {
        py.import("sys")?.call_method1("setswitchinterval", (LOWERED,))?;
        *before = Some((interval, Instant::now()));
    }
    Ok(())
}

/// Unless the user has changed it meanwhile.
fn restore(py: Python<'_>, before: &mut Option<(f64, Instant)>) -> PyResult<()> {
    let Some((interval, _)) = before.take() else { return Ok(()) };
    let now: f64 = py.import("sys")?.call_method0("getswitchinterval")?.extract()?;
    if (now - LOWERED).abs() < 1e-6 {
        py.import("sys")?.call_method1("setswitchinterval", (interval,))?;
    }
    Ok(())
}
