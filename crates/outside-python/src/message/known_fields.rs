//! Media types that the answers of this thread had before: a program has the same two texts for all answers of a handler.
//!
//! A text of Python never changes, so the same name and value are known by their addresses, as long as they are kept here.

use std::cell::RefCell;

use outside::Headers;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Media types of a thread; a further one takes the place of another only now and then, since they may be many.
const MOST: usize = 4;
const NOW_AND_THEN: usize = 64;
/// Bytes of the longest value that is kept.
const LONGEST: usize = 100;

#[derive(Default)]
struct KnownFields {
    fields: Vec<(Py<PyString>, Py<PyString>, Headers)>,
    /// Fields that were not among them.
    others: usize,
}

thread_local! {
    static KNOWN: RefCell<KnownFields> = const { RefCell::new(KnownFields { fields: Vec::new(), others: 0 }) };
}

/// Adds this field, if it is known. Whether it was.
pub(super) fn add_known(headers: &mut Headers, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> bool {
    KNOWN.with_borrow(|known| {
        let is_same = |field: &&(Py<PyString>, Py<PyString>, Headers)| field.0.is(name) && field.1.is(value);
        known.fields.iter().find(is_same).is_some_and(|(.., field)| headers.append_all(field).is_ok())
    })
}

/// Keeps the only field of these, if it is a media type.
pub(super) fn keep(headers: &Headers, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) {
    let is_kept = headers.len() == 1 && headers.get("Content-Type").is_some_and(|value| value.len() <= LONGEST);
    if !is_kept {
        return;
    }
    let field = (name.clone().unbind(), value.clone().unbind(), headers.clone());
    let replaced = KNOWN.with_borrow_mut(|known| {
        if known.fields.len() < MOST {
            known.fields.push(field);
            return None;
        }
        known.others += 1;
        let is_due = known.others % NOW_AND_THEN == 0;
        let at = known.others / NOW_AND_THEN % MOST;
        is_due.then(|| std::mem::replace(&mut known.fields[at], field))
    });
    // Dropped when nothing is borrowed any more.
    drop(replaced);
}
