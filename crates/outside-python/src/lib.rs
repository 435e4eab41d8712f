//! The binding: the Python module `outside` over the engine.
//!
//! One file per class; `call/` calls Python functions; `convert` makes engine responses of what they return. The
//! binding knows no HTTP syntax: names, framing and limits are the engine's.

mod aftermath;
mod body;
mod call;
mod command;
mod contention;
mod convert;
mod cookie;
mod debug_token;
mod embedding;
mod failure;
mod file_path;
mod folder;
mod forked;
mod form;
mod hooks;
mod json;
mod listening;
mod logging;
mod memory;
mod patterns;
mod redirect;
mod request;
mod response;
mod response_headers;
mod routes;
mod scheduled;
mod server;
mod serving;
mod settings;
mod signals;
mod utility;
mod websocket;
mod websocket_connection;
mod wire;

use pyo3::prelude::*;

/// The compiled half of the `outside` package.
#[pymodule]
mod _outside {
    #[pymodule_export]
    use crate::aftermath::_page_about;
    #[pymodule_export]
    use crate::body::Body;
    #[pymodule_export]
    use crate::call::asynchronous::LoopSource;
    #[pymodule_export]
    use crate::call::interrupt::HandlerTimeout;
    #[pymodule_export]
    use crate::call::session::_log_session_failure;
    #[pymodule_export]
    use crate::command::command;
    #[pymodule_export]
    use crate::cookie::ResponseCookie;
    #[pymodule_export]
    use crate::failure::{ContentError, HttpException, abort};
    #[pymodule_export]
    use crate::file_path::FilePath;
    #[pymodule_export]
    use crate::folder::Folder;
    #[pymodule_export]
    use crate::forked::{_belongings, _forked};
    #[pymodule_export]
    use crate::form::FormFile;
    #[pymodule_export]
    use crate::memory::{Connector, serve_in_memory};
    #[pymodule_export]
    use crate::patterns::{
        _add_route, _code_and_message, _error_page, _log_failure, _remove_pattern, _route_parameters, _run_on_loop,
        _set_around, _status_of,
    };
    #[pymodule_export]
    use crate::redirect::OutsideHttpRedirect;
    #[pymodule_export]
    use crate::request::Request;
    #[pymodule_export]
    use crate::response::Response;
    #[pymodule_export]
    use crate::response_headers::ResponseHeaders;
    #[pymodule_export]
    use crate::scheduled::ScheduledResponse;
    #[pymodule_export]
    use crate::server::OutsideHttp;
    #[pymodule_export]
    use crate::settings::_check_cors;
    #[pymodule_export]
    use crate::utility::{_content_disposition, _event, get_description, get_insensitive_header, status_codes};
    #[pymodule_export]
    use crate::websocket::WebSocket;
    #[pymodule_export]
    use crate::websocket_connection::WebSocketConnection;
    #[pymodule_export]
    use crate::wire::Wire;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python expects")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
