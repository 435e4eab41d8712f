//! A Rust function as an error handler.

use std::any::Any;
use std::sync::Arc;

use crate::error::Error;
use crate::message::{IntoAnswer, Request, Response};
use crate::site::ErrorHandler;

/// A Rust function as an error handler.
pub(super) struct ErrorFunction<F>(pub(super) F);

impl<F, A> ErrorHandler for ErrorFunction<F>
where
    F: Fn(Option<&Request>, Option<&str>) -> A + Send + Sync,
    A: IntoAnswer,
{
    fn call(
        &self,
        request: Option<&Arc<Request>>,
        _code: u16,
        message: Option<&str>,
        _attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        (self.0)(request.map(Arc::as_ref), message).into_answer()
    }
}
