//! A silent client gets a ping, and is disconnected if it does not answer (docs/security.md S44).

use std::time::{Duration, Instant};

use outside::websocket::{Message, WebSocketExit};
use outside::{WebSocket, WebSocketConnection};

use crate::client::{Client, Frame, PING, PONG, TEXT, close_frame, frame};
use crate::server::{Journal, echo, serve};
use outside_test_support::server::Running;

const SHORT: Duration = Duration::from_millis(200);
/// Deadlines are checked every tenth of a second, and the machine may be busy.
const LATE: Duration = Duration::from_secs(4);

#[test]
fn silence_is_broken_by_a_ping() {
    let server = serve(echo().with_ping(Some(SHORT), LATE));
    let mut client = Client::open(server.address, "/");
    let mut last = Instant::now();
    for _ in 0..4 {
        assert_eq!(client.receive(), Frame(PING, Vec::new()));
        assert!(last.elapsed() >= SHORT - Duration::from_millis(110), "{:?}", last.elapsed());
        assert!(last.elapsed() <= LATE, "{:?}", last.elapsed());
        last = Instant::now();
        client.send(frame(PONG, []));
    }
    // Any frame of the client counts.
    assert_eq!(client.receive(), Frame(PING, Vec::new()));
    client.send_text("here");
    assert_eq!(client.receive_text(), "here");
    assert_eq!(client.receive(), Frame(PING, Vec::new()));
    client.close();
}

#[test]
fn no_answer_is_an_end() {
    let journal = Journal::default();
    let left = journal.clone();
    let server = serve(echo().with_ping(Some(SHORT), SHORT).on_exit(move |connection: &WebSocketConnection| {
        left.note(format!("{:?}", connection.close_code()));
    }));
    let mut client = Client::open(server.address, "/");
    assert_eq!(client.receive(), Frame(PING, Vec::new()));
    assert_eq!(client.receive_close(), (1011, "no answer to a ping".to_owned()));
    client.send(close_frame(1011, ""));
    client.receive_end();
    assert_eq!(journal.wait_for(1), ["Some(1011)"]);
}

/// A client that answers is never disconnected: while the handler is busy, the pong may lie unread in the socket.
#[test]
fn a_slow_handler_is_not_a_silent_client() {
    let begun = Journal::default();
    let go_on = [Journal::default(), Journal::default()];
    let (begin, wait) = (begun.clone(), go_on[0].clone());
    let called = move |connection: &WebSocketConnection, message: Message| {
        begin.note("begun");
        wait.wait_for(1);
        connection.send(message)
    };
    let (begin, wait) = (begun.clone(), go_on[1].clone());
    let on_thread = move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
        begin.note("begun");
        wait.wait_for(1);
        loop {
            connection.send(connection.recv()?)?;
        }
    };
    let patience = |websocket: WebSocket| websocket.with_ping(Some(SHORT), SHORT).with_max_message(1000);
    let server = serve(patience(WebSocket::new().on_message(called)));
    server.set_route("/blocking", patience(WebSocket::new().on_connection(on_thread)));
    for (number, target) in ["/", "/blocking"].into_iter().enumerate() {
        let mut client = Client::open(server.address, target);
        client.send_text("work");
        begun.wait_for(number + 1);
        // So many bytes that the server stops reading until the handler goes on.
        (0..200).for_each(|_| client.send_text(&"more".repeat(200)));
        let until = Instant::now() + 6 * SHORT;
        while let Some(asked) = client.receive_within(until.saturating_duration_since(Instant::now())) {
            assert_eq!(asked, Frame(PING, Vec::new()), "{target}");
            client.send(frame(PONG, []));
        }
        go_on[number].note("go on");
        let mut texts = 0;
        while texts < 201 {
            match client.receive() {
                Frame(PING, _) => client.send(frame(PONG, [])),
                Frame(TEXT, _) => texts += 1,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn pings_of_the_client_are_answered_and_pongs_are_not() {
    let server = serve(echo());
    let mut client = Client::open(server.address, "/");
    for payload in [vec![], b"payload".to_vec(), vec![0xff; 125]] {
        client.send([frame(PONG, &payload), frame(PING, &payload)].concat());
        assert_eq!(client.receive(), Frame(PONG, payload));
    }
    client.close();
}

#[test]
fn handlers_may_ping() {
    let server = serve(
        WebSocket::new()
            .on_message(|connection: &WebSocketConnection, message: Message| connection.ping(message.as_bytes())),
    );
    let mut client = Client::open(server.address, "/");
    client.send_text("are you there?");
    assert_eq!(client.receive(), Frame(PING, b"are you there?".to_vec()));
    client.send_text(&"long".repeat(32));
    assert_eq!(client.receive_close().0, 1011);
    assert!(server.log.wait_for_events(1)[0].contains("at most 125 bytes, not 128"));
}

/// Without pings, `process_timeout` counts received and sent bytes.
#[test]
fn without_pings_silence_has_an_end() {
    let server = Running::start(|config| config.process_timeout = 3 * SHORT);
    server.set_route("/", echo().with_ping(None, LATE));
    server.set_route(
        "/clock",
        WebSocket::new()
            .on_connection(|connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
                let until = Instant::now() + 8 * SHORT;
                while Instant::now() < until {
                    connection.send("tick")?;
                    connection.recv_timeout(SHORT / 4)?;
                }
                Ok(())
            })
            .with_ping(None, LATE),
    );
    let mut client = Client::open(server.address, "/");
    for _ in 0..8 {
        assert_eq!(client.receive_within(SHORT / 2), None);
        client.send_text("here");
        assert_eq!(client.receive_text(), "here");
    }
    assert_eq!(client.receive_close(), (1001, "silent for too long".to_owned()));
    let mut clock = Client::open(server.address, "/clock");
    let code = loop {
        match clock.receive() {
            Frame(TEXT, _) => {}
            Frame(_, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
        }
    };
    assert_eq!(code, 1000, "it was sent to all the time");
}
