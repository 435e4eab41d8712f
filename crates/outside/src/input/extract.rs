//! Values that a handler takes as its second argument, made from the request.

use std::any::Any;
use std::sync::Arc;

use serde_core::de::DeserializeOwned;

use super::json::Json;
use crate::error::Error;
use crate::message::Request;

/// Values that are made from a request, so that handlers can take them as their second argument; several as a tuple.
///
/// ```
/// use outside::input::FromRequest;
/// use outside::{Error, OutsideHttp, Request};
///
/// struct Language(String);
///
/// impl FromRequest for Language {
///     fn from_request(request: &Request) -> Result<Self, Error> {
///         Ok(Self(request.headers().get("Accept-Language").unwrap_or("en").to_owned()))
///     }
/// }
///
/// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// server.get("/", |_: &Request, Language(language): Language| language)?;
/// assert_eq!(server.test_client()?.get("/").header("Accept-Language", "fa").send()?.text(), "fa");
/// # Ok::<(), Error>(())
/// ```
pub trait FromRequest: Sized {
    /// The value, or the error with which the request is answered in place of the handler's answer.
    ///
    /// # Errors
    /// As each value documents.
    fn from_request(request: &Request) -> Result<Self, Error>;
}

/// The query as one value: see [`Request::params_as`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

/// The parameters of the path as one value: see [`Request::parameters_as`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// The fields of a form as one value: see [`Request::form_as`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormFields<T>(pub T);

/// The content as one value, whether it is JSON or a form: see [`Request::content_as`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input<T>(pub T);

/// A value that a function before the handler has given to the request: see [`Request::set_state`]. Without one the answer
/// is a 500.
#[derive(Debug)]
pub struct State<T>(pub Arc<T>);

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        request.json().map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        request.params_as().map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest for Path<T> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        request.parameters_as().map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest for FormFields<T> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        request.form_as().map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest for Input<T> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        request.content_as().map(Self)
    }
}

impl<T: Any + Send + Sync> FromRequest for State<T> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        let lacks = || Error::new(format!("no function before this handler has set a {}", std::any::type_name::<T>()));
        request.state().map(Self).ok_or_else(lacks)
    }
}

/// The value, or its error, for handlers that go on without it.
impl<T: FromRequest> FromRequest for Result<T, Error> {
    fn from_request(request: &Request) -> Result<Self, Error> {
        Ok(T::from_request(request))
    }
}

impl<A: FromRequest, B: FromRequest> FromRequest for (A, B) {
    fn from_request(request: &Request) -> Result<Self, Error> {
        Ok((A::from_request(request)?, B::from_request(request)?))
    }
}

impl<A: FromRequest, B: FromRequest, C: FromRequest> FromRequest for (A, B, C) {
    fn from_request(request: &Request) -> Result<Self, Error> {
        Ok((A::from_request(request)?, B::from_request(request)?, C::from_request(request)?))
    }
}
