//! What the asyncio loop runs: `async def` functions, and the jobs that it reports on.

use std::sync::Arc;

use outside::handler::{Reply, Ticket};
use pyo3::prelude::*;
use pyo3::types::PyList;

/// An `async def` function that answers requests.
pub(crate) trait LoopFunction: Send + Sync {
    /// Begins a call: adds `("call", ticket, function, request, call)`, or `"apply"` with other arguments, to the
    /// loop's list. The loop reports to `call` itself.
    fn begin(
        self: Arc<Self>,
        list: &Bound<'_, PyList>,
        ticket: Ticket,
        request: Arc<outside::Request>,
        reply: Reply,
    ) -> PyResult<()>;
}

/// Kind, and two objects whose meaning depends on the kind.
pub(crate) type Described<'py> = (&'static str, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// The scope of the functions around a handler, and the request: arguments of `outside._handlers.around.rescue_async`.
pub(crate) type Rescuers<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// A stream or a WebSocket that the loop runs, and reports on by its ticket.
pub(crate) trait LoopJob: Send + Sync {
    /// The command, as `outside/_handlers/loop.py` takes it.
    fn describe<'py>(&self, py: Python<'py>) -> PyResult<Described<'py>>;

    /// The functions that may answer in place of this exception, if there are any.
    fn rescuers<'py>(&self, py: Python<'py>, error: &PyErr) -> Option<Rescuers<'py>>;

    /// Takes the report of the loop, the only one for this job.
    fn report(&self, py: Python<'_>, report: LoopReport<'_>) -> PyResult<()>;
}

/// The outcome of a job, or a part of it.
pub(crate) enum LoopReport<'py> {
    /// An iterator gave its next piece.
    Piece(Bound<'py, PyAny>),
    /// An iterator has ended.
    End,
    /// An iterator raised.
    Failed(PyErr),
    /// An iterator raised before its first piece, and this is the answer of the functions around its handler.
    Instead(Bound<'py, PyAny>),
    /// The handler of a WebSocket has ended with this close code.
    Exit(u16),
}
