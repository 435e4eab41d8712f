//! The floor of a broadcast: a bare epoll loop that writes one frame to each member, one thread, no runtime.
//!
//! It answers the handshake, takes whole frames of less than 126 bytes, and believes that every socket takes a frame at once. No
//! limits, no timers, no closing handshake: the cost that is left is the kernel's, for one `send` after another.

use std::io::{self, ErrorKind, Read, Write};

use bench_peers_rust::address;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const LISTENER: Token = Token(usize::MAX);
const LARGEST: usize = 125;

struct Member {
    stream: TcpStream,
    is_open: bool,
}

fn main() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address()?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut members: Vec<Option<Member>> = Vec::new();
    let mut buffer = vec![0; 4096];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut members)?;
                continue;
            }
            let slot = &mut members[event.token().0];
            let Some(member) = slot else { continue };
            match member.stream.read(&mut buffer) {
                Ok(count @ 1..) if !member.is_open => {
                    member.stream.write_all(&welcome(&buffer[..count])?)?;
                    member.is_open = true;
                }
                Ok(count @ 1..) => match frame(&mut buffer[..count]) {
                    Some(frame) => members.iter_mut().flatten().for_each(|member| send(member, &frame)),
                    None => *slot = None,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => *slot = None,
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, members: &mut Vec<Option<Member>>) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        poll.registry().register(&mut stream, Token(members.len()), Interest::READABLE)?;
        members.push(Some(Member { stream, is_open: false }));
    }
}

/// The answer to an opening handshake that has come whole.
fn welcome(head: &[u8]) -> io::Result<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let is_whole = request.parse(head).is_ok_and(|status| status.is_complete());
    let key = headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"));
    let (true, Some(key)) = (is_whole, key) else { return Err(ErrorKind::InvalidData.into()) };
    let accept = derive_accept_key(key.value);
    let text =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ";
    Ok(format!("{text}{accept}\r\n\r\n").into_bytes())
}

/// The frame for everybody that a client's frame asks for; `None` if it is none of the simple ones.
fn frame(bytes: &mut [u8]) -> Option<Vec<u8>> {
    let [first @ (0x81 | 0x82), length, a, b, c, d, content @ ..] = bytes else { return None };
    let (mask, length) = ([*a, *b, *c, *d], usize::from(*length & 0x7f));
    if length > LARGEST || content.len() != length {
        return None;
    }
    content.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some([&[*first, length as u8], &*content].concat())
}

fn send(member: &mut Member, frame: &[u8]) {
    if member.is_open {
        // A client that does not take it at once has left, or is not part of this measurement.
        let _is_taken = member.stream.write(frame);
    }
}
