//! A client that sends exactly the given frames, valid or invalid.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::server::DEADLINE;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The status of a HEADERS frame, if it is the first with this status on its connection.
    pub fn status(&self) -> u16 {
        assert_eq!(self.kind, HEADERS, "{self:?}");
        // RFC 7541 appendix A, and section 6.2.1 with the name of index 8.
        match *self.payload {
            [byte @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
            [0x48, length @ 0x82..=0x83, ..] => digits(&self.payload[2..2 + usize::from(length - 0x80)]),
            [0x48, 3, a, b, c, ..] => [a, b, c].iter().fold(0, |all, byte| all * 10 + u16::from(byte - b'0')),
            _ => panic!("another beginning of a field block: {:02x?}", self.payload),
        }
    }
}

/// Three digits in the Huffman code (RFC 7541 appendix B): 0 to 2 have five bits, the others six.
fn digits(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
    let (mut at, mut number) = (8 * bytes.len(), 0);
    for _ in 0..3 {
        let five = bits >> (at - 5) & 0x1f;
        let (length, digit) = if five < 3 { (5, five) } else { (6, (bits >> (at - 6) & 0x3f) - 0x19 + 3) };
        at -= length;
        number = number * 10 + digit;
    }
    u16::try_from(number).unwrap()
}

/// A field block of literals, without index and without Huffman code (RFC 7541 section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fn push(block: &mut Vec<u8>, text: &str) {
        let length = text.len();
        if length < 127 {
            block.push(u8::try_from(length).unwrap());
        } else {
            block.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
        block.extend_from_slice(text.as_bytes());
    }
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        push(&mut block, name);
        push(&mut block, value);
    }
    block
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole request with this field block, in as many frames as it takes.
pub fn frames(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut pieces = block.chunks(16 << 10).enumerate().peekable();
    let mut frames = Vec::new();
    while let Some((index, piece)) = pieces.next() {
        let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        let (kind, flags) = if index == 0 { (HEADERS, end | END_STREAM) } else { (CONTINUATION, end) };
        frames.extend(frame(kind, flags, stream, piece));
    }
    frames
}

/// The fields of a GET.
pub fn get(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
}

/// A HEADERS frame with a whole request.
pub fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get(path)))
}

/// One connection.
pub struct Client {
    pub socket: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    /// Connected; preface and these settings are sent.
    pub fn connect_with(address: SocketAddr, settings: &[u8]) -> Self {
        let mut client = Self { socket: TcpStream::connect(address).unwrap(), unread: Vec::new() };
        client.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        client.socket.set_nodelay(true).unwrap();
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat());
        client
    }

    pub fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[])
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends. Returns `false` if the server accepts no more bytes.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// The next frame; `None` at the end.
    pub fn frame(&mut self) -> Option<Frame> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let [high, middle, low, kind, flags, a, b, c, d, rest @ ..] = &*self.unread {
                let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
                if rest.len() >= length {
                    let payload = rest[..length].to_vec();
                    let stream = u32::from_be_bytes([*a, *b, *c, *d]);
                    let frame = Frame { kind: *kind, flags: *flags, stream, payload };
                    self.unread.drain(..9 + length);
                    return Some(frame);
                }
            }
            assert!(Instant::now() < deadline, "no frame in time");
            let mut buffer = [0; 16 << 10];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                // The alarm by which a fuzzer looks for slow inputs.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no frame: {error}"),
            }
        }
    }

    /// Waits until all that was sent has been read, by a ping with this number.
    pub fn settle(&mut self, number: u64) {
        self.send(&frame(PING, 0, 0, &number.to_be_bytes()));
        while self.frame().expect("the end of the connection").payload != number.to_be_bytes() {}
    }

    /// The next frame, if one comes within this time.
    pub fn frame_within(&mut self, time: Duration) -> Option<Frame> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut byte = [0];
        let is_there = !self.unread.is_empty() || matches!(self.socket.peek(&mut byte), Ok(1));
        self.socket.set_read_timeout(Some(DEADLINE)).unwrap();
        is_there.then(|| self.frame().expect("the end of the connection"))
    }

    /// The next frame of this stream that is no WINDOW_UPDATE; all other frames are dropped.
    pub fn frame_of(&mut self, stream: u32) -> Frame {
        loop {
            let frame = self.frame().expect("the end of the connection");
            if frame.stream == stream && frame.kind != WINDOW_UPDATE {
                return frame;
            }
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        }
    }

    /// The status and the content of an answer that is the first with its status.
    pub fn answer(&mut self, stream: u32) -> (u16, Vec<u8>) {
        let head = self.frame_of(stream);
        let (status, mut content) = (head.status(), Vec::new());
        let mut is_all = head.ends_stream();
        while !is_all {
            let frame = self.frame_of(stream);
            assert_eq!(frame.kind, DATA, "{frame:?}");
            is_all = frame.ends_stream();
            content.extend_from_slice(&frame.payload);
        }
        (status, content)
    }

    /// The code of the GOAWAY, and the frames before it; afterwards the connection ends.
    pub fn go_away(&mut self) -> (u32, Vec<Frame>) {
        let mut before = Vec::new();
        while let Some(frame) = self.frame() {
            if frame.kind == GOAWAY {
                return (frame.code(), before);
            }
            before.push(frame);
        }
        panic!("no GOAWAY after {} frames", before.len());
    }
}
