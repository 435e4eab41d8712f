//! Python's values as JSON text (RFC 8259), written straight into the bytes of the answer. Exact types come first; others
//! become values of these types by `outside/_handlers/json_values.py`. The text is the one that the standard library's
//! `json.dumps(ensure_ascii=False, allow_nan=False, separators=(",", ":"))` writes for the values that both know.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::message::json_fault::{Fault, Reason, Written};
use crate::message::json_number::write_float;

/// Lists and dictionaries that may stand inside one another.
const DEPTH: usize = 200;

/// Writes values, one after another, into its bytes.
pub(super) struct Encoder {
    pub(super) out: Vec<u8>,
}

impl Encoder {
    /// Writes a value that stands inside of this many others.
    pub(super) fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Written {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.text(text)
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.integer(number)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict, depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.array(list.as_any(), list.iter(), depth)
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.float(number.value())
        } else if value.is_none() {
            self.add(b"null")
        } else if let Ok(flag) = value.cast_exact::<PyBool>() {
            self.add(truth(flag.is_true()))
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.array(tuple.as_any(), tuple.iter(), depth)
        } else {
            self.other(value, depth)
        }
    }

    fn add(&mut self, text: &[u8]) -> Written {
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Written {
        let length = dict.len();
        if length == 0 {
            return self.add(b"{}");
        }
        check_depth(dict, depth)?;
        self.out.push(b'{');
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
        self.end(b'}')
    }

    /// The entries of a dictionary of a class that a program has derived, which may have an `items` of its own.
    fn mapping(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> Written {
        check_depth(dict, depth)?;
        let items = dict.call_method0("items").and_then(|items| items.try_iter()).map_err(Fault::raised)?;
        self.out.push(b'{');
        for item in items {
            let (key, value) = item.and_then(|item| item.extract()).map_err(Fault::raised)?;
            self.member(&key, &value, dict, depth)?;
        }
        self.end(b'}')
    }

    fn member(
        &mut self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        dict: &Bound<'_, PyDict>,
        depth: usize,
    ) -> Written {
        match key.cast_exact::<PyString>() {
            Ok(text) => self.text(text)?,
            Err(_) => self.key(key)?,
        }
        self.out.push(b':');
        self.value(value, depth + 1).map_err(|fault| fault.inside(dict, || Ok(key.clone())))?;
        self.out.push(b',');
        Ok(())
    }

    /// A key that is no plain `str`, as the standard library writes it.
    fn key(&mut self, key: &Bound<'_, PyAny>) -> Written {
        if let Ok(text) = key.cast::<PyString>() {
            return self.text(text);
        }
        self.out.push(b'"');
        if let Ok(number) = key.cast::<PyFloat>() {
            let number = number.value();
            if !number.is_finite() {
                return Err(Fault::new(Reason::KeyNotFinite(number)));
            }
            write_float(&mut self.out, number);
        } else if let Ok(flag) = key.cast::<PyBool>() {
            self.add(truth(flag.is_true()))?;
        } else if key.is_none() {
            self.add(b"null")?;
        } else if let Ok(number) = key.cast::<PyInt>() {
            self.integer(number)?;
        } else {
            return Err(Fault::of_type(key, Reason::KeyType));
        }
        self.out.push(b'"');
        Ok(())
    }

    fn array<'py>(
        &mut self,
        container: &Bound<'py, PyAny>,
        values: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> Written {
        check_depth(container, depth)?;
        self.out.push(b'[');
        for (at, value) in values.enumerate() {
            self.value(&value, depth + 1)
                .map_err(|fault| fault.inside(container, || Ok(at.into_pyobject(container.py())?.into_any())))?;
            self.out.push(b',');
        }
        self.end(b']')
    }

    /// Puts the closing bracket in place of the last comma.
    fn end(&mut self, bracket: u8) -> Written {
        match self.out.last_mut() {
            Some(comma @ b',') => *comma = bracket,
            _ => self.out.push(bracket),
        }
        Ok(())
    }

    fn integer(&mut self, number: &Bound<'_, PyInt>) -> Written {
        if let Ok(number) = number.extract::<i64>() {
            let mut buffer = itoa::Buffer::new();
            return self.add(buffer.format(number).as_bytes());
        }
        // The text of the number itself: an enumeration has a `__repr__` of its own.
        let text = number.py().get_type::<PyInt>().call_method1("__repr__", (number,)).map_err(Fault::raised)?;
        let text = text.cast::<PyString>().map_err(|error| Fault::raised(error.into()))?;
        self.add(text.to_str().map_err(Fault::raised)?.as_bytes())
    }

    fn float(&mut self, number: f64) -> Written {
        if !number.is_finite() {
            return Err(Fault::new(Reason::NotFinite(number)));
        }
        write_float(&mut self.out, number);
        Ok(())
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> Written {
        match text.to_str() {
            Ok(text) => write_text(&mut self.out, text.as_bytes()),
            Err(_) => self.text_with_surrogates(text)?,
        }
        Ok(())
    }

    /// Half of a surrogate pair has no form in UTF-8; in JSON it has one, an escape.
    fn text_with_surrogates(&mut self, text: &Bound<'_, PyString>) -> Written {
        let bytes = text.call_method1("encode", ("utf-8", "surrogatepass")).map_err(Fault::raised)?;
        let bytes = bytes.cast::<PyBytes>().map_err(|error| Fault::raised(error.into()))?.as_bytes();
        self.out.push(b'"');
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = rest.windows(3).position(|three| three[0] == 0xed && three[1] >= 0xa0).unwrap_or(rest.len());
            let (plain, behind) = rest.split_at(at);
            write_escaped(&mut self.out, plain);
            rest = behind;
            if let [0xed, second, third, behind @ ..] = behind {
                let unit = 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                self.out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                rest = behind;
            }
        }
        self.out.push(b'"');
        Ok(())
    }

    /// A value of a derived class, or of one that is written as a value of another type.
    fn other(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Written {
        static PLAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if let Ok(text) = value.cast::<PyString>() {
            self.text(text)
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

fn truth(flag: bool) -> &'static [u8] {
    if flag { b"true" } else { b"false" }
}

/// A text in quotes. Most texts have no byte that needs an escape: they are copied as they are.
fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    match has_escape(text) {
        false => out.extend_from_slice(text),
        true => write_escaped(out, text),
    }
    out.push(b'"');
}

/// Whether a byte of the text stands there only as an escape. Short texts are compared as two numbers that may overlap, long
/// ones sixteen bytes at once.
fn has_escape(text: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        if text.len() <= 16 {
            return is_any_escaped(u64::from_le_bytes(*first)) | is_any_escaped(u64::from_le_bytes(*last));
        }
        let (chunks, _) = text.as_chunks::<16>();
        let last = text.last_chunk::<16>().unwrap_or(&[0x20; 16]);
        return chunks
            .iter()
            .chain([last])
            .any(|chunk| chunk.iter().fold(false, |found, &byte| found | is_escaped(byte)));
    }
    if let (Some(&first), Some(&last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return is_any_escaped(u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last)));
    }
    text.iter().any(|&byte| is_escaped(byte))
}

/// Whether one of these eight bytes stands in a text only as an escape: for each, the highest bit of a difference is set that
/// has none in it otherwise.
const fn is_any_escaped(bytes: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let quote = bytes ^ (ONES * b'"' as u64);
    let backslash = bytes ^ (ONES * b'\\' as u64);
    let below = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (below | quote | backslash) & HIGH != 0
}

fn write_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(at) = first_escape(text) {
        out.extend_from_slice(&text[..at]);
        match text[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digits = [DIGITS[usize::from(control >> 4)], DIGITS[usize::from(control & 15)]];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
            }
        }
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}

/// The place of the first byte that stands in a text only as an escape. Sixteen bytes are compared at once.
fn first_escape(text: &[u8]) -> Option<usize> {
    let (chunks, rest) = text.as_chunks::<16>();
    for (at, chunk) in chunks.iter().enumerate() {
        if chunk.iter().fold(false, |found, &byte| found | is_escaped(byte)) {
            return chunk.iter().position(|&byte| is_escaped(byte)).map(|within| at * 16 + within);
        }
    }
    rest.iter().position(|&byte| is_escaped(byte)).map(|within| chunks.len() * 16 + within)
}

fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}
