//! Media types of content for which a program sets none.

use std::borrow::Cow;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PyString};

use crate::message::file_path::FilePath;

/// The media type of text.
pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
/// The media type of bytes.
pub(crate) const BYTES: &str = "application/octet-stream";
/// The media type of dictionaries and lists.
pub(crate) const JSON: &str = "application/json";

/// Whether the value is an instance of a class that describes its attributes, which are written as JSON: of a dataclass, a
/// `msgspec.Struct`, attrs or pydantic.
pub(crate) fn is_model(value: &Bound<'_, PyAny>) -> bool {
    let (py, class) = (value.py(), value.get_type());
    let marks = [
        intern!(py, "__dataclass_fields__"),
        intern!(py, "__struct_fields__"),
        intern!(py, "__pydantic_serializer__"),
        intern!(py, "__attrs_attrs__"),
    ];
    marks.into_iter().any(|mark| class.hasattr(mark).unwrap_or(false))
}

/// The media type of content for which the program sets none; that of a stream is not known before it begins.
pub(crate) fn media_type_of(content: &Bound<'_, PyAny>) -> Option<Cow<'static, str>> {
    if content.is_instance_of::<PyString>() {
        Some(Cow::Borrowed(TEXT))
    } else if content.is_instance_of::<PyDict>() || content.is_instance_of::<PyList>() {
        Some(Cow::Borrowed(JSON))
    } else if content.is_instance_of::<PyBytes>()
        || content.is_instance_of::<PyByteArray>()
        || content.is_instance_of::<PyMemoryView>()
    {
        Some(Cow::Borrowed(BYTES))
    } else if is_model(content) {
        Some(Cow::Borrowed(JSON))
    } else {
        let file = content.cast::<FilePath>().ok()?;
        Some(Cow::Owned(outside::files::media_type(&file.get().slice().path.to_string_lossy())))
    }
}
