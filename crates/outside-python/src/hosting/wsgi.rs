//! WSGI applications as handlers of the engine (PEP 3333).

use std::sync::{Arc, Mutex};

use outside::handler::{Answering, Function, Handler, SyncHandler};
use outside::message::KnownHeader;
use outside::{Error, Request, Response};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use super::wsgi_call::WsgiCall;
use super::wsgi_environ::environ;
use super::wsgi_running::RunningCall;
use crate::call::context::copy_context;
use crate::current_request::CurrentRequest;
use crate::forked::leave_if_forked;
use crate::logging::log_exception;
use crate::support::lock;

/// A WSGI application as a handler, for `set_route`.
#[pyclass(module = "outside", name = "WSGIApplication", frozen)]
pub(crate) struct WsgiApplication {
    /// The application itself.
    #[pyo3(get)]
    app: Py<PyAny>,
    /// The path of the server's own `/` for clients, without a slash at its end.
    #[pyo3(get)]
    root_path: String,
    place: Arc<ListenerPlace>,
}

/// Name and port of the listener, while a server serves at an address.
#[derive(Default)]
pub(super) struct ListenerPlace(Mutex<Option<(Py<PyString>, Py<PyString>)>>);

impl ListenerPlace {
    /// `SERVER_NAME` and `SERVER_PORT`, if there are such.
    pub(super) fn get<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyString>, Bound<'py, PyString>)> {
        lock(&self.0).as_ref().map(|(name, port)| (name.bind(py).clone(), port.bind(py).clone()))
    }
}

#[pymethods]
impl WsgiApplication {
    #[new]
    #[pyo3(signature = (app, root_path=String::new()))]
    fn new(app: Py<PyAny>, root_path: String) -> Self {
        Self { app, root_path, place: Arc::default() }
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<WSGI application {}>", crate::support::shown(self.app.bind(py)))
    }
}

impl WsgiApplication {
    /// Notes where the server listens, as `address` of a server tells it.
    pub(crate) fn note_server(&self, address: &Bound<'_, PyAny>) {
        let py = address.py();
        let place = address.extract().ok().map(|(ip, port): (String, u16)| {
            // An IPv6 address stands in brackets (RFC 3875 section 4.1.14).
            let name = if ip.contains(':') { format!("[{ip}]") } else { ip };
            (PyString::new(py, &name).unbind(), PyString::new(py, &port.to_string()).unbind())
        });
        let before = std::mem::replace(&mut *lock(&self.place.0), place);
        drop(before);
    }

    /// The engine's handler of this application at this route of a server with this configuration.
    pub(crate) fn to_engine(&self, py: Python<'_>, route: &str, config: Py<PyDict>) -> Handler {
        let (script_name, root_path) = (route.trim_end_matches('/').to_owned(), self.root_path.clone());
        let app = self.app.clone_ref(py);
        Handler::Sync(Function::answering(WsgiHandler {
            app,
            script_name,
            root_path,
            config,
            place: Arc::clone(&self.place),
            template: PyOnceLock::new(),
        }))
    }
}

/// The application on its route.
struct WsgiHandler {
    app: Py<PyAny>,
    script_name: String,
    root_path: String,
    config: Py<PyDict>,
    place: Arc<ListenerPlace>,
    /// The part of `environ` that all requests have; made at the first one, when the configuration is final.
    template: PyOnceLock<Py<PyDict>>,
}

impl WsgiHandler {
    fn template(&self, py: Python<'_>) -> PyResult<&Py<PyDict>> {
        self.template.get_or_try_init(py, || {
            let made = py.import("outside._hosting.wsgi")?.getattr("template")?;
            Ok(made
                .call1((&self.config, format!("{}{}", self.root_path, self.script_name)))?
                .cast_into::<PyDict>()?
                .unbind())
        })
    }

    /// Calls the application and takes its content; everything in one context.
    fn run(&self, context: &Bound<'_, PyAny>, call: &Bound<'_, WsgiCall>, request: &Arc<Request>) -> PyResult<()> {
        let py = context.py();
        let environ =
            environ(py, self.template(py)?, self.place.get(py), (&self.root_path, &self.script_name), request)?;
        match request.version() {
            "HTTP/1.0" => environ.del_item(intern!(py, "wsgi.early_hints"))?,
            _ => environ.set_item(intern!(py, "wsgi.early_hints"), call.getattr(intern!(py, "early_hints"))?)?,
        }
        if request.headers().known(KnownHeader::Upgrade).is_some() && request.version() == "HTTP/1.1" {
            let socket = py.import("outside._hosting.wsgi")?.getattr("UpgradeSocket")?;
            let socket = socket.call1((call.getattr(intern!(py, "upgrade"))?,))?;
            environ.set_item("werkzeug.socket", &socket)?;
            environ.set_item("gunicorn.socket", socket)?;
        }
        let run = intern!(py, "run");
        let called = context.call_method1(run, (&self.app, environ, call));
        leave_if_forked(py, &called);
        let content = called?;
        match content.cast_exact::<PyList>() {
            Ok(list) => call.get().take_list(list),
            Err(_) => {
                let taken = context.call_method1(run, (call.getattr(intern!(py, "take_all"))?, &content)).map(drop);
                leave_if_forked(py, &taken);
                taken
            }
        }
    }
}

impl SyncHandler for WsgiHandler {
    fn call(&self, _: &Arc<Request>) -> Result<Response, Error> {
        Err(Error::new("a WSGI application is called with a way to answer"))
    }

    fn call_answering(&self, request: &Arc<Request>, answering: Answering) -> Result<Response, Error> {
        Python::attach(|py| {
            let _until_it_ends = (RunningCall::begin(py, request), CurrentRequest::begin(request));
            let made =
                copy_context(py).and_then(|context| Ok((context, Bound::new(py, WsgiCall::new(request, answering))?)));
            let (context, call) = match made {
                Ok(made) => made,
                Err(error) => {
                    log_exception(py, None, "a WSGI application could not be called", &error);
                    return Err(Error::status(500, None));
                }
            };
            match self.run(&context, &call, request) {
                Ok(()) => call.get().answer(py),
                Err(error) => call.get().fail(py, &context, &error),
            }
        })
    }
}
