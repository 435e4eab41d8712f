//! The reason why a value cannot be written as JSON, and the place of the value in the one around it.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::support::kind;

/// The outcome of writing one value.
pub(super) type Written = Result<(), Box<Fault>>;

/// A value that cannot be written. The containers around it add themselves while the calls return.
pub(super) struct Fault {
    reason: Reason,
    /// The containers around the value, the innermost first: which object, and the key or index in it.
    around: Vec<(usize, Py<PyAny>)>,
}

pub(super) enum Reason {
    NotFinite(f64),
    KeyNotFinite(f64),
    Type(String),
    KeyType(String),
    /// A container beyond the depth, as its address.
    Deep(usize),
    Changed,
    Raised(PyErr),
}

impl Fault {
    pub(super) fn new(reason: Reason) -> Box<Self> {
        Box::new(Self { reason, around: Vec::new() })
    }

    pub(super) fn of_type(value: &Bound<'_, PyAny>, reason: fn(String) -> Reason) -> Box<Self> {
        Self::new(reason(kind(value)))
    }

    pub(super) fn raised(error: PyErr) -> Box<Self> {
        Self::new(Reason::Raised(error))
    }

    pub(super) fn deep(container: &Bound<'_, PyAny>) -> Box<Self> {
        Self::new(Reason::Deep(address(container)))
    }

    /// The same fault, as the container sees it in which the value has this key or index.
    #[cold]
    pub(super) fn inside<'py>(
        mut self: Box<Self>,
        container: &Bound<'py, PyAny>,
        key: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> Box<Self> {
        match key() {
            Ok(key) => self.around.push((address(container), key.unbind())),
            Err(error) => self.reason = Reason::Raised(error),
        }
        self
    }

    /// The exception, with the path of the value.
    pub(super) fn into_error(mut self, py: Python<'_>) -> PyErr {
        self.around.reverse();
        let reason = match &self.reason {
            Reason::NotFinite(number) => {
                format!("is {}: JSON has neither NaN nor infinities", shown(*number))
            }
            Reason::KeyNotFinite(number) => {
                format!("has the key {}: JSON has neither NaN nor infinities", shown(*number))
            }
            Reason::Type(name) => format!(
                "is of type {name}: JSON has str, int, float, bool, None, dict, list and tuple; dataclasses, models, dates, \
                 UUID, Decimal, Enum and sets are written as these; config[\"json_default\"] is a function for others"
            ),
            Reason::KeyType(name) => {
                format!("has a key of type {name}: in JSON a key is a str, int, float, bool or None")
            }
            Reason::Deep(innermost) => {
                match repeated(self.around.iter().map(|(address, _)| *address).chain([*innermost])) {
                    Some(at) => {
                        self.around.truncate(at);
                        "holds itself".to_owned()
                    }
                    None => "is nested more than 200 deep".to_owned(),
                }
            }
            Reason::Changed => "was changed while it was written".to_owned(),
            Reason::Raised(error) => match self.around.is_empty() {
                true => return error.clone_ref(py),
                false => format!("cannot be written: {}", error),
            },
        };
        let kind = match &self.reason {
            Reason::Type(_) | Reason::KeyType(_) => "TypeError",
            Reason::Changed => return PyRuntimeError::new_err(reason),
            _ => "ValueError",
        };
        let cause = match self.reason {
            Reason::Raised(error) => Some(error.into_value(py)),
            _ => None,
        };
        let made = PyList::new(py, self.around.into_iter().map(|(_, key)| key)).and_then(|path| {
            py.import("outside._handlers.json_text")?.call_method1("fault", (path, reason, kind, cause))
        });
        made.map_or_else(|error| error, PyErr::from_value)
    }
}

/// The place at which an object stands in the list for the second time.
fn repeated(addresses: impl Iterator<Item = usize>) -> Option<usize> {
    let mut seen = std::collections::HashSet::new();
    addresses.enumerate().find(|(_, address)| !seen.insert(*address)).map(|(at, _)| at)
}

fn address(object: &Bound<'_, PyAny>) -> usize {
    object.as_ptr().addr()
}

fn shown(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => "nan",
    }
}
