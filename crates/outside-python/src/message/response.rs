//! `Response`: the answer of a handler. Attributes can be changed until it is sent.

use std::sync::Mutex;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::errors::value_error;
use crate::message::cookie::ResponseCookie;
use crate::message::file_path::FilePath;
use crate::message::media_type::{is_model, media_type_of};
use crate::message::response_headers::ResponseHeaders;
use crate::support::{kind, lock};

/// An answer: status, headers, content and cookies.
#[pyclass(module = "outside", name = "Response", subclass, frozen, dict, weakref)]
pub(crate) struct Response(Mutex<ResponseState>);

#[derive(Default)]
struct ResponseState {
    fields: ResponseFields,
    /// Whether the headers are a copy for this response alone, made when the program first asks for them.
    has_own_headers: bool,
    /// The same for the content.
    has_own_content: bool,
    /// The same for the cookies.
    has_own_cookies: bool,
    /// Whether `headers` have the media type that is going to be sent.
    shows_type: bool,
    /// The media type in `headers`, if it is the content's and not the program's.
    implied_type: Option<Py<PyString>>,
}

/// The attributes; `None` stands for an empty dictionary or an empty text that was not asked for yet.
#[derive(Default)]
pub(crate) struct ResponseFields {
    pub(crate) status_code: u16,
    pub(crate) headers: Option<Py<PyDict>>,
    pub(crate) content: Option<Py<PyAny>>,
    pub(crate) cookies: Option<Py<PyDict>>,
}

impl Response {
    /// A response that alone has these attributes; `headers` are `ResponseHeaders`.
    pub(crate) fn from_fields(fields: ResponseFields) -> Self {
        let own = ResponseState {
            fields,
            has_own_headers: true,
            has_own_content: true,
            has_own_cookies: true,
            ..ResponseState::default()
        };
        Self(Mutex::new(own))
    }

    /// A response to which a program has given this status and content.
    pub(crate) fn given(status_code: u16, headers: Option<Py<PyDict>>, content: Option<Py<PyAny>>) -> Self {
        let fields = ResponseFields { status_code, headers, content, cookies: None };
        Self(Mutex::new(ResponseState { fields, ..ResponseState::default() }))
    }

    /// The same answer with another status and more header fields.
    pub(crate) fn with_status_and_headers(
        &self,
        py: Python<'_>,
        status_code: u16,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let fields = self.fields(py);
        let headers = ResponseHeaders::copy_of(py, fields.headers.as_ref().map(|headers| headers.bind(py)))?;
        for (name, value) in more.into_iter().flatten() {
            headers.as_any().set_item(name, value)?;
        }
        let fields = ResponseFields { status_code, headers: Some(headers.unbind()), ..fields };
        Ok(Self(Mutex::new(ResponseState { fields, ..ResponseState::default() })))
    }

    /// An attribute, or the copy of it that `copy` makes; outside of the lock, since that may run code of the program.
    fn own<'py, T>(
        &self,
        py: Python<'py>,
        field: impl Fn(&mut ResponseState) -> (&mut Option<Py<T>>, &mut bool),
        copy: impl FnOnce(Option<Bound<'py, T>>) -> PyResult<Bound<'py, T>>,
    ) -> PyResult<Py<T>> {
        let given = match field(&mut lock(&self.0)) {
            (Some(own), true) => return Ok(own.clone_ref(py)),
            (given, _) => given.as_ref().map(|given| given.bind(py).clone()),
        };
        let made = copy(given)?.unbind();
        let mut state = lock(&self.0);
        let (value, is_own) = field(&mut state);
        let replaced = match (&mut *value, *is_own) {
            // Another thread has set the attribute first.
            (Some(own), true) => return Ok(own.clone_ref(py)),
            (value, _) => value.replace(made.clone_ref(py)),
        };
        *is_own = true;
        drop(state);
        drop(replaced);
        Ok(made)
    }

    /// Makes `headers` have the media type that is going to be sent, from now on.
    pub(crate) fn show_type(&self) {
        lock(&self.0).shows_type = true;
    }

    /// Adds the media type to the headers, if it is to be shown and the program has set none.
    fn add_type(&self, headers: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = headers.py();
        let content = {
            let mut state = lock(&self.0);
            if !state.shows_type || matches!(state.fields.status_code, 204 | 304) {
                return Ok(());
            }
            // Once, because a program may take it out.
            state.shows_type = false;
            state.fields.content.as_ref().map(|content| content.clone_ref(py))
        };
        let name = intern!(py, "Content-Type");
        if let Some(implied) = content.and_then(|content| media_type_of(content.bind(py)))
            && !headers.as_any().contains(name)?
        {
            let implied = PyString::new(py, &implied);
            headers.as_any().set_item(name, &implied)?;
            let before = lock(&self.0).implied_type.replace(implied.unbind());
            drop(before);
        }
        Ok(())
    }

    /// The content was replaced: a media type that was derived from the old content goes with it.
    fn forget_type(&self, py: Python<'_>) -> PyResult<()> {
        let (implied, headers) = {
            let mut state = lock(&self.0);
            let Some(implied) = state.implied_type.take() else { return Ok(()) };
            state.shows_type = true;
            (implied, state.fields.headers.as_ref().map(|headers| headers.clone_ref(py)))
        };
        let (name, headers) = (intern!(py, "Content-Type"), headers.map(|headers| headers.into_bound(py).into_any()));
        match headers {
            Some(headers) if headers.contains(name)? && headers.get_item(name)?.eq(&implied)? => headers.del_item(name),
            _ => Ok(()),
        }
    }

    /// The present attributes.
    pub(crate) fn fields(&self, py: Python<'_>) -> ResponseFields {
        let fields = &lock(&self.0).fields;
        ResponseFields {
            status_code: fields.status_code,
            headers: fields.headers.as_ref().map(|headers| headers.clone_ref(py)),
            content: fields.content.as_ref().map(|content| content.clone_ref(py)),
            cookies: fields.cookies.as_ref().map(|cookies| cookies.clone_ref(py)),
        }
    }
}

/// An argument as it was given, `None` included; without one, the default.
struct ExplicitArgument<'py>(Option<Bound<'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for ExplicitArgument<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(object.to_owned())))
    }
}

fn check_status(status: &Bound<'_, PyAny>) -> PyResult<u16> {
    let code: i64 = status
        .extract()
        .map_err(|_| PyTypeError::new_err(format!("status_code is a whole number, not {}", kind(status))))?;
    match u16::try_from(code) {
        Ok(code) if (200..=599).contains(&code) => Ok(code),
        _ => Err(PyValueError::new_err(format!("status_code is one of 200 to 599, not {code}"))),
    }
}

fn check_dict<'a, 'py>(name: &str, value: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    value.cast().map_err(|_| PyTypeError::new_err(format!("{name} is a dict, not {}", kind(value))))
}

fn check_content(content: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = content.py();
    let fits = content.is_exact_instance_of::<PyString>()
        || content.is_exact_instance_of::<PyBytes>()
        || content.is_instance_of::<PyString>()
        || content.is_instance_of::<PyBytes>()
        || content.is_instance_of::<PyByteArray>()
        || content.is_instance_of::<PyDict>()
        || content.is_instance_of::<PyList>()
        || content.is_instance_of::<FilePath>()
        || content.is_none()
        || is_model(content)
        || content.hasattr(intern!(py, "__iter__"))?
        || content.hasattr(intern!(py, "__aiter__"))?;
    if fits && !content.is_instance_of::<PyTuple>() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "content is str, bytes, a FilePath, a dict or list (JSON), or an iterator of str or bytes, not {}",
        kind(content)
    )))
}

fn copied(content: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = content.py();
    match (content.cast_exact::<PyDict>(), content.cast_exact::<PyList>()) {
        (Ok(dict), _) => dict.copy().map(Bound::into_any),
        (_, Ok(list)) => Ok(list.get_slice(0, list.len()).into_any()),
        _ => py.import("copy")?.call_method1("copy", (content,)),
    }
}

/// Content that a program can change where it stands.
fn is_changeable(content: &Bound<'_, PyAny>) -> bool {
    content.is_instance_of::<PyDict>() || content.is_instance_of::<PyList>() || content.is_instance_of::<PyByteArray>()
}

/// The attributes in the order of `__init__`, and those that the program has added.
type ResponseStateParts<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyDict>);

#[pymethods]
impl Response {
    // Accepts anything: the arguments are checked in `__init__`, which a subclass may replace. PyO3 hands these two
    // through as they are.
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(status_code=200, headers=None, content='', cookies=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::from_fields(ResponseFields { status_code: 200, ..ResponseFields::default() })
    }

    #[pyo3(signature = (status_code=ExplicitArgument(None), headers=None, content=None, cookies=None))]
    fn __init__(
        &self,
        status_code: ExplicitArgument<'_>,
        headers: Option<&Bound<'_, PyAny>>,
        content: Option<&Bound<'_, PyAny>>,
        cookies: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let fields = ResponseFields {
            status_code: status_code.0.as_ref().map_or(Ok(200), check_status)?,
            headers: headers.map(|value| check_dict("headers", value)).transpose()?.map(|dict| dict.clone().unbind()),
            content: content.map(|value| check_content(value).map(|()| value.clone().unbind())).transpose()?,
            cookies: cookies.map(|value| check_dict("cookies", value)).transpose()?.map(|dict| dict.clone().unbind()),
        };
        let before = std::mem::replace(&mut *lock(&self.0), ResponseState { fields, ..ResponseState::default() });
        drop(before);
        Ok(())
    }

    #[getter]
    fn status_code(&self) -> u16 {
        lock(&self.0).fields.status_code
    }

    #[setter]
    fn set_status_code(&self, status_code: &Bound<'_, PyAny>) -> PyResult<()> {
        let status_code = check_status(status_code)?;
        lock(&self.0).fields.status_code = status_code;
        Ok(())
    }

    #[getter]
    fn headers(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let headers = self.own(
            py,
            |state| (&mut state.fields.headers, &mut state.has_own_headers),
            |given| ResponseHeaders::copy_of(py, given.as_ref()),
        )?;
        self.add_type(headers.bind(py))?;
        Ok(headers)
    }

    #[setter]
    fn set_headers(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let headers = check_dict("headers", headers)?.clone().unbind();
        let before = {
            let mut state = lock(&self.0);
            state.has_own_headers = false;
            (state.fields.headers.replace(headers), state.implied_type.take())
        };
        drop(before);
        Ok(())
    }

    #[getter]
    fn content(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let content = match &lock(&self.0).fields.content {
            Some(content) => content.clone_ref(py),
            None => return Ok(intern!(py, "").clone().into_any().unbind()),
        };
        if !is_changeable(content.bind(py)) {
            return Ok(content);
        }
        self.own(
            py,
            |state| (&mut state.fields.content, &mut state.has_own_content),
            |given| given.map_or_else(|| Ok(content.into_bound(py)), copied),
        )
    }

    #[setter]
    fn set_content(&self, content: &Bound<'_, PyAny>) -> PyResult<()> {
        check_content(content)?;
        let before = {
            let mut state = lock(&self.0);
            state.has_own_content = false;
            state.fields.content.replace(content.clone().unbind())
        };
        drop(before);
        self.forget_type(content.py())
    }

    #[getter]
    fn cookies(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        self.own(
            py,
            |state| (&mut state.fields.cookies, &mut state.has_own_cookies),
            |given| {
                let own = PyDict::new(py);
                for (name, cookie) in given.iter().flatten() {
                    if cookie.is_instance_of::<ResponseCookie>() {
                        own.set_item(name, py.import("copy")?.call_method1("copy", (cookie,))?)?;
                    } else {
                        own.set_item(name, cookie)?;
                    }
                }
                Ok(own)
            },
        )
    }

    #[setter]
    fn set_cookies(&self, cookies: &Bound<'_, PyAny>) -> PyResult<()> {
        let cookies = check_dict("cookies", cookies)?.clone().unbind();
        let before = {
            let mut state = lock(&self.0);
            state.has_own_cookies = false;
            state.fields.cookies.replace(cookies)
        };
        drop(before);
        Ok(())
    }

    /// Sets a cookie; see `outside/_handlers/cookies.py`.
    #[pyo3(signature = (name, value="", **attributes))]
    fn set_cookie(
        slf: &Bound<'_, Self>,
        name: &str,
        value: &str,
        attributes: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let make = slf.py().import("outside._handlers.cookies")?.getattr("made")?;
        let cookie = make.call((name, value), attributes)?;
        cookie.cast::<ResponseCookie>()?.get().to_field(name).map_err(value_error)?;
        slf.get().cookies(slf.py())?.bind(slf.py()).set_item(name, cookie)
    }

    /// Makes the browser forget a cookie.
    #[pyo3(signature = (name, **attributes))]
    fn delete_cookie(slf: &Bound<'_, Self>, name: &str, attributes: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let attributes = attributes.map_or_else(|| Ok(PyDict::new(slf.py())), |given| given.copy())?;
        attributes.set_item("max_age", 0)?;
        attributes.set_item("expires", 0)?;
        Self::set_cookie(slf, name, "", Some(&attributes))
    }

    /// Copies and pickles get the same attributes; the `__init__` of a subclass is not called for them.
    fn __getstate__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let own = slf.getattr(intern!(py, "__dict__"))?;
        // As plain dictionaries, whose copies are made again when they are asked for.
        let headers = PyDict::new(py);
        headers.update(this.headers(py)?.bind(py).as_mapping())?;
        (this.status_code(), headers, this.content(py)?, this.cookies(py)?, own).into_pyobject(py)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: ResponseStateParts<'_>) -> PyResult<()> {
        let (status_code, headers, content, cookies, own) = state;
        let this = slf.get();
        this.set_status_code(&status_code)?;
        this.set_headers(&headers)?;
        this.set_content(&content)?;
        this.set_cookies(&cookies)?;
        slf.getattr(intern!(slf.py(), "__dict__"))?.cast::<PyDict>()?.update(own.as_mapping())
    }

    /// From now on the headers are shown as they are going to be sent.
    fn _show_type(&self) {
        self.show_type();
    }

    /// Whether the content is made while it is sent; asked without a copy of it.
    fn _is_stream(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(content) = self.fields(py).content else { return Ok(false) };
        let content = content.bind(py);
        let is_whole = content.is_exact_instance_of::<PyString>() || content.is_exact_instance_of::<PyBytes>();
        Ok(!is_whole
            && !is_changeable(content)
            && (content.hasattr(intern!(py, "__next__"))? || content.hasattr(intern!(py, "__aiter__"))?))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let fields = self.fields(py);
        let content = match &fields.content {
            Some(content) => content.bind(py).repr()?.to_string(),
            None => "''".to_owned(),
        };
        let shown: String = content.chars().take(60).collect();
        let more = if shown.len() < content.len() { "…" } else { "" };
        Ok(format!("<Response {} {shown}{more}>", fields.status_code))
    }
}
