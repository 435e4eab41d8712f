//! The error about input that does not fit, and its answer as a problem document (RFC 9457).

use std::fmt;

use serde_json::{Value, json};

use super::body::Response;
use super::status::reason_phrase;
use crate::error::Error;

/// Input that does not fit: 422, 400 for content that is no JSON, 415 for content of another type. If no error handler
/// takes it, the client gets it as `application/problem+json`.
///
/// ```
/// use outside::message::{InputError, InputFault, InputStep};
///
/// let at = vec![InputStep::Name("labels".into()), InputStep::Index(2)];
/// let error = InputError::new(422, InputFault { part: "body", at, message: "a label is a word".into() });
/// assert_eq!(error.to_string(), "body.labels[2]: a label is a word");
/// assert_eq!(error.response().status(), 422);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    code: u16,
    message: String,
    faults: Vec<InputFault>,
}

/// One value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFault {
    /// The part of the request: `body`, `query`, `path`, `header` or `cookie`.
    pub part: &'static str,
    /// The path to the value inside of this part; empty for the part as a whole.
    pub at: Vec<InputStep>,
    /// A sentence for the client.
    pub message: String,
}

/// A step on the path to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputStep {
    /// Into a field or a key.
    Name(String),
    /// Into a list.
    Index(usize),
}

impl InputError {
    /// An error with this code, 400 to 499, for one value.
    pub fn new(code: u16, fault: InputFault) -> Self {
        Self { code, message: fault.to_string(), faults: vec![fault] }
    }

    /// An error for the content as a whole.
    pub fn whole(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), faults: Vec::new() }
    }

    /// The same with one more value.
    #[must_use]
    pub fn and(mut self, fault: InputFault) -> Self {
        self.faults.push(fault);
        if let [first, others @ ..] = self.faults.as_slice() {
            self.message = match others.len() {
                0 => first.to_string(),
                more => format!("{first} (and {more} more)"),
            };
        }
        self
    }

    /// The status code of its answer.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The values that do not fit.
    pub fn faults(&self) -> &[InputFault] {
        &self.faults
    }

    /// The answer, unless an error handler has another one.
    pub fn response(&self) -> Response {
        let mut problem = json!({
            "type": "about:blank", "title": reason_phrase(self.code), "status": self.code, "detail": self.message,
        });
        if !self.faults.is_empty() {
            problem["errors"] = self.faults.iter().map(InputFault::to_json).collect();
        }
        Response::json(&problem).with_header("Content-Type", "application/problem+json").with_status(self.code)
    }
}

impl InputFault {
    fn to_json(&self) -> Value {
        let at = self.at.iter().map(|step| match step {
            InputStep::Name(name) => Value::from(name.as_str()),
            InputStep::Index(index) => Value::from(*index),
        });
        json!({ "in": self.part, "at": at.collect::<Vec<_>>(), "message": self.message })
    }
}

/// As a person would write it: `body.labels[2]: a label is a word`.
impl fmt::Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part)?;
        for step in &self.at {
            match step {
                InputStep::Name(name) => write!(f, ".{name}")?,
                InputStep::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Answered with its code, by the error handler of that or with [`InputError::response`].
impl From<InputError> for Error {
    fn from(input: InputError) -> Self {
        Self::status(input.code, Some(&input.message)).with_cause(InputCause(input))
    }
}

impl Error {
    /// The values of the request that do not fit, if they caused this error.
    pub fn input(&self) -> Option<&InputError> {
        self.source_as::<InputCause>().map(|cause| &cause.0)
    }
}

/// The cause of an error. `InputError` itself is no `std::error::Error`: those become a 500.
#[derive(Debug)]
struct InputCause(InputError);

impl fmt::Display for InputCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("input that does not fit")
    }
}

impl std::error::Error for InputCause {}
