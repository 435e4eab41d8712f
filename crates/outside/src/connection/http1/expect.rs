//! A request of HTTP/1.1 whose client waits for 100 Continue before it sends content.

use crate::connection::Connection;
use crate::exchange::{Exchange, Intake, Stop};
use crate::protocol::http1::Framing;

impl Connection {
    /// Takes such a request in: with its content, or answered without. The connection ends with an answer that the client
    /// got instead of 100, because the client may send its content all the same (RFC 9110 section 10.1.1).
    pub(super) async fn accept_expecting(
        &mut self,
        mut exchange: Exchange,
        framing: Framing,
        intake: Intake,
    ) -> Result<(), Stop> {
        let dispatcher = &self.dispatcher;
        let declared = framing.body.known();
        let admitted =
            dispatcher.admit_early(&mut exchange, intake, declared, |context| dispatcher.poll_order(context)).await;
        let is_wanted = match admitted {
            Ok(is_wanted) => is_wanted,
            Err(stop) => {
                // For the log.
                self.exchanges.push(exchange);
                return Err(stop);
            }
        };
        if !is_wanted {
            (self.keep_alive, self.is_uploading) = (false, true);
        } else if let Some(mut request) = exchange.request.take() {
            if let Err(fault) = self.read_body(&mut request, framing, intake).await {
                self.refuse_content(fault, request)?;
                if let Some(refused) = self.exchanges.last_mut() {
                    refused.attachment = exchange.attachment;
                }
                return Ok(());
            }
            exchange.request = Some(request);
        }
        self.dispatcher.control.clear_deadline();
        self.dispatcher.control.clear_timeout();
        self.exchanges.push(exchange);
        Ok(())
    }
}
