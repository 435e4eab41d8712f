//! Answers that clients ask for and do not take: their memory is bounded, for all ways to make them.
//!
//! The memory is that of the whole process, so each test runs in a process of its own, in which freed memory goes back
//! to the system at once: the measured memory is the held memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outside::handler::{asynchronous, blocking, never_blocking};
use outside::{Request, Response};

use outside_test_support::http2::wire::{
    Client, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get,
};
use outside_test_support::server::{DEADLINE, Running};

/// The environment variable that marks the process of a test.
const ALONE: &str = "OUTSIDE_TEST_ALONE";
const LARGE: usize = 1 << 20;
const STREAMS: u32 = 100;
/// Bytes by which a connection may make the process grow.
const BOUND: u64 = 12 << 20;

/// Whether this is the process of this test; if not, the test has been run in one.
fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    // mallopt(3): with a fixed threshold the allocator keeps no large pieces.
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .envs([(ALONE, "1"), ("MALLOC_MMAP_THRESHOLD_", "131072")])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    false
}

fn large() -> String {
    "x".repeat(LARGE)
}

/// Text that compresses, but not by much.
fn noise() -> String {
    let lines = (0_u64..).map(|line| format!("{{\"{line}\": \"{:x}\"}}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    lines.scan(0, |length, line| (*length < LARGE).then(|| (*length += line.len(), line).1)).collect()
}

/// Bytes of this process that are in memory now, and the most since the last call.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    };
    let found = (of("VmRSS:"), of("VmHWM:"));
    // proc(5): from now on the peak counts only new growth.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    found
}

/// A request with these fields beside the usual ones, and perhaps content.
fn ask(stream: u32, method: &'static str, more: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut fields = get("/large");
    fields[0].1 = method;
    fields.extend(more);
    let flags = if content.is_empty() { END_HEADERS | END_STREAM } else { END_HEADERS };
    let head = frame(HEADERS, flags, stream, &block(&fields));
    if content.is_empty() { head } else { [head, frame(DATA, END_STREAM, stream, content)].concat() }
}

/// Bytes by which one hundred requests with closed windows make the process grow, at most. Then the windows open, and
/// each stream ends: returns the number of resets, and the bytes received.
fn attack(server: &Running, method: &'static str, more: &[(&str, &str)], content: &[u8]) -> (u64, u32, usize) {
    let mut client = Client::connect_with(server.address, &[0, 4, 0, 0, 0, 0]);
    client.settle(1);
    let (before, _) = memory();
    for number in 0..STREAMS {
        client.send(&ask(2 * number + 1, method, more, content));
    }
    // By now all answers are made that are made without being taken.
    let (mut ended, mut resets, mut bytes) = (0, 0, 0);
    let mut note = |frame: outside_test_support::http2::wire::Frame| {
        bytes += if frame.kind == DATA { frame.payload.len() } else { 0 };
        resets += u32::from(frame.kind == RST_STREAM);
        ended += u32::from(frame.ends_stream() || frame.kind == RST_STREAM);
        ended
    };
    while let Some(frame) = client.frame_within(Duration::from_millis(300)) {
        note(frame);
    }
    client
        .send(&[frame(SETTINGS, 0, 0, &[0, 4, 0x10, 0, 0, 0]), frame(WINDOW_UPDATE, 0, 0, &[0x10, 0, 0, 0])].concat());
    while note(client.frame().unwrap()) < STREAMS {}
    let (_, peak) = memory();
    (peak.saturating_sub(before), resets, bytes)
}

/// Sets a route whose answers are large.
type Setup = fn(&Running);
/// The name of a case, its set-up, and the method, fields and content of its requests.
type Way = (&'static str, Setup, &'static str, &'static [(&'static str, &'static str)], &'static [u8]);

#[test]
fn however_they_are_made() {
    if !is_alone("however_they_are_made") {
        return;
    }
    let ways: [Way; 10] = [
        ("a plain handler", |server| server.set_route("/large", |_: &Request| large()), "GET", &[], b""),
        ("on a thread", |server| server.set_route("/large", blocking(|_: &Request| large())), "GET", &[], b""),
        (
            "an asynchronous handler",
            |server| server.set_route("/large", asynchronous(|_: Arc<Request>| async { large() })),
            "GET",
            &[],
            b"",
        ),
        (
            "asynchronous handlers that wait together",
            |server| {
                let later = |_: Arc<Request>| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    large()
                };
                server.set_route("/large", asynchronous(later));
            },
            "GET",
            &[],
            b"",
        ),
        (
            "a route with a parameter",
            |server| server.server.get("/{name}", |_: &Request| large()).unwrap(),
            "GET",
            &[],
            b"",
        ),
        ("a request with content", |server| server.set_route("/large", |_: &Request| large()), "POST", &[], b"content"),
        (
            "answers that vary in size",
            |server| {
                let calls = AtomicUsize::new(0);
                let handler = move |_: &Request| match calls.fetch_add(1, Ordering::SeqCst) % 2 {
                    0 => "small".to_owned(),
                    _ => large(),
                };
                server.set_route("/large", handler);
            },
            "GET",
            &[],
            b"",
        ),
        (
            "a page of an error",
            |server| {
                let page = |_: Option<&Request>, _: Option<&str>| Response::text(large()).with_status(404);
                server.server.set_errorhandler(404, page).unwrap();
            },
            "GET",
            &[],
            b"",
        ),
        (
            "pieces",
            |server| server.set_route("/large", |_: &Request| Response::stream((0..2).map(|_| large()))),
            "GET",
            &[],
            b"",
        ),
        (
            "compressed",
            |server| {
                let text = noise();
                server.set_route("/large", move |_: &Request| Response::text(text.clone()));
            },
            "GET",
            &[("accept-encoding", "br")],
            b"",
        ),
    ];
    for (name, set_up, method, more, content) in ways {
        let attacked = || {
            let server = Running::start_h2c(|config| config.max_workers = 200);
            set_up(&server);
            attack(&server, method, more, content)
        };
        let mut measured = attacked();
        if measured.0 > BOUND {
            // On a busy machine more threads are started at one moment, and the stack of each counts here.
            measured = attacked();
        }
        let (growth, resets, bytes) = measured;
        assert!(growth <= BOUND, "{name}: {} KiB", growth >> 10);
        assert_eq!(resets, 0, "{name}");
        // Half of the answers that vary are large; one that is dropped and made again may have the other size.
        let expected = if more.is_empty() { 40 * LARGE } else { 10 << 20 };
        assert!(bytes >= expected, "{name}: {bytes} bytes came");
    }
}

/// Requests that may have had an effect are not repeated: those whose answers have no room get an error.
#[test]
fn an_answer_to_an_unsafe_request_is_given_up() {
    if !is_alone("an_answer_to_an_unsafe_request_is_given_up") {
        return;
    }
    let server = Running::start_h2c(|_| {});
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let later = move |_: Arc<Request>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            large()
        }
    };
    server.set_route("/large", asynchronous(later));
    let (growth, resets, _) = attack(&server, "POST", &[], b"");
    assert!(growth <= BOUND, "{} KiB", growth >> 10);
    assert_eq!((calls.load(Ordering::SeqCst), resets), (100, 0));
    server.log.wait_for("max_unsent_per_connection_mb");
    assert!(server.log.wait_for(" 503 ").contains("POST /large"));
}

/// In HTTP/1.1 answers come one after another, and are made one after another.
#[test]
fn pipelined_requests() {
    if !is_alone("pipelined_requests") {
        return;
    }
    let ways: [(&str, Setup); 3] = [
        ("plain", |server| server.set_route("/large", |_: &Request| large())),
        ("asynchronous", |server| server.set_route("/large", asynchronous(|_: Arc<Request>| async { large() }))),
        ("pieces", |server| server.set_route("/large", |_: &Request| Response::stream((0..2).map(|_| large())))),
    ];
    for (name, set_up) in ways {
        let server = Running::start_h2c(|_| {});
        set_up(&server);
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let (before, _) = memory();
        socket.write_all(&b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100)).unwrap();
        let mut first = [0; 12];
        socket.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let (mut buffer, mut count) = (vec![0; 64 << 10], 0);
        while count < 100 * LARGE {
            count += socket.read(&mut buffer).unwrap();
        }
        let (_, peak) = memory();
        assert!(peak.saturating_sub(before) <= BOUND, "{name}: {} KiB", peak.saturating_sub(before) >> 10);
    }
}

/// Beyond the bound of the process the slowest connection is ended; other clients keep their answers.
#[test]
fn the_slowest_goes_when_the_process_holds_too_much() {
    if !is_alone("the_slowest_goes_when_the_process_holds_too_much") {
        return;
    }
    let server = Running::start_h2c(|config| config.max_unsent = Some(48 << 20));
    server.set_route("/large", |_: &Request| "x".repeat(10 * LARGE));
    let ask = |server: &Running| {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        socket.read_exact(&mut [0; 12]).unwrap();
        socket
    };
    let (before, _) = memory();
    let idle: Vec<TcpStream> = (0..20).map(|_| ask(&server)).collect();
    server.log.wait_for("max_unsent_mb");
    // A client that takes its answers is served.
    let (mut socket, mut buffer, mut taken) = (ask(&server), vec![0; 64 << 10], 0);
    while let count @ 1.. = socket.read(&mut buffer).unwrap() {
        taken += count;
    }
    assert!(taken > 10 * LARGE, "{taken}");
    let (_, peak) = memory();
    let growth = peak.saturating_sub(before);
    // The bound, one answer that is being made, and bytes that the kernel does not hold.
    assert!(growth < 70 << 20, "{} KiB", growth >> 10);
    drop(idle);
}

/// Clients that ask for content that takes long to compress, and leave: no work and no memory stays behind, and other
/// clients do not wait.
#[test]
fn compression_for_clients_that_have_left() {
    if !is_alone("compression_for_clients_that_have_left") {
        return;
    }
    let server = Running::start_h2c(|_| {});
    let text = noise();
    // On a busy machine its calls would seem to wait, and each would get a thread.
    server.set_route("/large", never_blocking(move |_: &Request| Response::text(text.clone())));
    server.set_route("/", |_: &Request| "small");
    let connect = || {
        let socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket
    };
    // A thread may end while it is being read.
    let encoding = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "outside-encode").count()
    };
    let mut other = connect();
    let (before, _) = memory();
    let mut most_threads = 0;
    let time = processor_time();
    for _ in 0..3 {
        for coding in ["br", "gzip", "zstd"] {
            for _ in 0..64 {
                let request = format!("GET /large HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
                connect().write_all(request.as_bytes()).unwrap();
            }
            other.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let began = std::time::Instant::now();
            let mut answer = Vec::new();
            while !answer.ends_with(b"small") {
                let mut buffer = [0; 4096];
                let count = other.read(&mut buffer).unwrap();
                answer.extend_from_slice(&buffer[..count]);
            }
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
            most_threads = most_threads.max(encoding());
        }
    }
    let (_, peak) = memory();
    let growth = peak.saturating_sub(before);
    assert!(growth < 48 << 20, "{} KiB", growth >> 10);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert!((1..=cores).contains(&most_threads), "{most_threads} threads");
    // All of the 576 answers would take more than ten seconds.
    let spent = processor_time() - time;
    assert!(spent < Duration::from_secs(8), "{spent:?}");
}

/// Running time of all threads of this process.
fn processor_time() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime)).unwrap()
}
