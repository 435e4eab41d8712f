//! An answer without a server: for tests, and for programs that call handlers themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::handler::{Handler, IntoHandler};
use crate::message::{Request, Response};
use crate::site::ErrorHandler;

/// Runs a handler on a request and turns its result into the response that a server would send.
///
/// ```
/// use outside::{Request, Response, ScheduledResponse};
/// use outside::message::RequestParts;
/// let request = Request::from_parts(&RequestParts { target: "/hello", ..RequestParts::default() })?;
/// let scheduled = ScheduledResponse::new(request, |request: &Request| format!("Hello from {}", request.url()));
/// assert_eq!(scheduled.run().map(|response| response.status()), Some(200));
/// # Ok::<(), outside::Error>(())
/// ```
pub struct ScheduledResponse {
    request: Arc<Request>,
    handler: Result<Handler, Error>,
    error_handlers: BTreeMap<u16, Arc<dyn ErrorHandler>>,
}

impl ScheduledResponse {
    /// A handler, and the request for it.
    pub fn new<Kind>(request: Request, handler: impl IntoHandler<Kind>) -> Self {
        Self { request: Arc::new(request), handler: handler.into_handler(), error_handlers: BTreeMap::new() }
    }

    /// The same with an error handler for a status code.
    #[must_use]
    pub fn with_errorhandler(mut self, code: u16, handler: Arc<dyn ErrorHandler>) -> Self {
        self.error_handlers.insert(code, handler);
        self
    }

    /// The response, or that of the error handler if the handler failed. `None` if there is no error handler or it
    /// failed as well.
    pub fn run(&self) -> Option<Response> {
        let answer = match &self.handler {
            Ok(Handler::Sync(function)) => function.call(&self.request),
            Ok(_) => Err(Error::new("this handler needs a server")),
            Err(_) => Err(Error::new("there is no such file or folder")),
        };
        let error = match answer.and_then(whole) {
            Ok(response) => return Some(response),
            Err(error) => error,
        };
        let handler = self.error_handlers.get(&error.code())?;
        handler.call(Some(&self.request), error.code(), error.public_message(), None).and_then(whole).ok()
    }
}

fn whole(mut response: Response) -> Result<Response, Error> {
    match response.take_problem() {
        Some(problem) => Err(problem),
        None => Ok(response),
    }
}

impl std::fmt::Debug for ScheduledResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScheduledResponse({} {})", self.request.method(), self.request.url())
    }
}
