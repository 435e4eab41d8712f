//! Whether calls that last are noted for the status page, and the files by which it asks where they are. In servers without
//! the page a call pays one look at this.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use outside::handler::StackSource;
use pyo3::prelude::*;

use crate::support::lock;

static IS_ON: AtomicBool = AtomicBool::new(false);

/// Switches the notes on or off.
fn note_calls(is_on: bool) {
    IS_ON.store(is_on, Ordering::Relaxed);
}

/// Whether calls are noted.
pub(crate) fn are_noted() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

static SOURCE: Mutex<Option<StackSource>> = Mutex::new(None);

/// The files of this process, if it has any.
pub(crate) fn stack_source() -> Option<StackSource> {
    *lock(&SOURCE)
}

/// Names the descriptors of a pipe for questions, of the files for answers and stacks, and a signal; `None`: there are none.
#[pyfunction]
pub(crate) fn _set_stack_source(numbers: Option<(i32, i32, i32, i32)>) {
    let source = |(questions, answers, stacks, signal)| StackSource { questions, answers, stacks, signal };
    note_calls(numbers.is_some());
    *lock(&SOURCE) = numbers.map(source);
}
