//! Python's values as JSON text (RFC 8259), written straight into the bytes of the answer. Exact types come first; others
//! become values of these types by `outside/_handlers/json_values.py`. The text is the one that the standard library's
//! `json.dumps(ensure_ascii=False, allow_nan=False, separators=(",", ":"))` writes for the values that both know.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use raw_memory::{Entries, Entry, Keys, Output, list_values, plain, tuple_values};

use crate::message::json_fault::{Fault, Reason, Written};

/// Lists and dictionaries that may stand inside one another.
const DEPTH: usize = 200;

/// Writes values, one after another, into its bytes, each with a comma behind it.
pub(super) struct Encoder<'py> {
    out: Output,
    keys: Keys<'py>,
}

impl<'py> Encoder<'py> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { out: Output::with_capacity(capacity), keys: Keys::default() }
    }

    /// The bytes of the value.
    pub(super) fn into_vec(self) -> Vec<u8> {
        self.out.into_vec()
    }

    /// Writes a value that stands inside of this many others.
    pub(super) fn value(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Written {
        if plain(value, &mut self.out) { Ok(()) } else { self.no_plain_value(value, depth) }
    }

    fn no_plain_value(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Written {
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict, depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.array(list, depth, |at, out| list_values(list, at, out))
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.array(tuple, depth, |at, out| tuple_values(tuple, at, out))
        } else {
            self.other(value, depth)
        }
    }

    #[inline(never)]
    fn dict(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> Written {
        let length = dict.len();
        if length == 0 {
            self.out.add(b"{},");
            return Ok(());
        }
        check_depth(dict, depth)?;
        self.out.add(b"{");
        // Without Python's global lock another thread may change the dictionary meanwhile.
        with_critical_section(dict, || {
            let mut entries = Entries::new(dict);
            while let Some(entry) = entries.write(&mut self.keys, &mut self.out) {
                match entry {
                    Entry::Key(key, value) => self.member(&key, &value, dict, depth)?,
                    Entry::Value(key, value) => self.member_value(&key, &value, dict, depth)?,
                }
                // The value, or a key of a derived class, may have run code of the program.
                if dict.len() != length {
                    return Err(Fault::new(Reason::Changed));
                }
            }
            Ok(())
        })?;
        self.out.end(b'}', false);
        Ok(())
    }

    /// The entries of a dictionary of a class that a program has derived, which may have an `items` of its own.
    fn mapping(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> Written {
        check_depth(dict, depth)?;
        let items = dict.call_method0("items").and_then(|items| items.try_iter()).map_err(Fault::raised)?;
        self.out.add(b"{");
        let mut is_empty = true;
        for item in items {
            is_empty = false;
            let (key, value) = item.and_then(|item| item.extract()).map_err(Fault::raised)?;
            self.member(&key, &value, dict, depth)?;
        }
        self.out.end(b'}', is_empty);
        Ok(())
    }

    fn member(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        dict: &Bound<'py, PyDict>,
        depth: usize,
    ) -> Written {
        self.key(key)?;
        if plain(value, &mut self.out) { Ok(()) } else { self.member_value(key, value, dict, depth) }
    }

    fn member_value(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        dict: &Bound<'py, PyDict>,
        depth: usize,
    ) -> Written {
        self.no_plain_value(value, depth + 1).map_err(|fault| fault.inside(dict, || Ok(key.clone())))
    }

    /// A key that is no plain `str`, as the standard library writes it.
    fn key(&mut self, key: &Bound<'_, PyAny>) -> Written {
        if let Ok(text) = key.cast::<PyString>() {
            return self.text(text, b':');
        }
        self.out.add(b"\"");
        if let Ok(number) = key.cast::<PyFloat>() {
            let number = number.value();
            if !number.is_finite() {
                return Err(Fault::new(Reason::KeyNotFinite(number)));
            }
            self.float(number)?;
        } else if let Ok(flag) = key.cast::<PyBool>() {
            self.out.add_all(if flag.is_true() { b"true," } else { b"false," });
        } else if key.is_none() {
            self.out.add(b"null,");
        } else if let Ok(number) = key.cast::<PyInt>() {
            self.integer(number)?;
        } else {
            return Err(Fault::of_type(key, Reason::KeyType));
        }
        self.out.replace_last(b'"');
        self.out.add(b":");
        Ok(())
    }

    /// A list or a tuple. `plain_values` writes plain values from a place on, and gives the next other one.
    #[inline(never)]
    fn array(
        &mut self,
        array: &Bound<'py, PyAny>,
        depth: usize,
        mut plain_values: impl FnMut(&mut usize, &mut Output) -> Option<Bound<'py, PyAny>>,
    ) -> Written {
        check_depth(array, depth)?;
        self.out.add(b"[");
        let mut at = 0;
        while let Some(value) = plain_values(&mut at, &mut self.out) {
            self.no_plain_value(&value, depth + 1)
                .map_err(|fault| fault.inside(array, || Ok(at.into_pyobject(array.py())?.into_any())))?;
            at += 1;
        }
        self.out.end(b']', at == 0);
        Ok(())
    }

    fn integer(&mut self, number: &Bound<'_, PyInt>) -> Written {
        match number.extract::<i64>() {
            Ok(number) => self.out.integer(number),
            Err(_) => self.large_integer(number)?,
        }
        Ok(())
    }

    #[cold]
    fn large_integer(&mut self, number: &Bound<'_, PyInt>) -> Written {
        // The text of the number itself: an enumeration has a `__repr__` of its own.
        let text = number.py().get_type::<PyInt>().call_method1("__repr__", (number,)).map_err(Fault::raised)?;
        let text = text.cast::<PyString>().map_err(|error| Fault::raised(error.into()))?;
        self.out.add_all(text.to_str().map_err(Fault::raised)?.as_bytes());
        self.out.add(b",");
        Ok(())
    }

    fn float(&mut self, number: f64) -> Written {
        if !number.is_finite() {
            return Err(Fault::new(Reason::NotFinite(number)));
        }
        self.out.float(number);
        Ok(())
    }

    /// A text, and a byte behind it.
    fn text(&mut self, text: &Bound<'_, PyString>, behind: u8) -> Written {
        match text.to_str() {
            Ok(text) => self.out.text(text.as_bytes(), behind),
            Err(_) => self.text_with_surrogates(text, behind)?,
        }
        Ok(())
    }

    /// Half of a surrogate pair has no form in UTF-8; in JSON it has one, an escape.
    #[cold]
    fn text_with_surrogates(&mut self, text: &Bound<'_, PyString>, behind: u8) -> Written {
        let bytes = text.call_method1("encode", ("utf-8", "surrogatepass")).map_err(Fault::raised)?;
        let bytes = bytes.cast::<PyBytes>().map_err(|error| Fault::raised(error.into()))?.as_bytes();
        self.out.add(b"\"");
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = rest.windows(3).position(|three| three[0] == 0xed && three[1] >= 0xa0).unwrap_or(rest.len());
            let (plain, after) = rest.split_at(at);
            self.out.escaped(plain);
            rest = after;
            if let [0xed, second, third, after @ ..] = after {
                let unit = 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                self.out.add_all(format!("\\u{unit:04x}").as_bytes());
                rest = after;
            }
        }
        self.out.add(&[b'"', behind]);
        Ok(())
    }

    /// A value of a derived class, or of one that is written as a value of another type.
    #[inline(never)]
    fn other(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Written {
        static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if let Ok(text) = value.cast::<PyString>() {
            self.text(text, b',')
        } else if let Ok(number) = value.cast::<PyInt>() {
            self.integer(number)
        } else if let Ok(number) = value.cast::<PyFloat>() {
            self.float(number.value())
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.mapping(dict, depth)
        } else if let Ok(list) = value.cast::<PyList>() {
            self.array(list, depth, |at, out| list_values(list, at, out))
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.array(tuple, depth, |at, out| tuple_values(tuple, at, out))
        } else {
            let py = value.py();
            let plain = PLAIN.import(py, "outside._handlers.json_values", "plain").map_err(Fault::raised)?;
            let plain = plain.call1((value,)).map_err(Fault::raised)?;
            if plain.is(py.NotImplemented()) {
                return Err(Fault::of_type(value, Reason::Type));
            }
            // A function that gives its own argument back has an end here too.
            check_depth(value, depth)?;
            self.value(&plain, depth + 1)
        }
    }
}

fn check_depth(container: &Bound<'_, PyAny>, depth: usize) -> Written {
    if depth < DEPTH { Ok(()) } else { Err(Fault::deep(container)) }
}
