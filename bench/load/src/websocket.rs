//! WebSockets, the client's side: the opening request, one message with a mask, and the expected bytes of the server.
//!
//! No socket here. Every message is the same, so that a frame is checked by one comparison of memory.

use std::net::SocketAddr;

use crate::response::Verdict;

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The request that opens a connection, without compression (RFC 6455 section 4.1).
pub(crate) fn opening(path: &str, address: SocketAddr) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench-load\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// Has the server opened the connection? `None` if its answer is not complete.
pub(crate) fn is_open(answer: &[u8]) -> Result<Option<()>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(answer) {
        Ok(httparse::Status::Partial) => Ok(None),
        Ok(httparse::Status::Complete(_)) if response.code != Some(101) => {
            Err(format!("the WebSocket is refused with {:?}", response.code))
        }
        Ok(httparse::Status::Complete(head)) if head < answer.len() => Err("messages nobody asked for".into()),
        Ok(httparse::Status::Complete(_)) => Ok(Some(())),
        Err(error) => Err(error.to_string()),
    }
}

/// A message of this many bytes, as a client sends it.
pub(crate) fn message(length: usize) -> Vec<u8> {
    let mut frame = head(length);
    frame[1] |= MASKED;
    frame.extend_from_slice(&MASK);
    frame.extend(payload(length).zip(MASK.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The same as the server sends it.
pub(crate) fn echo(length: usize) -> Vec<u8> {
    let mut frame = head(length);
    frame.extend(payload(length));
    frame
}

/// Is the front of a buffer this frame? Pings are passed over: a measurement is shorter than a server's patience.
pub(crate) fn check(buffer: &[u8], frame: &[u8]) -> Verdict {
    match buffer {
        [PING, length, rest @ ..] if rest.len() >= usize::from(*length) => {
            Verdict::Passed { length: 2 + usize::from(*length) }
        }
        [PING, ..] => Verdict::Incomplete,
        _ if buffer.starts_with(frame) => Verdict::Good { length: frame.len(), close: false },
        _ if frame.starts_with(buffer) => Verdict::Incomplete,
        _ => Verdict::Garbage(format!("not the message that was sent: {:02x?}", &buffer[..buffer.len().min(40)])),
    }
}

fn payload(length: usize) -> impl Iterator<Item = u8> {
    (b'a'..=b'z').cycle().take(length)
}

fn head(length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![BINARY, length as u8],
        126..=0xffff => [&[BINARY, 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[BINARY, 127][..], &(length as u64).to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_what_the_rfc_says() {
        assert_eq!(echo(3), b"\x82\x03abc");
        assert_eq!(message(3), b"\x82\x83\x37\xfa\x21\x3d\x56\x98\x42");
        assert_eq!(echo(300)[..4], *b"\x82\x7e\x01\x2c");
        let frame = echo(3);
        assert_eq!(check(b"\x82\x03abc\x82", &frame), Verdict::Good { length: 5, close: false });
        assert_eq!(check(b"\x82\x03ab", &frame), Verdict::Incomplete);
        assert_eq!(check(b"\x89\x01?\x82", &frame), Verdict::Passed { length: 3 });
        assert!(matches!(check(b"\x81\x03abc", &frame), Verdict::Garbage(_)));
    }

    #[test]
    fn openings_are_judged() {
        assert_eq!(is_open(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"), Ok(None));
        assert_eq!(is_open(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"), Ok(Some(())));
        assert!(is_open(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
