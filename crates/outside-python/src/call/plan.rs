//! The arguments of a function with parameters of the path, decided when it is registered: with the request or without
//! it, each value by its place or by its name.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::message::parameter::value_of;
use crate::message::request::Request;

/// One argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Argument {
    Request,
    /// The parameter of this number.
    Parameter(usize),
}

/// The arguments of a function.
pub(crate) struct Plan {
    pub(crate) by_place: Vec<Argument>,
    pub(crate) by_name: Vec<(String, Argument)>,
    /// The scope of the callbacks around it.
    pub(crate) scope: Py<PyAny>,
}

/// The arguments by place and by name.
pub(crate) type Arguments<'py> = (Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>);

impl Plan {
    /// Whether the function is called with the request alone.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.by_place[..], [Argument::Request]) && self.by_name.is_empty()
    }

    /// The arguments for this request.
    pub(crate) fn arguments<'py>(&self, request: &Bound<'py, Request>) -> PyResult<Arguments<'py>> {
        let py = request.py();
        let by_place = self.by_place.iter().map(|&argument| object(request, argument));
        let by_place = PyTuple::new(py, by_place.collect::<PyResult<Vec<_>>>()?)?;
        if self.by_name.is_empty() {
            return Ok((by_place, None));
        }
        let by_name = PyDict::new(py);
        for (name, argument) in &self.by_name {
            by_name.set_item(name, object(request, *argument)?)?;
        }
        Ok((by_place, Some(by_name)))
    }

    /// Calls a plain function in this context.
    pub(crate) fn call<'py>(
        &self,
        context: &Bound<'py, PyAny>,
        function: &Bound<'py, PyAny>,
        request: &Bound<'py, Request>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = request.py();
        let run = intern!(py, "run");
        match (&self.by_place[..], self.by_name.is_empty()) {
            ([], true) => context.call_method1(run, (function,)),
            ([one], true) => context.call_method1(run, (function, object(request, *one)?)),
            ([one, other], true) => {
                context.call_method1(run, (function, object(request, *one)?, object(request, *other)?))
            }
            _ => {
                let (by_place, by_name) = self.arguments(request)?;
                let function = PyTuple::new(py, [function])?;
                let all = function.as_sequence().concat(by_place.as_sequence())?.to_tuple()?;
                context.getattr(run)?.call(all, by_name.as_ref())
            }
        }
    }
}

fn object<'py>(request: &Bound<'py, Request>, argument: Argument) -> PyResult<Bound<'py, PyAny>> {
    match argument {
        Argument::Request => Ok(request.clone().into_any()),
        Argument::Parameter(number) => {
            let value = request.get().inner().parameters().and_then(|parameters| parameters.values().get(number));
            match value {
                Some(value) => value_of(request.py(), value),
                None => Err(PyRuntimeError::new_err("the route of this request has no such parameter")),
            }
        }
    }
}
