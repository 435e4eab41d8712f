//! Fields that a handler sends before its answer, as an informational one (103 Early Hints, RFC 8297).
//!
//! They come back from the handler like an answer, while its call goes on; the wire writes them, and the wait for the
//! answer begins again.

use std::sync::Arc;

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::pipeline::Wire;
use super::state::{Exchange, Work};
use crate::message::{Request, Version};

impl Dispatcher {
    /// Sends the hints among these exchanges, which have come back for this request. Returns the others.
    pub(crate) async fn send_hints(
        &self,
        request: Option<&Arc<Request>>,
        exchanges: Vec<Exchange>,
        wire: &mut impl Wire,
    ) -> Result<Vec<Exchange>, Stop> {
        if !exchanges.iter().any(|exchange| matches!(exchange.work, Work::Hints(_))) {
            return Ok(exchanges);
        }
        // The future is on the heap: an idle connection has no room for a rare case.
        Box::pin(self.send_each_hint(request, exchanges, wire)).await
    }

    async fn send_each_hint(
        &self,
        request: Option<&Arc<Request>>,
        exchanges: Vec<Exchange>,
        wire: &mut impl Wire,
    ) -> Result<Vec<Exchange>, Stop> {
        let mut others = Vec::new();
        for exchange in exchanges {
            // Those of the request before may come behind its answer.
            let is_late = exchange.request.as_ref().is_some_and(|it| request.is_none_or(|own| !Arc::ptr_eq(it, own)));
            let fields = match exchange.work {
                Work::Hints(fields) => fields,
                work => {
                    others.push(Exchange { work, ..exchange });
                    continue;
                }
            };
            // A client of HTTP/1.0 would take it for the answer (RFC 9110 section 15.2).
            if !is_late && request.is_some_and(|request| request.version != Version::Http10) {
                wire.hint(self, &fields).await?;
            }
        }
        Ok(others)
    }
}
