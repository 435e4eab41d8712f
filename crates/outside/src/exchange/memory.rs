//! Room for answers: an exchange waits until its client has taken enough of the answers before it.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::state::{Exchange, Work};
use crate::budget::Reserved;

impl Dispatcher {
    /// Room for an answer of `bytes` bytes, unless the client is `gone` before there is room.
    pub(crate) async fn await_room(
        &self,
        bytes: usize,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<Reserved, Stop> {
        let mut room = std::pin::pin!(self.account.reserved(bytes));
        poll_fn(|context| match room.as_mut().poll(context) {
            Poll::Ready(room) => Poll::Ready(Ok(room)),
            Poll::Pending => gone(context).map(Err),
        })
        .await
    }

    /// Whether the lost answer of this exchange may be made again: its request has no effect.
    pub(crate) fn may_be_made_again(exchange: &Exchange) -> bool {
        exchange.request.as_ref().is_some_and(|request| request.is_safe() && !request.is_streamed())
    }

    /// Takes note that the answer of this exchange was lost, for want of room. If the request is safe, the answer is
    /// made again (RFC 9110 section 9.2.1: that has no effect); after any other, the client gets 503.
    pub(crate) fn make_room(&self, exchange: &mut Exchange) {
        let Work::NoRoom = exchange.work else { return };
        self.complain_of_room();
        exchange.is_counted = false;
        exchange.work = Work::Done;
        if !Self::may_be_made_again(exchange) {
            let reason = "this connection takes its answers more slowly than it asks for them";
            exchange.work = Work::Status(503, Some(reason.to_owned()));
        }
    }

    /// Writes into the log that an answer had no room.
    pub(crate) fn complain_of_room(&self) {
        let what = "a connection that takes its answers more slowly than it asks for them";
        self.service.log.complain("max_unsent_per_connection_mb", what);
    }
}
