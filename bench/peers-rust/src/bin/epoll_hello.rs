//! The floor: a bare epoll loop, one thread, no runtime, no framework.
//!
//! It still parses each request head (httparse), compares the path, writes a current `Date`, and answers all requests of
//! one read with one write. No limits, no timers, no bodies: its missing work is the point of it.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant, SystemTime};

use bench_peers_rust::{HELLO, address};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    partial: Vec<u8>,
    unsent: Vec<u8>,
}

/// The response with its date, renewed at most once per second.
struct Answer {
    bytes: Vec<u8>,
    made: Instant,
}

impl Answer {
    fn new() -> Self {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let length = HELLO.len();
        let bytes = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\ndate: {date}\r\n\r\n{HELLO}"
        );
        Self { bytes: bytes.into_bytes(), made: Instant::now() }
    }
}

fn main() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address()?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut output = Vec::with_capacity(64 * 1024);
    let mut answer = Answer::new();
    loop {
        poll.poll(&mut events, None)?;
        if answer.made.elapsed() >= Duration::from_secs(1) {
            answer = Answer::new();
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            if !serve(connection, &mut buffer, &mut output, &answer.bytes) {
                *slot = None;
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Vec<Option<Connection>>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let index = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        let connection = Some(Connection { stream, partial: Vec::new(), unsent: Vec::new() });
        match connections.get_mut(index) {
            Some(slot) => *slot = connection,
            None => connections.push(connection),
        }
    }
}

/// False when the connection is over.
fn serve(connection: &mut Connection, buffer: &mut [u8], output: &mut Vec<u8>, answer: &[u8]) -> bool {
    if !connection.unsent.is_empty() {
        let unsent = std::mem::take(&mut connection.unsent);
        if !write(connection, &unsent) {
            return false;
        }
    }
    loop {
        let count = match connection.stream.read(buffer) {
            Ok(0) => return false,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        };
        output.clear();
        let used = if connection.partial.is_empty() {
            let used = answer_all(&buffer[..count], output, answer);
            used.map(|used| connection.partial.extend_from_slice(&buffer[used..count]))
        } else {
            connection.partial.extend_from_slice(&buffer[..count]);
            let used = answer_all(&connection.partial, output, answer);
            used.map(|used| drop(connection.partial.drain(..used)))
        };
        if used.is_none() || !write(connection, output) {
            return false;
        }
        // A short read has emptied the socket; more will raise a new edge.
        if count < buffer.len() {
            return true;
        }
    }
}

/// Appends one answer per whole request head; how many bytes those heads were, or `None` for anything else.
fn answer_all(bytes: &[u8], output: &mut Vec<u8>, answer: &[u8]) -> Option<usize> {
    let mut used = 0;
    while used < bytes.len() {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&bytes[used..]) {
            Ok(httparse::Status::Complete(length)) if request.path == Some("/hello") => {
                used += length;
                output.extend_from_slice(answer);
            }
            Ok(httparse::Status::Partial) => break,
            _ => return None,
        }
    }
    Some(used)
}

fn write(connection: &mut Connection, bytes: &[u8]) -> bool {
    let mut sent = 0;
    while sent < bytes.len() {
        match connection.stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.unsent.extend_from_slice(&bytes[sent..]);
                return true;
            }
            Err(_) => return false,
        }
    }
    true
}
