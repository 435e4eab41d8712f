//! A connection that a program has taken over by a socket: bytes go both ways as they are, until both sides have ended.
//!
//! Programs that answer an upgrade themselves write their own 101, so nothing is rendered here.

use std::future::poll_fn;
use std::io::IoSlice;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::UnixStream;

use crate::connection::buffer::ReadBuffer;
use crate::connection::{Connection, poll_fill};
use crate::exchange::{Exchange, Stop, Waiting};
use crate::transport::Stream;

/// Bytes that are moved at a time.
const STEP: usize = 16 << 10;

/// One direction: from the program to the client.
struct FromProgram {
    buffer: Vec<u8>,
    /// The bytes in the buffer that are to be written.
    at: usize,
    end: usize,
    is_over: bool,
    count: u64,
}

impl Connection {
    /// Moves bytes between the client and the socket. The conversation in HTTP has ended with this.
    pub(in crate::connection) async fn tunnel(
        &mut self,
        out: &mut Vec<u8>,
        exchange: &mut Exchange,
        socket: StdUnixStream,
    ) -> Result<(), Stop> {
        self.keep_alive = false;
        exchange.status = 101;
        self.flush(out, b"").await?;
        let socket = socket.set_nonblocking(true).and_then(|()| UnixStream::from_std(socket));
        let mut socket = socket.map_err(|_| Stop::Gone)?;
        self.dispatcher.control.clear_deadline();
        self.dispatcher.control.clear_timeout();
        let mut from = FromProgram { buffer: vec![0; STEP], at: 0, end: 0, is_over: false, count: 0 };
        let mut client_is_over = false;
        let Self { stream, input, dispatcher, .. } = self;
        let result = poll_fn(|context| {
            let to_program = poll_to_program(stream, input, &mut socket, &mut client_is_over, context);
            let from_program = from.poll(stream, &mut socket, context);
            match (to_program, from_program) {
                (Poll::Ready(Err(())), _) | (_, Poll::Ready(_)) => Poll::Ready(Ok(())),
                _ => match dispatcher.control.stop(context, Waiting::Transfer) {
                    Some(stop) => Poll::Ready(Err(stop)),
                    None => Poll::Pending,
                },
            }
        });
        let result = result.await;
        exchange.bytes = from.count;
        result
    }
}

/// Moves the client's bytes to the program. An error is the end of the program's side; after the end of the client's
/// bytes it only waits.
fn poll_to_program(
    stream: &mut Stream,
    input: &mut ReadBuffer,
    socket: &mut UnixStream,
    is_over: &mut bool,
    context: &mut Context<'_>,
) -> Poll<Result<(), ()>> {
    while !*is_over {
        if input.unread().is_empty() {
            match poll_fill(stream, input, STEP, context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => {
                    *is_over = true;
                    // The program reads the end, and may still write.
                    let _ended = Pin::new(&mut *socket).poll_shutdown(context);
                }
                Poll::Pending => return Poll::Pending,
            }
            continue;
        }
        match Pin::new(&mut *socket).poll_write(context, input.unread()) {
            Poll::Ready(Ok(count)) => input.consume(count),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
            Poll::Pending => return Poll::Pending,
        }
    }
    Poll::Pending
}

impl FromProgram {
    /// Moves the program's bytes to the client. Ready when one of them has ended.
    fn poll(&mut self, stream: &mut Stream, socket: &mut UnixStream, context: &mut Context<'_>) -> Poll<()> {
        loop {
            while self.at < self.end {
                match stream.poll_write(context, &[IoSlice::new(&self.buffer[self.at..self.end])]) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        self.at += count;
                        self.count += count as u64;
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if self.is_over {
                return Poll::Ready(());
            }
            let mut filled = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *socket).poll_read(context, &mut filled) {
                Poll::Ready(Ok(())) => {
                    (self.at, self.end) = (0, filled.filled().len());
                    self.is_over = self.end == 0;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
