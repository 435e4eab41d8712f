//! A server for external benchmarks: `bench_server PORT [CERT KEY]`. Routes: `/hello`, `/static` for the folder in
//! `BENCH_FILES`, and three WebSockets: `/ws` echoes each message, `/room` sends each message to all its clients, and
//! `/stalled` is for a client of the room that does not read and gets its own messages back. With a certificate and its
//! key it speaks TLS, and HTTP/2 to clients that negotiate it; without, HTTP/2 to clients that begin with it.
//! `OUTSIDE_ACCESS_LOG` sets the access log (`off` by default here, for comparison with servers without a log).

use std::sync::Arc;

use outside::config::Value;
use outside::websocket::{Message, WhenFull};
use outside::{Config, Error, Folder, OutsideHttp, Request, Response, WebSocket, WebSocketConnection};

const USAGE: &str = "usage: bench_server PORT [CERT KEY]; BENCH_FILES names the folder for /static";

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (port, tls) = match &arguments[..] {
        [port] => (port, None),
        [port, certificate, key] => (port, Some((certificate, key))),
        _ => return Err(Error::new(USAGE)),
    };
    let port: u16 = port.parse().map_err(|_| Error::new(USAGE))?;
    let mut server = OutsideHttp::new(("127.0.0.1", port))?;
    let log = std::env::var("OUTSIDE_ACCESS_LOG").unwrap_or_else(|_| "off".into());
    // The bench reuses its connections for millions of requests, and has a room of 10,000 WebSockets.
    server.config = Config::from_values([
        ("access_log", Value::Owned(log)),
        ("max_socket_reuse", Value::Integer(1_000_000_000)),
        ("max_websocket_connections", Value::Integer(12_000)),
        ("h2c", Value::Bool(true)),
    ])?;
    server.set_route("/hello", |_request: &Request| {
        Response::new(200).with_header("Content-Type", "text/plain").with_content("Hello, World!")
    })?;
    if let Some((certificate, key)) = tls {
        server.config.ssl_enabled = true;
        server.config.ssl_certfile = certificate.into();
        server.config.ssl_keyfile = key.into();
    }
    if let Some(folder) = std::env::var_os("BENCH_FILES") {
        server.set_route("/static", Folder::new(folder)?)?;
    }
    let echo = |connection: &WebSocketConnection, message: Message| connection.send(message);
    server.set_route("/ws", WebSocket::new().on_message(echo))?;
    let join = |connection: &WebSocketConnection| -> Result<(), Error> {
        connection.subscribe("room");
        Ok(())
    };
    let stalled = WebSocket::new().with_queue(64 << 10, WhenFull::DropOldest).on_open(join).on_message(echo);
    server.set_route("/stalled", stalled)?;
    let server = Arc::new(server);
    let publisher = Arc::downgrade(&server);
    let say = move |_: &WebSocketConnection, message: Message| -> Result<(), Error> {
        if let Some(server) = publisher.upgrade() {
            server.publish("room", message);
        }
        Ok(())
    };
    server.set_route("/room", WebSocket::new().on_open(join).on_message(say))?;
    server.run()
}
