//! A shorter switch interval of Python's lock while handlers wait for it.
//!
//! A thread that computes releases the lock when another one has waited for it for the switch interval, 5 ms by
//! default. While the engine's threads wait that long to call handlers, the interval is lowered, then restored.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::support::lock_attached;

/// Time of waiting for the lock from which the interval is lowered.
const LONG: Duration = Duration::from_micros(900);
/// Time without such a wait after which the user's interval comes back.
const CALM: Duration = Duration::from_secs(1);
/// The lowered interval in seconds. Each switch costs some ten microseconds.
const LOWERED: f64 = 0.001;

static IS_LOWERED: AtomicBool = AtomicBool::new(false);

/// The user's interval in seconds, while it is lowered, and the time of the last long wait.
static BEFORE: Mutex<Option<(f64, Instant)>> = Mutex::new(None);

/// Notes that a thread runs Python after waiting this long.
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
    // A failure to change the interval is ignored.
    drop(changed);
}

/// Restores the user's interval, because no server runs any more.
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

/// Restores the user's interval, unless the user has changed it meanwhile.
fn restore(py: Python<'_>, before: &mut Option<(f64, Instant)>) -> PyResult<()> {
    let Some((interval, _)) = before.take() else { return Ok(()) };
    let now: f64 = py.import("sys")?.call_method0("getswitchinterval")?.extract()?;
    if (now - LOWERED).abs() < 1e-6 {
        py.import("sys")?.call_method1("setswitchinterval", (interval,))?;
    }
    Ok(())
}
