//! The application behind the corpus: the twin of `tests/programs/app.py`, with the same routes and the same answers.

use outside::config::AccessLog;
use outside::{Error, OutsideHttp, Request, Response};

/// The server with all routes, on a port of the system's choice, not yet running.
pub(crate) fn server() -> Result<OutsideHttp, Error> {
    let mut server = OutsideHttp::new(("127.0.0.1", 0))?;
    server.config.access_log = AccessLog::Off;
    server.set_route("/hello", |_: &Request| plain("Hello, World!"))?;
    server.set_route("/echo", |request: &Request| Response::bytes(request.content().to_vec()))?;
    server.set_route("/method", |request: &Request| plain(request.method()))?;
    server.set_route("/target", |request: &Request| plain(format!("{}\n{}", request.url(), request.query())))?;
    server.set_route("/params", |request: &Request| {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in request.params() {
            if params.iter().all(|(known, _)| *known != name) {
                params.push((name, value));
            }
        }
        plain(lines("=", params))
    })?;
    server.set_route("/headers", |request: &Request| {
        plain(lines(": ", request.headers().iter().map(|(name, value)| (name.to_owned(), text(value)))))
    })?;
    server.set_route("/cookies", |request: &Request| {
        plain(lines("=", request.cookies().iter().map(|(name, value)| (text(name), text(value)))))
    })?;
    server.set_route("/ignore", |_: &Request| plain("ignored"))?;
    server.set_route("/stream", |_: &Request| {
        Response::stream(["one", "two", "three"]).with_header("Content-Type", "text/plain")
    })?;
    server.set_route("/no-content", |_: &Request| Response::new(204))?;
    server.set_route("/not-modified", |_: &Request| Response::new(304))?;
    server.set_route("/raise", |_: &Request| -> Result<Response, Error> {
        Err(Error::new("this text is for the log alone"))
    })?;
    server.set_route("/teapot", |_: &Request| (418, "short and stout"))?;
    server.set_route("/split", |_: &Request| {
        Response::text("split").with_header("X-Split", "a\r\nSet-Cookie: stolen=1\r\n\r\nHTTP/1.1 200 OK")
    })?;
    Ok(server)
}

fn plain(content: impl Into<String>) -> Response {
    Response::new(200).with_header("Content-Type", "text/plain").with_content(content.into())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(between: &str, pairs: impl IntoIterator<Item = (String, String)>) -> String {
    let lines: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}{between}{value}")).collect();
    lines.join("\n")
}
