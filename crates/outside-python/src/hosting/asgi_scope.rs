//! The scope of a call (ASGI 3, HTTP and WebSocket 2.5): a dictionary from the request as it was received.

use outside::Request;
use outside::message::decode_lossy;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::hosting::address::address_text;
use crate::hosting::asgi_extensions::OFFERED;
use crate::hosting::usual_names::UsualNames;

/// The keys of a scope that each request fills itself.
const PLACES: &[&str] = &["http_version", "scheme", "raw_path", "query_string", "path", "headers", "client", "server"];

/// The protocol of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    WebSocket,
}

/// The parts of a scope that are the same for all calls of an application.
pub(crate) struct Templates {
    http: Py<PyDict>,
    websocket: Py<PyDict>,
    root_path: String,
}

impl Templates {
    pub(crate) fn new(py: Python<'_>, root_path: &str) -> PyResult<Self> {
        let template = |kind: &str, extensions: &[&str]| {
            // The names are those objects that the code of an application has too: it finds them without a comparison.
            let name = |name: &str| PyString::intern(py, name);
            let asgi = PyDict::new(py);
            asgi.set_item(name("version"), "3.0")?;
            asgi.set_item(name("spec_version"), "2.5")?;
            let offered = PyDict::new(py);
            extensions.iter().try_for_each(|extension| offered.set_item(name(extension), PyDict::new(py)))?;
            let scope = PyDict::new(py);
            scope.set_item(name("type"), name(kind))?;
            scope.set_item(name("asgi"), asgi)?;
            scope.set_item(name("root_path"), root_path)?;
            scope.set_item(name("extensions"), offered)?;
            // A copy has the room of its template: it does not grow while a request fills its places.
            let own = if kind == "http" { "method" } else { "subprotocols" };
            PLACES.iter().chain([&own]).try_for_each(|place| scope.set_item(name(place), py.None()))?;
            Ok::<_, PyErr>(scope.unbind())
        };
        Ok(Self {
            http: template("http", OFFERED)?,
            websocket: template("websocket", &["websocket.http.response"])?,
            root_path: root_path.to_owned(),
        })
    }

    /// The scope of a request. `state` is the state of the lifespan, `server` the address where the server listens.
    pub(crate) fn scope<'py>(
        &self,
        py: Python<'py>,
        protocol: Protocol,
        request: &Request,
        state: Option<&Bound<'py, PyDict>>,
        server: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let is_http = protocol == Protocol::Http;
        let template = if is_http { &self.http } else { &self.websocket };
        let scope = template.bind(py).copy()?;
        let offered = template.bind(py).get_item(intern!(py, "extensions"))?;
        if let Some(offered) = offered.as_ref().and_then(|offered| offered.cast::<PyDict>().ok()) {
            let offered = offered.copy()?;
            if is_http && takes_trailers(request) {
                offered.set_item(intern!(py, "http.response.trailers"), PyDict::new(py))?;
            }
            if request.is_encrypted() {
                offered.set_item(intern!(py, "tls"), tls(py)?)?;
            }
            scope.set_item(intern!(py, "extensions"), offered)?;
        }
        let version = match request.version() {
            "HTTP/2" => intern!(py, "2"),
            "HTTP/1.0" => intern!(py, "1.0"),
            _ => intern!(py, "1.1"),
        };
        scope.set_item(intern!(py, "http_version"), version)?;
        let scheme = match (request.scheme() == "https", is_http) {
            (false, true) => intern!(py, "http"),
            (true, true) => intern!(py, "https"),
            (false, false) => intern!(py, "ws"),
            (true, false) => intern!(py, "wss"),
        };
        scope.set_item(intern!(py, "scheme"), scheme)?;
        let (path, query) = path_and_query(request.target());
        // A proxy in front may have taken the prefix away, or not.
        let whole;
        let path = match is_below(path, &self.root_path) {
            true => path,
            false => {
                whole = format!("{}{path}", self.root_path);
                &whole
            }
        };
        scope.set_item(intern!(py, "raw_path"), PyBytes::new(py, path.as_bytes()))?;
        scope.set_item(intern!(py, "query_string"), PyBytes::new(py, query.as_bytes()))?;
        match path.contains('%') {
            true => scope.set_item(intern!(py, "path"), &*decode_lossy(path.as_bytes()))?,
            false => scope.set_item(intern!(py, "path"), path)?,
        }
        scope.set_item(intern!(py, "headers"), headers(py, request)?)?;
        scope.set_item(intern!(py, "client"), client(py, request)?)?;
        scope.set_item(intern!(py, "server"), server)?;
        if let Some(state) = state {
            scope.set_item(intern!(py, "state"), state.copy()?)?;
        }
        match is_http {
            true => match request.method() {
                "GET" => scope.set_item(intern!(py, "method"), intern!(py, "GET"))?,
                "POST" => scope.set_item(intern!(py, "method"), intern!(py, "POST"))?,
                method => scope.set_item(intern!(py, "method"), method)?,
            },
            false => scope.set_item(intern!(py, "subprotocols"), subprotocols(py, request)?)?,
        }
        Ok(scope)
    }
}

/// Whether the client gets trailers: in HTTP/2, and in HTTP/1.1 if it says so (RFC 9110 section 10.1.4).
fn takes_trailers(request: &Request) -> bool {
    match request.version() {
        "HTTP/2" => true,
        "HTTP/1.0" => false,
        _ => request.headers().get_all("te").any(|value| {
            value.split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        }),
    }
}

/// Whether a path is this prefix, or below it.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path and the query of a target, which may have the absolute form (RFC 9112 section 3.2.2).
fn path_and_query(target: &str) -> (&str, &str) {
    let absolute = if target.starts_with('/') { None } else { target.split_once("://") };
    let below = match absolute {
        Some((_, rest)) => rest.find(['/', '?']).map_or("", |slash| &rest[slash..]),
        None => target,
    };
    let (path, query) = below.split_once('?').unwrap_or((below, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// The fields as pairs of bytes, names in lower case; the host first, which HTTP/2 has apart from the fields.
fn headers<'py>(py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyList>> {
    let usual = UsualNames::get(py);
    let fields = request.headers();
    let list = PyList::empty(py);
    if request.version() == "HTTP/2" && fields.get_bytes("host").is_none() && !request.host().is_empty() {
        list.append((PyBytes::new(py, b"host"), PyBytes::new(py, request.host().as_bytes())))?;
    }
    for (name, value) in fields.iter_bytes() {
        let value = PyBytes::new(py, value);
        let pair = match usual.find(name) {
            Some(usual) => PyTuple::new(py, [usual.lower.bind(py), &value])?,
            None => PyTuple::new(py, [&PyBytes::new(py, &name.to_ascii_lowercase()), &value])?,
        };
        list.append(pair)?;
    }
    Ok(list)
}

/// The extension `tls`: that TLS is used, and no more.
fn tls(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let tls = PyDict::new(py);
    tls.set_item("client_cert_chain", PyTuple::empty(py))?;
    for name in ["server_cert", "client_cert_name", "client_cert_error", "tls_version", "cipher_suite"] {
        tls.set_item(name, py.None())?;
    }
    Ok(tls)
}

/// Address and port of the client; `None` for one of a Unix socket.
fn client<'py>(py: Python<'py>, request: &Request) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let address = request.address();
    if address.port() == 0 && address.ip().is_unspecified() {
        return Ok(None);
    }
    (address_text(py, address.ip()), address.port()).into_pyobject(py).map(Some)
}

fn subprotocols<'py>(py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyList>> {
    let offered = request.headers().get_all("sec-websocket-protocol");
    let names = offered.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
    PyList::new(py, names.filter(|name| !name.is_empty()).map(String::from_utf8_lossy).collect::<Vec<_>>())
}

/// Whether the client asks for a WebSocket.
pub(crate) fn asks_for_websocket(request: &Request) -> bool {
    request.method() == "GET"
        && request.version() == "HTTP/1.1"
        && request.headers().get_all("upgrade").any(|value| value.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}
