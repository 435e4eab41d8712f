//! Python's values as JSON text (RFC 8259), written straight into the bytes of the answer. Exact types come first; others
//! become values of these types by `outside/_handlers/json_values.py`. The text is the one that the standard library's
//! `json.dumps(ensure_ascii=False, allow_nan=False, separators=(",", ":"))` writes for the values that both know.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::message::json_bytes::{JsonBytes, ShortPiece};
use crate::message::json_fault::{Fault, Reason, Written};
use crate::message::json_number::write_float;

/// Lists and dictionaries that may stand inside one another.
const DEPTH: usize = 200;

/// Keys that are remembered, a power of two.
const KEYS: usize = 32;

/// Writes values, one after another, into its bytes, each with a comma behind it.
pub(super) struct Encoder<'py> {
    out: JsonBytes,
    /// Keys and where they have been written: in a list of objects the keys of all are the same few objects of Python.
    keys: [Option<(Bound<'py, PyString>, ShortPiece)>; KEYS],
}

impl<'py> Encoder<'py> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { out: JsonBytes::with_capacity(capacity), keys: [const { None }; KEYS] }
    }

    /// The bytes of the value.
    pub(super) fn into_vec(self) -> Vec<u8> {
        self.out.into_vec()
    }

    /// Writes a value that stands inside of this many others.
    pub(super) fn value(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Written {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.text(text, b',')
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.integer(number)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict, depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.array(list.as_any(), list.iter(), depth)
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.float(number.value())
        } else if value.is_none() {
            self.add(b"null,")
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            self.truth(flag.is_true())
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.array(tuple.as_any(), tuple.iter(), depth)
        } else {
            self.other(value, depth)
        }
    }

    #[inline]
    fn add<const N: usize>(&mut self, text: &[u8; N]) -> Written {
        self.out.add(text);
        Ok(())
    }

    #[inline]
    fn truth(&mut self, flag: bool) -> Written {
        if flag { self.add(b"true,") } else { self.add(b"false,") }
    }

    #[inline(never)]
    fn dict(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> Written {
        let length = dict.len();
        if length == 0 {
            return self.add(b"{},");
        }
        check_depth(dict, depth)?;
        self.out.add(b"{");
        // Without Python's global lock another thread may change the dictionary meanwhile.
        with_critical_section(dict, || {
            for (key, value) in dict.iter().take(length) {
                self.member(&key, &value, dict, depth)?;
                // The value, or a key of a derived class, may have run code of the program.
                if dict.len() != length {
                    return Err(Fault::new(Reason::Changed));
                }
            }
            Ok(())
        })?;
        self.out.end(b'}');
        Ok(())
    }

    /// The entries of a dictionary of a class that a program has derived, which may have an `items` of its own.
    fn mapping(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> Written {
        check_depth(dict, depth)?;
        let items = dict.call_method0("items").and_then(|items| items.try_iter()).map_err(Fault::raised)?;
        self.out.add(b"{");
        for item in items {
            let (key, value) = item.and_then(|item| item.extract()).map_err(Fault::raised)?;
            self.member(&key, &value, dict, depth)?;
        }
        self.out.end(b'}');
        Ok(())
    }

    #[inline(always)]
    fn member(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        dict: &Bound<'py, PyDict>,
        depth: usize,
    ) -> Written {
        match key.cast_exact::<PyString>() {
            Ok(text) => self.plain_key(text)?,
            Err(_) => self.key(key)?,
        }
        self.value(value, depth + 1).map_err(|fault| fault.inside(dict, || Ok(key.clone())))
    }

    #[inline]
    fn plain_key(&mut self, key: &Bound<'py, PyString>) -> Written {
        let address = key.as_ptr().addr();
        let place = (address >> 4 ^ address >> 9) % KEYS;
        match &self.keys[place] {
            Some((known, written)) if known.is(key) => {
                self.out.repeat(*written);
                Ok(())
            }
            _ => self.new_key(key, place),
        }
    }

    #[inline(never)]
    fn new_key(&mut self, key: &Bound<'py, PyString>, place: usize) -> Written {
        let begin = self.out.place();
        self.text(key, b':')?;
        if let Some(written) = self.out.short_piece(begin) {
            self.keys[place] = Some((key.clone(), written));
        }
        Ok(())
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
            self.truth(flag.is_true())?;
        } else if key.is_none() {
            self.add(b"null,")?;
        } else if let Ok(number) = key.cast::<PyInt>() {
            self.integer(number)?;
        } else {
            return Err(Fault::of_type(key, Reason::KeyType));
        }
        self.out.replace_last(b'"');
        self.add(b":")
    }

    #[inline(never)]
    fn array(
        &mut self,
        container: &Bound<'py, PyAny>,
        values: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> Written {
        check_depth(container, depth)?;
        self.out.add(b"[");
        for (at, value) in values.enumerate() {
            self.value(&value, depth + 1)
                .map_err(|fault| fault.inside(container, || Ok(at.into_pyobject(container.py())?.into_any())))?;
        }
        self.out.end(b']');
        Ok(())
    }

    #[inline(never)]
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
        self.add(b",")
    }

    #[inline(never)]
    fn float(&mut self, number: f64) -> Written {
        if !number.is_finite() {
            return Err(Fault::new(Reason::NotFinite(number)));
        }
        write_float(&mut self.out, number, b',');
        Ok(())
    }

    /// A text, and a byte behind it.
    #[inline(never)]
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
        self.add(&[b'"', behind])
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
            self.array(list.as_any(), list.iter(), depth)
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.array(tuple.as_any(), tuple.iter(), depth)
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
