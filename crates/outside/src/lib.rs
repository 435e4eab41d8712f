//! An HTTP server as a module: routes, error handlers, requests and responses, files, cookies, streams.
//!
//! No other server is needed in front of it or behind it. Handlers are plain functions and may block: they run between
//! two turns of the event loop, on its own thread, which is the fastest way; while a handler is slow, a standby thread
//! takes the loop over, so that other requests do not wait.
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
    HeardSignals, OutsideHttp, OutsideHttpRedirect, ScheduledResponse, Security, ServerRun, TestClient, TestRequest,
    TestResponse,
};
pub use config::{AccessLog, CertificateFiles, Config, KEYS, Key, ProxyField, Symlinks, Value};
pub use content::{BodyFeed, ClientLeft, ContentRange, Form, FormFile, Pieces, content_file, fed_body};
pub use error::{Error, Refusal};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use files::testing as files_testing;
pub use files::{Files, Folder, media_type};
pub use handler::{
    Answering, AsyncHandler, Asynchronous, CancelOnDisconnect, DeclaredBlocking, FilePath, Function, Handler,
    IntoHandler, LanguageRuntime, NoRuntime, ReadyHandler, Reply, ResponseSizes, Streaming, SyncHandler, Ticket,
    asynchronous, blocking, cancel_on_disconnect, hold_wakes, never_blocking, release_wakes, streaming, wake_held,
};
pub use log::{Level, LogSink, StandardError, one_line};
pub use message::{
    Body, BodyStream, Cookies, Cors, Event, FileSlice, FormLimits, Headers, HostPattern, IntoAnswer, KeepAlive,
    KnownHeader, Parameter, Parameters, PieceFuture, Pull, Request, RequestParts, Response, ResponseCookie, SameSite,
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
    Address, BindError, BindSpec, CertificateError, ConnectionSource, Connector, Endpoint, Listener, ListenerRole,
    Listeners, MemoryListener, SocketFile, TicketKeys, Tls,
};
pub use websocket::{
    Acceptance, Bus, Hub, Message, SessionData, SessionHandler, Style, WebSocket, WebSocketConnection, WebSocketDriver,
    WebSocketExit, WhenFull,
};

/// The Rust programs of the documents, compiled unchanged.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/rust.md")]
mod documents {}
