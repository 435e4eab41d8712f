//! Routes with patterns, for `outside/_handlers/routes.py` alone: functions of the module instead of methods.

use pyo3::prelude::*;

use crate::call::plan::{Argument, Plan};
use crate::errors::value_error;
use crate::server::outside_http::OutsideHttp;
use crate::server::routes::engine_handler;

/// Adds a route of whole paths. `by_place` and `by_name` are the arguments of a function: -1 is the request, any other the
/// parameter of this number.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called in one place, by name")]
pub(crate) fn _add_route(
    server: &Bound<'_, OutsideHttp>,
    pattern: &str,
    methods: Vec<String>,
    origin: &str,
    handler: &Bound<'_, PyAny>,
    by_place: Vec<i64>,
    by_name: Vec<(String, i64)>,
    scope: Py<PyAny>,
    blocking: Option<bool>,
    streaming: bool,
    cancel_on_disconnect: Option<bool>,
) -> PyResult<()> {
    let server = server.get().server()?;
    let argument = |number| usize::try_from(number).map_or(Argument::Request, Argument::Parameter);
    let plan = Plan {
        by_place: by_place.into_iter().map(argument).collect(),
        by_name: by_name.into_iter().map(|(name, number)| (name, argument(number))).collect(),
        scope,
    };
    let made = engine_handler(handler, blocking, streaming, cancel_on_disconnect, &server.shared, Some(plan))?;
    let methods: Vec<&str> = methods.iter().map(String::as_str).collect();
    server.engine.add_route(pattern, &methods, origin, made).map_err(value_error)?;
    server.routes.add(handler);
    Ok(())
}

/// Takes out the routes that were added with this very pattern. Whether there were any.
#[pyfunction]
pub(crate) fn _remove_pattern(server: &Bound<'_, OutsideHttp>, pattern: &str) -> PyResult<bool> {
    Ok(server.get().server()?.engine.remove_pattern(pattern))
}

/// The names of a pattern's parameters. A pattern that is none is a `ValueError`.
#[pyfunction]
pub(crate) fn _route_parameters(pattern: &str) -> PyResult<Vec<String>> {
    outside::route::pattern_names(pattern).map_err(value_error)
}
