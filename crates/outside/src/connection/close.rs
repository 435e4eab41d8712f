//! The end of a connection, in stages (RFC 9112 section 9.6).
//!
//! The system sends what it was given; the client is told that this is all; and what the client still sends is read and
//! dropped, because closing with unread input would make the system throw away what is on its way out. Bytes that the client
//! has not taken when its time is over are thrown away by a reset, or they would stay in the system's memory. Where places run
//! out, a connection that is being closed gives way: at once when the client has everything, and before that when it has had
//! [`DRAIN_TIME`] to take it.

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
    /// Bytes that have come in.
    received: u64,
    /// More than so many are not read.
    most: u64,
    /// Whether the client has not sent all of the content of its last request.
    is_uploading: bool,
}

enum Stage {
    /// Bytes may wait in the system to be sent; the socket is looked at again when this ends.
    Unsent(Option<Pin<Box<Sleep>>>),
    /// The client is told.
    Telling,
    /// The client may still send something.
    Unread,
}

/// The system does not say when it has sent everything, so it is asked this often.
const LOOK: Duration = Duration::from_millis(50);
/// What a client may still send after its last answer (docs/security.md S7): for so long, …
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(2);
/// … or for so long at the minimum rate if its content is not complete: many clients look at an answer only when they have sent
/// everything. In milliseconds, with the time before the rate is asked for.
const UPLOAD_TIME: u64 = 30_000;
const UPLOAD_GRACE: u64 = 5000;
/// Bytes of content, …
pub(super) const MOST_CONTENT: u64 = 64 << 20;
/// … and of frames, of which windows allow so many, or they are a flood.
pub(super) const MOST_FRAMES: u64 = 256 << 10;

impl ClosingConnection {
    /// Begins, with the deadline of the first stage.
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

    /// When the client's time is over.
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
    /// Closes after an answer, or after a rest.
    pub(super) async fn close(&mut self, answered: bool) {
        let Self { dispatcher, stream, input, is_uploading, .. } = self;
        let (control, service) = (&dispatcher.control, &dispatcher.service);
        control.set_closing(service.clock.after(DRAIN_TIME));
        let unread = input.unread().len();
        input.consume(unread);
        if !answered && unread == 0 && !stream.has_unsent() {
            // Nothing is on its way.
            let _is_told = poll_fn(|context| stream.poll_shutdown(context)).await;
            return;
        }
        let mut closing = ClosingConnection::begin(MOST_CONTENT, *is_uploading, control, service);
        poll_fn(|context| closing.poll(stream, control, service, context)).await;
    }

    /// Closes without an answer, or in the middle of one.
    pub(super) async fn break_off(&mut self, stop: &Stop) {
        match stop {
            // Its framing tells the client that this is not all.
            Stop::Failed if !self.is_past_content_until_close => self.close(true).await,
            _ => self.stream.reset_on_close(),
        }
    }
}
