//! Answers with their status beside them, and the other values that handlers may return.

use std::borrow::Cow;

use super::body::Response;
use super::headers::Headers;
use super::response::IntoAnswer;
use crate::error::Error;

/// That body with that status; no error handler.
///
/// ```
/// use outside::{OutsideHttp, Request};
///
/// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// server.post("/notes", |_: &Request| ("kept", 201, [("Location", "/notes/1")]))?;
/// server.get("/notes", |_: &Request| (404, "there are none yet"))?; // the error page, or error handler, of 404
///
/// let client = server.test_client()?;
/// let answer = client.post("/notes").send()?;
/// assert_eq!((answer.status(), answer.text(), answer.headers().get("Location")), (201, "kept".into(), Some("/notes/1")));
/// assert_eq!(client.get("/notes").send()?.text(), "404 Not Found: there are none yet\n");
/// # Ok::<(), outside::Error>(())
/// ```
impl<T: IntoAnswer> IntoAnswer for (T, u16) {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(self.0.into_answer()?.with_status(self.1))
    }
}

/// The same with more header fields.
impl<T: IntoAnswer, const N: usize> IntoAnswer for (T, u16, [(&str, &str); N]) {
    fn into_answer(self) -> Result<Response, Error> {
        let response = self.0.into_answer()?.with_status(self.1);
        Ok(self.2.iter().fold(response, |response, (name, value)| response.with_header(name, value)))
    }
}

/// The same with more header fields.
impl<T: IntoAnswer> IntoAnswer for (T, u16, Headers) {
    fn into_answer(self) -> Result<Response, Error> {
        let response = self.0.into_answer()?.with_status(self.1);
        Ok(self.2.iter().fold(response, |response, (name, value)| response.with_header(name, value)))
    }
}

/// The error page, or error handler, of a status code, with a message.
impl IntoAnswer for (u16, String) {
    fn into_answer(self) -> Result<Response, Error> {
        Err(Error::status(self.0, Some(&self.1)))
    }
}

/// That body with that status.
impl IntoAnswer for (u16, serde_json::Value) {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::json(&self.1).with_status(self.0))
    }
}

/// `None` is a 404.
impl<T: IntoAnswer> IntoAnswer for Option<T> {
    fn into_answer(self) -> Result<Response, Error> {
        self.ok_or_else(|| Error::status(404, None))?.into_answer()
    }
}

impl IntoAnswer for Cow<'static, str> {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::text(self))
    }
}

/// As a handler that returns it in `Err`.
impl IntoAnswer for Error {
    fn into_answer(self) -> Result<Response, Error> {
        Err(self)
    }
}

/// Results of functions around handlers: no answer, or one in place of the handler's.
///
/// `()` and `None` are none; a `Result` may hold any of them.
pub trait IntoEarlyAnswer {
    /// The answer, if there is one, or the error to answer instead.
    fn into_early_answer(self) -> Result<Option<Response>, Error>;
}

impl IntoEarlyAnswer for () {
    fn into_early_answer(self) -> Result<Option<Response>, Error> {
        Ok(None)
    }
}

impl<T: IntoAnswer> IntoEarlyAnswer for Option<T> {
    fn into_early_answer(self) -> Result<Option<Response>, Error> {
        self.map(IntoAnswer::into_answer).transpose()
    }
}

impl<T: IntoEarlyAnswer, E: Into<Error>> IntoEarlyAnswer for Result<T, E> {
    fn into_early_answer(self) -> Result<Option<Response>, Error> {
        self.map_err(Into::into)?.into_early_answer()
    }
}
