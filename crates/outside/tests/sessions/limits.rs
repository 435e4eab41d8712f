//! Bombs (docs/security.md S41, S42): too large messages are refused by their declared length, and while they are inflated.

use std::time::{Duration, Instant};

use outside::testing::websocket::TestTerms;
use outside::websocket::WebSocketExit;
use outside::{WebSocket, WebSocketConnection};

use crate::client::{BINARY, COMPRESSED, Client, Frame, OPENING, TEXT, frame};
use crate::server::{Journal, blocking_echo, echo, serve};
use outside_test_support::server::Running;

const MIB: usize = 1 << 20;

/// The head of a frame that declares this length, without its payload.
fn head(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0xff][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

#[test]
fn a_declared_length_is_enough() {
    let server = serve(echo());
    server.set_route("/blocking", blocking_echo());
    for target in ["/", "/blocking"] {
        for length in [MIB as u64 + 1, 1 << 40, (1 << 63) - 1] {
            let mut client = Client::open(server.address, target);
            // No byte of the payload is sent: the length is refused, not the bytes.
            client.send(head(BINARY, length));
            assert_eq!(client.receive_last(), 1009, "{length}");
        }
        let mut client = Client::open(server.address, target);
        client.send(head(BINARY, 1 << 63));
        assert_eq!(client.receive_last(), 1002, "the highest bit is 0");
    }
}

#[test]
fn the_limit_holds_for_the_sum_of_the_frames() {
    let server = serve(echo());
    let mut client = Client::open(server.address, "/");
    client.send(frame(0x02, vec![1; MIB - 1]));
    client.send(frame(0x80, [2]));
    assert_eq!(client.receive(), Frame(BINARY, [vec![1; MIB - 1], vec![2]].concat()));
    client.send(frame(0x02, vec![1; MIB - 1]));
    client.send(frame(0x00, [2]));
    client.send(frame(0x80, [3]));
    assert_eq!(client.receive_last(), 1009);
}

/// A client that is still sending a too large message can read the reason of the end.
#[test]
fn the_reason_arrives_though_more_is_on_its_way() {
    let server = serve(echo());
    let mut client = Client::open(server.address, "/");
    client.send(frame(BINARY, vec![0; 16 * MIB]));
    assert_eq!(client.receive_close(), (1009, "a message larger than max_message".to_owned()));
    client.receive_end();
}

#[test]
fn other_limits_are_kept_to_the_byte() {
    for limit in [0, 1, 125, 70_000] {
        let server = serve(echo().with_max_message(limit));
        let mut client = Client::open(server.address, "/");
        client.send(frame(TEXT, vec![b'a'; limit]));
        assert_eq!(client.receive(), Frame(TEXT, vec![b'a'; limit]));
        client.send(frame(TEXT, vec![b'a'; limit + 1]));
        assert_eq!(client.receive_last(), 1009);
    }
}

/// A message as a client compresses it.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let terms = TestTerms::negotiate([b"permessage-deflate".as_slice()], false).unwrap();
    let from_server = terms.compressor().frame(false, payload);
    let head = match from_server[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame(from_server[0], &from_server[head..])
}

fn open_compressed(server: &Running) -> Client {
    let mut client = Client::connect(server.address);
    let answer = client.ask("/", &format!("{OPENING}Sec-WebSocket-Extensions: permessage-deflate\r\n"));
    assert!(answer.header("Sec-WebSocket-Extensions").unwrap().starts_with("permessage-deflate"));
    client
}

#[test]
fn a_deflate_bomb_ends_at_the_limit() {
    let server = serve(echo().with_deflate(true));
    let bomb = compressed(&vec![0; 64 * MIB]);
    assert!(bomb.len() < 70_000 && bomb[0] & COMPRESSED != 0);
    let mut client = open_compressed(&server);
    client.send(compressed(&vec![0; MIB]));
    assert_eq!(client.receive().0, BINARY | COMPRESSED);
    client.send(bomb);
    assert_eq!(client.receive_last(), 1009);
}

/// A few bytes may be many messages: only as many are inflated as a handler's inbox takes.
#[test]
fn many_small_bombs_wait_for_their_turn() {
    const BOMBS: usize = 50;
    let most = Journal::default();
    let note = most.clone();
    let server = serve(
        WebSocket::new()
            .on_connection(move |connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
                connection.recv()?;
                // Long enough for all messages of the test.
                let until = Instant::now() + Duration::from_millis(500);
                let mut waiting = 0;
                while Instant::now() < until {
                    waiting = waiting.max(waiting_in(connection));
                }
                note.note(waiting.to_string());
                loop {
                    connection.send(connection.recv()?.as_bytes().len().to_string())?;
                }
            })
            .with_deflate(true),
    );
    let mut client = open_compressed(&server);
    client.send([compressed(b"first"), compressed(&vec![0; MIB]).repeat(BOMBS)].concat());
    assert_eq!(most.wait_for(1), ["1"]);
    (0..BOMBS).for_each(|_| assert_eq!(client.receive_text(), MIB.to_string()));
}

/// Messages that the handler has not taken yet.
fn waiting_in(connection: &WebSocketConnection) -> usize {
    let text = format!("{connection:?}");
    let (_, rest) = text.split_once("waiting: ").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}
