//! Messages to and from handlers of each style: whole, in order, of the right kind.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outside::websocket::{Message, SessionHandler, Style, WebSocketExit};
use outside::{Error, WebSocket, WebSocketConnection};

use crate::client::{BINARY, Client, Frame, PING, PONG, TEXT, close_frame, frame};
use crate::server::{Journal, blocking_echo, echo, serve};

/// A handler with an event loop of its own: here a thread that is unparked at each event.
struct AsyncHandler;

impl SessionHandler for AsyncHandler {
    fn style(&self) -> Style {
        Style::Async
    }

    fn open(&self, connection: &WebSocketConnection) -> Result<(), Error> {
        let connection = connection.clone();
        let elsewhere = thread::spawn({
            let connection = connection.clone();
            move || {
                thread::park();
                loop {
                    match connection.recv_or_listen() {
                        Ok(Some(message)) => {
                            while let Ok(false) = connection.try_send(&message) {
                                if connection.listen_for_room() {
                                    thread::park();
                                }
                            }
                        }
                        Ok(None) => thread::park(),
                        Err(_) => return,
                    }
                }
            }
        });
        let thread = elsewhere.thread().clone();
        connection.set_listener(move || thread.unpark());
        elsewhere.thread().unpark();
        Ok(())
    }
}

fn elsewhere_echo() -> WebSocket {
    WebSocket::with_handler(Arc::new(AsyncHandler))
}

/// An echo in each style.
fn echoes() -> [(&'static str, WebSocket); 3] {
    [("callbacks", echo()), ("blocking", blocking_echo()), ("elsewhere", elsewhere_echo())]
}

#[test]
fn every_style_echoes_every_kind_and_length() {
    for (style, websocket) in echoes() {
        let server = serve(websocket);
        let mut client = Client::open(server.address, "/");
        for length in [0, 1, 125, 126, 4096, 65535, 65536, 1 << 20] {
            for first in [TEXT, BINARY] {
                let payload = vec![b'a'; length];
                client.send(frame(first, &payload));
                assert!(client.receive() == Frame(first, payload), "{style}, {length} bytes");
            }
        }
        client.close();
    }
}

#[test]
fn many_at_once_come_back_in_order() {
    for (style, websocket) in echoes() {
        let server = serve(websocket);
        let mut client = Client::open(server.address, "/");
        let all: Vec<u8> = (0..5000).flat_map(|number| frame(TEXT, number.to_string())).collect();
        client.send(&all);
        for number in 0..5000 {
            assert_eq!(client.receive_text(), number.to_string(), "{style}");
        }
        client.close();
    }
}

/// Cut in any way: each piece arrives in a read of its own, since the server answers the frames before it.
#[test]
fn cut_anywhere() {
    let sent = [
        frame(0x01, "Hel"),
        frame(PING, "p"),
        frame(0x80, "lo"),
        frame(BINARY, vec![7; 300]),
        frame(0x02, []),
        frame(0x80, [8]),
    ]
    .concat();
    let expected = [
        Frame(PONG, b"p".to_vec()),
        Frame(TEXT, b"Hello".to_vec()),
        Frame(BINARY, vec![7; 300]),
        Frame(BINARY, vec![8]),
    ];
    for (style, websocket) in echoes() {
        let server = serve(websocket);
        let mut client = Client::open(server.address, "/");
        for cut in 0..=sent.len() {
            client.send(&sent[..cut]);
            // An answer proves that the server has read all bytes before it, but only between two frames.
            client.send(&sent[cut..]);
            let mut heard: Vec<Frame> = (0..4).map(|_| client.receive()).collect();
            // A pong need not wait for a handler.
            heard.sort_by_key(|frame| frame.0 != PONG);
            assert_eq!(heard, expected, "{style}, cut at {cut}");
        }
        for byte in &sent {
            client.send([*byte]);
        }
        let mut heard: Vec<Frame> = (0..4).map(|_| client.receive()).collect();
        heard.sort_by_key(|frame| frame.0 != PONG);
        assert_eq!(heard, expected, "{style}, byte by byte");
        client.close();
    }
}

/// Messages in the last packet before a client leaves are delivered; a handler with callbacks still answers them.
#[test]
fn messages_before_a_close_are_heard() {
    let heard = Journal::default();
    let note = |heard: &Journal| {
        let heard = heard.clone();
        move |connection: &WebSocketConnection, message: Message| {
            heard.note(message.as_text().unwrap_or_default());
            connection.send(message)
        }
    };
    let server = serve(WebSocket::new().on_message(note(&heard)));
    let mut client = Client::open(server.address, "/");
    client.send([frame(TEXT, "one"), frame(TEXT, "two"), close_frame(4000, "bye")].concat());
    assert_eq!((client.receive_text(), client.receive_text()), ("one".to_owned(), "two".to_owned()));
    assert_eq!(client.receive_last(), 4000);
    assert_eq!(heard.entries(), ["one", "two"]);

    let (said, left) = (Journal::default(), Journal::default());
    let (listen, leave) = (said.clone(), left.clone());
    server.set_route(
        "/blocking",
        WebSocket::new().on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            leave.wait_for(1);
            loop {
                match connection.recv() {
                    Ok(message) => listen.note(message.as_text().unwrap_or_default()),
                    Err(exit) => {
                        listen.note(exit.to_string());
                        return Err(exit);
                    }
                }
            }
        }),
    );
    let mut client = Client::open(server.address, "/blocking");
    client.send([frame(TEXT, "one"), frame(TEXT, "two"), close_frame(4000, "bye")].concat());
    assert_eq!(client.receive_last(), 4000, "nobody waits for a handler");
    left.note("go on");
    assert_eq!(said.wait_for(3), ["one", "two", "the connection has ended with 4000: bye"]);
}

/// The same before a violation of the protocol.
#[test]
fn messages_before_a_fault_are_heard() {
    let server = serve(echo());
    let heard = Journal::default();
    let listen = heard.clone();
    server.set_route(
        "/blocking",
        WebSocket::new().on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            loop {
                listen.note(connection.recv()?.as_text().unwrap_or_default());
            }
        }),
    );
    let fault = [frame(TEXT, "one"), frame(TEXT, "two"), frame(0xf1, "reserved bits")].concat();
    let mut client = Client::open(server.address, "/");
    client.send(&fault);
    assert_eq!((client.receive_text(), client.receive_text()), ("one".to_owned(), "two".to_owned()));
    assert_eq!(client.receive_last(), 1002);
    let mut client = Client::open(server.address, "/blocking");
    client.send(&fault);
    assert_eq!(client.receive_last(), 1002);
    assert_eq!(heard.wait_for(2), ["one", "two"]);
}

/// Messages that a handler has not taken when it ends the connection are dropped.
#[test]
fn nothing_is_heard_after_an_exit() {
    let heard = Journal::default();
    let listen = heard.clone();
    let server = serve(WebSocket::new().on_message(move |connection: &WebSocketConnection, message: Message| {
        listen.note(message.as_text().unwrap_or_default());
        connection.exit(4001, "enough")
    }));
    let mut client = Client::open(server.address, "/");
    client.send([frame(TEXT, "one"), frame(TEXT, "two")].concat());
    assert_eq!(client.receive_close(), (4001, "enough".to_owned()));
    client.send([frame(TEXT, "three"), close_frame(4001, "")].concat());
    client.receive_end();
    assert_eq!(heard.entries(), ["one"]);
}

#[test]
fn waiting_has_an_end() {
    let server =
        serve(WebSocket::new().on_connection(|connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            while connection.recv_timeout(Duration::from_millis(20))?.is_none() {
                connection.send("nothing yet")?;
            }
            connection.send("something")
        }));
    let mut client = Client::open(server.address, "/");
    assert_eq!(client.receive_text(), "nothing yet");
    client.send_text("now");
    while client.receive_text() != "something" {}
    assert_eq!(client.receive_close().0, 1000);
}
