//! JSON between Python's values and bytes, by Python's own module as `outside/_handlers/json_text.py` sets it up.

use bytes::Bytes;
use outside::message::json_text;
use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

const MODULE: &str = "outside._handlers.json_text";

/// A value as JSON. An error says where in the value it is that JSON cannot hold.
pub(crate) fn encoded(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    static ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let text = match ENCODE.import(py, MODULE, "encode")?.call1((value,)) {
        Ok(text) => text,
        Err(error) => return Err(explained(value, error)),
    };
    let text = text.cast::<PyString>()?;
    if let Ok(text) = text.to_str() {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    // Half of a surrogate pair has no form in UTF-8; in JSON it has one, which is also how Python writes it.
    let escaped = text.call_method1(intern!(py, "encode"), ("utf-8", "backslashreplace"))?;
    Ok(Bytes::copy_from_slice(escaped.cast::<PyBytes>()?.as_bytes()))
}

fn explained(value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    let made = py.import(MODULE).and_then(|module| module.call_method1("explained", (value, error.value(py))));
    made.map_or_else(|another| another, PyErr::from_value)
}

/// The value of the content as JSON, in one of the Unicode encodings; `None` if it is no JSON.
pub(crate) fn decoded(py: Python<'_>, content: &[u8]) -> PyResult<Py<PyAny>> {
    static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static DECODE_FINITE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Some(text) = json_text(content) else { return Ok(py.None()) };
    let decode = if may_hold_infinity(text.as_bytes()) {
        DECODE_FINITE.import(py, MODULE, "decode_finite")?
    } else {
        DECODE.import(py, MODULE, "decode")?
    };
    match decode.call1((&*text,)) {
        Ok(value) => Ok(value.unbind()),
        Err(error) if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyRecursionError>(py) => {
            Ok(py.None())
        }
        Err(error) => Err(error),
    }
}

/// Whether the text may hold a number that is too large for a float: with an exponent of three digits, or many digits.
fn may_hold_infinity(text: &[u8]) -> bool {
    let has_long_exponent = text.iter().enumerate().any(|(at, byte)| {
        matches!(byte, b'e' | b'E') && {
            let behind = text[at + 1..].strip_prefix(b"+").unwrap_or(&text[at + 1..]);
            behind.len() >= 3 && behind[..3].iter().all(u8::is_ascii_digit)
        }
    });
    // The bytes at distance `MANY` are looked at: a run of at least `MANY` digits covers one of them.
    let has_many_digits = text.iter().skip(MANY - 1).step_by(MANY).any(u8::is_ascii_digit);
    has_long_exponent || has_many_digits
}

/// Digits of a number from which it may be too large: the largest float has 309, and a short exponent adds 99 at most.
const MANY: usize = 200;
