//! The scope of a call (ASGI 3, HTTP and WebSocket 2.5): a dictionary from the request as it was received.

use std::collections::HashMap;

use outside::Request;
use outside::message::decode_lossy;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::hosting::address::address_text;
use crate::hosting::asgi_extensions::OFFERED;

/// Names of fields that most requests have: their objects are made once.
const NAMES: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "proxy-authorization",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
];

/// The keys of a scope that each request fills itself.
const PLACES: &[&str] = &["http_version", "scheme", "raw_path", "query_string", "path", "headers", "client", "server"];

/// Bytes of the longest name that is looked up among them.
const LONGEST_NAME: usize = 32;

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
    let below = match target.find("://") {
        Some(at) if !target.starts_with('/') => {
            let rest = &target[at + 3..];
            rest.find(['/', '?']).map_or("", |slash| &rest[slash..])
        }
        _ => target,
    };
    let (path, query) = below.split_once('?').unwrap_or((below, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// The fields as pairs of bytes, names in lower case; the host first, which HTTP/2 has apart from the fields.
fn headers<'py>(py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyList>> {
    static KNOWN: PyOnceLock<HashMap<&'static [u8], Py<PyBytes>>> = PyOnceLock::new();
    let known = KNOWN.get_or_init(py, || {
        NAMES.iter().map(|name| (name.as_bytes(), PyBytes::new(py, name.as_bytes()).unbind())).collect()
    });
    let fields = request.headers();
    let list = PyList::empty(py);
    if request.version() == "HTTP/2" && fields.get_bytes("host").is_none() && !request.host().is_empty() {
        list.append((known.get(&b"host"[..]), PyBytes::new(py, request.host().as_bytes())))?;
    }
    for (name, value) in fields.iter() {
        let mut lower = [0; LONGEST_NAME];
        let value = PyBytes::new(py, value);
        let short = lower.get_mut(..name.len()).and_then(|lower| {
            lower.copy_from_slice(name.as_bytes());
            lower.make_ascii_lowercase();
            known.get(&*lower)
        });
        match short {
            Some(name) => list.append(PyTuple::new(py, [name.bind(py), &value])?)?,
            None => {
                let name = PyBytes::new(py, name.to_ascii_lowercase().as_bytes());
                list.append(PyTuple::new(py, [&name, &value])?)?;
            }
        }
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
