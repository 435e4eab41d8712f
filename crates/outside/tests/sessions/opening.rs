//! The requests that may open a WebSocket, and the bytes behind such a request (RFC 6455 section 4.2, docs/security.md S9, S43).

use outside::websocket::WebSocketExit;
use outside::{Request, WebSocket, WebSocketConnection};

use crate::client::{Client, Frame, OPENING, TEXT, close_frame, frame};
use crate::server::{Journal, blocking_echo, echo, serve};
use outside_test_support::server::Running;

/// The request is answered by the table's status, and the connection then serves another one, if the status allows it.
#[test]
fn requests_that_open_nothing() {
    let server = serve(echo());
    server.set_route("/hello", |_: &Request| "hello");
    let without = |name: &str| {
        let lines = OPENING.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
        lines.collect::<String>()
    };
    let with = |field: &str| format!("{OPENING}{field}\r\n");
    for (fields, status) in [
        ("Host: sessions\r\n".to_owned(), 426),
        (without("Connection"), 426),
        (without("Upgrade"), 426),
        (OPENING.replace("websocket", "h2c"), 426),
        (OPENING.replace(" 13", " 8"), 426),
        (without("Sec-WebSocket-Key"), 400),
        (OPENING.replace("dGhl", "dGh"), 400),
        (with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (with("Origin: https://evil.example"), 403),
        (with("Origin: null"), 403),
        (with("Origin: http://sessions:8080"), 403),
        (with("Origin: http://sessions"), 101),
        (with("Sec-WebSocket-Protocol: chat"), 101),
        (with("Sec-WebSocket-Extensions: permessage-deflate"), 101),
    ] {
        let mut client = Client::connect(server.address);
        let answer = client.ask("/", &fields);
        assert_eq!(answer.status, status, "{fields}");
        if status == 426 {
            assert_eq!(answer.header("Upgrade"), Some("websocket"));
            assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
        }
        match status {
            101 => {
                // The answer of RFC 6455 section 1.3 to its own key.
                assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
                assert_eq!(answer.header("Sec-WebSocket-Protocol"), None);
                assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
                client.send_text("open");
                assert_eq!(client.receive_text(), "open");
            }
            _ => assert_eq!(client.ask("/hello", "Host: sessions\r\n").body, "hello", "{fields}"),
        }
    }
}

#[test]
fn a_page_of_another_origin_is_told_to_the_log_alone() {
    let server = serve(echo().with_origins(&["https://friend.example"]).unwrap());
    let mut client = Client::connect(server.address);
    assert_eq!(client.ask("/", &format!("{OPENING}Origin: https://friend.example\r\n")).status, 101);
    let mut client = Client::connect(server.address);
    let answer = client.ask("/", &format!("{OPENING}Origin: https://evil.example\r\n"));
    assert_eq!(answer.status, 403);
    assert!(!answer.body.contains("evil"));
    let told = server.log.wait_for_events(1).concat();
    assert!(told.contains("origins=[\"https://evil.example\"]"), "{told}");
}

#[test]
fn a_subprotocol_is_the_servers_choice() {
    let server = serve(
        WebSocket::new()
            .on_open(|connection: &WebSocketConnection| connection.send(connection.subprotocol().unwrap_or("none")))
            .with_subprotocols(["chat.2", "chat"]),
    );
    for (offered, chosen) in [("chat, chat.2", "chat.2"), ("chat", "chat"), ("Chat", "none")] {
        let mut client = Client::connect(server.address);
        let answer = client.ask("/", &format!("{OPENING}Sec-WebSocket-Protocol: {offered}\r\n"));
        assert_eq!(answer.header("Sec-WebSocket-Protocol").unwrap_or("none"), chosen);
        assert_eq!(client.receive_text(), chosen);
    }
}

/// Bytes behind the request are frames, never another request.
#[test]
fn bytes_behind_the_request_wait_for_the_101() {
    let server = serve(blocking_echo());
    server.set_route("/callbacks", echo());
    server.set_route("/hello", |_: &Request| "hello");
    for target in ["/", "/callbacks"] {
        let opening = format!("GET {target} HTTP/1.1\r\n{OPENING}\r\n").into_bytes();
        let mut client = Client::connect(server.address);
        client.send([opening.clone(), frame(TEXT, "early"), frame(TEXT, "bird")].concat());
        assert_eq!(client.answer().status, 101);
        assert_eq!((client.receive_text(), client.receive_text()), ("early".to_owned(), "bird".to_owned()));

        // Behind another request, which is answered first.
        let mut client = Client::connect(server.address);
        let hello = b"GET /hello HTTP/1.1\r\nHost: sessions\r\n\r\n";
        client.send([hello, &opening[..], &frame(TEXT, "early")].concat());
        assert_eq!((client.answer().body.as_str(), client.answer().status), ("hello", 101));
        assert_eq!(client.receive_text(), "early");

        // Bytes that a proxy without knowledge of upgrades would take for a request.
        let mut client = Client::connect(server.address);
        client.send([&opening[..], hello].concat());
        assert_eq!(client.answer().status, 101);
        assert_eq!(client.receive_last(), 1002);
    }
}

/// An upgrade that this server does not support is ignored: the requests behind it are requests.
#[test]
fn other_routes_ignore_an_upgrade() {
    let server = Running::start(|_| {});
    server.set_route("/hello", |_: &Request| "hello");
    for protocol in ["websocket", "h2c"] {
        let mut client = Client::connect(server.address);
        let opening = OPENING.replace("websocket", protocol);
        client.send(format!("GET /hello HTTP/1.1\r\n{opening}\r\nGET /hello HTTP/1.1\r\nHost: sessions\r\n\r\n"));
        assert_eq!((client.answer().status, client.answer().body.as_str()), (200, "hello"));
    }
}

#[test]
fn content_is_no_frame() {
    let server = serve(echo());
    let mut client = Client::connect(server.address);
    client.send(format!("GET / HTTP/1.1\r\n{OPENING}Content-Length: 5\r\n\r\nHello"));
    assert_eq!(client.answer().status, 400);
}

/// Threads are bounded; a place is free again when its handler has returned, not sooner, and always.
#[test]
fn handlers_that_block_have_a_bound() {
    let server = Running::start(|config| config.max_websockets = 2);
    let journal = Journal::default();
    let (begun, ended) = (journal.clone(), journal.clone());
    server.set_route(
        "/",
        WebSocket::new()
            .on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
                begun.note("begun");
                connection.recv().map(|_| ())
            })
            .on_exit(move |_: &WebSocketConnection| ended.note("ended")),
    );
    server.set_route("/callbacks", echo());
    let mut open: Vec<Client> = (0..2).map(|_| Client::open(server.address, "/")).collect();
    let mut third = Client::connect(server.address);
    let answer = third.ask("/", OPENING);
    assert_eq!((answer.status, answer.header("Upgrade")), (503, None));
    assert!(server.log.wait_for_events(1)[0].contains("max_websockets"));
    drop(Client::open(server.address, "/callbacks"));
    // A connection that was cut while it opened has given its place back as well.
    open.pop().unwrap().reset();
    journal.wait_for_entry("ended");
    loop {
        match third.ask("/", OPENING).status {
            503 => std::thread::yield_now(),
            status => break assert_eq!(status, 101),
        }
    }
    third.close();
    open.pop().unwrap().close();
    assert_eq!(journal.wait_for(6).iter().filter(|entry| *entry == "ended").count(), 3);
}

#[test]
fn nothing_opens_any_more_while_the_server_ends() {
    let server = serve(echo());
    server.set_route("/hello", |_: &Request| "hello");
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.ask("/hello", "Host: sessions\r\n").status, 200);
    let mut open = Client::open(server.address, "/");
    server.server.retire();
    assert_eq!(open.receive_close(), (1012, "the server starts anew".to_owned()));
    assert_eq!(idle.ask("/", OPENING).status, 503);
    open.send(close_frame(1012, ""));
    open.receive_end();
}

/// A message that comes with the handshake is delivered after `on_open`, whose own messages are sent first.
#[test]
fn on_open_is_first() {
    let server =
        serve(echo().on_open(|connection: &WebSocketConnection| connection.send("welcome")).on_message(
            |connection: &WebSocketConnection, message: outside::websocket::Message| connection.send(message),
        ));
    let mut client = Client::connect(server.address);
    client.send([format!("GET / HTTP/1.1\r\n{OPENING}\r\n").as_bytes(), &frame(TEXT, "early")].concat());
    assert_eq!(client.answer().status, 101);
    assert_eq!(client.receive(), Frame(TEXT, b"welcome".to_vec()));
    assert_eq!(client.receive_text(), "early");
}
