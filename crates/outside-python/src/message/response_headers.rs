//! `ResponseHeaders`: the header fields of a response; look-ups ignore the case of names (RFC 9110 section 5.1).

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

/// The header fields of a response: names stay as they were set, look-ups ignore case. The value of a repeated field is a list.
#[pyclass(module = "outside._outside", extends = PyDict, frozen)]
pub(crate) struct ResponseHeaders;

impl ResponseHeaders {
    /// The fields that a program has handed over, for the response alone: changes here do not change the program's dictionary.
    pub(crate) fn copy_of<'py>(py: Python<'py>, given: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyDict>> {
        let made = Bound::new(py, Self)?.into_super();
        for (name, value) in given.into_iter().flatten() {
            add(&made, &name, value)?;
        }
        Ok(made)
    }

    /// Adds a value to those that there are.
    pub(crate) fn append(fields: &Bound<'_, PyDict>, name: &str, value: &str) -> PyResult<()> {
        let (name, value) = (PyString::new(fields.py(), name).into_any(), PyString::new(fields.py(), value).into_any());
        let name = found(fields, &name)?;
        match fields.get_item(&name)? {
            Some(before) => fields.set_item(name, together(&before, &value)?),
            None => fields.set_item(name, value),
        }
    }
}

/// Whether the key is this name in any spelling.
fn is_name(name: &Bound<'_, PyAny>, wanted: &str) -> bool {
    name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(|name| name.eq_ignore_ascii_case(wanted)))
}

/// The name as the dictionary spells it, or as it was given if the dictionary does not have it.
fn found<'py>(fields: &Bound<'py, PyDict>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // Most responses get one header, whose name needs no comparison.
    if !fields.is_empty()
        && !fields.contains(name)?
        && let Ok(wanted) = name.cast::<PyString>()
        && let Ok(wanted) = wanted.to_str()
        && let Some((other, _)) = fields.iter().find(|(other, _)| is_name(other, wanted))
    {
        return Ok(other);
    }
    Ok(name.clone())
}

/// Sets a field of a dictionary with the same name in several spellings: the last one counts. Cookies are all set.
fn add<'py>(fields: &Bound<'py, PyDict>, name: &Bound<'py, PyAny>, value: Bound<'py, PyAny>) -> PyResult<()> {
    let name = found(fields, name)?;
    let value = match value.cast::<PyList>() {
        Ok(values) => values.get_slice(0, values.len()).into_any(),
        Err(_) => value,
    };
    if is_name(&name, "set-cookie")
        && let Some(before) = fields.get_item(&name)?
    {
        return fields.set_item(name, together(&before, &value)?);
    }
    fields.set_item(name, value)
}

/// The values of a field as a list.
fn several<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    match value.cast::<PyList>() {
        Ok(values) => Ok(values.clone()),
        Err(_) => PyList::new(value.py(), [value]),
    }
}

fn together<'py>(before: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Ok(several(before)?.as_sequence().concat(several(value)?.as_sequence())?.into_any())
}

#[pymethods]
impl ResponseHeaders {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(map=(), /, **kwargs)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        Self::update(slf, args, kwargs)
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let fields = slf.as_super();
        fields.get_item(found(fields, name)?)?.ok_or_else(|| PyKeyError::new_err((name.clone().unbind(),)))
    }

    fn __setitem__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let fields = slf.as_super();
        fields.set_item(found(fields, name)?, value)
    }

    fn __delitem__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyAny>) -> PyResult<()> {
        let fields = slf.as_super();
        fields.del_item(found(fields, name)?)
    }

    fn __contains__<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyAny>) -> PyResult<bool> {
        let fields = slf.as_super();
        fields.contains(found(fields, name)?)
    }

    /// The value, or the default. The case of the name is ignored.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let fields = slf.as_super();
        Ok(fields.get_item(found(fields, key)?)?.or(default))
    }

    /// Every value of a field, in order; empty if there is none.
    fn get_all<'py>(slf: &Bound<'py, Self>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let fields = slf.as_super();
        match fields.get_item(found(fields, name)?)? {
            Some(value) => several(&value).map(|values| values.get_slice(0, values.len())),
            None => Ok(PyList::empty(slf.py())),
        }
    }

    /// Takes a field out. The case of the name is ignored.
    #[pyo3(signature = (key, /, *default), text_signature = "($self, key, default=..., /)")]
    fn pop<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fields = slf.as_super();
        if default.len() > 1 {
            return Err(PyTypeError::new_err(format!(
                "pop takes a name and a default, not {} defaults",
                default.len()
            )));
        }
        let name = found(fields, key)?;
        match fields.get_item(&name)? {
            Some(value) => fields.del_item(name).map(|()| value),
            None => default.get_item(0).map_err(|_| PyKeyError::new_err((key.clone().unbind(),))),
        }
    }

    /// The value; set to the default if there is none. The case of the name is ignored.
    #[pyo3(signature = (key, default=None, /))]
    fn setdefault<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let fields = slf.as_super();
        let name = found(fields, key)?;
        match fields.get_item(&name)? {
            Some(value) => Ok(Some(value)),
            None => fields.set_item(name, &default).map(|()| default),
        }
    }

    /// Sets all fields of another dictionary, or of pairs.
    #[pyo3(signature = (*args, **kwargs))]
    fn update(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let fields = slf.as_super();
        let given = slf.py().get_type::<PyDict>().call(args, kwargs)?.cast_into::<PyDict>()?;
        for (name, value) in given {
            fields.set_item(found(fields, &name)?, value)?;
        }
        Ok(())
    }

    fn copy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        Self::copy_of(slf.py(), Some(slf.as_super()))
    }

    fn __or__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        let made = Self::copy_of(slf.py(), Some(slf.as_super()))?;
        other.iter().try_for_each(|(name, value)| made.set_item(found(&made, &name)?, value))?;
        Ok(made)
    }

    fn __ror__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
        let made = Self::copy_of(slf.py(), Some(other))?;
        slf.as_super().iter().try_for_each(|(name, value)| made.set_item(found(&made, &name)?, value))?;
        Ok(made)
    }

    fn __ior__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::update(slf, &PyTuple::new(slf.py(), [other])?, None)
    }
}
