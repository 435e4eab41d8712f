//! Topics by way of a broker, measured: `make bench-bus`. One process beside the broker publishes, and has a subscriber: latency at
//! 1,000 messages/s, and messages/s of 100 bytes. Beside it stands the latency of two bare sockets, one that publishes and one that
//! subscribes: what is left is the broker's time, and the system's.
#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use outside::websocket::{TopicEvent, TopicReader};
use outside::{Config, OutsideHttp};

/// Seconds without a message after which one was lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages on their way at one time, when as many as possible are published.
const WINDOW: usize = 20_000;

#[test]
#[ignore = "a measurement: `make bench-bus` asks for it"]
fn bench_bus() {
    let url = std::env::var("OUTSIDE_BENCH_BUS").unwrap();
    let config = Config { bus: Some(url.parse().unwrap()), ..Config::default() };
    let server = OutsideHttp::new(("127.0.0.1", 0)).unwrap();
    let bus = server.open_bus(&config).unwrap();
    let reader = Arc::new(TopicReader::default());
    server.read_topic("news", &reader);
    while server.subscribers("other", Duration::from_secs(1)).is_err() {}
    for _ in 0..3 {
        bare_latency(url.strip_prefix("redis://").unwrap());
        latency(&server, &reader);
        rate(&server, &reader);
    }
    drop(bus);
}

/// Calls a function with the payload of each message, until it has had this number of them.
fn take(reader: &TopicReader, count: usize, mut each: impl FnMut(&[u8])) {
    let mut taken = 0;
    while taken < count {
        let events = reader.take(Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "{taken} messages have come, and no other one");
        for event in events {
            let TopicEvent::Message { message, .. } = event else { unreachable!("{event:?}") };
            each(message.as_bytes());
            taken += 1;
        }
    }
}

/// Messages that are timed.
const TIMED: usize = 3000;

/// One message each millisecond: the time until the subscriber has it.
fn latency(server: &OutsideHttp, reader: &Arc<TopicReader>) {
    let began = Instant::now();
    let taking = Arc::clone(reader);
    let taker = thread::spawn(move || {
        let mut found = Vec::new();
        take(&taking, TIMED, |payload| found.push(age(began, payload)));
        found
    });
    publish_timed(began, |payload| server.publish("news", payload.to_vec()));
    show("latency", taker.join().unwrap());
}

/// The same of two sockets without a server.
fn bare_latency(address: &str) {
    let connect = || {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    };
    let (mut publisher, mut subscriber) = (connect(), connect());
    subscriber.write_all(b"SUBSCRIBE bare\r\n").unwrap();
    let mut answer = [0; 128];
    assert!(subscriber.read(&mut answer).unwrap() > 0);
    let began = Instant::now();
    let taker = thread::spawn(move || {
        const LENGTH: usize = "*3\r\n$7\r\nmessage\r\n$4\r\nbare\r\n$100\r\n".len();
        let mut message = [0; LENGTH + 100 + 2];
        let found = (0..TIMED).map(|_| {
            subscriber.read_exact(&mut message).unwrap();
            age(began, &message[LENGTH..])
        });
        found.collect()
    });
    publish_timed(began, |payload| {
        let mut command = b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nbare\r\n$100\r\n".to_vec();
        command.extend_from_slice(payload);
        command.extend_from_slice(b"\r\n");
        publisher.write_all(&command).unwrap();
    });
    show("two bare sockets", taker.join().unwrap());
}

/// Calls a function each millisecond with a payload that has the time.
fn publish_timed(began: Instant, mut publish: impl FnMut(&[u8; 100])) {
    for number in 0..TIMED {
        let due = began + Duration::from_millis(number as u64);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut payload = [0; 100];
        payload[..8].copy_from_slice(&(began.elapsed().as_nanos() as u64).to_le_bytes());
        publish(&payload);
    }
}

/// Nanoseconds since the time in a payload.
fn age(began: Instant, payload: &[u8]) -> u64 {
    (began.elapsed().as_nanos() as u64).saturating_sub(u64::from_le_bytes(payload[..8].try_into().unwrap()))
}

fn show(name: &str, mut ages: Vec<u64>) {
    ages.sort_unstable();
    let at = |part: usize| ages[ages.len() * part / 1000] / 1000;
    println!("{name} at 1,000/s: p50 {} us, p99 {} us", at(500), at(990));
}

/// As fast as one thread publishes: until the last one has come.
fn rate(server: &OutsideHttp, reader: &Arc<TopicReader>) {
    const COUNT: usize = 300_000;
    let (taking, come) = (Arc::clone(reader), Arc::<AtomicUsize>::default());
    let counting = Arc::clone(&come);
    let began = Instant::now();
    let taker = thread::spawn(move || {
        take(&taking, COUNT, |_| {
            counting.fetch_add(1, Ordering::Relaxed);
        });
    });
    for number in 0..COUNT {
        while number - come.load(Ordering::Relaxed) >= WINDOW {
            thread::yield_now();
        }
        server.publish("news", vec![0; 100]);
    }
    taker.join().unwrap();
    println!("{:.0} messages/s of 100 B", COUNT as f64 / began.elapsed().as_secs_f64());
}
