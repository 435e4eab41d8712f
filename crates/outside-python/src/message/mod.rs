//! The Python classes of requests, responses and their parts; return values of handlers become answers of the engine.

pub(crate) mod answerable;
pub(crate) mod body;
pub(crate) mod convert;
pub(crate) mod cookie;
pub(crate) mod file_path;
pub(crate) mod form;
pub(crate) mod functions;
pub(crate) mod input;
pub(crate) mod json;
mod json_encoder;
mod json_fault;
mod json_reader;
mod known_fields;
pub(crate) mod media_type;
pub(crate) mod parameter;
pub(crate) mod request;
pub(crate) mod request_facts;
pub(crate) mod request_values;
pub(crate) mod response;
pub(crate) mod response_headers;
pub(crate) mod signer;
pub(crate) mod stream;
mod tuple_answer;
pub(crate) mod uncopied;
