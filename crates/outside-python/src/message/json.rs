//! JSON between Python's values and bytes: usual texts are read by `json_reader.rs`, all others by `jiter`; values are written
//! by an encoder of our own (`json_encoder.rs`).

use bytes::Bytes;
use jiter::{JsonErrorType, PythonParse, StringCacheMode};
use outside::message::json_text;
use pyo3::exceptions::{PyRecursionError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyList};

use crate::message::json_encoder::Encoder;
use crate::message::json_reader::read;

const MODULE: &str = "outside._handlers.json_text";

/// Bytes reserved for a text before it is written; a text of less than half moves to memory of its own size.
const FIRST_CAPACITY: usize = 1024;

/// A value as JSON. The error names the part of the value that JSON cannot hold.
pub(crate) fn encoded(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    let text = written(value)?;
    Ok(if text.len() < FIRST_CAPACITY / 2 { Bytes::copy_from_slice(&text) } else { text.into() })
}

/// A value as JSON, for the functions of `outside/_handlers`.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn _json_text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    String::from_utf8(written(value)?).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn written(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut encoder = Encoder::new(FIRST_CAPACITY);
    match encoder.value(value, 0) {
        Ok(()) => Ok(encoder.into_vec()),
        Err(fault) => Err(fault.into_error(value.py())),
    }
}

/// Writes a value as the content of an answer, and tells how many bytes it has: `bench/json_speed.py` measures it.
#[pyfunction]
#[pyo3(signature = (value, /))]
pub(crate) fn _json_size(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    encoded(value).map(|content| content.len())
}

/// Content that is no JSON: the reason and its place.
pub(crate) struct NoJson(pub(crate) String);

/// The value of the content as JSON, in one of the Unicode encodings. Lists and dictionaries may be nested 200 deep.
pub(crate) fn decoded<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Result<Bound<'py, PyAny>, NoJson>> {
    // UTF-8 without a byte order mark goes straight to the parser, which checks the encoding itself.
    if !content.iter().take(4).any(|&byte| byte == 0 || byte >= 0xef) {
        return parsed(py, content);
    }
    match json_text(content) {
        Some(text) => parsed(py, text.as_bytes()),
        None => Ok(Err(NoJson("it is neither UTF-8 nor another encoding of Unicode".to_owned()))),
    }
}

fn parsed<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Result<Bound<'py, PyAny>, NoJson>> {
    if let Some(value) = read(py, text) {
        return Ok(Ok(value));
    }
    // Keys are shared between requests; values are not, since they may be secret.
    let parse = PythonParse { cache_mode: StringCacheMode::Keys, ..PythonParse::default() };
    let no_json = |reason: String| Ok(Err(NoJson(reason)));
    match parse.python_parse(py, text) {
        Ok(value) if may_hold_infinity(text) && holds_infinity(&value) => no_json("a number is too large".to_owned()),
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.error_type {
            // An escape may be half of a surrogate pair, which a `str` can hold, but no text of Rust.
            JsonErrorType::LoneLeadingSurrogateInHexEscape | JsonErrorType::UnexpectedEndOfHexEscape => {
                let value = with_surrogates(py, text)?;
                Ok(value.ok_or_else(|| NoJson(error.description(text))))
            }
            _ => no_json(error.description(text)),
        },
    }
}

/// The value of a text as the standard library reads it, which knows half surrogate pairs; `None` if it is no JSON.
fn with_surrogates<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    static DECODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Ok(text) = std::str::from_utf8(text) else { return Ok(None) };
    match DECODE.import(py, MODULE, "decode")?.call1((text,)) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyRecursionError>(py) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the text may hold a number that is too large for a float: with an exponent of three digits, or many digits.
/// Hashes look like such numbers too.
fn may_hold_infinity(text: &[u8]) -> bool {
    has_long_exponent(text) || has_many_digits(text)
}

/// Whether `MANY` digits stand in a row. Such a run covers a byte at a multiple of `MANY`, so only these bytes are
/// looked at, and the digits around them counted.
fn has_many_digits(text: &[u8]) -> bool {
    (MANY - 1..text.len()).step_by(MANY).any(|at| {
        let (before, behind) = text.split_at(at);
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && digits + before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count() >= MANY
    })
}

/// Digits of a number from which it may be too large: the largest float has 309, and a short exponent adds 99 at most.
const MANY: usize = 200;

/// Whether an exponent has three digits, or a plus sign and two: `1e308`, `1e+99`. Without branches, so that the
/// compiler compares many places at once.
fn has_long_exponent(text: &[u8]) -> bool {
    text.array_windows().fold(false, |found, &[before, letter, first, second, third]| {
        let is_long = (first.is_ascii_digit() | (first == b'+')) & second.is_ascii_digit() & third.is_ascii_digit();
        found | (before.is_ascii_digit() & (letter | 0x20 == b'e') & is_long)
    })
}

fn holds_infinity(value: &Bound<'_, PyAny>) -> bool {
    if let Ok(number) = value.cast_exact::<PyFloat>() {
        number.value().is_infinite()
    } else if let Ok(list) = value.cast_exact::<PyList>() {
        list.iter().any(|value| holds_infinity(&value))
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        dict.iter().any(|(_, value)| holds_infinity(&value))
    } else {
        false
    }
}

/// The function of `config["json_default"]`, in use until this is dropped.
pub(crate) struct JsonDefault(Py<PyAny>);

impl JsonDefault {
    pub(crate) fn begin(py: Python<'_>, function: &Py<PyAny>) -> PyResult<Self> {
        py.import("outside._handlers.json_values")?
            .call_method1("use_default", (function,))
            .map(|end| Self(end.unbind()))
    }
}

impl Drop for JsonDefault {
    fn drop(&mut self) {
        // It is in use as long as this lives, so that it can be taken back.
        Python::attach(|py| drop(self.0.bind(py).call0()));
    }
}
