//! SIGINT, SIGTERM and SIGHUP while a server of the Rust face runs; before and after, they have their usual effect. An
//! ignored SIGHUP stays ignored: under `nohup` a server outlives its terminal.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::server_run::ServerRun;
use crate::error::Error;
use crate::server::Control;

/// Watches the signals until it is dropped.
pub(super) struct Signals {
    came: Arc<AtomicBool>,
    has_hung_up: Arc<AtomicBool>,
    hooks: Vec<SigId>,
}

static WATCHERS: AtomicUsize = AtomicUsize::new(0);

/// Whether no server watches SIGINT and SIGTERM: then they end the process, as without this module.
static UNWATCHED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether no server watches SIGHUP.
static UNHEARD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

impl Signals {
    pub(super) fn watch(server_run: &ServerRun) -> Result<Self, Error> {
        let mut signals = Self { came: Arc::default(), has_hung_up: Arc::default(), hooks: Vec::new() };
        WATCHERS.fetch_add(1, Ordering::SeqCst);
        let ends = [(SIGINT, Arc::clone(&signals.came)), (SIGTERM, Arc::clone(&signals.came))];
        signals.hook(&UNWATCHED, &ends, server_run)?;
        if !is_ignored(SIGHUP) {
            let hangup = [(SIGHUP, Arc::clone(&signals.has_hung_up))];
            signals.hook(&UNHEARD, &hangup, server_run)?;
        }
        Ok(signals)
    }

    fn hook(
        &mut self,
        unwatched: &OnceLock<Arc<AtomicBool>>,
        wanted: &[(i32, Arc<AtomicBool>)],
        server_run: &ServerRun,
    ) -> Result<(), Error> {
        let first = unwatched.get().is_none();
        let unwatched = unwatched.get_or_init(Arc::default);
        unwatched.store(false, Ordering::SeqCst);
        for (signal, came) in wanted {
            if first {
                signal_hook::flag::register_conditional_default(*signal, Arc::clone(unwatched))?;
            }
            self.hooks.push(signal_hook::flag::register(*signal, Arc::clone(came))?);
            let button = server_run.wake_pipe().try_clone_to_owned()?;
            self.hooks.push(signal_hook::low_level::pipe::register(*signal, button)?);
        }
        Ok(())
    }

    /// Hands a pending signal to the server.
    pub(super) fn pass_on(&self, control: &Control) {
        if self.came.swap(false, Ordering::SeqCst) {
            control.terminate(true);
        }
        if self.has_hung_up.swap(false, Ordering::SeqCst) {
            control.hang_up();
        }
    }
}

/// Whether this process ignores a signal, read from /proc, because the standard library has no function for it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

impl Drop for Signals {
    fn drop(&mut self) {
        for hook in self.hooks.drain(..) {
            signal_hook::low_level::unregister(hook);
        }
        if WATCHERS.fetch_sub(1, Ordering::SeqCst) == 1 {
            for unwatched in [&UNWATCHED, &UNHEARD].into_iter().filter_map(OnceLock::get) {
                unwatched.store(true, Ordering::SeqCst);
            }
        }
    }
}
