//! `Request`: a view of the engine's request. Python objects are made when they are asked for, then remembered.

use std::os::fd::IntoRawFd as _;
use std::sync::{Arc, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::errors::content_error;
use crate::message::body::{BodyReader, refuse_outstanding};
use crate::message::form::FormFile;
use crate::message::json::{NoJson, decoded};
use crate::message::parameter::value_of;
use crate::message::request_facts::{Layer, call_after, from_parts, generic, is_json, made, path_of_target};
use crate::message::request_values::{multi_dict, pair, set_first, text, values};

/// One request. Made by the server; by hand for tests and `ScheduledResponse`.
#[pyclass(module = "outside", name = "Request", subclass, frozen, dict, weakref)]
pub(crate) struct Request {
    inner: OnceLock<Arc<outside::Request>>,
    server: OnceLock<Py<PyAny>>,
    cache: OnceLock<Box<RequestCache>>,
}

/// Python objects that have been made for getters of the request.
struct RequestCache {
    headers: PyOnceLock<Py<PyAny>>,
    cookies: PyOnceLock<Py<PyDict>>,
    params: PyOnceLock<Py<PyDict>>,
    content: PyOnceLock<Py<PyBytes>>,
    url: PyOnceLock<Py<PyString>>,
    args: PyOnceLock<Py<PyAny>>,
    form: PyOnceLock<(Py<PyAny>, Py<PyAny>)>,
    json: PyOnceLock<Result<Py<PyAny>, NoJson>>,
    layer: Layer,
}

impl Request {
    pub(crate) fn view(inner: Arc<outside::Request>) -> Self {
        Self { inner: OnceLock::from(inner), server: OnceLock::new(), cache: OnceLock::new() }
    }

    /// The engine's request; an empty one if a subclass never called `super().__init__()`.
    pub(crate) fn inner(&self) -> &Arc<outside::Request> {
        self.inner.get_or_init(|| Arc::new(outside::Request::default()))
    }

    fn cache(&self, _: Python<'_>) -> &RequestCache {
        // No Python runs in here; a `PyOnceLock` would give Python's lock away for that, and take it again.
        self.cache.get_or_init(|| {
            Box::new(RequestCache {
                headers: PyOnceLock::new(),
                cookies: PyOnceLock::new(),
                params: PyOnceLock::new(),
                content: PyOnceLock::new(),
                url: PyOnceLock::new(),
                args: PyOnceLock::new(),
                form: PyOnceLock::new(),
                json: PyOnceLock::new(),
                layer: Layer::default(),
            })
        })
    }

    /// The engine's request with all of its content: on a route that streams it is waited for.
    fn gathered(&self, py: Python<'_>) -> PyResult<&Arc<outside::Request>> {
        let inner = self.inner();
        refuse_outstanding(py, inner)?;
        if inner.is_streamed() {
            let refuse = py.import("outside._handlers.body")?.getattr("refuse_to_block")?;
            refuse.call1(("async for piece in request.iter_body()",))?;
            py.detach(|| inner.gather()).map_err(|error| content_error(py, &error))?;
        }
        Ok(inner)
    }

    fn parsed(&self, py: Python<'_>) -> PyResult<&Result<Py<PyAny>, NoJson>> {
        self.cache(py)
            .json
            .get_or_try_init(py, || Ok(decoded(py, self.gathered(py)?.try_content()?)?.map(Bound::unbind)))
    }

    /// The value of a field; empty if there is none.
    fn field(&self, name: &str) -> String {
        self.inner().headers().get(name).map(str::to_owned).unwrap_or_default()
    }

    fn make_form(&self, py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
        self.cache(py).form.get_or_try_init(py, || {
            let inner = self.gathered(py)?;
            // Content on a disk is read while other threads run Python.
            let form = if inner.is_spooled() { py.detach(|| inner.form()) } else { inner.form() };
            let form = form.map_err(|error| content_error(py, &error))?;
            let files = form.files.into_iter().map(|(name, file)| (name, FormFile::of(inner, file)));
            Ok((multi_dict(py, form.fields)?, multi_dict(py, files)?))
        })
    }
}

#[pymethods]
impl Request {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(method, headers, content, version, url, address)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        // Arguments are checked in `__init__`, which a subclass may replace.
        Self { inner: OnceLock::new(), server: OnceLock::new(), cache: OnceLock::new() }
    }

    fn __init__(
        &self,
        method: &str,
        headers: &Bound<'_, PyDict>,
        content: &Bound<'_, PyAny>,
        version: &str,
        url: &str,
        address: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let request = from_parts(method, headers, content, version, url, address)?;
        self.inner.set(Arc::new(request)).map_err(|_| PyTypeError::new_err("a Request is initialised once"))
    }

    #[classattr]
    fn __class_getitem__(py: Python<'_>) -> PyResult<Py<PyAny>> {
        generic(py)
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        made(py, &self.cache(py).layer.state, "outside._handlers.current", "State", ())
    }

    #[getter]
    fn id(&self) -> &str {
        self.inner().id()
    }

    #[getter]
    fn traceparent(&self) -> String {
        self.inner().traceparent()
    }

    #[getter]
    fn tracestate(&self) -> &str {
        self.inner().tracestate()
    }

    #[getter]
    fn session(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        made(py, &slf.get().cache(py).layer.session, "outside._application.session", "session_of", (slf,))
    }

    #[getter]
    fn authorization(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        made(py, &slf.get().cache(py).layer.authorization, "outside._application.auth", "authorization_of", (slf,))
    }

    #[getter]
    fn content_type(&self) -> String {
        self.field("Content-Type")
    }

    #[getter]
    fn user_agent(&self) -> String {
        self.field("User-Agent")
    }

    #[getter]
    fn is_json(&self) -> bool {
        is_json(&self.content_type())
    }

    #[getter]
    fn remote_addr(&self) -> String {
        self.address().0
    }

    #[getter]
    fn raw_path(&self) -> &str {
        self.inner().target().split('?').next().unwrap_or_default()
    }

    #[getter]
    fn base_url(&self) -> String {
        let inner = self.inner();
        format!("{}://{}{}", inner.scheme(), inner.host(), path_of_target(self.raw_path()))
    }

    #[getter]
    fn full_url(&self) -> String {
        let query = self.inner().query();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{query}", self.base_url())
    }

    /// Calls a function when the answer is out.
    #[pyo3(signature = (function, *arguments))]
    fn after(slf: &Bound<'_, Self>, function: &Bound<'_, PyAny>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        call_after(slf.as_any(), slf.get().inner(), function, arguments)
    }

    /// The server that handles it; `None` if that is not known.
    #[getter]
    fn _server(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.server.get().map(|server| server.clone_ref(py))
    }

    /// Notes the server, once.
    fn _begin(&self, server: Py<PyAny>) {
        self.server.get_or_init(|| server);
    }

    /// The session, if it was looked at.
    #[getter]
    fn _session(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.cache.get()?.layer.session.get(py).map(|session| session.clone_ref(py))
    }

    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match self.inner().method() {
            "GET" => intern!(py, "GET").clone(),
            "POST" => intern!(py, "POST").clone(),
            "HEAD" => intern!(py, "HEAD").clone(),
            "PUT" => intern!(py, "PUT").clone(),
            "DELETE" => intern!(py, "DELETE").clone(),
            "OPTIONS" => intern!(py, "OPTIONS").clone(),
            "PATCH" => intern!(py, "PATCH").clone(),
            other => PyString::new(py, other),
        }
    }

    #[getter]
    fn headers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let headers = self.cache(py).headers.get_or_try_init(py, || {
            let fields = self.inner().headers().iter().map(|(name, value)| (name, text(value)));
            let pairs = PyList::new(py, fields.collect::<Vec<_>>())?;
            CLASS.import(py, "outside._handlers.headers", "Headers")?.call1((pairs,)).map(Bound::unbind)
        })?;
        Ok(headers.clone_ref(py))
    }

    #[getter]
    fn cookies(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let cookies = self.cache(py).cookies.get_or_try_init(py, || {
            let cookies = values(py)?;
            for (name, value) in self.inner().cookies().iter() {
                set_first(&cookies, &text(name), text(value))?;
            }
            Ok::<_, PyErr>(cookies.unbind())
        })?;
        Ok(cookies.clone_ref(py))
    }

    #[getter]
    fn content(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        let content = self.cache(py).content.get_or_try_init(py, || {
            let inner = self.gathered(py)?;
            if !inner.is_spooled() {
                return Ok::<_, PyErr>(PyBytes::new(py, inner.try_content()?).unbind());
            }
            let length = usize::try_from(inner.content_length())?;
            let content = PyBytes::new_with(py, length, |buffer| Ok(inner.copy_content_into(buffer)?))?;
            Ok(content.unbind())
        })?;
        Ok(content.clone_ref(py))
    }

    /// The content as a binary file at its beginning. Content that was too large for memory is not copied: it is the
    /// temporary file in which it came.
    #[getter]
    fn content_file<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match outside::content::content_file(self.gathered(py)?)? {
            Some(file) => py.import("io")?.call_method1("open", (file.into_raw_fd(), "rb")),
            None => py.import("io")?.call_method1("BytesIO", (self.content(py)?,)),
        }
    }

    /// The content piece by piece: for `for`, or for `async for` in an `async def` handler.
    fn iter_body<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        CLASS.import(py, "outside._handlers.body", "BodyPieces")?.call1((BodyReader::of(self.inner()),))
    }

    #[getter]
    fn version<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match self.inner().version() {
            "HTTP/1.1" => intern!(py, "HTTP/1.1").clone(),
            other => PyString::new(py, other),
        }
    }

    #[getter]
    fn url(&self, py: Python<'_>) -> Py<PyString> {
        self.cache(py).url.get_or_init(py, || PyString::new(py, self.inner().url()).unbind()).clone_ref(py)
    }

    #[getter]
    fn path(&self, py: Python<'_>) -> Py<PyString> {
        self.url(py)
    }

    #[getter]
    fn query(&self) -> &str {
        self.inner().query()
    }

    #[getter]
    fn params(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let params = self.cache(py).params.get_or_try_init(py, || {
            let params = values(py)?;
            for (name, value) in self.inner().params() {
                set_first(&params, &name, value)?;
            }
            Ok::<_, PyErr>(params.unbind())
        })?;
        Ok(params.clone_ref(py))
    }

    /// The parameters of the query, with all values of each name.
    #[getter]
    fn args(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let args = self.cache(py).args.get_or_try_init(py, || multi_dict(py, self.inner().params()))?;
        Ok(args.clone_ref(py))
    }

    #[getter]
    fn params_all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let params = PyDict::new(py);
        for (name, value) in self.inner().params() {
            match params.get_item(&name)? {
                Some(values) => values.cast::<PyList>()?.append(value)?,
                None => params.set_item(name, [value])?,
            }
        }
        Ok(params)
    }

    /// The route that answers, as it was written for a decorator; `None` for one of `set_route`.
    #[getter]
    fn route(&self) -> Option<&str> {
        self.inner().parameters().map(outside::message::Parameters::pattern)
    }

    /// The parameters of the path by name; empty if the route has none.
    #[getter]
    fn path_params<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let params = PyDict::new(py);
        for (name, value) in self.inner().parameters().iter().flat_map(|parameters| parameters.iter()) {
            params.set_item(name, value_of(py, value)?)?;
        }
        Ok(params)
    }

    #[getter]
    fn address(&self) -> (String, u16) {
        pair(self.inner().address())
    }

    #[getter]
    fn client(&self) -> (String, u16) {
        self.address()
    }

    #[getter]
    fn peer(&self) -> (String, u16) {
        pair(self.inner().peer())
    }

    #[getter]
    fn host(&self) -> &str {
        self.inner().host()
    }

    #[getter]
    fn scheme(&self) -> &'static str {
        self.inner().scheme()
    }

    /// The content as text; bytes that are no UTF-8 become U+FFFD.
    #[getter]
    fn text(&self, py: Python<'_>) -> PyResult<std::borrow::Cow<'_, str>> {
        Ok(String::from_utf8_lossy(self.gathered(py)?.try_content()?))
    }

    /// The fields of a form. A malformed or oversized one is a `ContentError`.
    #[getter]
    fn form(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.make_form(py)?.0.clone_ref(py))
    }

    /// The files of a form. A malformed or oversized one is a `ContentError`.
    #[getter]
    fn files(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(self.make_form(py)?.1.clone_ref(py))
    }

    /// The value of the content as JSON, or `None` if it is no JSON: parsed once, the same object each time. With a model
    /// the value is one of it, and with `strict` as well content that is none is an `InputError`.
    #[pyo3(signature = (model=None, *, strict=false))]
    fn json<'py>(
        slf: &Bound<'py, Self>,
        model: Option<&Bound<'py, PyAny>>,
        strict: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        static READ: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let (py, this) = (slf.py(), slf.get());
        if strict || model.is_some() {
            return READ.import(py, "outside._input.by_hand", "read_json")?.call1((slf, model));
        }
        Ok(match this.parsed(py)? {
            Ok(value) => value.bind(py).clone(),
            Err(_) => py.None().into_bound(py),
        })
    }

    /// The value of the content as JSON, or the reason why it is none.
    fn _json_or_reason<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, Option<&str>)> {
        Ok(match self.parsed(py)? {
            Ok(value) => (Some(value.bind(py).clone()), None),
            Err(NoJson(reason)) => (None, Some(reason)),
        })
    }

    fn __repr__(&self) -> String {
        // Programs log it: characters that are not visible are escaped.
        format!("<Request {} {}>", self.inner().method(), outside::log::one_line(self.inner().url()))
    }

    /// Copies and pickles are built anew from the same parts.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let headers = PyDict::new(py);
        for (name, value) in this.inner().headers().iter() {
            set_first(&headers, name, text(value))?;
        }
        let (content, address, inner) = (this.content(py)?, this.address(), this.inner());
        let parts = (inner.method(), headers, content, inner.version(), inner.target(), address);
        (slf.get_type(), parts).into_pyobject(py)
    }
}
