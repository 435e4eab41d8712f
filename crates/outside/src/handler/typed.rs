//! Functions that take input beside the request: `|request: &Request, Json(issue): Json<Issue>| …`.

use std::marker::PhantomData;
use std::sync::Arc;

use super::{DeclaredBlocking, Function, Handler, IntoHandler, SyncHandler};
use crate::error::Error;
use crate::input::FromRequest;
use crate::message::{IntoAnswer, Request, Response};

/// Marks functions that take input beside the request.
#[derive(Debug)]
pub struct TakesInput;

/// A Rust closure with input.
struct TypedClosure<F, T> {
    function: F,
    input: PhantomData<fn() -> T>,
}

impl<F, T, A> SyncHandler for TypedClosure<F, T>
where
    F: Fn(&Request, T) -> A + Send + Sync,
    T: FromRequest,
    A: IntoAnswer,
{
    fn call(&self, request: &Arc<Request>) -> Result<Response, Error> {
        (self.function)(request, T::from_request(request)?).into_answer()
    }
}

impl<F, T, A> IntoHandler<(TakesInput, T, A)> for F
where
    F: Fn(&Request, T) -> A + Send + Sync + 'static,
    T: FromRequest + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        Ok(Handler::Sync(Function::new(TypedClosure { function: self, input: PhantomData }, None)))
    }
}

impl<F, T, A> IntoHandler<(TakesInput, T, A)> for DeclaredBlocking<F>
where
    F: Fn(&Request, T) -> A + Send + Sync + 'static,
    T: FromRequest + 'static,
    A: IntoAnswer + 'static,
{
    fn into_handler(self) -> Result<Handler, Error> {
        let function = TypedClosure { function: self.function, input: PhantomData };
        Ok(Handler::Sync(Function::new(function, Some(self.blocking))))
    }
}
