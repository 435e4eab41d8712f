//! A server for outside harnesses: `bench_server PORT [FOLDER]`. Routes: `/hello`, `/files` for the folder, and three for
//! WebSockets: `/ws` echoes, in `/room` all get what one says; `/stalled` is for one in the room who does not read, and gets
//! back what he says. The access log is `OUTSIDE_ACCESS_LOG` (`off` by default
//! here, so that peers without a log can be compared).

use std::sync::Arc;

use outside::{
    Config, Error, Folder, Message, OutsideHttp, Request, Response, Value, WebSocket, WebSocketConnection, WhenFull,
};

fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| Error::new("usage: bench_server PORT [FOLDER]"))?;
    let mut server = OutsideHttp::new(("127.0.0.1", port))?;
    let log = std::env::var("OUTSIDE_ACCESS_LOG").unwrap_or_else(|_| "off".into());
    // The bench reuses its connections for millions of requests.
    server.config = Config::from_values([
        ("access_log", Value::Owned(log)),
        ("max_socket_reuse", Value::Integer(1_000_000_000)),
        ("h2c", Value::Bool(true)),
    ])?;
    server.set_route("/hello", |_request: &Request| {
        Response::new(200).with_header("Content-Type", "text/plain").with_content("Hello, World!")
    })?;
    if let Some(folder) = std::env::args().nth(2) {
        server.set_route("/files", Folder::new(folder)?)?;
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
