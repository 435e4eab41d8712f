//! An HTTP server as a module: routes, error handlers, requests and responses, files, cookies, streams.
//!
//! It needs nothing in front of it and nothing behind it. Handlers are plain functions and may block: they run between
//! two turns of the event loop, on its own thread, so nothing is faster; when one is slow, a standby thread takes the
//! loop over, so nothing is harmed.
//!
//! ```no_run
//! use outside::{OutsideHttp, Request, Response};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.set_route("/hello", |_request: &Request| Response::text("Hello, World!"))?;
//! server.run()?;
//! # Ok::<(), outside::Error>(())
//! ```
//!
//! The rooms, top to bottom; each may name only those below it: `app`, `server`, `connection`, `exchange`, `executor`, `log`,
//! `site`, `route`, `handler`, `files`, `websocket`, `compression`, `transport`, `content`,
//! `protocol`, `config`, `budget`, `placement`, `message`, `error`.

mod app;
mod budget;
mod compression;
mod config;
mod connection;
mod content;
mod error;
mod exchange;
mod executor;
mod files;
mod handler;
mod log;
mod message;
mod placement;
mod protocol;
mod route;
mod server;
mod site;
mod transport;
mod websocket;

pub use app::{
    Entered, OutsideHttp, OutsideHttpRedirect, ScheduledResponse, Security, TestClient, TestRequest, TestResponse,
};
pub use config::{AccessLog, CertificateFiles, Config, KEYS, Key, ProxyField, Symlinks, Value};
pub use content::{ContentRange, Form, FormFile, Pieces, content_file};
pub use error::{Error, Refusal};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use files::testing as files_testing;
pub use files::{Files, Folder, media_type};
pub use handler::{
    Asynchronous, CancelOnDisconnect, Elsewhere, FilePath, Function, Handler, Host, Inline, IntoHandler, NoHost, Ready,
    Reply, Said, Sizes, Streaming, Ticket, asynchronous, blocking, cancel_on_disconnect, never_blocking, streaming,
};
pub use log::{Level, LogSink, StandardError, one_line};
pub use message::{
    Body, BodyStream, Cookies, Cors, Event, FileSlice, FormLimits, Headers, HostPattern, IntoAnswer, KeepAlive, Known,
    Parameter, Parameters, PieceFuture, Pull, Request, RequestParts, Response, ResponseCookie, SameSite,
    SecurityHeaders, Span, TrustedProxy, Version, content_disposition, decode_component, decode_lossy, json_text,
    parse_query, reason_phrase, statuses,
};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use protocol::testing;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use route::testing as routes_testing;
pub use route::{PatternRoute, pattern_names};
pub use site::{ErrorHandler, Hooks, error_page};
pub use transport::{
    Address, BindError, CertificateError, Connector, Door, Doors, Endpoint, Handed, Listener, Listeners, Place,
    SocketFile, TicketKeys, Tls,
};
pub use websocket::{
    Bus, Hub, Message, SessionData, SessionHandler, Style, WebSocket, WebSocketConnection, WebSocketExit, WhenFull,
    Wire,
};

/// The Rust programs of the documents, compiled as they stand.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../QUICKSTART.md")]
mod documents {}
