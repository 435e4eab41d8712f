//! `environ`: a copy of the mount's template with the parts of one request (PEP 3333, "environ Variables").
//!
//! Every string has one character for each byte that came in (latin-1). Names of fields that have an underscore are left
//! out, because they could pose as names with a hyphen; `Proxy` is left out, because CGI programs read `HTTP_PROXY`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use outside::Request;
use outside::message::KnownHeader;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::address::address_text;
use super::usual_names::{UsualNames, key_of};
use super::wsgi_input::{Input, no_input};

/// Fills in a copy of the template. `listener` are its name and port, if it has them; `below` are the path of the server behind its proxy and the mount's path, both without
/// a slash at the end.
pub(super) fn environ<'py>(
    py: Python<'py>,
    template: &Py<PyDict>,
    listener: Option<(Bound<'py, PyString>, Bound<'py, PyString>)>,
    below: (&str, &str),
    request: &Arc<Request>,
) -> PyResult<Bound<'py, PyDict>> {
    let environ = template.bind(py).copy()?;
    environ.set_item(intern!(py, "REQUEST_METHOD"), method(py, request.method()))?;
    environ.set_item(intern!(py, "PATH_INFO"), path_info(py, below, request))?;
    let query = match request.query() {
        "" => intern!(py, "").clone(),
        query => PyString::new(py, query),
    };
    environ.set_item(intern!(py, "QUERY_STRING"), query)?;
    let target = PyString::new(py, request.target());
    environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
    environ.set_item(intern!(py, "RAW_URI"), target)?;
    let protocol = match request.version() {
        "HTTP/1.1" => intern!(py, "HTTP/1.1"),
        "HTTP/1.0" => intern!(py, "HTTP/1.0"),
        // CGI has a minor number for every version.
        _ => intern!(py, "HTTP/2.0"),
    };
    environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
    set_addresses(py, &environ, listener, request)?;
    set_fields(py, &environ, request)?;
    let has_content = request.is_streamed() || request.content_length() > 0;
    let input = if has_content { Bound::new(py, Input::of(request))? } else { no_input(py)?.clone() };
    environ.set_item(intern!(py, "wsgi.input"), input)?;
    Ok(environ)
}

fn method<'py>(py: Python<'py>, method: &str) -> Bound<'py, PyString> {
    match method {
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

/// The path below the mount, percent-decoded once and otherwise as received.
fn path_info<'py>(py: Python<'py>, below: (&str, &str), request: &Request) -> Bound<'py, PyString> {
    let raw = request.raw_path().as_bytes();
    let decoded = if raw.contains(&b'%') { Cow::Owned(percent_decoded(raw)) } else { Cow::Borrowed(raw) };
    let (root_path, script_name) = below;
    // Some proxies take their own path away, others do not.
    let decoded = match decoded.strip_prefix(root_path.as_bytes()) {
        Some(rest) if !root_path.is_empty() && matches!(rest, [] | [b'/', ..]) => rest,
        _ => &decoded[..],
    };
    match decoded.strip_prefix(script_name.as_bytes()) {
        Some(below) => latin_1(py, below),
        // The path leads into the mount by dot segments.
        None => latin_1(py, request.url().strip_prefix(script_name).unwrap_or_default().as_bytes()),
    }
}

/// Bytes behind percent signs decoded; a sign that no two digits follow stays.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// A string with one character for each byte.
pub(super) fn latin_1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => PyString::new(py, text),
        _ => PyString::new(py, &bytes.iter().map(|&byte| char::from(byte)).collect::<String>()),
    }
}

fn set_addresses<'py>(
    py: Python<'py>,
    environ: &Bound<'py, PyDict>,
    listener: Option<(Bound<'py, PyString>, Bound<'py, PyString>)>,
    request: &Request,
) -> PyResult<()> {
    let client = request.address();
    if is_unknown(client) {
        environ.set_item(intern!(py, "REMOTE_ADDR"), intern!(py, ""))?;
    } else {
        environ.set_item(intern!(py, "REMOTE_ADDR"), address_text(py, client.ip()))?;
        environ.set_item(intern!(py, "REMOTE_PORT"), client.port().to_string())?;
    }
    let is_secure = request.scheme() == "https";
    if is_secure {
        environ.set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
        environ.set_item(intern!(py, "HTTPS"), intern!(py, "on"))?;
    }
    if let Some((name, port)) = listener {
        // Applications look at HTTP_HOST first (PEP 3333, "URL Reconstruction").
        environ.set_item(intern!(py, "SERVER_NAME"), name)?;
        return environ.set_item(intern!(py, "SERVER_PORT"), port);
    }
    // A Unix socket has neither.
    let (name, port) = split_host(request.host());
    let port = match (port, is_secure) {
        (Some(port), _) => PyString::new(py, port),
        (None, true) => intern!(py, "443").clone(),
        (None, false) => intern!(py, "80").clone(),
    };
    let name = if name.is_empty() { intern!(py, "localhost").clone() } else { PyString::new(py, name) };
    environ.set_item(intern!(py, "SERVER_NAME"), name)?;
    environ.set_item(intern!(py, "SERVER_PORT"), port)
}

/// Whether the address stands for none, as that of a client of a Unix socket.
fn is_unknown(address: SocketAddr) -> bool {
    address.port() == 0 && address.ip().is_unspecified()
}

/// Name and port of an authority; an IPv6 address keeps its brackets.
fn split_host(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (name, Some(port)),
        _ => (host, None),
    }
}

fn set_fields(py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
    let usual = UsualNames::get(py);
    let mut seen = 0_u64;
    for (name, value) in request.headers().iter() {
        match usual.find(name.as_bytes()) {
            Some(known) => {
                let bit = 1 << known.number;
                match seen & bit == 0 {
                    true => environ.set_item(&known.key, latin_1(py, value))?,
                    false => join(environ, known.key.bind(py), name, value)?,
                }
                seen |= bit;
            }
            None if name.contains('_') || name.eq_ignore_ascii_case("proxy") => {}
            None => {
                let key = PyString::new(py, &key_of(name));
                match environ.contains(&key)? {
                    true => join(environ, &key, name, value)?,
                    false => environ.set_item(key, latin_1(py, value))?,
                }
            }
        }
    }
    if request.headers().known(KnownHeader::TransferEncoding).is_some() && !request.is_streamed() {
        // All content is here: an application need not know in which pieces it came.
        environ.del_item(intern!(py, "HTTP_TRANSFER_ENCODING"))?;
        environ.set_item(intern!(py, "CONTENT_LENGTH"), request.content_length().to_string())?;
    }
    Ok(())
}

/// Adds the value of a repeated field to the one before.
fn join(environ: &Bound<'_, PyDict>, key: &Bound<'_, PyString>, name: &str, value: &[u8]) -> PyResult<()> {
    let py = environ.py();
    let before: String = match environ.get_item(key)? {
        Some(before) => before.extract()?,
        None => String::new(),
    };
    // HTTP/2 clients split Cookie (RFC 9113 section 8.2.3); its values are joined by a semicolon.
    let separator = if name.eq_ignore_ascii_case("cookie") { "; " } else { "," };
    let value = latin_1(py, value);
    environ.set_item(key, format!("{before}{separator}{}", value.to_str()?))
}
