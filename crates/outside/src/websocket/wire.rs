//! A connection without a server: the owner of the socket moves the bytes. For tests and embedding.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};

use super::message::Message;
use super::shared::WebSocketConnection;
use super::{Frames, Room, WebSocket};
use crate::message::Request;
use crate::protocol::websocket::{Close, MessageKind, ReceivedFrame, Receiver};

/// The client's side of a [`WebSocketConnection`] whose handshake is done: bytes in, bytes out.
#[derive(Debug)]
pub struct WebSocketDriver {
    receiver: Receiver,
    connection: WebSocketConnection,
}

impl WebSocketDriver {
    /// A connection that was opened by this request, with the default options.
    pub fn new(request: Arc<Request>) -> (WebSocketConnection, Self) {
        let websocket = Arc::new(WebSocket::new());
        let receiver = Receiver::new(websocket.options.max_message);
        let connection = WebSocketConnection::new(request, websocket, None, None, Arc::<Room>::default());
        (connection.clone(), Self { receiver, connection })
    }

    /// Takes bytes of the client. Returns `false` if no more are wanted.
    pub fn receive(&mut self, input: &[u8]) -> bool {
        let mut input = input.to_vec();
        let mut unread = &mut input[..];
        loop {
            match self.receiver.receive(&mut unread) {
                Ok(Some(ReceivedFrame::Message(kind, payload))) => {
                    let message = Message::received(kind == MessageKind::Text, payload);
                    self.connection.deliver(std::iter::once(message));
                }
                Ok(Some(ReceivedFrame::Ping(payload))) => self.connection.receive_ping(&payload),
                Ok(Some(ReceivedFrame::Pong(_))) => {}
                Ok(Some(ReceivedFrame::Close(close))) => {
                    self.connection.receive_close(close);
                    self.connection.wake();
                    return false;
                }
                Ok(None) => return true,
                Err(failure) => {
                    self.connection.fail(&failure);
                    // The client's Close frame would not be read, so it counts as received.
                    self.connection.receive_close(Close::default());
                    self.connection.wake();
                    return false;
                }
            }
        }
    }

    /// Waits until more messages may be received, or the connection has ended.
    pub fn wait_for_room(connection: &WebSocketConnection) {
        connection.wait_for_room();
    }

    /// Waits for bytes for the client; empty: the connection has ended, and all was sent.
    pub fn outgoing(connection: &WebSocketConnection) -> Vec<u8> {
        let waker = Waker::from(Arc::new(Sleeper(thread::current())));
        loop {
            // Read first, so that frames that are queued later wake this thread.
            let look = connection.poll_flush_status(&Context::from_waker(&waker));
            let mut frames = Frames::default();
            connection.take_frames(&mut frames);
            let Frames { small: mut bytes, large } = frames;
            bytes.extend_from_slice(large.as_deref().unwrap_or_default());
            if !bytes.is_empty() || look.is_closed() || look.is_over() {
                return bytes;
            }
            thread::park();
        }
    }

    /// Notes that the socket has ended.
    pub fn end(connection: &WebSocketConnection) {
        connection.end();
    }
}

/// Wakes a sleeping thread.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
