//! A client that has stopped to read: it joins a room, makes the server write to it until nothing more fits, and stays.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::websocket;

/// Bytes of a message that the server gives back, and how many of them: more than all buffers between the two hold.
const LONG: usize = 64 << 10;
const MANY: usize = 256;
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a WebSocket on a path that echoes, and sends more messages than all buffers hold without reading any.
pub(crate) fn open(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    set_socket_recv_buffer_size(&stream, 4096)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&websocket::opening(path, address))?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while websocket::is_open(&answer).map_err(io::Error::other)?.is_none() {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    let message = websocket::message(LONG);
    for _ in 0..MANY {
        stream.write_all(&message)?;
    }
    Ok(stream)
}
