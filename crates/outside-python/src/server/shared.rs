//! State that all processes share, for Python: one function that waits for an outcome, and one that does not.
//!
//! The Python side (`_application/shared.py`) has the names that programs use. A call names its target, a server or a
//! request; an action; the key; and the operands that the action has: a value, a number, a time in seconds.

use std::sync::Arc;
use std::time::Duration;

use outside::shared::{Action, Operation, Outcome, Rate, SharedRefusal, SharedStore, SharedValue, StoreError};
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyInt, PyString};

use crate::event_loop::EventLoop;
use crate::logging::log_exception;
use crate::message::json::{decoded, encoded};
use crate::message::request::Request;
use crate::server::outside_http::OutsideHttp;

/// The operands of an action: a value, a number, and a time in seconds.
type Operands<'py> = (Bound<'py, PyAny>, i64, Option<f64>);

/// Does an operation on shared state, and waits at most `timeout` seconds for its outcome.
#[pyfunction]
#[pyo3(signature = (target, action, key, operands, timeout, /))]
pub(crate) fn _shared_call<'py>(
    target: &Bound<'py, PyAny>,
    action: &str,
    key: &str,
    operands: Operands<'py>,
    timeout: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let py = target.py();
    let store = store_of(target)?;
    let operation = Operation { key, action: action_of(action, operands)? };
    let outcome = if store.is_local() {
        store.call(&operation, Duration::ZERO)
    } else {
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(Duration::MAX);
        py.detach(|| store.call(&operation, timeout))
    };
    to_python(py, key, outcome)
}

/// Begins an operation on shared state. The result is a tuple with the outcome if that is known at once; `True`: the future
/// gets it; `False`: there is no loop of `async def` handlers that would bring it.
#[pyfunction]
#[pyo3(signature = (target, action, key, operands, future, /))]
pub(crate) fn _shared_begin<'py>(
    target: &Bound<'py, PyAny>,
    action: &str,
    key: &str,
    operands: Operands<'py>,
    future: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = target.py();
    let store = store_of(target)?;
    let operation = Operation { key, action: action_of(action, operands)? };
    if store.is_local() {
        let outcome = to_python(py, key, store.call(&operation, Duration::ZERO))?;
        return Ok((outcome,).into_pyobject(py)?.into_any());
    }
    if EventLoop::current().is_none() {
        return Ok(PyBool::new(py, false).to_owned().into_any());
    }
    let (future, shown) = (future.unbind(), key.to_owned());
    let on_outcome = move |outcome| {
        // Python's lock may be held by a thread that waits for the caller: the loop's thread goes on from here.
        EventLoop::execute(move |py| {
            let outcome = to_python(py, &shown, outcome);
            if let Err(error) = settle(future.bind(py), outcome) {
                log_exception(py, None, "an outcome of shared state was not handed on", &error);
            }
        });
    };
    py.detach(|| store.begin(&operation, Box::new(on_outcome)));
    Ok(PyBool::new(py, true).to_owned().into_any())
}

/// Whether the request belongs to no server, so that it has no shared state.
#[pyfunction]
#[pyo3(signature = (target, /))]
pub(crate) fn _shares_nothing(target: &Bound<'_, PyAny>) -> bool {
    store_of(target).is_err()
}

/// Hands an outcome to an asyncio future, on the thread of the server's loop.
fn settle(future: &Bound<'_, PyAny>, outcome: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
    static SETTLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = future.py();
    let settle = SETTLE.import(py, "outside._handlers.outcomes", "settle")?;
    match outcome {
        Ok(outcome) => settle.call1((future, outcome, py.None()))?,
        Err(error) => settle.call1((future, py.None(), error.into_value(py)))?,
    };
    Ok(())
}

fn store_of(target: &Bound<'_, PyAny>) -> PyResult<Arc<dyn SharedStore>> {
    if let Ok(server) = target.cast::<OutsideHttp>() {
        return Ok(server.get().server()?.engine.shared_store());
    }
    if let Ok(request) = target.cast::<Request>()
        && let Some(store) = request.get().inner().shared_store()
    {
        return Ok(store);
    }
    Err(PyTypeError::new_err("shared state belongs to a server, or to a request of one"))
}

fn action_of(name: &str, operands: Operands<'_>) -> PyResult<Action> {
    let (value, number, seconds) = operands;
    let token = || u64::try_from(number).map_err(|_| PyValueError::new_err("a token is a number from 0 on"));
    Ok(match name {
        "get" => Action::Get,
        "set" | "add" => Action::Set { value: value_of(&value)?, ttl: ttl_of(seconds)?, only_if_absent: name == "add" },
        "incr" => Action::Increment { by: number, ttl: ttl_of(seconds)? },
        "delete" => Action::Delete,
        "admit" => {
            let (interval, tolerance) = value.extract()?;
            Action::Admit(Rate { interval, tolerance })
        }
        "lock" => Action::Lock { ttl: time_of(seconds)? },
        "renew" => Action::Renew { token: token()?, ttl: time_of(seconds)? },
        "unlock" => Action::Unlock { token: token()? },
        "tick" | "ended" => Action::Tick { period: time_of(seconds)?, has_ended: name == "ended" },
        _ => return Err(PyValueError::new_err(format!("no action is named {name:?}"))),
    })
}

fn ttl_of(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    seconds.map(|seconds| time_of(Some(seconds))).transpose()
}

fn time_of(seconds: Option<f64>) -> PyResult<Duration> {
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.filter(|time| !time.is_zero()).ok_or_else(|| {
        let given = seconds.map_or_else(|| "None".to_owned(), |seconds| seconds.to_string());
        PyValueError::new_err(format!("a time is a number of seconds above 0, not {given}"))
    })
}

/// A value of Python: text, bytes and whole numbers as they are, any other as JSON.
fn value_of(value: &Bound<'_, PyAny>) -> PyResult<SharedValue> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(SharedValue::Text(text.to_str()?.to_owned()));
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(SharedValue::Bytes(bytes.as_bytes().to_vec()));
    }
    if value.is_exact_instance_of::<PyInt>()
        && let Ok(number) = value.extract()
    {
        return Ok(SharedValue::Integer(number));
    }
    let text = String::from_utf8(encoded(value)?.to_vec());
    text.map(SharedValue::Json).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn from_value(py: Python<'_>, value: SharedValue) -> PyResult<Bound<'_, PyAny>> {
    Ok(match value {
        SharedValue::Text(text) => PyString::new(py, &text).into_any(),
        SharedValue::Bytes(bytes) => PyBytes::new(py, &bytes).into_any(),
        SharedValue::Integer(number) => number.into_pyobject(py)?.into_any(),
        SharedValue::Json(text) => decoded(py, text.as_bytes())?
            .map_err(|fault| PyValueError::new_err(format!("a shared value is no JSON: {}", fault.0)))?,
    })
}

/// An outcome for Python: the value or `None`, a flag, a number; for a request `(whether it may pass, how many may after it,
/// seconds until one may, seconds until all may, the store's time)`; for a lock `(token, seconds)`, one of them `None`; for a
/// tick `(whether it is given, its number, seconds until the next one)`.
fn to_python<'py>(py: Python<'py>, key: &str, outcome: Result<Outcome, StoreError>) -> PyResult<Bound<'py, PyAny>> {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error @ (StoreError::TimedOut | StoreError::Away)) => {
            return Err(PyTimeoutError::new_err(error.to_string()));
        }
        Err(error @ StoreError::Ended) => return Err(PyRuntimeError::new_err(error.to_string())),
    };
    Ok(match outcome {
        Outcome::Value(None) => py.None().into_bound(py),
        Outcome::Value(Some(value)) => from_value(py, value)?,
        Outcome::Flag(flag) => PyBool::new(py, flag).to_owned().into_any(),
        Outcome::Number(number) => number.into_pyobject(py)?.into_any(),
        Outcome::Admission(told) => {
            let (retry, reset, at) = (told.retry.as_secs_f64(), told.reset.as_secs_f64(), told.at.as_secs_f64());
            (told.is_admitted, told.remaining, retry, reset, at).into_pyobject(py)?.into_any()
        }
        Outcome::Locked(token) => (token, py.None()).into_pyobject(py)?.into_any(),
        Outcome::Held(time) => (py.None(), time.as_secs_f64()).into_pyobject(py)?.into_any(),
        Outcome::Tick(tick) => (tick.is_given, tick.number, tick.next.as_secs_f64()).into_pyobject(py)?.into_any(),
        Outcome::Refused(refusal) => {
            let text = format!("{key:?}: {refusal}");
            return Err(match refusal {
                SharedRefusal::Full | SharedRefusal::Busy => PyRuntimeError::new_err(text),
                SharedRefusal::NotInteger => PyTypeError::new_err(text),
                SharedRefusal::Overflow => PyOverflowError::new_err(text),
                SharedRefusal::TooLong => PyValueError::new_err(text),
            });
        }
    })
}
