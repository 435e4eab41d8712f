//! From bytes of the socket to messages for the handler, as far as the handler has room for them.

use std::task::{Context, Poll, ready};
use std::{io, iter};

use super::{ClientEnd, WebSocketSession};
use crate::budget::SMALL;
use crate::connection::buffer::ReadBuffer;
use crate::exchange::Occasion;
use crate::protocol::websocket::{MessageKind, ReceivedFrame};
use crate::websocket::{Few, Message, Style};

/// Pings of one read that are answered one by one. Of further ones the latest is (RFC 6455 section 5.5.3).
const MOST_PINGS: usize = 16;

/// Bytes of memory of the messages that are decoded at once: a few hundred small ones, or one of any size.
const MOST_AT_ONCE: usize = 32 << 10;

impl WebSocketSession {
    /// Reads into `room` and decodes up to `wanted` bytes of messages. See [`WebSocketSocket::poll_read`].
    pub(super) fn read(
        &mut self,
        context: &mut Context<'_>,
        room: &mut [u8],
        wanted: usize,
    ) -> Poll<io::Result<(usize, bool)>> {
        let (count, was_all) = ready!(self.socket.poll_read(context, room))?;
        self.socket.service.session_share.note(count);
        if count > 0 {
            self.heard = self.socket.service.clock.now();
            if self.pong_due.take().is_some() {
                self.schedule();
            }
            let taken = self.hear(&mut room[..count], wanted);
            if taken < count {
                self.left = Some(Box::new(ReadBuffer::of(&room[taken..count])));
            }
            self.note_unread();
        }
        Poll::Ready(Ok((count, was_all)))
    }

    /// Tells the connection how many bytes wait for the rest of their message, or for room, if more than a few came or went.
    pub(super) fn note_unread(&mut self) {
        let unread = self.receiver.held() + self.left.as_ref().map_or(0, |left| left.unread().len());
        if unread.abs_diff(self.unread) >= SMALL {
            self.unread = unread;
            self.connection.set_unread(unread);
        }
    }

    /// Bytes of messages that the session may take in; it stops reading while the handler has enough to do.
    pub(super) fn room(&self) -> usize {
        match (self.style, self.is_calling) {
            (Style::Callbacks, true) => 0,
            (Style::Callbacks, false) if self.connection.is_pressed() => 0,
            (Style::Callbacks, false) => self.connection.max_inbox().min(MOST_AT_ONCE),
            _ => self.connection.room().min(MOST_AT_ONCE),
        }
    }

    /// Decodes bytes that were read, up to `room` bytes of messages: a few bytes may inflate to many. Returns the
    /// number of decoded bytes.
    pub(super) fn hear(&mut self, read: &mut [u8], room: usize) -> usize {
        let all = read.len();
        let mut unread = read;
        let mut messages = Few::default();
        let mut taken = 0;
        let mut end = None;
        let (mut pings, mut latest_ping) = (0, None);
        while end.is_none() && taken < room && !unread.is_empty() {
            match self.receiver.receive(&mut unread) {
                Ok(Some(ReceivedFrame::Message(kind, payload))) => {
                    let message = Message::received(kind == MessageKind::Text, payload);
                    taken += message.cost();
                    messages.push(message);
                }
                Ok(Some(ReceivedFrame::Ping(payload))) => {
                    pings += 1;
                    if pings <= MOST_PINGS {
                        self.connection.receive_ping(&payload);
                    } else {
                        latest_ping = Some(payload);
                    }
                }
                Ok(Some(ReceivedFrame::Pong(_))) => {}
                Ok(Some(ReceivedFrame::Close(close))) => end = Some(ClientEnd::Close(close)),
                Ok(None) => break,
                Err(failure) => end = Some(ClientEnd::Failure(failure)),
            }
        }
        let left = unread.len();
        if let Some(payload) = latest_ping {
            self.connection.receive_ping(&payload);
        }
        self.is_deaf |= end.is_some();
        if !messages.is_empty() {
            self.connection.count_messages(true, messages.len());
        }
        // The handler gets the messages before the end first.
        if !messages.is_empty() && self.style == Style::Callbacks {
            self.end = end.map(Box::new);
            self.call(Occasion::Messages, messages);
            return all - left;
        }
        if !messages.is_empty() {
            self.connection.deliver(iter::from_fn(|| messages.pop()));
        }
        if let Some(end) = end {
            self.finish(end);
        }
        all - left
    }

    /// Tells the connection how the client has ended its messages.
    pub(super) fn finish(&mut self, end: ClientEnd) {
        self.looks = true;
        match end {
            ClientEnd::Close(close) => self.connection.receive_close(close),
            ClientEnd::Failure(failure) => {
                self.has_failed = true;
                self.connection.fail(&failure);
            }
        }
    }
}
