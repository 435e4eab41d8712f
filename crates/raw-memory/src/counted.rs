//! The same as `direct`, by functions of PyO3: items are counted, and texts are asked for.

use pyo3::prelude::*;
use pyo3::types::iter::BoundDictIterator;
use pyo3::types::{PyDict, PyInt, PyList, PyString};

/// The item of a list at a place, if it has one.
///
/// # Safety
/// None is needed: the item is counted.
pub(crate) unsafe fn item<'py>(list: &Bound<'py, PyList>, at: usize) -> Option<Bound<'py, PyAny>> {
    if at < list.len() { list.get_item(at).ok() } else { None }
}

pub(crate) use self::CountedPairs as Pairs;

/// The entries of a dictionary, one after another. Without Python's global lock, the caller has locked the dictionary.
pub(crate) struct CountedPairs<'a, 'py> {
    pairs: BoundDictIterator<'py>,
    dict: std::marker::PhantomData<&'a ()>,
}

impl<'a, 'py> CountedPairs<'a, 'py> {
    pub(crate) fn new(dict: &'a Bound<'py, PyDict>) -> Self {
        Self { pairs: dict.iter(), dict: std::marker::PhantomData }
    }

    /// The next entry.
    ///
    /// # Safety
    /// None is needed: key and value are counted.
    pub(crate) unsafe fn next(&mut self) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        self.pairs.next()
    }
}

/// Nothing: the text has to be asked for its UTF-8.
pub(crate) fn ascii<'a>(_text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    None
}

/// The value of an `int`, if 64 bits hold it.
pub(crate) fn integer(number: &Bound<'_, PyInt>) -> Option<i64> {
    number.extract().ok()
}

/// A text of these bytes, all of which are ASCII; `None` if they are not.
pub(crate) fn new_ascii<'py>(py: Python<'py>, text: &[u8]) -> Option<Bound<'py, PyString>> {
    PyString::from_bytes(py, text).ok()
}
