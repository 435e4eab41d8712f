//! A client that waits for 100 Continue before it sends content (RFC 9110 section 10.1.1): its request is routed, and the
//! functions before its handler are called, before the client is asked for the content. A refusal spares it the upload.
//!
//! Functions before a handler that look at the content come when it is there, and so do those behind them.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::control::Stop;
use super::dispatch::{Awaited, Dispatcher};
use super::request_body::{SHARED, check_length};
use super::state::{Exchange, Work};
use crate::error::Refusal;
use crate::handler::{before_async, before_function};
use crate::message::{Request, Spooled};

impl Dispatcher {
    /// Takes a request without its content as far as it goes, unless the client is `gone` before. Returns whether the
    /// content is wanted; if not, the exchange has its answer, or a handler that takes no content. `most` bytes of content
    /// are allowed, `declared` is its length.
    pub(crate) async fn admit_early(
        &self,
        exchange: &mut Exchange,
        most: u64,
        declared: Option<u64>,
        gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Result<bool, Stop> {
        let awaited = self.route(exchange);
        let has_before = self.site.1.gate.is_some() && !self.site.1.gates_websockets_only;
        let work = std::mem::replace(&mut exchange.work, Work::Done);
        let (gate, is_function) = match (awaited, work) {
            (Some(Awaited::Gate(gate)), _) => (Some(before_function(&gate)), false),
            (Some(Awaited::Async(handler)), _) => (has_before.then(|| before_async(&handler)), true),
            (_, Work::Call(function)) => (has_before.then(|| before_function(&function)), true),
            (_, work) => {
                exchange.work = work;
                return Ok(false);
            }
        };
        if let Err(refusal) = check_length(most, declared) {
            self.refuse(exchange, &refusal);
            return Ok(false);
        }
        let Some(gate) = gate else { return Ok(true) };
        if let Err(refusal) = self.leave_content_out(exchange.request.as_mut()) {
            self.refuse(exchange, &refusal);
            return Ok(false);
        }
        let is_in_time = self.ask_gate(gate, exchange, gone).await?;
        self.control.clear_timeout();
        let has_passed = is_in_time && matches!(exchange.work, Work::Done);
        Ok(has_passed && (is_function || !exchange.is_admitted))
    }

    /// Marks the content of a request as outstanding. From now on the request is shared, so that the content arrives by
    /// [`arrive`](crate::message::Spooled::arrive).
    fn leave_content_out(&self, request: Option<&mut Arc<Request>>) -> Result<(), Refusal> {
        let request = request.and_then(Arc::get_mut).ok_or(SHARED)?;
        request.form_limits.get_or_insert_default().as_mut().clone_from(&self.service.config.form_limits);
        request.spooled = Some(Spooled::outstanding());
        Ok(())
    }
}
