//! An error that says itself how it is answered, if no error handler does.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use super::body::Response;
use crate::error::Error;

/// The answer in place of the built-in page; the cause of its error. Streams are no `Sync`, hence the lock.
struct OwnAnswer(Mutex<Option<Response>>);

impl Error {
    /// The same with an answer in place of the built-in page; an error handler of the code comes first. The status is that of
    /// the error.
    ///
    /// ```
    /// use outside::{Error, OutsideHttp, Request, Response};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.set_route("/", |_: &Request| -> Result<Response, Error> {
    ///     Err(Error::status(422, Some("no title")).with_answer(Response::text("send a title")))
    /// })?;
    ///
    /// let client = server.test_client()?;
    /// let response = client.get("/").send()?;
    /// assert_eq!((response.status(), response.text()), (422, "send a title".into()));
    /// # Ok::<(), outside::Error>(())
    /// ```
    #[must_use]
    pub fn with_answer(self, answer: Response) -> Self {
        let answer = answer.with_status(self.code());
        self.with_cause(OwnAnswer(Mutex::new(Some(answer))))
    }

    /// Takes the answer of [`Error::with_answer`] out.
    pub(crate) fn take_answer(&self) -> Option<Response> {
        if let Some(input) = self.input() {
            return Some(input.response());
        }
        let own: &OwnAnswer = self.source_as()?;
        own.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl std::error::Error for OwnAnswer {}

impl fmt::Debug for OwnAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnAnswer")
    }
}

impl fmt::Display for OwnAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it has an answer of its own")
    }
}
