//! The test client's WebSocket.

use std::time::Duration;

use outside::websocket::{Message, WebSocketExit};
use outside::{Error, OutsideHttp, Request, WebSocket, WebSocketConnection};
use serde_json::{Value, json};

use super::server;

fn echo() -> OutsideHttp {
    let server = server();
    let echo = |connection: &WebSocketConnection, message: Message| -> Result<(), Error> {
        match message.as_text() {
            Some("bye") => connection.exit(4001, "as you wish"),
            _ => Ok(connection.send(message)?),
        }
    };
    server.set_route("/echo", WebSocket::new().on_message(echo).with_deflate(true)).unwrap();
    let chat = |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
        connection.send(connection.subprotocol().unwrap_or("none"))?;
        connection.send(connection.request().param("name").unwrap_or_default())?;
        connection.recv().map(drop)
    };
    server.set_route("/chat", WebSocket::new().on_connection(chat).with_subprotocols(["chat.v2"])).unwrap();
    server.get("/page", |_: &Request| "no WebSocket").unwrap();
    server
}

#[test]
fn messages_of_every_length_come_back() {
    let server = echo();
    let client = server.test_client().unwrap();
    let mut websocket = client.websocket("/echo").open().unwrap();
    for length in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
        websocket.send("é".repeat(length / 2)).unwrap();
        assert_eq!(websocket.recv().unwrap().as_text().map(str::len), Some(length / 2 * 2));
        websocket.send(vec![7; length]).unwrap();
        assert_eq!(websocket.recv().unwrap(), vec![7; length].into());
    }
    websocket.send_json(&json!({ "a": [1] })).unwrap();
    assert_eq!(websocket.recv_json::<Value>().unwrap(), json!({ "a": [1] }));
    assert_eq!(websocket.recv_timeout(Duration::from_millis(1)).unwrap(), None);
}

#[test]
fn both_sides_close() {
    let server = echo();
    let client = server.test_client().unwrap();
    let mut websocket = client.websocket("/echo").open().unwrap();
    websocket.send("bye").unwrap();
    let exit = websocket.recv().unwrap_err();
    assert_eq!((exit.code, &*exit.reason), (4001, "as you wish"));
    assert_eq!(websocket.send("more").unwrap_err(), exit);
    let mut websocket = client.websocket("/echo").open().unwrap();
    websocket.send("dropped").unwrap();
    assert_eq!(websocket.close(1000, "done").code, 1000);
}

#[test]
fn the_opening_is_a_request() {
    let server = echo();
    let client = server.test_client().unwrap();
    let mut websocket = client.websocket("/chat?name=ada").header("Sec-WebSocket-Protocol", "chat.v2").open().unwrap();
    assert_eq!((websocket.subprotocol(), websocket.response().status()), (Some("chat.v2"), 101));
    assert_eq!((websocket.recv().unwrap(), websocket.recv().unwrap()), ("chat.v2".into(), "ada".into()));
    let refused = client.websocket("/page").open().unwrap_err().to_string();
    assert_eq!(refused, "no WebSocket: 200 no WebSocket");
    assert!(client.websocket("/none").open().unwrap_err().to_string().starts_with("no WebSocket: 404 "));
    server.before_request(|_: &Request| Some(("sign in first", 401)));
    assert_eq!(client.websocket("/echo").open().unwrap_err().to_string(), "no WebSocket: 401 sign in first");
}
