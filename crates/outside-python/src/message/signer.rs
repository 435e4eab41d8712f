//! Signed contents, such as the cookies of sessions, by the engine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::support::kind;

/// Signs contents under the name of a cookie, and checks signatures; both know the time.
#[pyclass(module = "outside", name = "_Signer", frozen)]
pub(crate) struct Signer {
    inner: outside::application::Signer,
    /// Seconds until a signature expires.
    #[pyo3(get)]
    seconds: f64,
}

/// Whole seconds since 1970.
fn seconds_of(now: Option<f64>) -> u64 {
    match now {
        Some(now) => now as u64,
        None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    }
}

#[pymethods]
impl Signer {
    #[new]
    fn new(secret: &Bound<'_, PyAny>, days: f64) -> PyResult<Self> {
        // One secret, or several of which the first one signs.
        let secrets: Vec<String> = match secret.extract() {
            Ok(secret) => vec![secret],
            Err(_) => secret.extract().map_err(|_| {
                PyTypeError::new_err(format!("a secret is a str, or a list of str, not {}", kind(secret)))
            })?,
        };
        let seconds = days * 86_400.0;
        let life = Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let inner = outside::application::Signer::new(&secrets.into_iter().collect(), life);
        let inner = inner.ok_or_else(|| {
            let shortest = outside::config::Secrets::SHORTEST;
            PyValueError::new_err(format!("a signer has secrets of at least {shortest} bytes each"))
        })?;
        Ok(Self { inner, seconds })
    }

    /// The content with its time and signature, by the first secret.
    #[pyo3(signature = (name, content, now = None))]
    fn sign(&self, name: &str, content: &[u8], now: Option<f64>) -> String {
        self.inner.sign(name, content, seconds_of(now))
    }

    /// The content, if one of the secrets has signed it under this name and it has not expired; otherwise `None`.
    #[pyo3(signature = (name, value, now = None))]
    fn verify<'py>(&self, name: &str, value: &Bound<'py, PyString>, now: Option<f64>) -> Option<Bound<'py, PyBytes>> {
        let content = self.inner.verify(name, value.to_str().ok()?, seconds_of(now))?;
        Some(PyBytes::new(value.py(), &content))
    }
}
