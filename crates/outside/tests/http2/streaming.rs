//! Content that a handler takes while it arrives: the handler begins with the head, and the window is the
//! back-pressure.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use outside::handler::streaming;
use outside::message::Event;
use outside::{Error, Request, Response};

use outside_test_support::http2::wire::{
    CANCEL, Client, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, WINDOW_UPDATE, block, frame, get,
};
use outside_test_support::latch::Latch;
use outside_test_support::server::{DEADLINE, Running};

/// The head of a POST whose content follows.
fn head(stream: u32) -> Vec<u8> {
    let mut fields = get("/");
    fields[0].1 = "POST";
    frame(HEADERS, END_HEADERS, stream, &block(&fields))
}

/// Records each piece and the end; answers with the length.
fn counting(told: Sender<Result<usize, u16>>) -> impl Fn(&Request) -> Result<String, Error> + Send + Sync {
    let told = std::sync::Mutex::new(told);
    move |request| {
        let mut length = 0;
        for piece in request.pieces() {
            let piece = piece.inspect_err(|error| told.lock().unwrap().send(Err(error.code())).unwrap())?;
            length += piece.len();
            told.lock().unwrap().send(Ok(piece.len())).unwrap();
        }
        Ok(length.to_string())
    }
}

#[test]
fn each_piece_is_there_at_once() {
    let (told, hears) = channel();
    let server = Running::start_h2c(|_| {});
    server.set_route("/", streaming(counting(told)));
    let mut client = Client::connect(server.address);
    client.send(&head(1));
    for length in 1..4 {
        client.send(&frame(DATA, 0, 1, &vec![b'x'; length]));
        assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Ok(length));
    }
    client.send(&frame(DATA, END_STREAM, 1, b"y"));
    assert_eq!(client.answer(1), (200, b"7".to_vec()));
}

#[test]
fn a_client_that_is_too_fast_gets_no_window() {
    let (go, waits) = channel::<()>();
    let waits = std::sync::Mutex::new(waits);
    let server = Running::start_h2c(|_| {});
    server.set_route(
        "/",
        streaming(move |request: &Request| {
            waits.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            let length: usize = request.pieces().map(|piece| piece.map_or(0, |piece| piece.len())).sum();
            length.to_string()
        }),
    );
    let mut client = Client::connect(server.address);
    client.send(&head(1));
    // The windows of the connection and of the stream: bytes that the handler has not taken are given back only up to a
    // buffer.
    let (mut sent, mut windows) = (0, [65_535_usize; 2]);
    while sent < 4 << 20 {
        while windows.iter().all(|&window| window >= 16_384) {
            client.send(&frame(DATA, 0, 1, &[b'x'; 16_384]));
            sent += 16_384;
            windows.iter_mut().for_each(|window| *window -= 16_384);
        }
        let Some(update) = client.frame_within(Duration::from_millis(300)) else { break };
        if update.kind == WINDOW_UPDATE {
            windows[update.stream as usize] += u32::from_be_bytes(update.payload[..4].try_into().unwrap()) as usize;
        }
    }
    assert!(sent < 1 << 20, "{sent} bytes went out before anybody took one");
    go.send(()).unwrap();
    client.send(&frame(DATA, END_STREAM, 1, b""));
    assert_eq!(client.answer(1), (200, sent.to_string().into_bytes()));
}

#[test]
fn streams_do_not_starve_one_another() {
    let (told, hears) = channel();
    let latch = Latch::default();
    let wait = latch.handler("");
    let server = Running::start_h2c(|config| {
        config.body_stall_timeout = Duration::from_millis(700);
        config.min_rate = 1 << 30;
    });
    server.set_route(
        "/held",
        streaming(move |request: &Request| {
            wait(request);
            counting(told.clone())(request)
        }),
    );
    server.set_route("/", |request: &Request| request.content_length().to_string());
    let mut client = Client::connect(server.address);
    while client.frame().unwrap().kind != WINDOW_UPDATE {}
    // Six uploads that no handler takes fill their windows, and no more bytes are accepted.
    for number in 0..6 {
        let mut fields = get("/held");
        fields[0].1 = "POST";
        let stream = 2 * number + 1;
        client.send(&frame(HEADERS, END_HEADERS, stream, &block(&fields)));
        for _ in 0..3 {
            client.send(&frame(DATA, 0, stream, &[b'x'; 16_384]));
        }
        client.send(&frame(DATA, 0, stream, &[b'x'; 16_383]));
    }
    latch.wait_for_arrivals(1);
    client.settle(1);
    // Another stream has all of its window.
    let mut fields = get("/");
    fields[0].1 = "POST";
    client.send(&frame(HEADERS, END_HEADERS, 13, &block(&fields)));
    for _ in 0..3 {
        client.send(&frame(DATA, 0, 13, &[b'x'; 16_384]));
    }
    client.send(&frame(DATA, END_STREAM, 13, b"and more"));
    assert_eq!(client.answer(13), (200, (3 * 16_384 + 8).to_string().into_bytes()));
    // None of them was ended because of its closed window, though no byte has moved for longer than body_stall_timeout.
    let more = client.frame_within(Duration::from_millis(1500));
    assert!(more.as_ref().is_none_or(|frame| frame.kind == WINDOW_UPDATE && frame.stream == 0), "{more:?}");
    latch.open();
    for number in 0..6 {
        client.send(&frame(DATA, END_STREAM, 2 * number + 1, b""));
    }
    let mut ended = 0;
    while ended < 6 {
        ended += u32::from(client.frame().unwrap().ends_stream());
    }
    assert_eq!(hears.try_iter().map(Result::unwrap).sum::<usize>(), 6 * 65_535);
}

#[test]
fn a_client_that_stops_ends_the_handler() {
    let (told, hears) = channel();
    let server = Running::start_h2c(|config| {
        config.body_stall_timeout = Duration::from_millis(300);
        config.max_body_size = 100;
    });
    server.set_route("/", streaming(counting(told)));
    let mut client = Client::connect(server.address);
    client.send(&[head(1), frame(DATA, 0, 1, b"x")].concat());
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Ok(1));
    client.send(&frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Err(400), "reset");
    client.send(&[head(3), frame(DATA, 0, 3, b"x")].concat());
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Ok(1));
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Err(408), "stalled");
    assert_eq!(client.answer(3).0, 408);
    client.send(&[head(5), frame(DATA, 0, 5, &[b'x'; 60])].concat());
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Ok(60));
    client.send(&frame(DATA, 0, 5, &[b'x'; 60]));
    assert_eq!(hears.recv_timeout(DEADLINE).unwrap(), Err(413), "too much");
    assert_eq!(client.answer(5).0, 413);
}

#[test]
fn streams_of_events_end_with_the_server() {
    let server = Running::start_h2c(|config| config.termination_timeout = 2 * DEADLINE);
    let (told, hears) = channel::<()>();
    let hears = std::sync::Arc::new(std::sync::Mutex::new(hears));
    server.set_route("/", move |_: &Request| {
        let hears = std::sync::Arc::clone(&hears);
        let silence =
            std::iter::once_with(move || hears.lock().unwrap().recv().unwrap_or_default()).map(|()| Event::new("last"));
        Response::event_stream(std::iter::once(Event::new("first")).chain(silence))
    });
    let mut client = Client::connect(server.address);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&get("/"))));
    assert_eq!(client.frame_of(1).status(), 200);
    assert_eq!(client.frame_of(1).payload, b"data: first\n\n");
    let began = Instant::now();
    server.server.terminate(false);
    // Behind the GOAWAY.
    while !client.frame().unwrap().ends_stream() {}
    drop((client, told));
    server.stop();
    assert!(began.elapsed() < DEADLINE);
}

#[test]
fn the_drain_names_the_streams_that_it_awaits() {
    let server = Running::start_h2c(|config| config.termination_timeout = DEADLINE);
    let latch = Latch::default();
    server.set_route("/", latch.handler("done"));
    let mut client = Client::connect(server.address);
    for stream in [1, 3] {
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get("/"))));
    }
    latch.wait_for_arrivals(1);
    server.server.terminate(false);
    server.log.wait_for("2 answers in flight, at most 30 s; Ctrl+C again cuts");
    latch.open();
    // Both come, behind the GOAWAY.
    let mut ended = 0;
    while ended < 2 {
        let frame = client.frame().unwrap();
        ended += usize::from(frame.kind == DATA && frame.ends_stream());
    }
    drop(client);
    server.stop();
}
