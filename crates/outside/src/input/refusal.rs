//! Input that does not fit, as errors: the paths of `serde_path_to_error` become places of a problem document.

use std::fmt::Display;

use serde_path_to_error::{Path as Steps, Segment};

use crate::error::Error;
use crate::message::{InputError, InputFault, InputStep};

/// The sentence about a value that is not there.
pub(super) const MISSING: &str = "required, but missing";

/// The error for a value at a path inside of one part of the request: `body`, `query` or `path`.
pub(super) fn refuse(part: &'static str, steps: &Steps, message: &dyn Display) -> Error {
    let mut at: Vec<InputStep> = steps.iter().filter_map(step).collect();
    let mut message = without_position(message.to_string());
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        // serde names the struct that lacks it; the field itself says more.
        at.push(InputStep::Name(name.to_owned()));
        message = MISSING.to_owned();
    }
    InputError::new(422, InputFault { part, at, message }).into()
}

/// The error for a part that is missing as a whole.
pub(super) fn missing(part: &'static str) -> Error {
    let message = MISSING.to_owned();
    InputError::new(422, InputFault { part, at: Vec::new(), message }).into()
}

/// The error for content of a type that is not taken. `wanted` ends the sentence "send …".
pub(super) fn unsupported(media_type: &str, wanted: &str) -> Error {
    let said = match media_type {
        "" => "content without a Content-Type".to_owned(),
        media_type => format!("content of the type {media_type}"),
    };
    InputError::whole(415, format!("{said} is not taken here: send {wanted}")).into()
}

/// The error for content that is no JSON.
pub(super) fn no_json(reason: &dyn Display) -> Error {
    InputError::whole(400, format!("the content is not JSON: {reason}")).into()
}

fn step(segment: &Segment) -> Option<InputStep> {
    match segment {
        Segment::Seq { index } => Some(InputStep::Index(*index)),
        Segment::Map { key } => Some(InputStep::Name(key.clone())),
        Segment::Enum { variant } => Some(InputStep::Name(variant.clone())),
        Segment::Unknown => None,
    }
}

/// The sentence of serde_json without " at line 1 column 9": the path says more.
fn without_position(mut message: String) -> String {
    if let Some(at) = message.rfind(" at line ")
        && message[at..].chars().all(|letter| letter.is_ascii_digit() || letter == ' ' || letter.is_ascii_lowercase())
    {
        message.truncate(at);
    }
    message
}
