//! The path at which a browser shows the token for pages about exceptions, while a server with `debug` runs. The engine
//! answers there itself, without the functions around handlers. The answer comes from `outside/_debug/token.py`.

use outside::listen::Endpoint;
use outside::{Error, OutsideHttp, Request, Response};
use pyo3::prelude::*;

/// The route of the token, until this is dropped.
pub(crate) struct TokenRoute<'a>(&'a OutsideHttp);

const PATH: &str = "/.outside/debug";

impl<'a> TokenRoute<'a> {
    pub(crate) fn open(engine: &'a OutsideHttp) -> Result<Self, Error> {
        engine.set_route(PATH, enter)?;
        Ok(Self(engine))
    }
}

impl Drop for TokenRoute<'_> {
    fn drop(&mut self) {
        // An error means that the program has removed the route already.
        drop(self.0.remove_route(PATH));
    }
}

/// Status, header fields, content.
type TokenAnswer = (u16, Vec<(String, String)>, String);

fn enter(request: &Request) -> Result<Response, Error> {
    let asked = (request.host(), request.scheme() == "https", request.query(), request.content());
    let answered = Python::attach(|py| -> PyResult<TokenAnswer> {
        py.import("outside._debug.token")?.call_method1("enter", asked)?.extract()
    });
    let (status, fields, content) = answered.map_err(|error| Error::new(error.to_string()))?;
    let response =
        fields.iter().fold(Response::new(status), |response, (name, value)| response.with_header(name, value));
    Ok(response.with_content(content))
}

/// Prints the address of the token, unless a process before this one has done so.
pub(crate) fn announce(py: Python<'_>, endpoints: &[Endpoint]) -> PyResult<()> {
    let Some(first) = endpoints.first() else { return Ok(()) };
    if py.import("outside._process.generation")?.call_method0("is_first")?.is_truthy()? {
        py.import("outside._debug.token")?.call_method1("announce", (first.to_string(),))?;
    }
    Ok(())
}
