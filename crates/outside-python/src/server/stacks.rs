//! Where the handlers of this process are: the thread or the task of a call, for the status page.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::hosting::asgi::{running_calls, task_of};
use crate::hosting::wsgi_running;
use crate::message::request::Request;
use crate::server::outside_http::OutsideHttp;
use crate::websocket::running::running as sockets_running;

/// The thread of a plain handler, and the task of a hosted application, by the number of the call.
#[pyfunction]
pub(crate) fn _call_place(
    py: Python<'_>,
    server: &OutsideHttp,
    number: usize,
) -> PyResult<(Option<u64>, Option<Py<PyAny>>)> {
    let is_meant = |request: &Arc<outside::Request>| Arc::as_ptr(request) as usize == number;
    let mut running = server.server()?.shared.running();
    running.extend(wsgi_running::running());
    running.extend(sockets_running());
    running.extend(running_calls());
    let call = running.iter().find(|call| is_meant(&call.request));
    Ok((call.and_then(|call| call.thread), call.and_then(|call| task_of(py, &call.request))))
}

/// The number of a request, as the status page has it.
#[pyfunction]
pub(crate) fn _request_number(request: &Request) -> usize {
    Arc::as_ptr(request.inner()) as usize
}
