//! Memory that safe Rust cannot reach: the only crate with `unsafe`. Each public function takes and gives values that are safe to
//! use, and none runs code of the program. The two calls of the C library that the server needs are here for the same reason.
//!
//! JSON and Python's plain values, without a call or a count for each: texts in `str`, whole numbers, floats, booleans and
//! `None` are written from where they lie, and texts are made from the bytes of a document.
//! Objects are read directly where the headers of CPython allow it (`direct`); under the limited API, and without Python's
//! global lock, functions of PyO3 do the same (`counted`).

#[cfg_attr(any(Py_LIMITED_API, Py_GIL_DISABLED, PyPy, GraalPy), path = "counted.rs")]
mod direct;
mod escapes;
mod float;
mod freed;
mod output;
mod scheduling;
mod values;

pub use escapes::Plain;
pub use freed::release_memory;
pub use output::Output;
pub use scheduling::set_batch_policy;
pub use values::{Entries, Entry, Keys, list_values, new_text, plain, tuple_values};
