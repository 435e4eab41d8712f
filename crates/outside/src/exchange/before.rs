//! The gate of a site: a function that is asked before an answer that no function makes.
//!
//! Functions have their callbacks around them in their own language; a file, a redirect, a WebSocket's opening or a 404
//! has none. The gate calls them: it answers in place of the handler, or lets the request pass.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::control::Stop;
use super::dispatch::{Awaited, Dispatcher};
use super::state::{Exchange, Work};
use crate::handler::Function;

impl Dispatcher {
    /// The site's gate, if this request has yet to pass it.
    pub(crate) fn gate(&self, exchange: &Exchange) -> Option<Awaited> {
        if exchange.is_admitted { None } else { self.site.1.gate.clone().map(Awaited::Gate) }
    }

    /// Asks the gate, unless the client is `gone` before. The exchange then carries the gate's answer, or is as it was;
    /// `false` if the gate was late, so that the answer is 504.
    pub(crate) async fn ask_gate(
        &self,
        gate: Arc<Function>,
        exchange: &mut Exchange,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<bool, Stop> {
        exchange.is_admitted = true;
        let request = exchange.request.clone();
        loop {
            if self.account.is_full() {
                self.await_room(0, &mut gone).await?;
            }
            let call = Work::Call(Arc::clone(&gate));
            let asked = Exchange { is_admitted: true, ..Exchange::new(request.clone(), call) };
            let (slot, pooled) = (self.reply_slot(), self.wants_pool(&asked));
            self.push(vec![asked], pooled, Arc::clone(&slot));
            let answered = match self.arrivals(&slot, request.as_ref(), &mut gone).await {
                Ok(mut answered) => answered.pop().ok_or(Stop::Gone)?,
                Err(Stop::TimedOut) => {
                    self.respond_late(exchange);
                    return Ok(false);
                }
                Err(stop) => return Err(stop),
            };
            let (began, has_no_room) = (exchange.began, matches!(answered.work, Work::NoRoom));
            // The gate had no room, or its answer is lost: the request has not passed, so the gate is asked again.
            if answered.begins() || (has_no_room && Self::may_be_made_again(&answered)) {
                continue;
            }
            *exchange = Exchange { began, ..answered };
            self.make_room(exchange);
            return Ok(true);
        }
    }
}
