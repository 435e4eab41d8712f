//! A published message reaches each subscriber once, in order, from any publisher; a slow client does not delay others
//! (docs/security.md S44).

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use outside::websocket::{Message, WhenFull};
use outside::{OutsideHttp, Request, WebSocket, WebSocketConnection};

use crate::client::{BINARY, CLOSE, Client, Frame, OPENING, TEXT, frame};
use outside_test_support::server::Running;

/// `join ROOM`, `leave ROOM`, `say ROOM WORDS`.
fn rooms(server: &Running) -> WebSocket {
    let server: Weak<OutsideHttp> = Arc::downgrade(&server.server);
    WebSocket::new().on_message(move |connection: &WebSocketConnection, message: Message| {
        let text = message.as_text().unwrap_or_default();
        match text.split_once(' ') {
            Some(("join", room)) => connection.subscribe(room),
            Some(("leave", room)) => connection.unsubscribe(room),
            Some(("say", rest)) => {
                let (room, words) = rest.split_once(' ').unwrap_or_default();
                server.upgrade().unwrap().publish(room, words);
            }
            _ => {}
        }
        connection.send(format!("done {text}"))
    })
}

fn start(reactors: usize) -> Running {
    let server = Running::start(|config| config.reactors = reactors);
    server.set_route("/", rooms(&server));
    server
}

/// A client that has sent this and got the confirmation.
fn with(server: &Running, orders: &[&str]) -> Client {
    let mut client = Client::open(server.address, "/");
    tell(&mut client, orders);
    client
}

fn tell(client: &mut Client, orders: &[&str]) {
    for order in orders {
        client.send_text(order);
        assert_eq!(client.receive_text(), format!("done {order}"));
    }
}

#[test]
fn a_subscriber_hears_it_once() {
    for reactors in [1, 3] {
        let server = start(reactors);
        let mut both = with(&server, &["join red", "join blue", "join red"]);
        let mut red = with(&server, &["join red"]);
        let mut blue = with(&server, &["join red", "join blue", "leave red", "leave green"]);
        drop(with(&server, &["join red"]));
        with(&server, &["join red", "join blue"]).close();
        server.server.publish("nowhere", "nobody hears it");
        server.server.publish("red", "one");
        server.server.publish("blue", "two");
        server.server.publish("red", Message::binary(vec![3]));
        // Messages of two topics keep their order on one reactor, and there is only one.
        assert_eq!((both.receive_text(), both.receive_text()), ("one".to_owned(), "two".to_owned()));
        assert_eq!(both.receive(), Frame(BINARY, vec![3]));
        assert_eq!(red.receive_text(), "one");
        assert_eq!(red.receive(), Frame(BINARY, vec![3]));
        assert_eq!(blue.receive_text(), "two");
        for client in [both, red, blue] {
            client.close();
        }
    }
}

#[test]
fn from_handlers_threads_and_requests() {
    let server = start(2);
    let publisher: Weak<OutsideHttp> = Arc::downgrade(&server.server);
    server.set_route("/say", move |request: &Request| publisher.upgrade().unwrap().publish("room", request.query()));
    let mut listeners: Vec<Client> = (0..10).map(|_| with(&server, &["join room"])).collect();

    Client::open(server.address, "/").send_text("say room from a handler");
    listeners.iter_mut().for_each(|client| assert_eq!(client.receive_text(), "from a handler"));
    assert_eq!(Client::connect(server.address).ask("/say?from-a-request", "Host: sessions\r\n").status, 204);
    listeners.iter_mut().for_each(|client| assert_eq!(client.receive_text(), "from-a-request"));

    const EACH: usize = 500;
    let threads = (0..4).map(|thread| {
        let server = Arc::clone(&server.server);
        thread::spawn(move || (0..EACH).for_each(|number| server.publish("room", format!("{thread} {number}"))))
    });
    threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
    for client in &mut listeners {
        let mut next = [0; 4];
        for _ in 0..4 * EACH {
            let text = client.receive_text();
            let (thread, number) = text.split_once(' ').unwrap();
            let next = &mut next[thread.parse::<usize>().unwrap()];
            assert_eq!(number.parse(), Ok(*next), "each thread's messages stay in order");
            *next += 1;
        }
    }
}

/// Compressed or not, every subscriber can read it.
#[test]
fn all_subscribers_understand_a_published_message() {
    let server = Running::start(|_| {});
    let join = |connection: &WebSocketConnection| -> Result<(), outside::Error> {
        connection.subscribe("room");
        Ok(())
    };
    server.set_route("/", rooms(&server).on_open(join).with_deflate(true));
    let mut plain = with(&server, &["join room"]);
    let mut compressing = Client::connect(server.address);
    let fields = format!("{OPENING}Sec-WebSocket-Extensions: permessage-deflate\r\n");
    assert!(compressing.ask("/", &fields).header("Sec-WebSocket-Extensions").is_some());
    compressing.send_text("join room");
    assert_eq!(compressing.receive_text(), "done join room");
    let long = "again and ".repeat(100);
    server.server.publish("room", long.as_str());
    assert_eq!((plain.receive_text(), compressing.receive_text()), (long.clone(), long));
}

const ROUNDS: usize = 2000;
const LENGTH: usize = 4 << 10;

/// One client does not read; the others get each message without delay, and the slow one is disconnected, or loses old
/// messages.
#[test]
fn a_slow_reader_delays_no_other() {
    for when_full in [WhenFull::Wait, WhenFull::DropOldest, WhenFull::Close] {
        let server = Running::start(|_| {});
        server.set_route("/", rooms(&server).with_queue(256 << 10, when_full));
        let mut stalled = with(&server, &["join room"]);
        let mut readers: Vec<Client> = (0..8).map(|_| with(&server, &["join room"])).collect();
        let mut worst = Duration::ZERO;
        for round in 0..ROUNDS {
            let mut message = vec![b' '; LENGTH];
            message[..8].copy_from_slice(format!("{round:8}").as_bytes());
            let began = Instant::now();
            server.server.publish("room", Message::binary(message.clone()));
            readers.iter_mut().for_each(|client| assert_eq!(client.receive(), Frame(BINARY, message.clone())));
            worst = worst.max(began.elapsed());
        }
        assert!(worst < Duration::from_millis(500), "{when_full:?}: {worst:?}");
        // By now the queue of the slow client has been full for long.
        let (mut received, mut last) = (0, 0);
        stalled.send(frame(TEXT, "say room the end"));
        let close = loop {
            match stalled.receive() {
                Frame(BINARY, message) => {
                    let number: usize = std::str::from_utf8(&message[..8]).unwrap().trim().parse().unwrap();
                    assert!(received == 0 || number > last, "in order");
                    (received, last) = (received + 1, number);
                }
                Frame(CLOSE, payload) => break Some(u16::from_be_bytes([payload[0], payload[1]])),
                Frame(TEXT, text) if text == b"the end" => break None,
                Frame(TEXT, _) => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(received < ROUNDS, "{when_full:?}");
        let expected = (when_full != WhenFull::DropOldest).then_some(1013);
        assert_eq!((close, last == ROUNDS - 1), (expected, expected.is_none()), "{when_full:?}: {received}, {last}");
    }
}

/// Subscribers come and go while others publish: no memory is kept for those that have left.
#[test]
fn a_room_is_empty_when_all_have_left() {
    let server = start(2);
    let publisher = Arc::clone(&server.server);
    let publishing = thread::spawn(move || {
        for number in 0..2000 {
            publisher.publish("room", number.to_string());
        }
    });
    for _ in 0..40 {
        let mut client = Client::open(server.address, "/");
        client.send_text("join room");
        drop(client);
    }
    publishing.join().unwrap();
    let mut last = with(&server, &["join room"]);
    server.server.publish("room", "only you");
    assert_eq!(last.receive_text(), "only you");
    server.stop();
}
