//! The functions of `acme_dns` and `on_certificate`, called by threads of the engine that may wait.

use std::path::Path;
use std::sync::Arc;

use outside::Error;
use outside::certificates::{CertificateHooks, DnsRecord, OnCertificate, SetDnsRecord};
use pyo3::prelude::*;

use crate::logging::log_exception;

/// The functions of a configuration, for the engine.
pub(crate) fn hooks(acme_dns: Option<Py<PyAny>>, on_certificate: Option<Py<PyAny>>) -> CertificateHooks {
    CertificateHooks {
        dns: acme_dns.map(|function| Arc::new(DnsFunction(function)) as Arc<dyn SetDnsRecord>),
        on_certificate: on_certificate.map(|function| Arc::new(NewsFunction(function)) as Arc<dyn OnCertificate>),
    }
}

/// The function of `acme_dns`.
struct DnsFunction(Py<PyAny>);

impl SetDnsRecord for DnsFunction {
    fn set(&self, name: &str, value: &str) -> Result<Box<dyn DnsRecord>, Error> {
        Python::attach(|py| {
            let set = self.0.bind(py).call1((name, value)).map_err(|error| {
                log_exception(py, None, "acme_dns failed", &error);
                Error::new(error.to_string())
            })?;
            let undo = (!set.is_none()).then(|| set.unbind());
            Ok(Box::new(UndoFunction(undo)) as Box<dyn DnsRecord>)
        })
    }
}

/// The function that `acme_dns` has returned, if it has.
struct UndoFunction(Option<Py<PyAny>>);

impl DnsRecord for UndoFunction {
    fn remove(self: Box<Self>) {
        let Some(undo) = self.0 else { return };
        Python::attach(|py| {
            if let Err(error) = undo.bind(py).call0() {
                log_exception(py, None, "the function that acme_dns has returned failed", &error);
            }
        });
    }
}

/// The function of `on_certificate`.
struct NewsFunction(Py<PyAny>);

impl OnCertificate for NewsFunction {
    fn obtained(&self, names: &[String], file: &Path) {
        Python::attach(|py| {
            if let Err(error) = self.0.bind(py).call1((names.to_vec(), file)) {
                log_exception(py, None, "on_certificate failed", &error);
            }
        });
    }
}
