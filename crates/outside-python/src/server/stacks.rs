//! Where the handlers of this process are: the files by which the status page asks for that, and the thread or the task
//! of a call.

use std::sync::{Arc, Mutex};

use outside::handler::StackSource;
use pyo3::prelude::*;

use crate::call::noted::note_calls;
use crate::hosting::asgi::{running_requests, task_of};
use crate::hosting::wsgi_running;
use crate::message::request::Request;
use crate::server::outside_http::OutsideHttp;
use crate::support::lock;
use crate::websocket::running::running as sockets_running;

static SOURCE: Mutex<Option<StackSource>> = Mutex::new(None);

/// The files of this process, if it has any.
pub(crate) fn stack_source() -> Option<StackSource> {
    *lock(&SOURCE)
}

/// Names the descriptors of a pipe for questions, of the files for answers and stacks, and a signal; `None`: there are none.
#[pyfunction]
pub(crate) fn _set_stack_source(numbers: Option<(i32, i32, i32, i32)>) {
    let source = |(questions, answers, stacks, signal)| StackSource { questions, answers, stacks, signal };
    note_calls(numbers.is_some());
    *lock(&SOURCE) = numbers.map(source);
}

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
    let thread = running.iter().find(|call| is_meant(&call.request)).and_then(|call| call.thread);
    let task = running_requests().iter().find(|request| is_meant(request)).and_then(|request| task_of(py, request));
    Ok((thread, task))
}

/// The number of a request, as the status page has it.
#[pyfunction]
pub(crate) fn _request_number(request: &Request) -> usize {
    Arc::as_ptr(request.inner()) as usize
}
