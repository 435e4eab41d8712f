//! The memory of an idle WebSocket: bytes of user space, with callbacks.
//!
//! Server and clients share this process, which runs nothing else; a client here is a bare socket. Linux only.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use outside::config::AccessLog;
use outside::testing::websocket::client_frame;
use outside::websocket::Message;
use outside::{Config, Error, OutsideHttp, WebSocket, WebSocketConnection};

/// Connections that are opened, if the process may have twice as many descriptors.
const MANY: usize = 4000;
/// Bytes that each connection may cost.
const MOST: usize = 2048;

const OPENING: &str = "GET / HTTP/1.1\r\nHost: endurance\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn an_idle_websocket_costs_little() {
    let server = Arc::new(serve().unwrap());
    let running = Arc::clone(&server);
    let thread = thread::spawn(move || running.run());
    assert!(server.wait_until_ready(Some(Duration::from_secs(20))), "not ready in time");
    let address = server.address().and_then(|address| address.socket_addr()).unwrap();
    let count = MANY.min(descriptors() * 2 / 5);
    // Memory that grows only once has grown.
    drop(open(address, 100));
    let before = private_memory();
    let clients = open(address, count);
    let each = (private_memory() - before) / count;
    println!("{each} bytes for each of {count} idle WebSockets");
    drop(clients);
    server.terminate(false);
    server.terminate(true);
    thread.join().unwrap().unwrap();
    assert!(each <= MOST, "{each} bytes");
}

fn serve() -> Result<OutsideHttp, Error> {
    let mut server = OutsideHttp::new(("127.0.0.1", 0))?;
    server.config = Config { access_log: AccessLog::Off, max_connections: Some(MANY * 2), ..Config::default() };
    let echo = |connection: &WebSocketConnection, message: Message| connection.send(message);
    server.set_route("/", WebSocket::new().on_message(echo))?;
    Ok(server)
}

/// Opens this many connections; each has got an answer to its message.
fn open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let message = client_frame(0x82, Some([1, 2, 3, 4]), b"hello");
    let connect = |_| {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(OPENING.as_bytes()).unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", head.escape_ascii());
        client.write_all(&message).unwrap();
        let mut echo = [0; 7];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"\x82\x05hello");
        client
    };
    (0..count).map(connect).collect()
}

/// Bytes that belong only to this process and were written to.
fn private_memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Number of descriptors that this process may have; raised as far as allowed.
fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap())
}
