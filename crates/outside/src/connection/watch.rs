//! Whether the client is still there while its answer is made.
//!
//! A reset always means that the client is gone. A FIN alone does not: it may have closed only its own side
//! (RFC 9112 section 9.6), and is answered. If it is gone, its system answers the next bytes by a reset.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::buffer::{ReadBuffer, poll_fill};
use crate::exchange::{ConnectionControl, Stop, Waiting};
use crate::transport::Stream;

/// The state of the client, as far as the socket shows it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The timer of the next look at the socket, once the client has closed its side.
    closed: Option<Pin<Box<Sleep>>>,
}

/// The time between two looks at a socket whose client has closed its side: a reset is not notified then.
const LOOK: Duration = Duration::from_millis(100);

impl Watch {
    /// Ready when the client is gone or the connection is cut, and once, with [`Stop::Closed`], when the client has
    /// closed its side. Other bytes that come in are kept, up to one buffer of `recv_size` bytes.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        input: &mut ReadBuffer,
        control: &ConnectionControl,
        recv_size: usize,
        context: &mut Context<'_>,
    ) -> Poll<Stop> {
        if self.closed.is_some() {
            if self.poll_reset(stream, context).is_ready() {
                return Poll::Ready(Stop::Gone);
            }
        } else {
            while input.unread().len() < recv_size {
                match poll_fill(stream, input, recv_size, context) {
                    Poll::Ready(Ok(0)) if stream.is_reset() => return Poll::Ready(Stop::Gone),
                    Poll::Ready(Ok(0)) => {
                        self.closed = Some(Box::pin(sleep(LOOK)));
                        return Poll::Ready(Stop::Closed);
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(Stop::Gone),
                    Poll::Pending => break,
                }
            }
        }
        match control.stop(context, Waiting::Handler) {
            Some(stop) => Poll::Ready(stop),
            None => Poll::Pending,
        }
    }

    /// Like `poll`, for an answer that is not made for a client that has closed its side.
    pub(super) fn poll_leaving(
        &mut self,
        stream: &mut Stream,
        input: &mut ReadBuffer,
        control: &ConnectionControl,
        recv_size: usize,
        context: &mut Context<'_>,
    ) -> Poll<Stop> {
        let polled = self.poll(stream, input, control, recv_size, context);
        if self.closed.is_some() { Poll::Ready(Stop::Gone) } else { polled }
    }

    /// Forgets that the client has closed its side; `poll` reports it once more.
    pub(super) fn forget(&mut self) {
        self.closed = None;
    }

    fn poll_reset(&mut self, stream: &Stream, context: &mut Context<'_>) -> Poll<()> {
        let Some(look) = &mut self.closed else { return Poll::Pending };
        loop {
            ready!(look.as_mut().poll(context));
            if stream.is_reset() {
                return Poll::Ready(());
            }
            look.as_mut().reset(Instant::now() + LOOK);
        }
    }
}
