//! The values that all rooms share: request, response, headers, cookie, query, form, status.
//!
//! Plain values: no socket, no clock, no runtime, no file is opened here. Only `error` is below.
//!
//! ```
//! use outside::Response;
//! use outside::message::ResponseCookie;
//!
//! let cookie = ResponseCookie { http_only: true, ..ResponseCookie::new("abc") };
//! let response = Response::text("signed in").with_cookie("session", &cookie);
//! assert_eq!(response.headers().get("set-cookie"), Some("session=abc; HttpOnly"));
//! ```

mod after;
mod answers;
mod body;
mod cookie;
mod cors;
mod decimal;
mod disposition;
mod event;
mod field;
mod form;
mod forwarded;
mod headers;
mod host;
mod input_error;
mod json_text;
mod name;
mod network;
mod origin;
mod outstanding;
mod own_answer;
mod parameter;
mod query;
mod request;
mod request_extras;
mod request_ids;
mod response;
mod secrets;
mod security_headers;
mod spare_fields;
mod spooled;
mod state;
mod status;
mod target;
mod trailers;
mod version;

pub use answers::IntoEarlyAnswer;
pub(crate) use body::StartedStream;
pub use body::{
    Body, BodyStream, FileSlice, KeepAlive, PIECE_COST, PieceFuture, PieceMemory, Pull, Response, UNCOUNTED,
};
pub use cookie::{Cookies, ResponseCookie, SameSite};
pub use cors::Cors;
pub(crate) use decimal::push_decimal;
pub use disposition::content_disposition;
pub use event::Event;
pub(crate) use field::Field;
pub use form::FormLimits;
pub(crate) use forwarded::{Forwarded, NO_ADDRESS};
pub use headers::Headers;
pub use host::HostPattern;
pub(crate) use host::{HostKind, HostName, HostSet, is_loopback};
pub use input_error::{InputError, InputFault, InputStep};
pub use json_text::json_text;
pub use name::KnownHeader;
pub(crate) use name::{is_token, is_token_byte, is_value, is_value_byte};
pub use network::TrustedProxy;
pub(crate) use origin::{default_port, host_and_port, normalised_origin, split_origin};
pub(crate) use parameter::Named;
pub use parameter::{Parameter, Parameters};
pub use query::{decode_component, decode_lossy, parse_query};
pub use request::{Request, RequestParts, Span};
pub(crate) use request_ids::{ID_BYTES, RANDOM, RequestIds, SAMPLED};
pub use response::IntoAnswer;
pub use secrets::shown_target;
pub(crate) use secrets::{query_without_secrets, without_secrets};
pub use security_headers::SecurityHeaders;
pub(crate) use spooled::{ContentSource, Spooled};
pub use status::{reason_phrase, statuses};
pub(crate) use target::location;
pub use trailers::Trailers;
pub(crate) use trailers::takes_trailers;
pub use version::Version;
