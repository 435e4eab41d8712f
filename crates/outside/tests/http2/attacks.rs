//! Each attack with its bound: memory, handlers, time until the client is told to calm down (docs/security.md S16 to S21).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use outside::Request;

use outside_test_support::http2::wire::{
    CANCEL, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get, request,
};
use outside_test_support::latch::Latch;
use outside_test_support::server::Running;

/// Held by tests that take memory or time, which run one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Running time of all threads of this process.
fn processor_time() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime)).unwrap()
}

/// Sends the same bytes until the server has gone. Returns the last frame, the number of repetitions, and the time.
fn flood(
    client: &mut Client,
    beginning: &[u8],
    mut again: impl FnMut(u32) -> Vec<u8>,
    most: u32,
) -> (Option<u32>, u32) {
    client.socket.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send(beginning);
    let mut sent = 0;
    while sent < most {
        let piece: Vec<u8> = (0..64).flat_map(|more| again(sent + more)).collect();
        if !client.try_send(&piece) {
            break;
        }
        sent += 64;
    }
    let mut code = None;
    while let Some(frame) = client.frame() {
        if frame.kind == GOAWAY {
            code = Some(frame.code());
            break;
        }
    }
    (code, sent)
}

#[test]
fn s16_rapid_reset() {
    let _turn = TURN.lock();
    let server = Running::start_h2c(|_| {});
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    server.set_route("/", |_: &Request| "hi");
    let (memory, time) = (resident(), processor_time());
    let mut client = Client::connect(server.address);
    let reset = |number: u32| {
        let stream = 2 * number + 1;
        [request(stream, "/slow"), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    };
    let (code, sent) = flood(&mut client, b"", reset, 100_000);
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(sent < 100_000 && latch.most() <= 100, "{sent} sent, {} handlers", latch.most());
    assert!(processor_time() - time < Duration::from_secs(2));
    assert!(resident() < memory + (10 << 20), "{} KiB more", (resident() - memory) >> 10);
    // One at a time, each in a read of its own: the budget of frames ends this too.
    let mut client = Client::connect(server.address);
    client.socket.set_nodelay(true).unwrap();
    let mut number = 0;
    while client.try_send(&request(2 * number + 1, "/")) {
        client.try_send(&frame(PING, 0, 0, &u64::from(number).to_be_bytes()));
        let mut code = None;
        // The stream is answered before it is reset: only resets cost.
        while let Some(frame) = client.frame() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
            if frame.kind == GOAWAY || frame.kind == PING {
                break;
            }
        }
        if code == Some(ENHANCE_YOUR_CALM) {
            break;
        }
        client.try_send(&frame(RST_STREAM, 0, 2 * number + 1, &CANCEL.to_be_bytes()));
        number += 1;
    }
    assert!(number < 1000, "{number} resets");
    // Other clients are served as ever.
    let mut other = Client::connect(server.address);
    let began = Instant::now();
    other.send(&request(1, "/"));
    assert_eq!(other.answer(1).0, 200);
    assert!(began.elapsed() < Duration::from_secs(1));
    latch.open();
}

#[test]
fn s16_resets_do_not_buy_handlers() {
    let _turn = TURN.lock();
    // More threads than a connection may use.
    let server = Running::start_h2c(|config| config.max_workers = 400);
    let latch = Latch::default();
    server.set_route("/slow", outside::handler::blocking(latch.handler("slow")));
    let mut client = Client::connect(server.address);
    let mut stream = 1;
    for round in 0_u64..3 {
        for _ in 0..100 {
            client.send(&request(stream, "/slow"));
            stream += 2;
        }
        latch.wait_for_arrivals(100);
        client.settle(2 * round);
        for number in 0..100 {
            client.send(&frame(RST_STREAM, 0, stream - 2 * (number + 1), &CANCEL.to_be_bytes()));
        }
        client.settle(2 * round + 1);
    }
    assert_eq!((latch.most(), latch.arrived()), (100, 100), "handlers at a time, and ever");
    latch.open();
    latch.wait_until_empty();
    // There is room again.
    client.send(&request(stream, "/slow"));
    assert_eq!(client.frame_of(stream).status(), 200);
}

/// The last frame of a stream.
type Way<'a> = &'a dyn Fn(u32) -> Vec<u8>;

#[test]
fn s17_made_you_reset() {
    let _turn = TURN.lock();
    let overflow = |stream: u32| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
    let itself = |stream: u32| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[16]].concat());
    // Six ways to make the server reset a stream whose handler runs, each on connections of its own.
    let ways: [(&str, Way<'_>); 6] = [
        ("WINDOW_UPDATE of 0", &|stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4])),
        ("WINDOW_UPDATE beyond 2^31", &overflow),
        ("PRIORITY of the wrong length", &|stream| frame(PRIORITY, 0, stream, &[0; 4])),
        ("PRIORITY on itself", &itself),
        ("HEADERS on a closed half", &|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get("/slow")))),
        ("DATA on a closed half", &|stream| frame(DATA, END_STREAM, stream, b"x")),
    ];
    for (name, way) in ways {
        let server = Running::start_h2c(|config| config.max_workers = 400);
        let latch = Latch::default();
        server.set_route("/slow", outside::handler::blocking(latch.handler("slow")));
        let mut client = Client::connect(server.address);
        let attack = |number: u32| [request(2 * number + 1, "/slow"), way(2 * number + 1)].concat();
        // More than the buffers of the system take, so that only the server can end it.
        let (code, sent) = flood(&mut client, b"", attack, 1_000_000);
        assert!(code.is_some() && sent < 1_000_000, "{name}: {code:?} after {sent}");
        assert!(latch.most() <= 100, "{name}: {} handlers", latch.most());
        latch.open();
    }
}

#[test]
fn s18_continuation_flood() {
    let _turn = TURN.lock();
    let server = Running::start_h2c(|_| {});
    let time = processor_time();
    let mut client = Client::connect(server.address);
    let beginning = frame(HEADERS, END_STREAM, 1, &block(&get("/")));
    let more = frame(CONTINUATION, 0, 1, &block(&[("x", "y")]));
    let (code, sent) = flood(&mut client, &beginning, |_| more.clone(), 1_000_000);
    assert!(matches!(code, Some(ENHANCE_YOUR_CALM | 1)), "{code:?}");
    assert!(sent < 100_000, "{sent} frames");
    assert!(processor_time() - time < Duration::from_secs(1));
}

#[test]
fn s19_field_bombs() {
    let _turn = TURN.lock();
    let server = Running::start_h2c(|config| {
        config.write_stall_timeout = Duration::from_secs(2);
        config.min_rate = 0;
    });
    server.set_route("/", |_: &Request| "hi");
    // One field of 4000 bytes in the table, then a byte for each repetition: decoded, a megabyte for each kilobyte.
    let value = "v".repeat(3900);
    let mut table = block(&get("/"));
    table.extend([0x40, 1, b'x', 127, (3900_u32 - 127) as u8 | 128, ((3900 - 127) >> 7) as u8]);
    table.extend(value.as_bytes());
    let mut client = Client::connect(server.address);
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &table));
    assert_eq!(client.frame_of(1).status(), 200);
    client.frame_of(1);
    let memory = resident();
    let mut bomb = block(&get("/"));
    bomb.extend([0xbe; 1000]);
    let (code, sent) =
        flood(&mut client, b"", |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 3, &bomb), 100_000);
    assert!(code.is_some() && sent < 100_000, "{code:?} after {sent}");
    assert!(resident() < memory + (10 << 20), "{} KiB more", (resident() - memory) >> 10);
    // Cookie crumbs below the limits of a field list, on every stream, and a window that takes no answer: less than 2
    // MiB are held, and the streams are reset when no byte has moved for write_stall_timeout.
    let crumbs = [get("/"), vec![("cookie", "a"); 95]].concat();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect_with(server.address, &[0, 4, 0, 0, 0, 0])).collect();
    let memory = resident();
    let began = Instant::now();
    for client in &mut clients {
        for number in 0..100 {
            client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &block(&crumbs)));
        }
    }
    for client in &mut clients {
        let mut heads = 0;
        while heads < 100 {
            heads += u32::from(client.frame().unwrap().kind == HEADERS);
        }
    }
    let held = resident().saturating_sub(memory) / 8;
    assert!(held < 2 << 20, "{} KiB for each connection", held >> 10);
    for client in &mut clients {
        let mut resets = 0;
        while resets < 100 {
            resets += u32::from(client.frame().unwrap().kind == RST_STREAM);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn s19_large_heads_of_indexed_fields() {
    let _turn = TURN.lock();
    let server = Running::start_h2c(|config| {
        config.write_stall_timeout = Duration::from_secs(2);
        config.min_rate = 0;
    });
    server.set_route("/", |_: &Request| "hi");
    let mut table = block(&get("/"));
    table.extend([0x40, 1, b'x', 127, (3900_u32 - 127) as u8 | 128, ((3900 - 127) >> 7) as u8]);
    table.extend("v".repeat(3900).as_bytes());
    // Eight of them are as large as a head may be: a hundred heads of 31 KiB in less than five.
    let mut large = block(&get("/"));
    large.extend([0xbe; 8]);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect_with(server.address, &[0, 4, 0, 0, 0, 0])).collect();
    let memory = resident();
    for client in &mut clients {
        client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &table));
        for number in 1..100 {
            client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &large));
        }
    }
    for client in &mut clients {
        let (mut heads, mut refused) = (0, 0);
        while heads + refused < 100 {
            match client.frame().unwrap() {
                frame if frame.kind == HEADERS => heads += 1,
                // No handler has run for these, so the client may send them again (RFC 9113 section 8.7).
                frame if frame.kind == RST_STREAM => {
                    assert_eq!(frame.code(), 7, "{frame:?}");
                    refused += 1;
                }
                _ => {}
            }
        }
        assert!(heads >= 50 && refused > 0, "{heads} answered, {refused} refused");
    }
    let held = resident().saturating_sub(memory) / 4;
    assert!(held < 5 << 19, "{} KiB for each connection", held >> 10);
    server.log.wait_for("too many large header sections at once");
}

#[test]
fn s20_floods_of_control_frames() {
    let _turn = TURN.lock();
    let server = Running::start_h2c(|_| {});
    let latch = Latch::default();
    server.set_route("/slow", latch.handler("slow"));
    let mut fields = get("/slow");
    fields[0].1 = "POST";
    let open = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    for (name, again) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with the sizes of tables", frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 16, 0])),
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE of the connection", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("WINDOW_UPDATE of the stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        ("DATA without content", frame(DATA, 0, 1, &[])),
        ("DATA of padding alone", frame(DATA, 8, 1, &[3, 0, 0, 0])),
        ("RST_STREAM of what is long gone", frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        ("what nobody knows", frame(0xee, 0, 1, &[])),
    ] {
        let (memory, time) = (resident(), processor_time());
        let mut client = Client::connect(server.address);
        let (code, sent) = flood(&mut client, &open, |_| again.clone(), 1_000_000);
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{name}, {sent} sent");
        assert!(sent < 500_000, "{name}: {sent} frames");
        assert!(processor_time() - time < Duration::from_secs(2), "{name}: {:?}", processor_time() - time);
        assert!(resident() < memory + (8 << 20), "{name}: {} KiB more", (resident() - memory) >> 10);
    }
    latch.open();
}

#[test]
fn s21_windows_that_open_in_crumbs() {
    let _turn = TURN.lock();
    let server = Running::start_h2c(|config| config.write_stall_timeout = Duration::from_secs(2));
    server.set_route("/", |_: &Request| "x".repeat(10_000));
    // No window at all, and one that opens byte by byte: neither counts as progress.
    for crumbs in [false, true] {
        let mut client = Client::connect_with(server.address, &[0, 4, 0, 0, 0, 0]);
        let began = Instant::now();
        for number in 0..100 {
            client.send(&request(2 * number + 1, "/"));
        }
        client.socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut resets = 0;
        while resets < 100 {
            assert!(began.elapsed() < Duration::from_secs(20), "crumbs: {crumbs}, {resets} resets");
            match client.frame_within(Duration::from_millis(100)) {
                Some(frame) if frame.kind == RST_STREAM => resets += 1,
                Some(frame) => assert_ne!(frame.kind, GOAWAY, "{:?}", began.elapsed()),
                None if crumbs => {
                    let update = |number: u32| frame(WINDOW_UPDATE, 0, 2 * number + 1, &[0, 0, 0, 1]);
                    let updates: Vec<u8> = (0..8).flat_map(update).collect();
                    client.send(&updates);
                }
                None => {}
            }
        }
    }
    // A client that does not read at all.
    server.set_route("/large", |_: &Request| "x".repeat(8 << 20));
    let mut client = Client::connect_with(server.address, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    client.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]));
    client.send(&request(1, "/large"));
    server.log.wait_for("takes its answer too slowly");
}

#[test]
fn s21_large_answers_that_no_client_takes() {
    let _turn = TURN.lock();
    const LARGE: usize = 1 << 20;
    let server = Running::start_h2c(|_| {});
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    server.set_route("/large", move |_: &Request| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        "x".repeat(LARGE)
    });
    server.set_route("/", |_: &Request| "hi");
    // The size of the route's answers is known from its first call.
    let mut client = Client::connect_with(server.address, &[0, 4, 0x10, 0, 0, 0]);
    client.send(&[frame(WINDOW_UPDATE, 0, 0, &[0x10, 0, 0, 0]), request(1, "/large")].concat());
    assert_eq!(client.answer(1).1.len(), LARGE);
    let memory = resident();
    let mut client = Client::connect_with(server.address, &[0, 4, 0, 0, 0, 0]);
    let all: Vec<u8> = (0..99).flat_map(|number| request(2 * number + 1, "/large")).collect();
    client.send(&all);
    // All of them were read, and one was answered, in either order.
    client.send(&frame(PING, 0, 0, &1_u64.to_be_bytes()));
    let (mut is_read, mut is_answered) = (false, false);
    while !is_read || !is_answered {
        let frame = client.frame().unwrap();
        is_read |= frame.payload == 1_u64.to_be_bytes();
        is_answered |= frame.kind == HEADERS;
    }
    // Other streams of the same connection do not wait for that.
    client.send(&request(199, "/"));
    assert_eq!(client.frame_of(199).kind, HEADERS);
    // As many as fit into 4 MiB, and the first.
    assert!(calls.load(std::sync::atomic::Ordering::SeqCst) <= 6, "{calls:?} calls");
    assert!(resident() < memory + (10 << 20), "{} KiB more", (resident() - memory) >> 10);
    // As soon as the client takes some answers, further ones are made.
    client
        .send(&[frame(SETTINGS, 0, 0, &[0, 4, 0x10, 0, 0, 0]), frame(WINDOW_UPDATE, 0, 0, &[0x10, 0, 0, 0])].concat());
    let mut ended = 0;
    while ended < 99 {
        let frame = client.frame().unwrap();
        ended += u32::from(frame.ends_stream() && frame.stream != 199);
    }
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 100);
}
