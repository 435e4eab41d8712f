//! Takes the steps of one case against a server and compares the answers, byte by byte or by their verdict.
//!
//! A further request follows the bytes of the case. It must be answered if the connection is to stay open (which shows
//! that it is in step), and must not if it is to close: no bytes behind a refusal are read as a request.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use outside_test_support::corpus::{Case, Step};

const PROBE: &[u8] = b"GET /target/probe?in=step HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";
const PROBED: &[u8] = b"/target/probe\nin=step";
const DATE: &[u8] = b"\r\nDate: ";
const MASKED: &[u8] = b"\r\nDate: *\r\n";
const DATE_LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
const DEADLINE: Duration = Duration::from_secs(10);

/// Plays a case; returns the difference, if there is one.
pub(crate) fn play(case: &Case, address: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::connect(address).map_err(|error| error.to_string())?;
    let mut ended = false;
    for step in &case.steps {
        match step {
            Step::Send(bytes) => wire.send(bytes),
            Step::Expect(bytes) => wire.expect(bytes)?,
            Step::Flush => {}
            Step::End => {
                // The server may have closed first, which the reader sees.
                let _ = wire.stream.shutdown(Shutdown::Write);
                ended = true;
            }
        }
    }
    if !ended {
        wire.send(PROBE);
    }
    while wire.receive()? {}
    let mut answers = parse_all(&wire.received)?;
    if case.stays_open {
        let (status, body) = answers.pop().ok_or("closed instead of staying open")?;
        if status != 200 || body != PROBED {
            return Err(format!("out of step: {status} {}", body.escape_ascii()));
        }
    }
    let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
    let wanted = if case.is_transcript() { &[][..] } else { &case.statuses };
    if agree(&statuses, wanted) { Ok(()) } else { Err(format!("answered {statuses:?}, the verdict is {wanted:?}")) }
}

/// Whether statuses match verdict words such as `200`, `400|501` and `400?`.
fn agree(statuses: &[u16], wanted: &[String]) -> bool {
    let Some((word, words)) = wanted.split_first() else { return statuses.is_empty() };
    if word.ends_with('?') && agree(statuses, words) {
        return true;
    }
    statuses.split_first().is_some_and(|(status, rest)| {
        word.trim_end_matches('?').split('|').any(|one| one == status.to_string()) && agree(rest, words)
    })
}

struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends, unless the server has closed its side already, which the reader will see.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Waits for more bytes; false at the end of the stream. A reset ends it as well.
    fn receive(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                self.received.extend_from_slice(&buffer[..length]);
                Ok(length > 0)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(format!("{error}; so far: {}", self.received.escape_ascii())),
        }
    }

    fn expect(&mut self, expected: &[u8]) -> Result<(), String> {
        let dates = expected.windows(MASKED.len()).filter(|window| *window == MASKED).count();
        let wanted = expected.len() + dates * (DATE_LENGTH - 1);
        while self.received.len() < wanted && self.receive()? {}
        let came = mask(&self.received.drain(..wanted.min(self.received.len())).collect::<Vec<u8>>());
        if came == expected {
            Ok(())
        } else {
            Err(format!("\nexpected {}\nreceived {}", expected.escape_ascii(), came.escape_ascii()))
        }
    }
}

/// The bytes with the value of each Date replaced by a star.
fn mask(bytes: &[u8]) -> Vec<u8> {
    let mut masked = Vec::new();
    let mut rest = bytes;
    while let Some(at) = find(rest, DATE) {
        let value = at + DATE.len();
        let end = value + DATE_LENGTH;
        if rest.get(end - 4..end + 2) == Some(b" GMT\r\n") {
            masked.extend_from_slice(&rest[..value]);
            masked.push(b'*');
            rest = &rest[end..];
        } else {
            masked.extend_from_slice(&rest[..value]);
            rest = &rest[value..];
        }
    }
    masked.extend_from_slice(rest);
    masked
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Status and content of every final answer of a connection that has ended.
fn parse_all(mut bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, String> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let cut = || format!("the connection ended inside an answer: {}", bytes.escape_ascii());
        let end = find(bytes, b"\r\n\r\n").ok_or_else(cut)?;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| cut())?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let status: u16 = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| format!("no status line: {line:?}"))?;
        let field = |wanted: &str| {
            let values = head.split("\r\n").filter_map(|line| line.split_once(": "));
            values.filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value).next()
        };
        let rest = &bytes[end + 4..];
        let (body, used) = if status < 200 || status == 204 || status == 304 {
            (Vec::new(), 0)
        } else if field("Transfer-Encoding").is_some() {
            dechunk(rest).ok_or_else(cut)?
        } else {
            let length = field("Content-Length").map_or(Ok(rest.len()), str::parse).map_err(|_| cut())?;
            (rest.get(..length).ok_or_else(cut)?.to_vec(), length)
        };
        if status >= 200 {
            answers.push((status, body));
        }
        bytes = &rest[used..];
    }
    Ok(answers)
}

/// The content of a chunked body and how many bytes it took; `None` if it is cut or malformed.
fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = find(&bytes[at..], b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..at + line]).ok()?, 16).ok()?;
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if bytes.get(at - 2..at)? != b"\r\n" {
            return None;
        }
        if size == 0 {
            return Some((body, at));
        }
    }
}
