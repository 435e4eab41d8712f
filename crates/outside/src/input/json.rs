//! JSON in and out: the content of a request as a value of any type, and values of any type as answers.

use serde_core::Serialize;
use serde_core::de::DeserializeOwned;

use super::refusal::{missing, no_json, refuse, unsupported};
use crate::error::Error;
use crate::message::{IntoAnswer, Request, Response, json_text};

/// A value that is JSON outside of the program: taken from a request ([`super::FromRequest`]), or returned by a handler.
///
/// ```
/// use outside::input::Json;
/// use outside::{OutsideHttp, Request};
///
/// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// server.get("/sum", |_: &Request| Json(["a", "b"]))?;
/// assert_eq!(server.test_client()?.get("/sum").send()?.text(), r#"["a","b"]"#);
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// 200 with `application/json`; 500 for a value that JSON cannot hold.
impl<T: Serialize> IntoAnswer for Json<T> {
    fn into_answer(self) -> Result<Response, Error> {
        Response::json(&self.0).into_answer()
    }
}

/// That body with that status.
impl<T: Serialize> IntoAnswer for (u16, Json<T>) {
    fn into_answer(self) -> Result<Response, Error> {
        Ok(Response::json(&self.1.0).with_status(self.0))
    }
}

/// The media type of the content in lower case, without its parameters; empty if it has none.
pub(super) fn media_type(request: &Request) -> String {
    let field = request.headers().get("Content-Type").unwrap_or_default();
    field.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether this is a media type of JSON (RFC 6839 section 3.1 for the suffix).
pub(super) fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

/// The content as JSON. `wanted` ends the sentence "send …" of a refusal.
pub(super) fn read<T: DeserializeOwned>(request: &Request, media_type: &str, wanted: &str) -> Result<T, Error> {
    if !is_json(media_type) {
        let is_nothing = media_type.is_empty() && request.content_length() == 0;
        return Err(if is_nothing { missing("body") } else { unsupported(media_type, wanted) });
    }
    parse(request.try_content()?)
}

/// A JSON text as a value.
pub(super) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, Error> {
    let text = json_text(content).ok_or_else(|| no_json(&"it is no Unicode text"))?;
    let mut input = serde_json::Deserializer::from_str(&text);
    let value = serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let cause = error.inner();
        if cause.is_data() { refuse("body", error.path(), cause) } else { no_json(cause) }
    })?;
    input.end().map_err(|error| no_json(&error))?;
    Ok(value)
}
