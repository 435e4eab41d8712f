//! All ways in which a connection may end, as seen by the client, the handler and the log (RFC 6455 section 7).
//! `on_exit` is called exactly once for each.

use std::thread;
use std::time::{Duration, Instant};

use outside::websocket::{Message, WebSocketExit};
use outside::{Error, WebSocket, WebSocketConnection};

use crate::client::{BINARY, CLOSE, Client, OPENING, TEXT, close_frame, frame};
use crate::server::{Journal, blocking_echo, echo, serve};
use outside_test_support::server::Running;

/// Records the last message, and the exit; on a thread, or by callbacks.
fn noting(journal: &Journal, blocking: bool) -> WebSocket {
    let (open, heard, left) = (journal.clone(), journal.clone(), journal.clone());
    let websocket = WebSocket::new().on_exit(move |connection: &WebSocketConnection| {
        let code = connection.close_code().unwrap_or_default();
        left.note(format!("exit {code} {}", connection.close_reason().unwrap_or_default()).trim_end().to_owned());
    });
    if blocking {
        return websocket.on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            heard.note("open");
            loop {
                connection.send(connection.recv()?)?;
            }
        });
    }
    websocket
        .on_open(move |_: &WebSocketConnection| -> Result<(), Error> {
            open.note("open");
            Ok(())
        })
        .on_message(|connection: &WebSocketConnection, message: Message| connection.send(message))
}

/// Ends by a client or a server, as both sides see them: the code on the wire, and the code in `on_exit`.
#[test]
fn on_exit_is_called_once_however_it_ends() {
    type End = fn(&Running, Client);
    let ends: [(&str, &str, End); 10] = [
        ("a close with a code", "exit 4000 bye", |_, mut client| {
            client.send(close_frame(4000, "bye"));
            assert_eq!(client.receive_last(), 4000);
        }),
        ("a close without a code", "exit 1005", |_, mut client| {
            client.send(frame(CLOSE, []));
            assert_eq!(client.receive_last(), 1005);
        }),
        ("a socket that is closed", "exit 1006", |_, client| drop(client)),
        ("a socket that is reset", "exit 1006", |_, client| client.reset()),
        ("half a message, then nothing", "exit 1006", |_, mut client| {
            client.send(&frame(TEXT, "half")[..8]);
            client.stream.shutdown(std::net::Shutdown::Write).unwrap();
            client.receive_end();
        }),
        ("a fault", "exit 1002 a reserved bit is set", |_, mut client| {
            client.send(frame(0xc1, "not agreed on"));
            assert_eq!(client.receive_last(), 1002);
        }),
        ("a fault, and more behind it", "exit 1007 a text message is not UTF-8", |_, mut client| {
            client.send([frame(TEXT, [0xff]), frame(BINARY, vec![0; 1 << 20])].concat());
            assert_eq!(client.receive_last(), 1007);
        }),
        ("a fault, and a socket that is reset", "exit 1002 a reserved bit is set", |_, mut client| {
            client.send(frame(0xc1, "not agreed on"));
            client.reset();
        }),
        ("the server's end", "exit 1001 the server stops", |server, mut client| {
            server.server.terminate(false);
            assert_eq!(client.receive_close(), (1001, "the server stops".to_owned()));
            client.send(close_frame(1001, ""));
            client.receive_end();
        }),
        ("a new server", "exit 1012 the server starts anew", |server, mut client| {
            server.server.retire();
            assert_eq!(client.receive_close(), (1012, "the server starts anew".to_owned()));
            client.send(close_frame(1012, ""));
            client.receive_end();
        }),
    ];
    for (name, expected, end) in ends {
        for blocking in [false, true] {
            let journal = Journal::default();
            let server = serve(noting(&journal, blocking));
            let mut client = Client::open(server.address, "/");
            client.send_text("here");
            assert_eq!(client.receive_text(), "here");
            end(&server, client);
            assert_eq!(journal.wait_for(2), ["open", expected], "{name}, blocking: {blocking}");
            server.stop();
            assert_eq!(journal.entries().len(), 2, "{name}, blocking: {blocking}");
        }
    }
}

/// The end of the server waits for the exits of handlers.
#[test]
fn all_have_left_when_the_server_has_ended() {
    for blocking in [false, true] {
        let journal = Journal::default();
        let server = serve(noting(&journal, blocking));
        let mut clients: Vec<Client> = (0..50).map(|_| Client::open(server.address, "/")).collect();
        journal.wait_for(50);
        server.server.terminate(false);
        for client in &mut clients {
            assert_eq!(client.receive_close().0, 1001);
            client.send(close_frame(1001, ""));
        }
        server.stop();
        assert_eq!(journal.entries().len(), 100, "blocking: {blocking}");
    }
}

/// A handler that has to clean up has `termination_timeout` for it, like any other handler.
#[test]
fn a_thread_that_tidies_up_is_waited_for() {
    let journal = Journal::default();
    let note = journal.clone();
    let server =
        serve(WebSocket::new().on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            note.note("open");
            let exit = connection.recv().unwrap_err();
            thread::sleep(Duration::from_millis(1500));
            note.note("tidy");
            Err(exit)
        }));
    let mut client = Client::open(server.address, "/");
    journal.wait_for(1);
    server.server.terminate(false);
    assert_eq!(client.receive_close().0, 1001);
    client.send(close_frame(1001, ""));
    client.receive_end();
    server.stop();
    assert_eq!(journal.entries(), ["open", "tidy"]);
}

/// Clients that answer nothing are cut after `termination_timeout`.
#[test]
fn the_end_has_an_end() {
    for blocking in [false, true] {
        let journal = Journal::default();
        let server = Running::start(|config| config.termination_timeout = Duration::from_millis(300));
        server.set_route("/", noting(&journal, blocking));
        let mut clients: Vec<Client> = (0..5).map(|_| Client::open(server.address, "/")).collect();
        journal.wait_for(5);
        let began = Instant::now();
        server.stop();
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        clients.iter_mut().for_each(|client| assert_eq!(client.receive_last(), 1001));
        assert_eq!(journal.entries().len(), 10, "blocking: {blocking}");
    }
}

/// The result of a handler as a close code, and its entry in the log.
#[test]
fn how_a_handler_ends() {
    type Connection = fn(&WebSocketConnection) -> Result<(), Error>;
    let handlers: [(&str, u16, &str, Connection); 6] = [
        ("it returns", 1000, "", |_| Ok(())),
        ("it fails", 1011, "WebSocket \"/\": the handler failed: no paper", |_| Err(Error::new("no paper"))),
        ("it panics", 1011, "WebSocket \"/\": the handler failed: it panicked", |_| panic!("a test")),
        ("it ends it", 4001, "", |connection| connection.exit(4001, "enough")),
        ("it ends it and goes on", 4001, "", |connection| {
            connection.exit(4001, "enough")?;
            connection.exit(4002, "more than enough")?;
            connection.send("too late")?;
            Ok(())
        }),
        ("a code that is none", 1011, "not 1006 (abnormal closure)", |connection| connection.exit(1006, "")),
    ];
    for (name, code, told, handler) in handlers {
        let called = move |connection: &WebSocketConnection, _: Message| handler(connection);
        for (style, websocket) in [
            ("blocking", WebSocket::new().on_connection(handler)),
            ("open", WebSocket::new().on_open(handler)),
            ("message", WebSocket::new().on_message(called)),
        ] {
            if style != "blocking" && name == "it returns" {
                continue;
            }
            let journal = Journal::default();
            let left = journal.clone();
            let server = serve(websocket.on_exit(move |_: &WebSocketConnection| left.note("exit")));
            let mut client = Client::open(server.address, "/");
            if style == "message" {
                client.send_text("go");
            }
            assert_eq!(client.receive_close().0, code, "{name}, {style}");
            client.send(close_frame(code, ""));
            client.receive_end();
            journal.wait_for(1);
            let events = if told.is_empty() { Vec::new() } else { server.log.wait_for_events(1) };
            assert!(events.concat().contains(told), "{name}, {style}: {events:?}");
            let server_told = server.log.clone();
            server.stop();
            assert_eq!((journal.entries().len(), server_told.events().len()), (1, events.len()), "{name}, {style}");
        }
    }
}

#[test]
fn a_panic_at_the_exit_is_told() {
    let server = serve(echo().on_exit(|_: &WebSocketConnection| panic!("a test")));
    Client::open(server.address, "/").close();
    assert!(server.log.wait_for_events(1)[0].contains("it panicked"));
    Client::open(server.address, "/").close();
}

/// After the end sending fails, and each error gives the reason.
#[test]
fn an_ended_connection_says_so() {
    let journal = Journal::default();
    let note = journal.clone();
    let server =
        serve(WebSocket::new().on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            let exit = connection.recv().unwrap_err();
            assert_eq!((exit.code, &*exit.reason), (4000, "bye"));
            assert_eq!(connection.send("too late").unwrap_err(), exit);
            assert_eq!(connection.try_send("too late").unwrap_err(), exit);
            assert_eq!(connection.recv_timeout(Duration::from_secs(9)).unwrap_err(), exit);
            assert_eq!((connection.close_code(), connection.close_reason()), (Some(4000), Some("bye".to_owned())));
            connection.exit(1000, "").unwrap();
            connection.ping(b"").unwrap();
            connection.subscribe("room");
            note.note("done");
            Ok(())
        }));
    let mut client = Client::open(server.address, "/");
    client.send(close_frame(4000, "bye"));
    assert_eq!(client.receive_last(), 4000);
    journal.wait_for_entry("done");
}

/// Section 7.1.1: a client that does not close after the server's Close frame is cut after five seconds; until then it
/// may send.
#[test]
fn a_closing_handshake_has_a_deadline() {
    let server = serve(WebSocket::new().on_open(|connection: &WebSocketConnection| connection.exit(4000, "")));
    let began = Instant::now();
    let mut client = Client::open(server.address, "/");
    assert_eq!(client.receive_close().0, 4000);
    client.send_text("I stay");
    client.receive_end();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(5) && waited <= Duration::from_secs(8), "{waited:?}");
}

/// Section 7.1.7: a client that breaks the protocol gets the reason and is disconnected; no answer is awaited.
#[test]
fn a_client_that_breaks_the_protocol_is_not_awaited() {
    let server = serve(echo());
    server.set_route("/blocking", blocking_echo());
    for target in ["/", "/blocking"] {
        let mut client = Client::open(server.address, target);
        let began = Instant::now();
        client.send(frame(0xc1, "not agreed on"));
        assert_eq!(client.receive_last(), 1002);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

/// Requests that fail half-way leave no handler behind: handlers are called only for open connections.
#[test]
fn a_handler_belongs_to_an_open_connection() {
    let journal = Journal::default();
    let server = serve(noting(&journal, false));
    let mut refused = Client::connect(server.address);
    assert_eq!(refused.ask("/", &format!("{OPENING}Origin: https://evil.example\r\n")).status, 403);
    drop(refused);
    server.stop();
    assert!(journal.entries().is_empty());
}
