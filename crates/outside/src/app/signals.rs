//! SIGINT and SIGTERM while a server of the Rust face runs; outside of that they do what they always do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Entered;
use crate::error::Error;
use crate::server::Control;

/// Watches the two signals until it is dropped.
pub(super) struct Signals {
    came: Arc<AtomicBool>,
    hooks: Vec<SigId>,
}

static WATCHERS: AtomicUsize = AtomicUsize::new(0);

/// True while nobody watches: then the signals end the process, as they would without us.
static UNWATCHED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

impl Signals {
    pub(super) fn watch(entered: &Entered) -> Result<Self, Error> {
        let first = UNWATCHED.get().is_none();
        let unwatched = UNWATCHED.get_or_init(Arc::default);
        let mut signals = Self { came: Arc::default(), hooks: Vec::new() };
        WATCHERS.fetch_add(1, Ordering::SeqCst);
        unwatched.store(false, Ordering::SeqCst);
        for signal in [SIGINT, SIGTERM] {
            if first {
                signal_hook::flag::register_conditional_default(signal, Arc::clone(unwatched))?;
            }
            signals.hooks.push(signal_hook::flag::register(signal, Arc::clone(&signals.came))?);
            let button = entered.doorbell().try_clone_to_owned()?;
            signals.hooks.push(signal_hook::low_level::pipe::register(signal, button)?);
        }
        Ok(signals)
    }

    /// Hands a signal that has come to the server.
    pub(super) fn pass_on(&self, control: &Control) {
        if self.came.swap(false, Ordering::SeqCst) {
            control.terminate(true);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for hook in self.hooks.drain(..) {
            signal_hook::low_level::unregister(hook);
        }
        if WATCHERS.fetch_sub(1, Ordering::SeqCst) == 1
            && let Some(unwatched) = UNWATCHED.get()
        {
            unwatched.store(true, Ordering::SeqCst);
        }
    }
}
