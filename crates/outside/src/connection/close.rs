//! The end of a connection, in stages (RFC 9112 section 9.6).
//!
//! First the system sends its unsent bytes; then the connection closes its own side, which tells the client that this
//! is all. After that it reads and drops the bytes that the client still sends, because closing with unread input would
//! make the system discard the answer on its way. Bytes that the client has not taken by the deadline are discarded by
//! a reset, or they would stay in the system's memory. Where places run out, a closing connection gives way: at once
//! when the client has all bytes, before that when the client has had [`DRAIN_TIME`] to take them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::Connection;
use super::buffer::with_scratch;
use crate::exchange::{ConnectionControl, Order, Service, Stop, millis};
use crate::transport::Stream;

/// A connection that is being closed.
pub(super) struct ClosingConnection {
    stage: Stage,
    /// When the stage began, in milliseconds of the clock.
    since: u64,
    /// Bytes of the client that were read and dropped.
    received: u64,
    /// Bytes of the client that are read at most; more than that ends the connection by a reset.
    most: u64,
    /// Whether some content of the client's last request is still missing.
    is_uploading: bool,
}

enum Stage {
    /// The system may hold unsent bytes; the sleep, if there is one, ends when the socket is asked again.
    Unsent(Option<Pin<Box<Sleep>>>),
    /// The connection closes its own side.
    Telling,
    /// The client may still send something, which is dropped.
    Unread,
}

/// The time between two questions whether the socket has unsent bytes: the system does not notify about that.
const LOOK: Duration = Duration::from_millis(50);
/// The time for which a client may still send after its last answer (docs/security.md S7).
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(2);
/// Milliseconds for which a client may go on with incomplete content: many read no answer before they have sent all.
const UPLOAD_TIME: u64 = 30_000;
/// Milliseconds that a client with incomplete content has in addition to its time by the minimum rate.
const UPLOAD_GRACE: u64 = 5000;
/// Bytes of content that a closing connection reads and drops at most; a client that sends more gets a reset.
pub(super) const MOST_CONTENT: u64 = 64 << 20;
/// Bytes of frames that a closing HTTP/2 connection reads and drops at most: the windows allow no more than that.
pub(super) const MOST_FRAMES: u64 = 256 << 10;

impl ClosingConnection {
    /// Begins the first stage, and sets its deadline.
    pub(super) fn begin(most: u64, is_uploading: bool, control: &ConnectionControl, service: &Service) -> Self {
        control.clear_timeout();
        control.set_deadline(service.clock.after(service.config.write_stall_timeout));
        control.set_closing(service.clock.after(DRAIN_TIME));
        Self { stage: Stage::Unsent(None), since: service.clock.now(), received: 0, most, is_uploading }
    }

    /// Ready when the socket may be dropped.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        control: &ConnectionControl,
        service: &Service,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            match control.order(context) {
                Order::TimedOut | Order::Cut => {
                    self.expire(stream, service);
                    return Poll::Ready(());
                }
                Order::Shed => {
                    // Another client needs the place.
                    stream.reset_on_close();
                    return Poll::Ready(());
                }
                Order::None | Order::Retire | Order::Drain => {}
            }
            match &mut self.stage {
                Stage::Unsent(look) => {
                    if let Some(look) = look {
                        ready!(look.as_mut().poll(context));
                    }
                    if !stream.has_unsent() {
                        self.stage = Stage::Telling;
                    } else if stream.is_reset() {
                        return Poll::Ready(());
                    } else {
                        *look = Some(Box::pin(sleep(LOOK)));
                    }
                }
                Stage::Telling => {
                    if ready!(stream.poll_shutdown(context)).is_err() {
                        return Poll::Ready(());
                    }
                    control.clear_timeout();
                    (self.stage, self.since) = (Stage::Unread, service.clock.now());
                    control.set_deadline(self.due(service));
                    control.set_closing(self.since);
                }
                Stage::Unread => {
                    let read = with_scratch(service.config.recv_size, |room| stream.poll_read(context, room));
                    let Ok(count @ 1..) = ready!(read) else { return Poll::Ready(()) };
                    self.received += count as u64;
                    if self.received > self.most {
                        stream.reset_on_close();
                        return Poll::Ready(());
                    }
                    control.set_deadline(self.due(service));
                }
            }
        }
    }

    /// The deadline of the last stage, in milliseconds of the clock.
    fn due(&self, service: &Service) -> u64 {
        if !self.is_uploading {
            return self.since + millis(DRAIN_TIME);
        }
        let by_rate = self.received.saturating_mul(1000).checked_div(service.config.min_rate);
        self.since + by_rate.map_or(UPLOAD_TIME, |time| UPLOAD_TIME.min(UPLOAD_GRACE.saturating_add(time)))
    }

    fn expire(&self, stream: &Stream, service: &Service) {
        match self.stage {
            Stage::Unread if self.received == 0 => {}
            Stage::Unread => stream.reset_on_close(),
            Stage::Unsent(_) | Stage::Telling => {
                service.complain_of_slow_reader(false);
                stream.reset_on_close();
            }
        }
    }
}

impl Connection {
    /// Closes the connection after an answer, or while it is idle (`answered` is `false` then).
    pub(super) async fn close(&mut self, answered: bool) {
        let Self { dispatcher, stream, input, is_uploading, .. } = self;
        let (control, service) = (&dispatcher.control, &dispatcher.service);
        control.set_closing(service.clock.after(DRAIN_TIME));
        let unread = input.unread().len();
        input.consume(unread);
        if !answered && unread == 0 && !stream.has_unsent() {
            // No byte is on its way in or out.
            let _is_told = poll_fn(|context| stream.poll_shutdown(context)).await;
            return;
        }
        let mut closing = ClosingConnection::begin(MOST_CONTENT, *is_uploading, control, service);
        poll_fn(|context| closing.poll(stream, control, service, context)).await;
    }

    /// Closes the connection without an answer, or in the middle of one.
    pub(super) async fn break_off(&mut self, stop: &Stop) {
        match stop {
            // The framing tells the client that the answer is not complete.
            Stop::Failed if !self.is_past_content_until_close => self.close(true).await,
            _ => self.stream.reset_on_close(),
        }
    }
}
