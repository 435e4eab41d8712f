//! Objects as the headers of CPython show them, while Python's global lock is held. Items of a list and entries of a dictionary
//! are borrowed, not counted: they live as long as no code of the program runs, which could take them out.

use std::ffi::c_int;
use std::ptr;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString};
use pyo3::{Borrowed, ffi};

/// The item of a list at a place, if it has one.
///
/// # Safety
/// As long as the item is used, no code of the program runs.
#[inline(always)]
pub(crate) unsafe fn item<'a, 'py>(list: &'a Bound<'py, PyList>, at: usize) -> Option<Borrowed<'a, 'py, PyAny>> {
    if at >= list.len() {
        return None;
    }
    // SAFETY: the object is a list, and the place is within its length, so an object is there. The list holds it while nothing
    // changes the list, by the contract.
    unsafe { Some(Borrowed::from_ptr(list.py(), ffi::PyList_GET_ITEM(list.as_ptr(), at.cast_signed()))) }
}

pub(crate) use self::BorrowedPairs as Pairs;

/// The entries of a dictionary, one after another.
pub(crate) struct BorrowedPairs<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    place: ffi::Py_ssize_t,
}

/// A key and its value.
pub(crate) type Pair<'a, 'py> = (Borrowed<'a, 'py, PyAny>, Borrowed<'a, 'py, PyAny>);

impl<'a, 'py> BorrowedPairs<'a, 'py> {
    pub(crate) fn new(dict: &'a Bound<'py, PyDict>) -> Self {
        Self { dict, place: 0 }
    }

    /// The next entry.
    ///
    /// # Safety
    /// As long as the key and the value are used, no code of the program runs.
    #[inline(always)]
    pub(crate) unsafe fn next(&mut self) -> Option<Pair<'a, 'py>> {
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the object is a dictionary, which is asked for its entry at a place whether it has changed or not. If it has
        // one, both pointers are set, and the dictionary holds the objects while nothing changes it, by the contract.
        unsafe {
            if ffi::PyDict_Next(self.dict.as_ptr(), &mut self.place, &mut key, &mut value) == 0 {
                return None;
            }
            Some((Borrowed::from_ptr(self.dict.py(), key), Borrowed::from_ptr(self.dict.py(), value)))
        }
    }
}

/// The bytes of a text of exact type `str`, if it is ASCII.
#[inline(always)]
pub(crate) fn ascii<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a [u8]> {
    let object = text.as_ptr();
    // SAFETY: the object is a `str`. One that is compact and ASCII has as many bytes as characters, right behind its head; they
    // never change, and live as long as the object.
    unsafe {
        if ffi::PyUnicode_IS_COMPACT_ASCII(object) == 0 {
            return None;
        }
        let length = ffi::PyUnicode_GET_LENGTH(object).cast_unsigned();
        Some(std::slice::from_raw_parts(ffi::PyUnicode_DATA(object).cast(), length))
    }
}

/// The value of an `int`, if 64 bits hold it.
#[inline(always)]
pub(crate) fn integer(number: &Bound<'_, PyInt>) -> Option<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: the object is an `int`: there is no other conversion, and no exception.
    let value = unsafe { ffi::PyLong_AsLongAndOverflow(number.as_ptr(), &mut overflow) };
    (overflow == 0).then_some(value)
}

/// A text of these bytes, all of which are ASCII; `None` if they are not.
#[inline(always)]
pub(crate) fn new_ascii<'py>(py: Python<'py>, text: &[u8]) -> Option<Bound<'py, PyString>> {
    debug_assert!(text.is_ascii());
    // SAFETY: the new object is a compact `str` for as many ASCII characters, which is seen by nothing else yet. Its bytes lie
    // right behind its head.
    unsafe {
        let object = ffi::PyUnicode_New(text.len().cast_signed(), 0x7f);
        let object = Bound::from_owned_ptr_or_opt(py, object)?;
        ptr::copy_nonoverlapping(text.as_ptr(), ffi::PyUnicode_DATA(object.as_ptr()).cast(), text.len());
        Some(object.cast_into_unchecked())
    }
}
