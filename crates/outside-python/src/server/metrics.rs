//! The numbers of a server for Python: those of the program, and the board that processes share.

use std::fs::File;
use std::sync::Arc;

use outside::metrics::{self, Combine, Meter};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::value_error;
use crate::server::outside_http::OutsideHttp;
use crate::support::shown;

/// The names of a metric's labels.
struct Labels(Vec<String>);

impl Labels {
    /// The values in the order of the names, each as `str()` shows it.
    fn values(&self, given: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<String>> {
        let known = given.map_or(0, |given| self.0.iter().filter(|name| given.contains(name).unwrap_or(false)).count());
        let wanted =
            || if self.0.is_empty() { "no labels".to_owned() } else { format!("the labels {}", self.0.join(", ")) };
        if known != self.0.len() || given.is_some_and(|given| given.len() != known) {
            let names = given.map(|given| given.keys().iter().map(|name| shown(&name)).collect::<Vec<_>>());
            let names = names.unwrap_or_default().join(", ");
            let names = if names.is_empty() { "none".to_owned() } else { names };
            return Err(PyTypeError::new_err(format!("this metric has {}; given: {names}", wanted())));
        }
        let Some(given) = given else { return Ok(Vec::new()) };
        let value = |name: &String| {
            let value = given.get_item(name)?.map(|value| value.str()).transpose()?;
            Ok(value.map_or_else(String::new, |text: Bound<'_, PyString>| text.to_string_lossy().into_owned()))
        };
        self.0.iter().map(value).collect()
    }
}

fn number(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract().map_err(|_| PyTypeError::new_err(format!("a metric has numbers, not {}", shown(value))))
}

/// Calls a function with the values as it wants them.
fn with<T>(values: &[String], function: impl FnOnce(&[&str]) -> Result<T, outside::Error>) -> PyResult<T> {
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    function(&values).map_err(value_error)
}

/// A sum that grows, over all processes: `server.counter("orders")`.
#[pyclass(module = "outside", name = "Counter", frozen)]
pub(crate) struct Counter(metrics::Counter, Labels);

#[pymethods]
impl Counter {
    /// Adds an amount, 0 or more, to the series of these label values.
    #[pyo3(signature = (amount=None, /, **labels))]
    fn inc(&self, amount: Option<&Bound<'_, PyAny>>, labels: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let amount = amount.map_or(Ok(1.0), number)?;
        with(&self.1.values(labels)?, |values| self.0.add(amount, values))
    }

    fn __repr__(&self) -> String {
        format!("<{:?}>", self.0)
    }
}

/// A value that rises and falls: `server.gauge("jobs")`.
#[pyclass(module = "outside", name = "Gauge", frozen)]
pub(crate) struct Gauge(metrics::Gauge, Labels);

#[pymethods]
impl Gauge {
    /// Sets the value of the series of these label values.
    #[pyo3(signature = (value, /, **labels))]
    fn set(&self, value: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let value = number(value)?;
        with(&self.1.values(labels)?, |values| self.0.set(value, values))
    }

    /// Adds an amount.
    #[pyo3(signature = (amount=None, /, **labels))]
    fn inc(&self, amount: Option<&Bound<'_, PyAny>>, labels: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let amount = amount.map_or(Ok(1.0), number)?;
        with(&self.1.values(labels)?, |values| self.0.add(amount, values))
    }

    /// Takes an amount away.
    #[pyo3(signature = (amount=None, /, **labels))]
    fn dec(&self, amount: Option<&Bound<'_, PyAny>>, labels: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let amount = amount.map_or(Ok(1.0), number)?;
        with(&self.1.values(labels)?, |values| self.0.add(-amount, values))
    }

    fn __repr__(&self) -> String {
        format!("<{:?}>", self.0)
    }
}

/// How often values were within which bounds: `server.histogram("size_bytes")`.
#[pyclass(module = "outside", name = "Histogram", frozen)]
pub(crate) struct Histogram(metrics::Histogram, Labels);

#[pymethods]
impl Histogram {
    /// Counts a value in the series of these label values.
    #[pyo3(signature = (value, /, **labels))]
    fn observe(&self, value: &Bound<'_, PyAny>, labels: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let value = number(value)?;
        with(&self.1.values(labels)?, |values| self.0.observe(value, values))
    }

    fn __repr__(&self) -> String {
        format!("<{:?}>", self.0)
    }
}

fn borrowed(labels: &[String]) -> Vec<&str> {
    labels.iter().map(String::as_str).collect()
}

#[pyfunction]
pub(crate) fn _counter(server: &OutsideHttp, name: &str, help: &str, labels: Vec<String>) -> PyResult<Counter> {
    let made = server.server()?.engine.counter(name, help, &borrowed(&labels)).map_err(value_error)?;
    Ok(Counter(made, Labels(labels)))
}

#[pyfunction]
pub(crate) fn _gauge(
    server: &OutsideHttp,
    name: &str,
    help: &str,
    labels: Vec<String>,
    combine: &str,
) -> PyResult<Gauge> {
    let combine = match combine {
        "sum" => Combine::Sum,
        "max" => Combine::Max,
        "min" => Combine::Min,
        "last" => Combine::Last,
        other => {
            let text = "combine says how the values of several processes become one: 'sum', 'max', 'min' or 'last'";
            return Err(PyValueError::new_err(format!("{text}, not {other:?}")));
        }
    };
    let made = server.server()?.engine.gauge(name, help, &borrowed(&labels), combine).map_err(value_error)?;
    Ok(Gauge(made, Labels(labels)))
}

#[pyfunction]
pub(crate) fn _histogram(
    server: &OutsideHttp,
    name: &str,
    help: &str,
    labels: Vec<String>,
    bounds: Vec<f64>,
) -> PyResult<Histogram> {
    let made = server.server()?.engine.histogram(name, help, &borrowed(&labels), &bounds).map_err(value_error)?;
    Ok(Histogram(made, Labels(labels)))
}

/// The board of a server, for the processes that share it.
#[pyclass(module = "outside._outside", name = "Board", frozen)]
pub(crate) struct Board(Arc<Meter>);

#[pymethods]
impl Board {
    /// Makes the board, or takes over the one of this descriptor, which is closed.
    #[new]
    #[pyo3(signature = (server, inherited=None))]
    fn new(server: &OutsideHttp, inherited: Option<i32>) -> PyResult<Self> {
        let meter = Arc::clone(server.server()?.engine.meter());
        let file = |number: i32| File::options().read(true).write(true).open(format!("/dev/fd/{number}")).ok();
        meter.open_board(inherited.and_then(file))?;
        Ok(Self(meter))
    }

    /// Its descriptor.
    fn fileno(&self) -> Option<i32> {
        self.0.descriptor()
    }

    /// Reserves a region for a process that is forked next; `None`: there are too many.
    fn reserve(&self) -> Option<usize> {
        self.0.reserve()
    }

    /// Begins to write to this region, in the forked process of this slot.
    fn begin(&self, region: usize, slot: usize) -> PyResult<()> {
        Ok(self.0.begin(region, slot)?)
    }

    /// Adds up the numbers of a process that has ended.
    fn fold(&self, region: usize) {
        self.0.fold(region);
    }

    /// Names the block of the generation that is started next.
    fn begin_generation(&self) -> Option<usize> {
        self.0.begin_generation()
    }

    /// Adds up the numbers of a generation that has ended.
    fn fold_generation(&self, block: usize) {
        self.0.fold_generation(block);
    }

    /// Counts a worker process that has ended: in `order`, with an `error`, or by a `signal`.
    fn count_worker_end(&self, how: &str) {
        self.0.count_worker_end(how);
    }

    /// Counts a reload: `served`, or `failed`.
    fn count_reload(&self, result: &str) {
        self.0.count_reload(result);
    }

    /// Keeps an event for the status page; the level is `info`, `warning` or `error`.
    fn note_event(&self, level: &str, text: &str) {
        self.0.note_event(level, &outside::log::one_line(text));
    }
}
