//! Clients that see every byte: one answer for one request, and nothing behind it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn ask(&mut self, target: &str) -> Answer {
        self.send(&get(target));
        let answer = self.receive();
        assert!(self.received.is_empty(), "more than one answer: {}", self.received.escape_ascii());
        answer
    }

    pub(crate) fn receive(&mut self) -> Answer {
        loop {
            if let Some((answer, length)) = parse(&self.received) {
                self.received.drain(..length);
                return answer;
            }
            let mut buffer = [0; 16384];
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "ended inside an answer: {}", self.received.escape_ascii());
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Whether the server has taken this connection out of its queue. A waiting connection has no inode yet.
    pub(crate) fn is_accepted(&self) -> bool {
        let ends = format!(
            "0100007F:{:04X} 0100007F:{:04X} ",
            self.stream.peer_addr().unwrap().port(),
            self.stream.local_addr().unwrap().port()
        );
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&ends));
        line.is_some_and(|line| line.split_whitespace().nth(9) != Some("0"))
    }

    /// Whether an answer has begun to arrive.
    fn is_answered(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        match peeked {
            Ok(count) => {
                assert!(count > 0, "closed without an answer");
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }
}

/// Waits until this many of the clients have been accepted.
pub(crate) fn wait_until_accepted(clients: &[Client], count: usize) {
    let deadline = Instant::now() + DEADLINE;
    while clients.iter().filter(|client| client.is_accepted()).count() < count {
        assert!(Instant::now() < deadline, "fewer than {count} have been accepted");
        std::thread::yield_now();
    }
}

/// Waits until this many of the clients have an answer. Returns the clients without and those with an answer.
pub(crate) fn wait_for_answers(clients: Vec<Client>, count: usize) -> (Vec<Client>, Vec<Client>) {
    let deadline = Instant::now() + DEADLINE;
    let (mut without, mut with) = (clients, Vec::new());
    while with.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} have been answered", with.len());
        let (answered, rest): (Vec<_>, Vec<_>) = without.into_iter().partition(Client::is_answered);
        with.extend(answered);
        without = rest;
        std::thread::yield_now();
    }
    assert_eq!(with.len(), count);
    (without, with)
}

/// This many clients send one request each as fast as they can; returns the time of each answer, in order.
pub(crate) fn all_at_once(address: SocketAddr, count: usize, target: &str) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let request = get(target);
    runtime.block_on(async {
        let (mut writers, mut readers) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            let (reader, writer) = tokio::net::TcpStream::connect(address).await.unwrap().into_split();
            readers.push(tokio::spawn(read_one(reader)));
            writers.push(writer);
        }
        let began = Instant::now();
        // From another thread, so that answers are read in the meantime.
        let sending = std::thread::spawn(move || {
            writers.iter().for_each(|writer| assert_eq!(writer.try_write(&request).unwrap(), request.len()));
            writers
        });
        let mut times = Vec::with_capacity(count);
        for reader in readers {
            times.push(reader.await.unwrap() - began);
        }
        drop(sending.join().unwrap());
        times.sort_unstable();
        times
    })
}

/// The time when the only answer of this connection was there.
async fn read_one(stream: tokio::net::tcp::OwnedReadHalf) -> Instant {
    let mut buffer = [0; 1024];
    loop {
        stream.readable().await.unwrap();
        match stream.try_read(&mut buffer) {
            Ok(count) => {
                let (answer, length) = parse(&buffer[..count]).expect("answers are small");
                assert_eq!((answer.status, length), (200, count));
                return Instant::now();
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
}

pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: handoff\r\n\r\n").into_bytes()
}

/// The first answer, if it is complete, and its length in bytes.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("heads are text");
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let mut answer = Answer { status: status.expect("a status line"), head: head.to_owned(), body: String::new() };
    let length = match answer.status {
        204 => 0,
        _ => answer.header("Content-Length").and_then(|length| length.parse().ok()).expect("a length"),
    };
    let body = bytes.get(end..end + length)?;
    answer.body = String::from_utf8(body.to_vec()).expect("bodies are text");
    Some((answer, end + length))
}
