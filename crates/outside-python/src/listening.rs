//! What a server listens on, before anything is served: certificates are read first, then sockets are bound or taken over.

use outside::{CertificateError, Listener, SocketFile, TicketKeys, Tls};
use pyo3::exceptions::PyValueError;
use pyo3::{PyErr, PyResult};

use crate::serving::{run_error, system_error};
use crate::settings::Settings;

/// One listener for each worker slot or reactor, or those that the environment hands down; and the file of a Unix socket
/// that is to be removed at the end.
pub(crate) fn listen(
    settings: &Settings,
    keys: &TicketKeys,
    slots: usize,
) -> PyResult<(Vec<Listener>, Option<SocketFile>)> {
    let tls = Tls::of(&settings.config, keys).map_err(tls_error)?;
    let mut listeners = Listener::inherited().map_err(run_error)?;
    let mut file = listeners.first().and_then(Listener::inherited_file);
    if std::env::var_os("OUTSIDE_OWNS_FILE").is_none() {
        // It is a service manager's.
        file = None;
    }
    if listeners.is_empty() {
        let bound = Listener::bind_each(&settings.address, settings.config.backlog_length, slots);
        listeners = bound.map_err(run_error)?;
    }
    let listeners = Listener::share(listeners, slots)?;
    let file = file.or_else(|| listeners.first().and_then(Listener::file));
    Ok((listeners.into_iter().map(|listener| listener.with_tls(tls.clone())).collect(), file))
}

/// The exception for certificates that cannot be used: of the system if a file cannot be read, else one of values.
fn tls_error(error: outside::Error) -> PyErr {
    match error.source_as::<CertificateError>().and_then(|certificate| certificate.error.as_ref()) {
        Some(system) => system_error(system, &error),
        None => PyValueError::new_err(error.to_string()),
    }
}
