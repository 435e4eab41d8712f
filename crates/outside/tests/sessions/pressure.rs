//! Either side may be slow: the faster side waits, or loses messages that the other does not take, and memory stays
//! bounded (docs/security.md S44).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outside::websocket::{Message, WebSocketExit, WhenFull};
use outside::{WebSocket, WebSocketConnection};

use crate::client::{BINARY, CLOSE, Client, DEADLINE, Frame, OPENING, frame};
use crate::server::{Journal, serve};
use outside_test_support::server::Running;

/// The system keeps some megabytes for each direction of a connection.
const SYSTEM: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_millis(400);
/// Bytes of a message: its number, and something to make it long.
const LONG: usize = 8 << 10;
const MANY: usize = 8192;

fn numbered(number: usize) -> Vec<u8> {
    let mut message = vec![0; LONG];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

fn number_of(message: &[u8]) -> usize {
    assert_eq!(message.len(), LONG);
    usize::from_be_bytes(message[..8].try_into().unwrap())
}

/// A client whose receive buffer is small from the start.
fn narrow(server: &Running) -> Client {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let mut client = Client::over(socket.into());
    assert_eq!(client.ask("/", OPENING).status, 101);
    client
}

/// Waits until a number has not changed for a while.
fn when_it_rests(counter: &AtomicUsize) -> usize {
    let deadline = Instant::now() + DEADLINE;
    let (mut last, mut since) = (usize::MAX, Instant::now());
    while since.elapsed() < PATIENCE {
        assert!(Instant::now() < deadline, "it never rests");
        let now = counter.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        std::thread::yield_now();
    }
    last
}

#[test]
fn a_handler_that_takes_nothing_stops_its_client() {
    let go_on = Journal::default();
    let (wait, wait_too) = (go_on.clone(), go_on.clone());
    let server =
        serve(WebSocket::new().on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            wait.wait_for(1);
            for number in 0..MANY {
                assert_eq!(number_of(connection.recv()?.as_bytes()), number);
            }
            connection.send("all of it")
        }));
    let taken = Arc::new(AtomicUsize::new(0));
    server.set_route(
        "/callbacks",
        WebSocket::new().on_message(move |connection: &WebSocketConnection, message: Message| {
            wait_too.wait_for(1);
            let number = taken.fetch_add(1, Ordering::Relaxed);
            assert_eq!(number_of(message.as_bytes()), number);
            if number + 1 < MANY { Ok(()) } else { connection.send("all of it") }
        }),
    );
    let all: Vec<u8> = (0..MANY).flat_map(|number| frame(BINARY, numbered(number))).collect();
    let mut clients = ["/", "/callbacks"].map(|target| {
        let mut client = Client::open(server.address, target);
        let sent = client.send_until_stuck(&all, PATIENCE);
        assert!(sent < SYSTEM + (2 << 20), "{target}: {sent} of {} bytes were taken", all.len());
        (client, sent)
    });
    go_on.note("go on");
    for (client, sent) in &mut clients {
        client.send(&all[*sent..]);
        assert_eq!(client.receive_text(), "all of it");
    }
}

#[test]
fn a_client_that_takes_nothing_stops_its_handler() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let server = serve(
        WebSocket::new()
            .on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
                for number in 0..MANY {
                    connection.send(numbered(number))?;
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
            .with_queue(256 << 10, WhenFull::Wait),
    );
    let mut client = narrow(&server);
    let stopped = when_it_rests(&sent);
    assert!(stopped * LONG < SYSTEM, "{stopped} messages of {LONG} bytes went out to nobody");
    for number in 0..MANY {
        assert_eq!(client.receive(), Frame(BINARY, numbered(number)));
    }
    assert_eq!(client.receive_close().0, 1000);
}

/// A handler that waits in `send` is released when the client has left.
#[test]
fn no_sender_waits_for_a_client_that_is_gone() {
    let journal = Journal::default();
    let note = journal.clone();
    let server =
        serve(WebSocket::new().on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
            note.note("begun");
            let exit = loop {
                if let Err(exit) = connection.send(numbered(0)) {
                    break exit;
                }
            };
            note.note(exit.code.to_string());
            Err(exit)
        }));
    let client = narrow(&server);
    journal.wait_for(1);
    client.reset();
    assert_eq!(journal.wait_for(2)[1], "1006");
}

/// A client that holds the socket open and never reads is disconnected after `write_stall_timeout`.
#[test]
fn a_client_that_never_reads_is_left() {
    let server = Running::start(|config| config.write_stall_timeout = Duration::from_millis(300));
    let journal = Journal::default();
    let note = journal.clone();
    server.set_route(
        "/",
        WebSocket::new()
            .on_open(|connection: &WebSocketConnection| {
                (0..MANY).try_for_each(|number| connection.send(numbered(number)))
            })
            .on_exit(move |connection: &WebSocketConnection| {
                note.note(connection.close_code().unwrap_or_default().to_string());
            }),
    );
    let _client = narrow(&server);
    assert_eq!(journal.wait_for(1), ["1006"]);
}

#[test]
fn the_oldest_are_dropped() {
    let server = serve(
        WebSocket::new()
            .on_open(|connection: &WebSocketConnection| {
                (0..MANY).try_for_each(|number| connection.send(numbered(number)))?;
                connection.exit(4000, "")
            })
            .with_queue(256 << 10, WhenFull::DropOldest),
    );
    let mut client = narrow(&server);
    let mut numbers = Vec::new();
    while let Frame(BINARY, message) = client.receive() {
        numbers.push(number_of(&message));
    }
    assert!(numbers.is_sorted(), "in order");
    assert!(numbers.len() < MANY, "all of them");
    assert!(numbers.ends_with(&(MANY - 30..MANY).collect::<Vec<_>>()), "the newest of them are there");
}

#[test]
fn or_the_connection_ends() {
    let journal = Journal::default();
    let note = journal.clone();
    let server = serve(
        WebSocket::new()
            .on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
                let sent = (0..MANY).take_while(|number| connection.send(numbered(*number)).is_ok()).count();
                note.note(format!("{} {:?}", sent < MANY, connection.close_code()));
                Ok(())
            })
            .with_queue(256 << 10, WhenFull::Close),
    );
    let mut client = narrow(&server);
    assert_eq!(journal.wait_for(1), ["true Some(1013)"]);
    let mut expected = 0;
    let close = loop {
        match client.receive() {
            Frame(BINARY, message) => assert_eq!(number_of(&message), expected),
            other => break other,
        }
        expected += 1;
    };
    assert_eq!(close, Frame(CLOSE, [&1013u16.to_be_bytes()[..], b"the client reads too slowly"].concat()));
}

/// A message larger than the queue is sent when the queue is empty: only the memory of its sender limits it.
#[test]
fn one_large_message_fits_any_queue() {
    for when_full in [WhenFull::Wait, WhenFull::DropOldest, WhenFull::Close] {
        let server = serve(
            WebSocket::new()
                .on_open(|connection: &WebSocketConnection| connection.send(vec![7; 4 << 20]))
                .with_queue(1000, when_full),
        );
        let mut client = Client::open(server.address, "/");
        assert!(client.receive() == Frame(BINARY, vec![7; 4 << 20]));
        client.close();
    }
}
