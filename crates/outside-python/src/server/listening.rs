//! The listeners of a server before it serves: certificates are read first, then sockets are bound or taken over.

use outside::OutsideHttp;
use outside::config::CertificateFiles;
use outside::config::Value;
use outside::listen::BindError;
use outside::listen::{Address, Endpoint, Listeners, Security};
use outside::tls::{CertificateError, TicketKeys};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::{run_error, system_error, value_error};
use crate::server::settings::{Settings, value_of};
use crate::support::shown;

/// One listener for each worker slot or reactor at each place, or those that the environment hands down.
pub(crate) fn listen(
    engine: &OutsideHttp,
    settings: &Settings,
    keys: &TicketKeys,
    slots: usize,
) -> PyResult<Listeners> {
    engine.open(&settings.addresses, &settings.config, keys, slots).map_err(open_error)
}

/// The exception: the system's if a file cannot be read or an address not be bound, otherwise a `ValueError`.
fn open_error(error: outside::Error) -> PyErr {
    let certificate = error.source_as::<CertificateError>().and_then(|certificate| certificate.error.as_ref());
    if let Some(system) = certificate {
        return system_error(system, &error);
    }
    let is_systems = error.source_as::<BindError>().is_some() || error.source_as::<std::io::Error>().is_some();
    if is_systems { run_error(error) } else { value_error(error) }
}

/// The meaning of `tls` in `listen()`.
pub(crate) fn security(tls: Option<&Bound<'_, PyAny>>) -> PyResult<Security> {
    let Some(tls) = tls else { return Ok(Security::Plain) };
    match value_of(tls) {
        Value::None | Value::Bool(false) => Ok(Security::Plain),
        Value::Bool(true) => Ok(Security::Tls),
        value => CertificateFiles::listed(&value).map(Security::Own).ok_or_else(|| {
            PyTypeError::new_err(format!(
                "tls is True, False, or {{'certfile': path, 'keyfile': path}} or a list of such, not {}",
                shown(tls)
            ))
        }),
    }
}

/// An address as programs see it: `(ip, port)`, or `"unix:PATH"`.
pub(crate) fn to_python<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    match address {
        Address::Tcp(address) => Ok((address.ip().to_string(), address.port()).into_pyobject(py)?.into_any()),
        Address::Unix(path) => Ok(PyString::new(py, &format!("unix:{}", path.display())).into_any()),
    }
}

/// The place of the metrics as it is printed, and as `outside status` takes it.
pub(crate) fn metrics_place(endpoint: &Endpoint) -> String {
    match &endpoint.address {
        Address::Tcp(_) => endpoint.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// Prints the URLs of the server, a line for each, and the place where it tells its numbers.
pub(crate) fn announce(py: Python<'_>, endpoints: &[Endpoint], metrics: Option<&Endpoint>) -> PyResult<()> {
    let options = PyDict::new(py);
    options.set_item("flush", true)?;
    let print = py.import("builtins")?.getattr("print")?;
    for (index, endpoint) in endpoints.iter().enumerate() {
        let advice = if index + 1 == endpoints.len() { " (Ctrl+C stops it)" } else { "" };
        print.call((format!("outside is serving on {endpoint}{advice}"),), Some(&options))?;
    }
    if let Some(metrics) = metrics {
        print.call((format!("outside tells its metrics on {}", metrics_place(metrics)),), Some(&options))?;
    }
    Ok(())
}
