//! The content of a request, as its stream brings it.
//!
//! The client may send as much as the windows allow. The stream gives the window back at once, because the bytes in
//! memory are bounded here, for all streams of the connection together.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use h2::RecvStream;
use http::{Response, StatusCode};

use super::exchange::StreamExchange;
use super::shared::ReceivedBytes;
use crate::error::Refusal;
use crate::exchange::{Dispatcher, Intake, RateWindow, Spool, Stop, TOO_LARGE, Waiting, store_content, too_slow};
use crate::protocol::http2::Announced;

impl StreamExchange {
    /// Reads the content into the request, or leaves a refusal to be answered. The returned value counts the memory.
    pub(super) async fn receive(
        &mut self,
        stream: &mut RecvStream,
        announced: Announced,
        intake: Intake,
    ) -> Result<ReceivedBytes, Stop> {
        let mut held = self.shared.hold();
        let refusal = match self.read(stream, announced, intake, &mut held).await? {
            Ok(()) => return Ok(held),
            Err(refusal) => refusal,
        };
        self.dispatcher.control.clear_deadline();
        self.dispatcher.control.clear_timeout();
        self.dispatcher.refuse(&mut self.accepted.exchange, &refusal);
        Ok(held)
    }

    async fn read(
        &mut self,
        stream: &mut RecvStream,
        announced: Announced,
        intake: Intake,
        held: &mut ReceivedBytes,
    ) -> Result<Result<(), Refusal>, Stop> {
        let service = Arc::clone(&self.dispatcher.service);
        if let Err(refusal) = intake.check(announced.length) {
            return Ok(Err(refusal));
        }
        if announced.expects_continue {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::CONTINUE;
            self.accepted.respond.send_informational(response).map_err(|_| Stop::Gone)?;
        }
        let (mut content, mut spool) = (Vec::new(), Spool::default());
        let (mut window, mut total) = (RateWindow::new(service.clock.now()), 0);
        loop {
            let by_rate = window.set_deadline(&self.dispatcher, total);
            let piece = poll_fn(|context| match stream.poll_data(context) {
                Poll::Ready(piece) => Poll::Ready(Ok(piece)),
                Poll::Pending => match self.dispatcher.control.stop(context, Waiting::Transfer) {
                    Some(stop) => Poll::Ready(Err(stop)),
                    None => Poll::Pending,
                },
            });
            let piece = match piece.await {
                Ok(Some(piece)) => piece.map_err(|_| Stop::Gone)?,
                Ok(None) => break,
                Err(Stop::TimedOut) => return Ok(Err(spool.ended().unwrap_or_else(|| too_slow(by_rate)))),
                Err(stop) => return Err(stop),
            };
            total += piece.len() as u64;
            if total > intake.most {
                return Ok(Err(TOO_LARGE));
            }
            content.extend_from_slice(&piece);
            held.add(piece.len());
            stream.flow_control().release_capacity(piece.len()).map_err(|_| Stop::Gone)?;
            let is_too_much = spool.length() == 0 && held.is_too_much();
            if (is_too_much || spool.wants(&content, service.config.spool_above))
                && let Err(refusal) = move_to_file(&self.dispatcher, &mut spool, &mut content, held).await
            {
                return Ok(Err(refusal));
            }
            if let Err(refusal) = spool.count(&self.dispatcher, &content) {
                return Ok(Err(refusal));
            }
        }
        if spool.length() > 0
            && !content.is_empty()
            && let Err(refusal) = move_to_file(&self.dispatcher, &mut spool, &mut content, held).await
        {
            return Ok(Err(refusal));
        }
        self.dispatcher.control.clear_deadline();
        self.dispatcher.control.clear_timeout();
        let (content, spool) = match self.dispatcher.decode(intake, content, spool).await? {
            Ok(decoded) => decoded,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let request = self.accepted.exchange.request.as_mut().ok_or(Stop::Gone)?;
        Ok(store_content(&service, request, content, spool))
    }
}

async fn move_to_file(
    dispatcher: &Dispatcher,
    spool: &mut Spool,
    content: &mut Vec<u8>,
    held: &mut ReceivedBytes,
) -> Result<(), Refusal> {
    if !held.may_spool() {
        return Err(Refusal::new(503, "too many large contents at once on one connection"));
    }
    spool.take(dispatcher, content).await?;
    held.clear();
    Ok(())
}
