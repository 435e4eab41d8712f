//! The Python classes of requests and responses and of their parts; a handler's return value becomes an answer of the engine here.

pub(crate) mod body;
pub(crate) mod convert;
pub(crate) mod cookie;
pub(crate) mod file_path;
pub(crate) mod form;
pub(crate) mod functions;
pub(crate) mod json;
pub(crate) mod media_type;
pub(crate) mod parameter;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod response_headers;
pub(crate) mod stream;
