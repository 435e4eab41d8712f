//! Values of exact plain types are written here, those of others are given back: a nested container, a value of a derived class,
//! a text with halves of surrogate pairs, an integer beyond 64 bits, a float that is not finite.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::direct::{self, Pairs};
use crate::escapes::Plain;
use crate::output::{Output, ShortPiece};

/// The value as one of exactly this type.
#[inline(always)]
fn exact<'a, 'py, T: PyTypeInfo>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    // SAFETY: the value is of the type.
    T::is_exact_type_of(value).then(|| unsafe { value.cast_unchecked() })
}

/// Writes a value and a comma, if it is of an exact plain type; otherwise nothing is written.
pub fn plain(value: &Bound<'_, PyAny>, out: &mut Output) -> bool {
    at_once(value, out) || other_text(value, b',', out)
}

/// Writes a value and a comma, if it is of an exact plain type and no text beyond ASCII. No code of a program runs meanwhile:
/// objects are read, and Rust's memory is written.
#[inline(always)]
fn at_once(value: &Bound<'_, PyAny>, out: &mut Output) -> bool {
    if let Some(text) = exact::<PyString>(value) {
        let Some(text) = direct::ascii(text) else { return false };
        out.text(text, b',');
    } else if let Some(number) = exact::<PyInt>(value) {
        let Some(number) = direct::integer(number) else { return false };
        out.integer(number);
    } else if let Some(number) = exact::<PyFloat>(value) {
        let number = number.value();
        if !number.is_finite() {
            return false;
        }
        out.float(number);
    } else if value.is_none() {
        out.add(b"null,");
    } else if let Some(flag) = exact::<PyBool>(value) {
        if flag.is_true() {
            out.add(b"true,");
        } else {
            out.add(b"false,");
        }
    } else {
        return false;
    }
    true
}

#[inline(always)]
fn is_text(value: &Bound<'_, PyAny>) -> bool {
    PyString::is_exact_type_of(value)
}

/// Writes a text and a byte behind it, if it is of exact type `str` and has a form in UTF-8. If it has none, the exception that
/// says so is made and dropped, so code of the program may run.
#[inline(never)]
fn other_text(value: &Bound<'_, PyAny>, behind: u8, out: &mut Output) -> bool {
    let Some(Ok(text)) = exact::<PyString>(value).map(|text| text.to_str()) else { return false };
    out.text(text.as_bytes(), behind);
    true
}

/// Writes the values of a list from a place on, up to one that is not plain, which is given back; the place is that of this value.
#[inline]
pub fn list_values<'py>(list: &Bound<'py, PyList>, at: &mut usize, out: &mut Output) -> Option<Bound<'py, PyAny>> {
    loop {
        // SAFETY: until the item is written or counted, nothing runs but `at_once`.
        let value = unsafe { direct::item(list, *at)? };
        if !at_once(&value, out) {
            let value = value.to_owned();
            if !is_text(&value) || !other_text(&value, b',', out) {
                return Some(value);
            }
        }
        *at += 1;
    }
}

/// Writes the values of a tuple, as `list_values` does.
pub fn tuple_values<'py>(tuple: &Bound<'py, PyTuple>, at: &mut usize, out: &mut Output) -> Option<Bound<'py, PyAny>> {
    loop {
        let value = if *at < tuple.len() { tuple.get_item(*at).ok()? } else { return None };
        if !plain(&value, out) {
            return Some(value);
        }
        *at += 1;
    }
}

/// The entries of a dictionary, as they are written: no more than it had at first. Before each call its length must be compared, if
/// code of the program may have run; otherwise it may panic.
pub struct Entries<'a, 'py> {
    pairs: Pairs<'a, 'py>,
    left: usize,
}

/// An entry that is not wholly written: its key and its value.
pub enum Entry<'py> {
    /// The key is no plain text; nothing is written.
    Key(Bound<'py, PyAny>, Bound<'py, PyAny>),
    /// The key and its colon are written, the value is not plain.
    Value(Bound<'py, PyAny>, Bound<'py, PyAny>),
}

impl<'a, 'py> Entries<'a, 'py> {
    /// All entries of the dictionary.
    pub fn new(dict: &'a Bound<'py, PyDict>) -> Self {
        Self { pairs: Pairs::new(dict), left: dict.len() }
    }

    /// Writes entries up to one whose key or value is not plain, which is given back.
    #[inline]
    pub fn write(&mut self, keys: &mut Keys<'py>, out: &mut Output) -> Option<Entry<'py>> {
        loop {
            self.left = self.left.checked_sub(1)?;
            // SAFETY: until both are written or counted, nothing runs but `at_once`, and `Keys::write` with a text of exact type.
            let (key, value) = unsafe { self.pairs.next()? };
            if !exact(&key).is_some_and(|key| keys.write(key, out)) {
                let (key, value) = (key.to_owned(), value.to_owned());
                if !keys.write_other(&key, out) {
                    return Some(Entry::Key(key, value));
                }
                if !plain(&value, out) {
                    return Some(Entry::Value(key, value));
                }
            } else if !at_once(&value, out) {
                let (key, value) = (key.to_owned(), value.to_owned());
                if !is_text(&value) || !other_text(&value, b',', out) {
                    return Some(Entry::Value(key, value));
                }
            }
        }
    }
}

/// Keys that are remembered: places, a power of two, with `WAYS` keys each.
const PLACES: usize = 8;
const WAYS: usize = 4;

/// Keys and where they have been written: in a list of objects the keys of all are the same few objects of Python.
#[derive(Default)]
pub struct Keys<'py>([[Option<Known<'py>>; WAYS]; PLACES]);

/// A key, and its text with the quotation marks and the colon.
type Known<'py> = (Bound<'py, PyString>, ShortPiece);

impl<'py> Keys<'py> {
    /// Writes a key of exact type `str` and a colon, or nothing if it is new and not ASCII. No code of a program runs.
    #[inline(always)]
    fn write(&mut self, key: &Bound<'py, PyString>, out: &mut Output) -> bool {
        for way in &self.0[place_of(key)] {
            if let Some((known, written)) = way
                && known.is(key)
            {
                out.repeat(*written);
                return true;
            }
        }
        self.write_new(key, out)
    }

    #[inline(never)]
    fn write_new(&mut self, key: &Bound<'py, PyString>, out: &mut Output) -> bool {
        let Some(text) = direct::ascii(key) else { return false };
        let begin = out.place();
        out.text(text, b':');
        self.remember(key, begin, out);
        true
    }

    /// Writes a key of exact type `str`, if it has a form in UTF-8, and a colon. Code of the program may run.
    fn write_other(&mut self, key: &Bound<'py, PyAny>, out: &mut Output) -> bool {
        let begin = out.place();
        let is_written = other_text(key, b':', out);
        if let Some(key) = exact(key).filter(|_| is_written) {
            self.remember(key, begin, out);
        }
        is_written
    }

    fn remember(&mut self, key: &Bound<'py, PyString>, begin: usize, out: &Output) {
        if let Some(written) = out.short_piece(begin) {
            let ways = &mut self.0[place_of(key)];
            // The older key makes room. It was of exact type `str`, so its end is no code of a program.
            ways.rotate_right(1);
            ways[0] = Some((key.clone(), written));
        }
    }
}

/// Where a key is remembered.
#[inline(always)]
fn place_of(key: &Bound<'_, PyString>) -> usize {
    let address = key.as_ptr().addr();
    ((address >> 4) ^ (address >> 8) ^ (address >> 12)) % PLACES
}

/// A text of a document; `None` if it is not UTF-8.
#[inline]
pub fn new_text<'py>(py: Python<'py>, text: Plain<'_>) -> Option<Bound<'py, PyString>> {
    match text.ascii() {
        // Texts of one character exist already.
        Some(text) if text.len() > 1 => direct::new_ascii(py, text),
        _ => PyString::from_bytes(py, text.bytes()).ok(),
    }
}
