//! The address of a client as the text that applications get.

use std::net::IpAddr;
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::support::lock;

/// The text of an address. The last one is kept: a proxy in front has one address for all requests.
pub(super) fn address_text(py: Python<'_>, ip: IpAddr) -> Bound<'_, PyString> {
    static LAST: Mutex<Option<(IpAddr, Py<PyString>)>> = Mutex::new(None);
    let known = lock(&LAST).as_ref().filter(|(last, _)| *last == ip).map(|(_, text)| text.clone_ref(py));
    match known {
        Some(text) => text.into_bound(py),
        None => {
            let text = PyString::new(py, &ip.to_canonical().to_string());
            let before = lock(&LAST).replace((ip, text.clone().unbind()));
            drop(before);
            text
        }
    }
}
