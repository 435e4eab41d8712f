//! Functions of the Rust face around handlers, and handlers of its errors: kept in the site, so that servers without them
//! pay nothing.
//!
//! Functions before handlers run with the handler on its thread; for answers that no function makes, the site's gate calls
//! them. Functions after handlers are hooks.

use std::any::Any;
use std::sync::Arc;

use super::{ErrorHandler, Hooks, Snapshot};
use crate::error::Error;
use crate::handler::{Function, SyncHandler};
use crate::message::{IntoAnswer, IntoEarlyAnswer, Request, Response};

/// A function before handlers; its answer takes the place of the handler's.
pub(crate) type BeforeFunction = dyn Fn(&Request) -> Result<Option<Response>, Error> + Send + Sync;

/// A function after handlers; its answer takes the place of the one that it was given.
pub(crate) type AfterFunction = dyn Fn(&Request, &mut Response) -> Result<Option<Response>, Error> + Send + Sync;

impl Snapshot {
    /// Adds a function before handlers.
    pub(crate) fn add_before(&mut self, function: Arc<BeforeFunction>) {
        self.before.push(function);
        self.gate = Some(Function::new(BeforeGate(self.before.clone()), None));
        self.gates_websockets_only = false;
    }

    /// Adds a function after handlers.
    pub(crate) fn add_after(&mut self, function: Arc<AfterFunction>) {
        self.after.push(function);
        self.hooks = Some(Arc::new(AfterHooks(self.after.clone())));
    }

    /// The answer of a function before the handler, if one of them answers.
    pub(crate) fn call_before(&self, request: &Request) -> Result<Option<Response>, Error> {
        call_before(&self.before, request)
    }

    /// The handler that answers this error in place of the built-in page: of its type, of its code, or of all.
    pub(crate) fn handler_of(&self, error: &Error) -> Option<&Arc<dyn ErrorHandler>> {
        let of_type = self.caught.iter().rev().find(|handler| handler.takes(error));
        of_type.or_else(|| self.error_handler(error.code()))
    }
}

fn call_before(functions: &[Arc<BeforeFunction>], request: &Request) -> Result<Option<Response>, Error> {
    for function in functions {
        if let Some(answer) = function(request)? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

/// The functions before handlers, for answers that no function makes.
struct BeforeGate(Vec<Arc<BeforeFunction>>);

impl SyncHandler for BeforeGate {
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        Ok(call_before(&self.0, request)?.unwrap_or_else(Response::pass))
    }
}

/// The functions after handlers, the last one first.
struct AfterHooks(Vec<Arc<AfterFunction>>);

impl Hooks for AfterHooks {
    fn before_send(&self, request: Option<&Arc<Request>>, response: &mut Response) -> Result<(), Error> {
        let Some(request) = request else { return Ok(()) };
        for function in self.0.iter().rev() {
            if let Some(another) = function(request, response)? {
                *response = another;
            }
        }
        Ok(())
    }

    fn wants_after(&self) -> bool {
        false
    }

    fn after(&self, _: Option<&Arc<Request>>, _: Response) {}
}

/// Makes a function before handlers of a closure.
pub(crate) fn before<F, A>(function: F) -> Arc<BeforeFunction>
where
    F: Fn(&Request) -> A + Send + Sync + 'static,
    A: IntoEarlyAnswer,
{
    Arc::new(move |request| function(request).into_early_answer())
}

/// Makes a function after handlers of a closure.
pub(crate) fn after<F, A>(function: F) -> Arc<AfterFunction>
where
    F: Fn(&Request, &mut Response) -> A + Send + Sync + 'static,
    A: IntoEarlyAnswer,
{
    Arc::new(move |request, response| function(request, response).into_early_answer())
}

/// A closure that answers errors of one type.
pub(crate) struct CaughtType<E, F>(F, std::marker::PhantomData<fn(&E)>);

/// A closure that answers every error without a closer handler.
pub(crate) struct CaughtAny<F>(pub(crate) F);

impl<E, F> CaughtType<E, F> {
    pub(crate) fn new(function: F) -> Self {
        Self(function, std::marker::PhantomData)
    }
}

impl<E, F, A> ErrorHandler for CaughtType<E, F>
where
    E: std::error::Error + 'static,
    F: Fn(&Request, &E) -> A + Send + Sync,
    A: IntoAnswer,
{
    fn takes(&self, error: &Error) -> bool {
        error.source_as::<E>().is_some()
    }

    fn answer(
        &self,
        request: &Arc<Request>,
        error: &Error,
        _attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        let cause = error.source_as::<E>().ok_or_else(|| Error::status(error.code(), None))?;
        with_code((self.0)(request, cause), error)
    }

    fn call(
        &self,
        _request: Option<&Arc<Request>>,
        code: u16,
        message: Option<&str>,
        _attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        Err(Error::status(code, message))
    }
}

impl<F, A> ErrorHandler for CaughtAny<F>
where
    F: Fn(&Request, &Error) -> A + Send + Sync,
    A: IntoAnswer,
{
    fn answer(
        &self,
        request: &Arc<Request>,
        error: &Error,
        _attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        with_code((self.0)(request, error), error)
    }

    fn call(
        &self,
        request: Option<&Arc<Request>>,
        code: u16,
        message: Option<&str>,
        _attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        let error = Error::status(code, message);
        match request {
            Some(request) => with_code((self.0)(request, &error), &error),
            None => Err(error),
        }
    }
}

/// The answer; one with 200, the status of answers that name none, gets the code of the error.
fn with_code(answer: impl IntoAnswer, error: &Error) -> Result<Response, Error> {
    let response = answer.into_answer()?;
    Ok(if response.status() == 200 { response.with_status(error.code()) } else { response })
}
