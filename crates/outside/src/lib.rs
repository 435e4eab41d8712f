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
//! The names that most programs use stand here; the others are in modules by their subject: [`handler`] for functions that
//! answer, [`input`] for requests as values of your own types, [`message`] for the parts of requests and answers,
//! [`config`] and [`listen`] and [`tls`] for the server itself.
//!
//! The rooms of the sources, top to bottom; each may name only those below it: `app`, `server`, `status`, `certificates`, `bus`,
//! `connection`, `exchange`, `executor`, `log`, `site`, `application`, `route`, `handler`, `files`, `hub`, `shared`, `websocket`,
//! `compression`, `transport`, `input`, `content`, `protocol`, `config`, `budget`, `placement`, `metrics`, `descriptors`, `message`,
//! `error`.

mod app;
pub mod application;
mod budget;
#[cfg(not(feature = "bus"))]
#[path = "bus/absent.rs"]
mod bus;
#[cfg(feature = "bus")]
mod bus;
#[cfg(not(feature = "acme"))]
#[path = "certificates/absent.rs"]
pub mod certificates;
#[cfg(feature = "acme")]
pub mod certificates;
mod compression;
pub mod config;
mod connection;
pub mod content;
mod descriptors;
mod error;
mod exchange;
mod executor;
pub mod files;
pub mod handler;
pub mod hub;
pub mod input;
pub mod log;
pub mod message;
pub mod metrics;
mod placement;
mod protocol;
pub mod route;
mod server;
pub mod shared;
pub mod site;
mod status;
mod transport;
pub mod websocket;

pub use app::{HeardSignals, OpenBus, OutsideHttp, OutsideHttpRedirect, ScheduledResponse, ServerRun};
pub use application::Session;
#[cfg(all(feature = "bus", feature = "testing"))]
#[doc(hidden)]
pub use bus::testing as broker_testing;
pub use config::Config;
#[doc(hidden)]
pub use descriptors::own_descriptors;
pub use error::{Error, Refusal};
pub use files::Folder;
pub use handler::FilePath;
pub use message::{Headers, Request, Response};
#[cfg(feature = "testing")]
#[doc(hidden)]
pub use protocol::testing;
pub use websocket::{WebSocket, WebSocketConnection};

/// Addresses and listening sockets: where a server listens, and sockets that come from another process or from memory.
///
/// ```
/// use outside::OutsideHttp;
/// use outside::listen::Address;
///
/// let server = OutsideHttp::at([Address::resolve(("::1", 8080))?, Address::resolve(("127.0.0.1", 8080))?]);
/// # Ok::<(), outside::Error>(())
/// ```
pub mod listen {
    pub use crate::app::Security;
    pub use crate::transport::{
        Address, BindError, BindSpec, ConnectionSource, Connector, Endpoint, Listener, ListenerRole, Listeners,
        MemoryListener, SocketFile,
    };
}

/// A server called without a socket: for tests of a program.
///
/// ```
/// use outside::test::TestClient;
/// use outside::{OutsideHttp, Request, Response};
///
/// let server = OutsideHttp::new(("127.0.0.1", 0))?;
/// server.set_route("/hello", |_request: &Request| Response::text("Hello!"))?;
/// let client: TestClient = server.test_client()?;
/// assert_eq!(client.get("/hello").send()?.text(), "Hello!");
/// # Ok::<(), outside::Error>(())
/// ```
pub mod test {
    pub use crate::app::{TestClient, TestRequest, TestResponse, TestWebSocket};
}

/// TLS of a server's listeners: certificates that were read, and the keys of session tickets.
///
/// A server reads its certificates itself, as its configuration says. A binding reads them beforehand:
///
/// ```
/// use outside::Config;
/// use outside::tls::{TicketKeys, Tls};
///
/// let keys = TicketKeys::default();
/// assert!(Tls::of(&Config::default(), &keys)?.is_none(), "TLS is switched off by default");
/// # Ok::<(), outside::Error>(())
/// ```
pub mod tls {
    pub use crate::transport::{CertificateError, TicketKeys, Tls};
}

/// The Rust programs of the documents, compiled unchanged.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/rust.md")]
mod documents {}
