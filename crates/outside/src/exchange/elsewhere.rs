//! Handlers with an event loop of their own: the request is handed over, the answer awaited, and the client watched.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::executor::ReplySlot;
use super::pipeline::{Wait, Wire};
use super::state::{Exchange, Work};
use crate::handler::{AsyncHandler, Reply, ReplyPart, wake_held};

/// The time that a cancelled handler has to end before its request is answered without it.
const LAST_WORDS: Duration = Duration::from_millis(100);

impl Dispatcher {
    /// Has a handler with an event loop of its own answer, unless the client is gone first. `false` if the handler was
    /// late, so that the answer is 504.
    pub(super) async fn ask_elsewhere(
        &self,
        handler: &dyn AsyncHandler,
        exchange: &mut Exchange,
        wait: Wait,
        wire: &mut impl Wire,
    ) -> Result<bool, Stop> {
        let Some(request) = exchange.request.clone() else { return Ok(true) };
        let slot = self.reply_slot();
        let (executor, reply_slot) = (Arc::clone(&self.service.executor), Arc::clone(&slot));
        let reply = Reply::in_parts(move |part| {
            let mut answered = Exchange::new(
                None,
                match part {
                    ReplyPart::Answer(answer) => Work::Settle(answer),
                    ReplyPart::Hints(fields) => Work::Hints(fields),
                },
            );
            // The answer is counted before the connection takes it: many answers may come back before that.
            reply_slot.count(&mut answered);
            executor.post_quietly(Arc::clone(&reply_slot), vec![answered]).into_iter().for_each(wake_held);
        });
        let submitted = self.service.meter.is_some().then(Instant::now);
        let ticket = handler.submit(Arc::clone(&request), reply);
        self.is_patient.store(handler.is_hosted(), Ordering::Relaxed);
        self.limit_handler();
        let answered = loop {
            let answered = poll_fn(|context| match slot.poll(context) {
                Some(exchanges) => Poll::Ready(Ok(exchanges)),
                None => wire.poll_gone(self, wait, context).map(Err),
            });
            match answered.await {
                Ok(exchanges) => match self.send_hints(Some(&request), exchanges, wire).await {
                    Ok(answers) if answers.is_empty() => self.limit_handler(),
                    answered => break answered,
                },
                Err(Stop::TimedOut) if self.goes_on(Some(&request)) => {}
                stopped => break stopped,
            }
        };
        self.control.clear_deadline();
        if let Some(submitted) = submitted {
            self.service.count_handler(&request, submitted.elapsed());
        }
        match answered {
            Ok(exchanges) => {
                for answer in exchanges {
                    let size = answer.held();
                    match answer.work {
                        Work::Settle(settled) => {
                            if let (Err(error), Some(meter)) = (&settled, &self.service.meter) {
                                meter.meter.count_error(error);
                            }
                            handler.sizes().into_iter().for_each(|sizes| sizes.learn(size));
                            exchange.is_counted = answer.is_counted;
                            exchange.is_encoded |= handler.is_hosted();
                            self.respond_or_open(exchange, settled);
                        }
                        work => exchange.work = work,
                    }
                }
                Ok(true)
            }
            Err(stop) => {
                handler.cancel(ticket);
                let Stop::TimedOut = stop else { return Err(stop) };
                self.note_late(&request);
                if self.site.1.involves_user(504) {
                    // The future is on the heap: an idle connection has no room for a rare case.
                    let gone = |context: &mut Context<'_>| wire.poll_gone(self, wait, context);
                    exchange.attachment = Box::pin(self.last_words(&slot, gone)).await;
                }
                self.respond_with_status(exchange, 504);
                Ok(false)
            }
        }
    }

    /// The attachment that a cancelled handler leaves to the error handler and the hooks, if the handler ends in time.
    async fn last_words(
        &self,
        slot: &ReplySlot,
        mut gone: impl FnMut(&mut Context<'_>) -> Poll<Stop>,
    ) -> Option<Box<dyn Any + Send>> {
        self.control.clear_timeout();
        self.control.set_deadline(self.service.clock.after(LAST_WORDS));
        let ended = poll_fn(|context| match slot.poll(context) {
            Some(exchanges) => Poll::Ready(Some(exchanges)),
            None => gone(context).map(|_| None),
        });
        let ended = ended.await;
        self.control.clear_deadline();
        match ended?.pop()?.work {
            Work::Settle(Err(mut error)) => error.take_attachment().map(|attachment| attachment as _),
            _ => None,
        }
    }
}
