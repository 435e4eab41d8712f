//! The binding: the Python module `outside` over the engine.
//!
//! `server/` has the server's own classes, `websocket/` those of WebSockets; `call/` calls Python functions; `message/`
//! has requests and responses. The binding knows no HTTP syntax: names, framing and limits are the engine's.

mod call;
mod command;
mod current_request;
mod errors;
mod event_loop;
mod forked;
mod hosting;
mod logging;
mod loop_job;
mod message;
mod server;
mod support;
mod turn;
mod waiting;
mod websocket;

use pyo3::prelude::*;

/// The compiled half of the `outside` package.
#[pymodule]
mod _outside {
    #[pymodule_export]
    use crate::call::interrupt::HandlerTimeout;
    #[pymodule_export]
    use crate::call::noted::_set_stack_source;
    #[pymodule_export]
    use crate::call::scheduled::ScheduledResponse;
    #[pymodule_export]
    use crate::command::command;
    #[pymodule_export]
    use crate::errors::{ContentError, HttpException, abort};
    #[pymodule_export]
    use crate::event_loop::{_release_wakes, LoopSource};
    #[pymodule_export]
    use crate::hosting::asgi::AsgiApplication;
    #[pymodule_export]
    use crate::hosting::wsgi::WsgiApplication;
    #[pymodule_export]
    use crate::hosting::wsgi_file::FileWrapper;
    #[pymodule_export]
    use crate::message::body::BodyReader;
    #[pymodule_export]
    use crate::message::cookie::ResponseCookie;
    #[pymodule_export]
    use crate::message::file_path::FilePath;
    #[pymodule_export]
    use crate::message::form::{FormContent, FormFile};
    #[pymodule_export]
    use crate::message::functions::{
        _content_disposition, _event, get_description, get_insensitive_header, status_codes,
    };
    #[pymodule_export]
    use crate::message::input::{_field, _json_content, _media_type};
    #[pymodule_export]
    use crate::message::json::{_json_size, _json_text};
    #[pymodule_export]
    use crate::message::request::Request;
    #[pymodule_export]
    use crate::message::response::Response;
    #[pymodule_export]
    use crate::message::response_headers::ResponseHeaders;
    #[pymodule_export]
    use crate::message::signer::Signer;
    #[pymodule_export]
    use crate::server::around::{
        _error_page, _forgo_content, _log_failure, _report, _run_on_loop, _set_any_errorhandler, _set_around, _settle,
        _settle_response, _status_of, _wants_content,
    };
    #[pymodule_export]
    use crate::server::folder::Folder;
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use crate::server::hub_loop::{_take_seat, _take_state_seat, HubChannel, HubLoop, SeatPair};
    #[pymodule_export]
    use crate::server::memory::{Connector, serve_in_memory};
    #[pymodule_export]
    use crate::server::metrics::{_counter, _gauge, _histogram, Board, Counter, Gauge, Histogram};
    #[pymodule_export]
    use crate::server::outside_http::OutsideHttp;
    #[pymodule_export]
    use crate::server::patterns::{_add_route, _remove_pattern, _route_parameters};
    #[pymodule_export]
    use crate::server::redirect::OutsideHttpRedirect;
    #[pymodule_export]
    use crate::server::running::{_belongings, _forked, _own_descriptors, _request_of_thread, _running_servers};
    #[pymodule_export]
    use crate::server::settings::_check_cors;
    #[pymodule_export]
    use crate::server::shared::{_shared_begin, _shared_call, _shares_nothing};
    #[pymodule_export]
    use crate::server::stacks::{_call_place, _request_number};
    #[pymodule_export]
    use crate::server::topics::{_count_subscriber, _read_missed, _read_topic, _stop_reading_topic};
    #[pymodule_export]
    use crate::websocket::connection::WebSocketConnection;
    #[pymodule_export]
    use crate::websocket::connection_bytes::ConnectionBytes;
    #[pymodule_export]
    use crate::websocket::route::WebSocket;
    #[pymodule_export]
    use crate::websocket::session::_log_session_failure;
    #[pymodule_export]
    use crate::websocket::topic_reader::TopicReader;

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name that Python expects")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
