//! Echoes WebSocket messages: `/` by callbacks, `/blocking` with a thread for each connection.
//!
//! `cargo run --release --example echo -- PORT`; `/` compresses for clients that offer it.

use outside::websocket::{Message, WebSocketExit};
use outside::{Error, OutsideHttp, WebSocket, WebSocketConnection};

fn main() -> Result<(), Error> {
    let port = std::env::args().nth(1).map_or(Ok(8080), |text| text.parse())?;
    let server = OutsideHttp::new(("127.0.0.1", port))?;
    let echo = |connection: &WebSocketConnection, message: Message| connection.send(message);
    server.set_route("/", WebSocket::new().on_message(echo).with_max_message(64 << 20).with_deflate(true))?;
    let echo = |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
        loop {
            connection.send(connection.recv()?)?;
        }
    };
    server
        .set_route("/blocking", WebSocket::new().on_connection(echo).with_max_message(64 << 20).with_deflate(true))?;
    server.run()
}
