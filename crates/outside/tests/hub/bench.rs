//! The hub over real sockets, measured: `make bench-hub`. Latency at 1,000 messages/s with one subscriber for each of
//! four workers, and messages/s of 100 bytes.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use outside::hub::{Frame, FrameKind, FrameReader, HubShell};

const WORKERS: usize = 4;

#[test]
#[ignore = "a measurement: `make bench-hub` asks for it"]
fn bench() {
    let ends = Arc::new(AtomicBool::new(false));
    let mut shell = HubShell::new().unwrap();
    let mut workers: Vec<UnixStream> = (0..WORKERS)
        .map(|_| {
            let (near, far) = UnixStream::pair().unwrap();
            shell.add_seat(near.into()).unwrap();
            far
        })
        .collect();
    let is_over = Arc::clone(&ends);
    let hub = thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            shell.wait(Some(Duration::from_millis(50))).unwrap();
        }
    });
    for worker in &mut workers {
        worker.write_all(&Frame { number: 1, ..Frame::new(FrameKind::Interest, "news") }.to_bytes()).unwrap();
    }
    thread::sleep(Duration::from_millis(50));
    latency(&workers);
    rate(&workers);
    ends.store(true, Ordering::Relaxed);
    hub.join().unwrap();
}

/// One message each millisecond: the time until each worker has it.
fn latency(workers: &[UnixStream]) {
    const COUNT: usize = 3000;
    let began = Instant::now();
    let readers: Vec<_> = workers.iter().map(|worker| reader(worker, COUNT, began)).collect();
    let mut publisher = workers[0].try_clone().unwrap();
    for number in 0..COUNT {
        let due = began + Duration::from_millis(number as u64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut payload = [0; 100];
        payload[..8].copy_from_slice(&(began.elapsed().as_nanos() as u64).to_le_bytes());
        let frame = Frame { payload: &payload, ..Frame::new(FrameKind::Publish, "news") };
        publisher.write_all(&frame.to_bytes()).unwrap();
    }
    let mut all: Vec<u64> = readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect();
    all.sort_unstable();
    let at = |part: usize| all[all.len() * part / 1000] / 1000;
    println!("latency at 1,000/s, {WORKERS} workers: p50 {} us, p99 {} us", at(500), at(990));
}

/// The nanoseconds that each message took.
fn reader(worker: &UnixStream, count: usize, began: Instant) -> thread::JoinHandle<Vec<u64>> {
    let mut worker = worker.try_clone().unwrap();
    thread::spawn(move || {
        let (mut frames, mut found, mut bytes) = (FrameReader::default(), Vec::new(), vec![0; 1 << 16]);
        while found.len() < count {
            let read = worker.read(&mut bytes).unwrap();
            let now = began.elapsed().as_nanos() as u64;
            let on_frame = |frame: &Frame<'_>| {
                if frame.kind == FrameKind::Message {
                    found.push(now.saturating_sub(u64::from_le_bytes(frame.payload[..8].try_into().unwrap())));
                }
            };
            frames.receive(&bytes[..read], on_frame).unwrap();
        }
        found
    })
}

/// As fast as one worker publishes, one `write` for each message: until the last one has come to all.
fn rate(workers: &[UnixStream]) {
    const COUNT: usize = 200_000;
    let start = Arc::new(Barrier::new(WORKERS + 1));
    let readers: Vec<_> = workers
        .iter()
        .map(|worker| {
            let (mut worker, start) = (worker.try_clone().unwrap(), Arc::clone(&start));
            thread::spawn(move || {
                let (mut frames, mut seen, mut gaps, mut bytes) = (FrameReader::default(), 0, 0, vec![0; 1 << 16]);
                let mut is_over = false;
                start.wait();
                while !is_over {
                    let read = worker.read(&mut bytes).unwrap();
                    let on_frame = |frame: &Frame<'_>| match frame.kind {
                        FrameKind::Message => {
                            seen += 1;
                            is_over = frame.payload[0] == 1;
                        }
                        _ => gaps += 1,
                    };
                    frames.receive(&bytes[..read], on_frame).unwrap();
                }
                (seen, gaps)
            })
        })
        .collect();
    let mut publisher = workers[0].try_clone().unwrap();
    let frame = |last: u8| Frame { payload: &[last; 100], ..Frame::new(FrameKind::Publish, "news") }.to_bytes();
    let (each, last) = (frame(0), frame(1));
    start.wait();
    let began = Instant::now();
    for _ in 1..COUNT {
        publisher.write_all(&each).unwrap();
    }
    publisher.write_all(&last).unwrap();
    let results: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    let rate = COUNT as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} messages/s of 100 B, one writer, {WORKERS} readers; read and gaps: {results:?}");
}
