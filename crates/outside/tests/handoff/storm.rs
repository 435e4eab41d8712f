//! Many requests of every kind at once, each with its number: every answer must carry the number of its request, come
//! once and in order, and every handler must have run once for each number.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outside::handler::blocking;
use outside::{Error, Request, Response};

use crate::client::{DEADLINE, get, parse};
use outside_test_support::latch::Latch;
use outside_test_support::server::Running;

const CLIENTS: usize = 48;

/// Number of clients that begin with a request that is not answered in time.
const HANGING: usize = 6;
const TIMEOUT: Duration = Duration::from_secs(2);

/// Runs this many requests, and reports the results.
pub(crate) fn run(requests: usize) -> String {
    let calls: Arc<Vec<AtomicU8>> = Arc::new((0..requests).map(|_| AtomicU8::new(0)).collect());
    let server = Running::start(|config| {
        config.max_workers = 16;
        config.process_timeout = TIMEOUT;
    });
    routes(&server, &calls);
    let latch = Latch::new();
    server.set_route("/hang", latch.handler("much too late"));
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gone: HashSet<usize> = runtime.block_on(async {
        let clients = (0..CLIENTS).map(|index| {
            let (address, next, random) = (server.address, Arc::clone(&next), Random(index as u64 + 1));
            tokio::spawn(async move {
                if index < HANGING {
                    hang(address).await;
                }
                client(address, requests, next, random).await
            })
        });
        let mut gone = HashSet::new();
        for client in clients.collect::<Vec<_>>() {
            gone.extend(client.await.unwrap());
        }
        gone
    });
    let time = began.elapsed().as_secs_f64();
    assert_eq!(latch.arrived(), HANGING);
    latch.open();
    drop(server);
    for (number, calls) in calls.iter().enumerate() {
        match (calls.load(Ordering::Relaxed), gone.contains(&number)) {
            (1, _) | (0, true) => {}
            (calls, _) => panic!("request {number} was handled {calls} times"),
        }
    }
    format!("{requests} requests, {} of vanished clients, in {time:.1} s", gone.len())
}

/// Kinds of requests: the route, the status of its answer, its share in percent.
const KINDS: &[(&str, u16, u64)] = &[
    ("/quick", 200, 78),
    ("/raise", 500, 8),
    ("/teapot", 418, 7),
    ("/pool", 200, 4),
    ("/sleep", 200, 2),
    ("/spin", 200, 1),
];

fn routes(server: &Running, calls: &Arc<Vec<AtomicU8>>) {
    let note = |request: &Request, calls: &[AtomicU8]| {
        let number = number(request);
        calls[number].fetch_add(1, Ordering::Relaxed);
        number
    };
    let counted = Arc::clone(calls);
    server.set_route("/quick", move |request: &Request| note(request, &counted).to_string());
    let counted = Arc::clone(calls);
    server.set_route("/raise", move |request: &Request| -> Result<Response, Error> {
        Err(Error::new(format!("number {} fails", note(request, &counted))))
    });
    let counted = Arc::clone(calls);
    server.set_route("/teapot", move |request: &Request| {
        note(request, &counted);
        (418, "short and stout")
    });
    let counted = Arc::clone(calls);
    let pool = move |request: &Request| {
        let number = note(request, &counted);
        std::thread::sleep(Duration::from_micros(number as u64 % 1500));
        number.to_string()
    };
    server.set_route("/pool", blocking(pool));
    let counted = Arc::clone(calls);
    server.set_route("/sleep", move |request: &Request| {
        let number = note(request, &counted);
        std::thread::sleep(Duration::from_micros(number as u64 % 4000));
        number.to_string()
    });
    let counted = Arc::clone(calls);
    server.set_route("/spin", move |request: &Request| {
        let number = note(request, &counted);
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(number as u64 % 1500) {
            std::hint::spin_loop();
        }
        number.to_string()
    });
    for code in [500, 418] {
        let page = move |request: Option<&Request>, _: Option<&str>| {
            Response::text(request.map_or(0, number).to_string()).with_status(code)
        };
        server.server.set_errorhandler(code, page).unwrap();
    }
}

fn number(request: &Request) -> usize {
    request.query().parse().unwrap()
}

/// Sends a request that is not answered in time: 504, then the end, even if the handler answers later.
async fn hang(address: SocketAddr) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    assert!(stream.try_write(&get("/hang")).unwrap() > 0);
    let answers = tokio::time::timeout(DEADLINE, receive(&stream, 1)).await.expect("504 in time");
    assert_eq!(answers[0].0, 504);
    let end = async {
        loop {
            stream.readable().await.unwrap();
            match stream.try_read(&mut [0]) {
                // Readiness may be a false alarm.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => return read.unwrap(),
            }
        }
    };
    assert_eq!(tokio::time::timeout(DEADLINE, end).await.expect("the end in time"), 0);
}

/// One client after another on one task; returns the numbers of requests whose answers no client waited for.
async fn client(address: SocketAddr, requests: usize, next: Arc<AtomicUsize>, mut random: Random) -> Vec<usize> {
    let mut gone = Vec::new();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    loop {
        let count = if random.below(3) == 0 { 1 + random.below(8) as usize } else { 1 };
        let first = next.fetch_add(count, Ordering::Relaxed);
        if first >= requests {
            return gone;
        }
        let numbers = first..(first + count).min(requests);
        let mut bytes = Vec::new();
        let mut statuses = Vec::new();
        for number in numbers.clone() {
            let (route, status) = random.kind();
            bytes.extend(get(&format!("{route}?{number}")));
            statuses.push(status);
        }
        let mut written = 0;
        while written < bytes.len() {
            stream.writable().await.unwrap();
            match stream.try_write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        if random.below(200) == 0 {
            gone.extend(numbers);
            stream = tokio::net::TcpStream::connect(address).await.unwrap();
            continue;
        }
        let answers = tokio::time::timeout(DEADLINE, receive(&stream, count.min(statuses.len())));
        let answers = answers.await.unwrap_or_else(|_| panic!("no answer to one of {numbers:?}"));
        for ((number, status), (received, body)) in numbers.zip(statuses).zip(answers) {
            if received == 503 {
                panic!("request {number} was turned away: the queue has room for all clients");
            }
            assert_eq!((received, body), (status, number.to_string()), "somebody else's answer");
        }
    }
}

/// Exactly this many answers.
async fn receive(stream: &tokio::net::TcpStream, count: usize) -> Vec<(u16, String)> {
    let (mut received, mut answers) = (Vec::new(), Vec::new());
    let mut buffer = [0; 16384];
    while answers.len() < count {
        stream.readable().await.unwrap();
        match stream.try_read(&mut buffer) {
            Ok(0) => panic!("ended inside an answer: {}", received.escape_ascii()),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        while let Some((answer, length)) = parse(&received) {
            received.drain(..length);
            answers.push((answer.status, answer.body));
        }
    }
    assert_eq!((answers.len(), received.len()), (count, 0), "more than what was asked for");
    answers
}

/// Small pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % end
    }

    fn kind(&mut self) -> (&'static str, u16) {
        let mut place = self.below(100);
        for &(route, status, share) in KINDS {
            if place < share {
                return (route, status);
            }
            place -= share;
        }
        unreachable!("the shares are of a hundred")
    }
}
