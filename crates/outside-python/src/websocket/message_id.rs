//! The ids of published messages, as Python gives them.

use outside::websocket::MessageId;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::support::kind;

/// A position in a topic: the id of a message, or 0 for the beginning.
pub(crate) fn message_id(given: &Bound<'_, PyAny>) -> PyResult<MessageId> {
    if given.extract::<u64>().is_ok_and(|number| number == 0) {
        return Ok(MessageId::BEGINNING);
    }
    let wrong = || PyValueError::new_err(format!("after is the id of a message, as epoch-number, or 0, not {given}"));
    let text = given
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("after is a str, the id of a message, or 0, not {}", kind(given))))?;
    text.to_str()?.parse().map_err(|_| wrong())
}
