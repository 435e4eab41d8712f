//! The end of connections and streams: graceful, in time, and without effect on others.

use std::time::{Duration, Instant};

use outside::Request;

use outside_test_support::http2::wire::{
    ACK, CANCEL, Client, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, NO_ERROR, PING, RST_STREAM, SETTINGS,
    block, frame, get, request,
};
use outside_test_support::latch::Latch;
use outside_test_support::server::Running;

#[test]
fn the_end_comes_in_two_steps() {
    let server = Running::start_h2c(|_| {});
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/slow"));
    latch.wait_for_arrivals(1);
    server.server.terminate(false);
    // First: no new streams, please; streams in flight are still accepted.
    let (code, before) = client.go_away();
    assert_eq!(code, NO_ERROR);
    assert!(before.iter().all(|frame| frame.kind != HEADERS));
    client.send(&request(3, "/slow"));
    latch.wait_for_arrivals(2);
    let ping = loop {
        let frame = client.frame().unwrap();
        if frame.kind == PING {
            break frame;
        }
    };
    client.send(&frame(PING, ACK, 0, &ping.payload));
    // Then: the last stream.
    let last = loop {
        let frame = client.frame().unwrap();
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!((last.code(), &last.payload[..4]), (NO_ERROR, &[0, 0, 0, 3][..]));
    latch.open();
    let mut ended = Vec::new();
    while let Some(frame) = client.frame() {
        if frame.ends_stream() {
            ended.push(frame.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    server.stop();
}

/// A FIN may mean that the client is gone: then its system answers the ping by a reset. A client that has closed only
/// its own side gets its answer (RFC 9112 section 9.6).
#[test]
fn a_client_that_closes_its_side_is_probed_once_and_answered() {
    let server = Running::start_h2c(|_| {});
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/slow"));
    latch.wait_for_arrivals(1);
    client.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let is_probe = |frame: &Frame| frame.kind == PING && frame.flags & ACK == 0;
    while !is_probe(&client.frame().expect("a ping before the answer")) {}
    latch.open();
    let rest: Vec<Frame> = std::iter::from_fn(|| client.frame()).collect();
    assert!(rest.iter().any(|frame| frame.stream == 1 && frame.ends_stream()), "the stream is answered");
    assert!(!rest.iter().any(is_probe), "one ping is enough");
    server.stop();
}

#[test]
fn a_client_that_rests_is_left_in_good_order() {
    let server = Running::start_h2c(|_| {});
    server.set_route("/", |_: &Request| "hi");
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/"));
    assert_eq!(client.answer(1).0, 200);
    let began = Instant::now();
    server.stop();
    // The client has not answered the ping of the first step, and the server does not wait long for it.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(client.go_away().0, NO_ERROR);
}

#[test]
fn idle_connections_end_and_silent_ones_are_asked() {
    let server = Running::start_h2c(|config| {
        config.keep_alive_idle = Duration::from_millis(1500);
        config.h2_ping = Duration::from_millis(300);
    });
    server.set_route("/", |_: &Request| "hi");
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    // The client answers pings until it gets the last GOAWAY.
    let mut client = Client::connect(server.address);
    let mut pings = 0;
    loop {
        match client.frame().unwrap() {
            ping if ping.kind == PING => {
                pings += 1;
                client.send(&frame(PING, ACK, 0, &ping.payload));
            }
            last if last.kind == GOAWAY => {
                assert_eq!(last.code(), NO_ERROR);
                break;
            }
            _ => {}
        }
    }
    assert!(pings >= 2, "{pings} pings");
    // A client that does not answer is disconnected, with or without requests.
    let mut client = Client::connect(server.address);
    client.send(&request(1, "/slow"));
    latch.wait_for_arrivals(1);
    let began = Instant::now();
    while client.frame().is_some() {}
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_connection_carries_so_many_requests() {
    let server = Running::start_h2c(|config| config.max_socket_reuse = 3);
    server.set_route("/", |_: &Request| "hi");
    let mut client = Client::connect(server.address);
    for stream in [1, 3, 5] {
        client.send(&request(stream, "/"));
    }
    let (code, before) = client.go_away();
    assert_eq!(code, NO_ERROR);
    let mut answered = before.iter().filter(|frame| frame.ends_stream()).count();
    while let Some(frame) = client.frame() {
        answered += usize::from(frame.ends_stream());
    }
    assert_eq!(answered, 3);
}

#[test]
fn a_late_handler_costs_its_stream_alone() {
    let server = Running::start_h2c(|config| config.process_timeout = Duration::from_millis(300));
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    server.set_route("/", |_: &Request| "hi");
    let mut client = Client::connect(server.address);
    client.send(&[request(1, "/slow"), request(3, "/")].concat());
    let quick = client.frame_of(3);
    assert_eq!(quick.status(), 200);
    let (status, _) = client.answer(1);
    assert_eq!(status, 504);
    client.send(&request(5, "/"));
    assert_eq!(client.frame_of(5).kind, HEADERS);
    server.log.wait_for("GET /slow: no answer within process_timeout");
    server.log.wait_for("\"GET /slow HTTP/2\" 504");
}

#[test]
fn a_call_that_was_cancelled_early_never_begins() {
    let server = Running::start_h2c(|config| config.max_workers = 1);
    let latch = Latch::default();
    server.set_route("/slow", outside::handler::blocking(latch.handler("slow")));
    let mut client = Client::connect(server.address);
    // One runs, four wait for the only worker.
    client.send(&(0..5).flat_map(|number| request(2 * number + 1, "/slow")).collect::<Vec<_>>());
    latch.wait_for_arrivals(1);
    for stream in [3, 5, 7] {
        client.send(&frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    // Requests that came later are answered later.
    client.send(&frame(PING, 0, 0, b"done yet"));
    while client.frame().unwrap().payload != b"done yet" {}
    latch.open();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let frame = client.frame().unwrap();
        if frame.ends_stream() {
            ended.push(frame.stream);
        }
    }
    assert_eq!((ended, latch.arrived()), (vec![1, 9], 2));
}

#[test]
fn deadlines_hold_for_uploads_and_heads() {
    let server = Running::start_h2c(|config| {
        config.body_stall_timeout = Duration::from_millis(300);
        config.header_timeout = Duration::from_millis(600);
    });
    server.set_route("/", |_: &Request| "hi");
    let mut client = Client::connect(server.address);
    let mut fields = get("/");
    fields[0].1 = "POST";
    client.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields)));
    client.send(&frame(DATA, 0, 1, b"begun"));
    assert_eq!(client.answer(1).0, 408);
    let end = client.frame_of(1);
    assert_eq!((end.kind, end.code()), (RST_STREAM, NO_ERROR));
    // A head whose end never comes.
    client.send(&frame(HEADERS, END_STREAM, 3, &block(&get("/"))));
    let (_, before) = client.go_away();
    assert!(before.iter().all(|frame| frame.kind != HEADERS));
}

#[test]
fn a_handler_that_blocks_does_not_hold_up_the_other_streams() {
    let server = Running::start_h2c(|_| {});
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    server.set_route("/", |_: &Request| "hi");
    let mut client = Client::connect(server.address);
    let mut all = request(1, "/slow");
    for number in 1..64 {
        all.extend(request(2 * number + 1, "/"));
    }
    client.send(&all);
    let mut ended = 0;
    while ended < 63 {
        let frame = client.frame().unwrap();
        assert_ne!((frame.kind, frame.stream), (HEADERS, 1));
        ended += u32::from(frame.ends_stream());
    }
    latch.open();
    loop {
        let frame = client.frame().unwrap();
        if frame.ends_stream() {
            assert_eq!((frame.stream, &*frame.payload), (1, &b"slow"[..]));
            break;
        }
    }
    assert_ne!(SETTINGS, DATA);
}
