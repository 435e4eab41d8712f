//! `ResponseCookie`.

use outside::message::SameSite;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Mutex;

use crate::errors::value_error;
use crate::support::lock;

/// A cookie to set, written as RFC 6265 asks.
#[pyclass(module = "outside", name = "ResponseCookie", subclass, frozen, dict, weakref)]
pub(crate) struct ResponseCookie(Mutex<outside::message::ResponseCookie>);

impl ResponseCookie {
    /// The value of its `Set-Cookie` field.
    pub(crate) fn to_field(&self, name: &str) -> Result<String, outside::Error> {
        lock(&self.0).to_field(name)
    }

    /// Changes the attributes, unless the result could not be written.
    fn change(&self, change: impl FnOnce(&mut outside::message::ResponseCookie)) -> PyResult<()> {
        let mut cookie = lock(&self.0);
        let mut changed = cookie.clone();
        change(&mut changed);
        changed.check().map_err(value_error)?;
        *cookie = changed;
        Ok(())
    }
}

/// The attributes in the order of `__init__`, and those that the program has added.
type CookieState<'py> = (
    String,
    Option<i64>,
    Option<String>,
    bool,
    bool,
    Option<String>,
    Option<String>,
    Option<u64>,
    bool,
    Bound<'py, PyDict>,
);

fn same_site_of(text: Option<&str>) -> PyResult<Option<SameSite>> {
    text.map(SameSite::parse).transpose().map_err(value_error)
}

#[pymethods]
impl ResponseCookie {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(value, max_age=None, domain=None, http_only=False, secure=False, path=None, same_site=None, expires=None, partitioned=False)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self(Mutex::default())
    }

    #[pyo3(signature = (value, max_age=None, domain=None, http_only=false, secure=false, path=None, same_site=None, expires=None, partitioned=false))]
    #[expect(clippy::too_many_arguments, reason = "the attributes of a cookie")]
    fn __init__(
        &self,
        value: String,
        max_age: Option<i64>,
        domain: Option<String>,
        http_only: bool,
        secure: bool,
        path: Option<String>,
        same_site: Option<&str>,
        expires: Option<u64>,
        partitioned: bool,
    ) -> PyResult<()> {
        let same_site = same_site_of(same_site)?;
        let cookie = outside::message::ResponseCookie {
            value,
            max_age,
            domain,
            http_only,
            secure,
            path,
            same_site,
            expires,
            partitioned,
        };
        self.change(|before| *before = cookie)
    }

    #[getter]
    fn value(&self) -> String {
        lock(&self.0).value.clone()
    }

    #[setter]
    fn set_value(&self, value: String) -> PyResult<()> {
        self.change(|cookie| cookie.value = value)
    }

    #[getter]
    fn max_age(&self) -> Option<i64> {
        lock(&self.0).max_age
    }

    #[setter]
    fn set_max_age(&self, max_age: Option<i64>) -> PyResult<()> {
        self.change(|cookie| cookie.max_age = max_age)
    }

    #[getter]
    fn domain(&self) -> Option<String> {
        lock(&self.0).domain.clone()
    }

    #[setter]
    fn set_domain(&self, domain: Option<String>) -> PyResult<()> {
        self.change(|cookie| cookie.domain = domain)
    }

    #[getter]
    fn http_only(&self) -> bool {
        lock(&self.0).http_only
    }

    #[setter]
    fn set_http_only(&self, http_only: bool) -> PyResult<()> {
        self.change(|cookie| cookie.http_only = http_only)
    }

    #[getter]
    fn secure(&self) -> bool {
        lock(&self.0).secure
    }

    #[setter]
    fn set_secure(&self, secure: bool) -> PyResult<()> {
        self.change(|cookie| cookie.secure = secure)
    }

    #[getter]
    fn path(&self) -> Option<String> {
        lock(&self.0).path.clone()
    }

    #[setter]
    fn set_path(&self, path: Option<String>) -> PyResult<()> {
        self.change(|cookie| cookie.path = path)
    }

    #[getter]
    fn same_site(&self) -> Option<&'static str> {
        lock(&self.0).same_site.map(SameSite::as_str)
    }

    #[setter]
    fn set_same_site(&self, same_site: Option<&str>) -> PyResult<()> {
        let same_site = same_site_of(same_site)?;
        self.change(|cookie| cookie.same_site = same_site)
    }

    #[getter]
    fn expires(&self) -> Option<u64> {
        lock(&self.0).expires
    }

    #[setter]
    fn set_expires(&self, expires: Option<u64>) -> PyResult<()> {
        self.change(|cookie| cookie.expires = expires)
    }

    #[getter]
    fn partitioned(&self) -> bool {
        lock(&self.0).partitioned
    }

    #[setter]
    fn set_partitioned(&self, partitioned: bool) -> PyResult<()> {
        self.change(|cookie| cookie.partitioned = partitioned)
    }

    /// Copies and pickles get the same attributes; the `__init__` of a subclass is not called for them.
    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let cookie = lock(&slf.get().0).clone();
        let same_site = cookie.same_site.map(SameSite::as_str);
        let own = slf.getattr(intern!(slf.py(), "__dict__"))?;
        let (expires, partitioned) = (cookie.expires, cookie.partitioned);
        let (value, domain, path) = (cookie.value, cookie.domain, cookie.path);
        (value, cookie.max_age, domain, cookie.http_only, cookie.secure, path, same_site, expires, partitioned, own)
            .into_pyobject(slf.py())
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: CookieState<'_>) -> PyResult<()> {
        let (value, max_age, domain, http_only, secure, path, same_site, expires, partitioned, own) = state;
        let this = slf.get();
        this.__init__(value, max_age, domain, http_only, secure, path, same_site.as_deref(), expires, partitioned)?;
        slf.getattr(intern!(slf.py(), "__dict__"))?.cast::<PyDict>()?.update(own.as_mapping())
    }

    fn __repr__(&self) -> String {
        // The name is the response's; the text behind `=` is the cookie's.
        match self.to_field("x") {
            Ok(field) => format!("ResponseCookie({:?})", field.trim_start_matches("x=")),
            Err(_) => "ResponseCookie()".to_owned(),
        }
    }
}
