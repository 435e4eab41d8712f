//! The meaning of the `config` dictionary: addresses, values, callbacks.

use outside::Config;
use outside::config::Value;
use outside::listen::Address;
use outside::message::Cors;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::errors::value_error;
use crate::support::shown;

/// The meaning of the configuration dictionary.
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// The addresses of the host.
    pub(crate) addresses: Vec<Address>,
    pub(crate) pre_send: Option<Py<PyAny>>,
    pub(crate) post_callback: Option<Py<PyAny>>,
    pub(crate) server_cleanup: Option<Py<PyAny>>,
    pub(crate) acme_dns: Option<Py<PyAny>>,
    pub(crate) on_certificate: Option<Py<PyAny>>,
    pub(crate) json_default: Option<Py<PyAny>>,
}

impl Settings {
    /// Reads the dictionary; all its faults in one message.
    pub(crate) fn read(config: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut names = Vec::with_capacity(config.len());
        let usual = usual(config.py())?;
        for (name, value) in config.iter() {
            let name = name.str()?.to_string();
            if value.is_exact_instance(usual) {
                // The default. One process of a Python without a lock uses every core, as one of Rust can.
                if name == "reactors" && is_alone(config)? && !has_gil(config.py())? {
                    names.push((name, Value::Owned("auto".to_owned())));
                }
                continue;
            }
            let value = if TUPLES.contains(&name.as_str()) { listed(&value) } else { value_of(&value) };
            names.push((name, value));
        }
        let values = names.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let settings = Config::from_values(values).map_err(value_error)?;
        if settings.reactors > 1 && has_gil(config.py())? {
            return Err(PyValueError::new_err(format!(
                "config[\"reactors\"] asks for {count} event loops, but Python handlers run side by side only where Python has \
                 no global lock, and this one has it; use config[\"processes\"] = {count} instead",
                count = settings.reactors
            )));
        }
        let host = config.get_item("host")?.ok_or_else(|| PyValueError::new_err("config[\"host\"] is missing"))?;
        let callback = |name| {
            let value = config.get_item(name)?;
            Ok::<_, PyErr>(value.filter(|value| !value.is_none()).map(Bound::unbind))
        };
        let addresses = check_host(&host)?;
        if settings.debug {
            addresses.iter().try_for_each(Address::check_debug).map_err(value_error)?;
        }
        Ok(Settings {
            config: settings,
            addresses,
            pre_send: callback("pre_send")?,
            post_callback: callback("post_callback")?,
            server_cleanup: callback("server_cleanup")?,
            acme_dns: callback("acme_dns")?,
            on_certificate: callback("on_certificate")?,
            json_default: callback("json_default")?,
        })
    }
}

/// The class of defaults that have an effect other than that of the same number when it is set.
pub(super) fn usual(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static USUAL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    USUAL.import(py, "outside._hosting.usual", "Usual")
}

/// Whether the configuration asks for one process, which serves by itself.
pub(super) fn is_alone(config: &Bound<'_, PyDict>) -> PyResult<bool> {
    let processes = config.get_item("processes")?;
    Ok(processes.is_none_or(|processes| matches!(value_of(&processes), Value::Integer(1))))
}

/// Whether one thread at a time runs Python. An extension may have switched the lock on in a build without it.
fn has_gil(py: Python<'_>) -> PyResult<bool> {
    match py.import("sys")?.getattr_opt("_is_gil_enabled")? {
        Some(is_enabled) => is_enabled.call0()?.is_truthy(),
        None => Ok(true),
    }
}

/// An address as `(ip, port)`, or `"unix:PATH"`; a host name stands for all its addresses.
pub(crate) fn check_host(host: &Bound<'_, PyAny>) -> PyResult<Vec<Address>> {
    const EXPECTED: &str = "host is (ip, port), a str and an int, or 'unix:PATH'";
    let wrong = || PyTypeError::new_err(format!("{EXPECTED}, not {}", shown(host)));
    if let Ok(text) = host.cast::<PyString>() {
        let unix = Address::parse_unix(text.to_str()?);
        return unix.map(Vec::from).ok_or_else(|| PyTypeError::new_err(format!("{EXPECTED}, not {}", shown(host))));
    }
    let pair = host.cast::<PyTuple>().map_err(|_| wrong())?;
    let (ip, port): (String, i64) = pair.extract().map_err(|_| wrong())?;
    if pair.get_item(1)?.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    let port = u16::try_from(port)
        .map_err(|_| PyValueError::new_err(format!("a port is a number from 0 to 65535, not {port}")))?;
    Address::resolve_all((ip.as_str(), port))
        .map_err(|_| PyValueError::new_err(format!("{ip:?} is no address of this machine; for example \"127.0.0.1\"")))
}

/// The keys whose tuples are lists: names that share a certificate, identifier and key, fields.
const TUPLES: &[&str] = &["domains", "acme_eab", "access_log_fields"];

/// The meaning of a value in which tuples stand for lists.
fn listed(value: &Bound<'_, PyAny>) -> Value {
    let list = |items: Vec<Bound<'_, PyAny>>| Value::List(items.iter().map(listed).collect());
    if let Ok(items) = value.cast::<PyTuple>() {
        list(items.iter().collect())
    } else if let Ok(items) = value.cast::<PyList>() {
        list(items.iter().collect())
    } else {
        value_of(value)
    }
}

pub(crate) fn value_of(value: &Bound<'_, PyAny>) -> Value {
    if value.is_none() {
        Value::None
    } else if let Ok(flag) = value.cast::<PyBool>() {
        Value::Bool(flag.is_true())
    } else if value.is_instance_of::<PyInt>() {
        value.extract().map_or_else(|_| Value::Other(shown(value)), Value::Integer)
    } else if value.is_instance_of::<PyFloat>() {
        value.extract().map_or_else(|_| Value::Other(shown(value)), Value::Float)
    } else if let Ok(text) = value.cast::<PyString>() {
        Value::Owned(text.to_string_lossy().into_owned())
    } else if let Ok(pair) = value.cast::<PyTuple>() {
        pair.extract().map_or_else(|_| Value::Other(shown(value)), |(ip, port)| Value::Address(ip, port))
    } else if let Ok(list) = value.cast::<PyList>() {
        Value::List(list.iter().map(|value| value_of(&value)).collect())
    } else if let Ok(table) = value.cast::<PyDict>() {
        let named = |(name, value): (Bound<'_, PyAny>, _)| Some((name.extract().ok()?, value_of(&value)));
        table.iter().map(named).collect::<Option<_>>().map_or_else(|| Value::Other(shown(value)), Value::Table)
    } else if let Ok(Ok(path)) = value.call_method0("__fspath__").map(|path| path.extract()) {
        Value::Owned(path)
    } else if value.is_callable() {
        Value::Callable
    } else {
        Value::Other(shown(value))
    }
}

/// Raises unless it is a value of the key `cors`.
#[pyfunction]
pub(crate) fn _check_cors(cors: &Bound<'_, PyAny>) -> PyResult<()> {
    read_cors(cors).map(drop)
}

/// The meaning of a value of the key `cors`.
pub(crate) fn read_cors(value: &Bound<'_, PyAny>) -> PyResult<Cors> {
    let config = Config::from_values([("cors", value_of(value))]).map_err(value_error)?;
    config.cors.ok_or_else(|| PyValueError::new_err("cors says which origins may read answers; None says nothing"))
}

/// The status code of an error handler.
pub(crate) fn check_code(code: &Bound<'_, PyAny>) -> PyResult<u16> {
    let number: i64 =
        code.extract().map_err(|_| PyTypeError::new_err(format!("an error code is an int, not {}", shown(code))))?;
    match u16::try_from(number) {
        Ok(code) if (400..=599).contains(&code) => Ok(code),
        _ => Err(PyValueError::new_err(format!("an error code is one of 400 to 599, not {number}"))),
    }
}
