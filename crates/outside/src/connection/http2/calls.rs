//! What happens to a request: most are a call of a function whose answer fits into a window; others get a task.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::HeaderValue;

use super::super::buffer::{recycle, take_request};
use super::super::coding::is_worth_encoding;
use super::super::handle::{Stop, millis};
use super::Http2;
use super::exchange::{Accepted, StreamExchange};
use super::send::{Content, line, render};
use super::shared::{MOST_WORKING, Permit};
use crate::error::Refusal;
use crate::executor::{Exchange, Mailbox, Work};
use crate::log::Moment;
use crate::message::{Request, Response};
use crate::protocol::http2::decode_request;

/// A stream that waits for the answer of a function.
pub(super) struct Call {
    respond: SendResponse<Bytes>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) request: Arc<Request>,
    began: Option<Instant>,
    /// In milliseconds of the clock.
    pub(super) due: u64,
}

/// A stream that waits until others are done.
pub(super) struct Pending {
    accepted: Accepted,
    /// In milliseconds of the clock.
    pub(super) due: u64,
}

/// Content up to this size is sent by the connection's task, in bytes.
const SMALL: usize = 16 << 10;
/// So long may a stream wait until others are done, in milliseconds.
const LONGEST_WAIT: u64 = 5000;

impl Http2 {
    /// Takes a request in; `true` if it is answered.
    pub(super) fn accept(
        &mut self,
        context: &Context<'_>,
        request: http::Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) -> bool {
        self.received += 1;
        let service = &self.desk.service;
        service.site.refresh(&mut self.desk.site);
        let (head, content) = request.into_parts();
        let mut request = take_request(self.address);
        let announced = match Arc::get_mut(&mut request) {
            None => Err(Refusal::new(500, "a request was shared before it was read")),
            Some(empty) => {
                empty.is_secure = self.is_secure;
                empty.max_params = service.config.max_query_parameters;
                empty.max_cookies = service.config.max_cookies;
                decode_request(&head, &service.head_limits(), empty)
            }
        };
        let began = service.log.wants_duration().then(Instant::now);
        let mut exchange = Exchange::new(None, Work::Done);
        exchange.began = began;
        // The front knows the hosts that there are, and the proxies whose word is taken.
        let welcome = match (&announced, Arc::get_mut(&mut request)) {
            (Ok(_), Some(request)) => service.front.receive(request),
            _ => Ok(()),
        };
        let (content, refusal) = match (announced, welcome) {
            (Ok(announced), Ok(())) => {
                exchange.request = Some(request);
                ((!content.is_end_stream()).then_some((content, announced)), None)
            }
            (Ok(_), Err(refusal)) => {
                exchange.request = Some(request);
                (None, Some(refusal))
            }
            (Err(refusal), _) => {
                exchange.fragment = Some(request);
                (None, Some(refusal))
            }
        };
        if let Some(refusal) = refusal {
            if let Some(key) = refusal.limit {
                service.log.complain(key, refusal.reason);
            }
            exchange.work = Work::Status(refusal.status, Some(refusal.reason.to_owned()));
        }
        let awaited = match content {
            // It is not known yet whether it can be answered.
            Some(_) => None,
            None => self.desk.route(&mut exchange),
        };
        let accepted = Accepted { exchange, respond, content, awaited };
        if self.is_answered(&accepted) {
            self.answer(accepted);
            return true;
        }
        match self.pending.is_empty().then(|| self.shared.permit()).flatten() {
            Some(permit) => self.begin(context, accepted, permit),
            None if self.pending.len() < MOST_WORKING => {
                let due = self.desk.service.clock.now() + LONGEST_WAIT;
                self.pending.push_back(Pending { accepted, due });
            }
            None => {
                let mut accepted = accepted;
                accepted.respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        }
        false
    }

    fn is_answered(&self, accepted: &Accepted) -> bool {
        accepted.content.is_none() && accepted.awaited.is_none() && !accepted.exchange.is_open()
    }

    /// Calls the function that answers, or gives the stream a task.
    fn begin(&mut self, context: &Context<'_>, mut accepted: Accepted, permit: Arc<Permit>) {
        let pooled = self.desk.wants_pool(&accepted.exchange.work);
        let request = match (&accepted.exchange.work, &accepted.exchange.request) {
            (Work::Call(_), Some(request)) if accepted.content.is_none() => Arc::clone(request),
            _ => return self.give_task(accepted, Some(permit)),
        };
        let began = accepted.exchange.began.take();
        let mailbox = Arc::new(Mailbox::holding(permit));
        self.desk.push(vec![accepted.exchange], pooled, Arc::clone(&mailbox));
        // Nothing can have arrived yet; from now on this task is woken.
        let _nothing = mailbox.poll(context);
        let due = self.desk.service.clock.now() + millis(self.desk.service.config.process_timeout);
        self.calls.push(Call { respond: accepted.respond, mailbox, request, began, due });
    }

    /// Begins with those that had to wait, as far as there are permits.
    pub(super) fn begin_pending(&mut self, context: &Context<'_>) {
        while !self.pending.is_empty() {
            let Some(permit) = self.shared.permit() else { break };
            let Some(Pending { accepted, .. }) = self.pending.pop_front() else { break };
            self.begin(context, accepted, permit);
        }
    }

    fn give_task(&self, accepted: Accepted, permit: Option<Arc<Permit>>) {
        let service = &self.desk.service;
        let site = (self.desk.site.0, Arc::clone(&self.desk.site.1));
        let (shared, client) = (Arc::clone(&self.shared), Arc::clone(&self.client));
        let stream = StreamExchange::new(accepted, service, site, permit, shared, client);
        drop(service.executor.runtime.spawn(stream.run()));
    }

    /// Answers what has come back from the executor; `true` if there was anything.
    pub(super) fn deliver(&mut self, context: &mut Context<'_>) -> bool {
        if self.calls.is_empty() {
            return false;
        }
        let mut has_news = false;
        let calls = std::mem::take(&mut self.calls);
        let mut waiting = Vec::with_capacity(calls.len());
        for call in calls {
            let Some(mut arrived) = call.mailbox.poll(context) else {
                waiting.push(call);
                continue;
            };
            has_news = true;
            let Some(mut exchange) = arrived.pop() else { continue };
            exchange.began = call.began;
            self.answer(Accepted { exchange, respond: call.respond, content: None, awaited: None });
        }
        self.calls = waiting;
        has_news
    }

    /// Sends an answer, if that is done at once; else gives the stream a task.
    fn answer(&mut self, mut accepted: Accepted) {
        let hooks_wait = self.desk.site.1.hooks.as_ref().is_some_and(|hooks| hooks.wants_after());
        let compresses = self.desk.service.config.compression && is_worth_encoding(&accepted.exchange);
        let is_small = match &accepted.exchange.work {
            Work::Answered(Response { body: crate::message::Body::Bytes(bytes), .. }) => bytes.len() <= SMALL,
            Work::Answered(Response { body: crate::message::Body::Empty, .. }) => true,
            _ => false,
        };
        if hooks_wait || compresses || !is_small || accepted.exchange.content.is_some() {
            return self.give_task(accepted, None);
        }
        self.desk.dress(&mut accepted.exchange);
        let work = std::mem::replace(&mut accepted.exchange.work, Work::Done);
        let Work::Answered(mut response) = work else { return };
        let date = self.date();
        let (head, content) = render(&mut accepted.exchange, &mut response, &date, &self.desk.service.front);
        match content {
            Content::Bytes(bytes) => {
                if let Ok(mut stream) = accepted.respond.send_response(head, false) {
                    stream.reserve_capacity(bytes.len());
                    if stream.capacity() < bytes.len() {
                        return self.give_sending_task(accepted, stream, bytes);
                    }
                    accepted.exchange.bytes = bytes.len() as u64;
                    // What a client that has gone does not get is of no interest.
                    let _is_taken = stream.send_data(bytes, true);
                }
            }
            _ => drop(accepted.respond.send_response(head, true)),
        }
        self.done.push(accepted.exchange);
    }

    /// The client's window is too small for a small answer.
    fn give_sending_task(&self, accepted: Accepted, stream: h2::SendStream<Bytes>, bytes: Bytes) {
        let service = &self.desk.service;
        let site = (self.desk.site.0, Arc::clone(&self.desk.site.1));
        let (shared, client) = (Arc::clone(&self.shared), Arc::clone(&self.client));
        let rest = StreamExchange::new(accepted, service, site, None, shared, client);
        drop(service.executor.runtime.spawn(rest.run_sending(stream, bytes)));
    }

    /// The present date as a field's value.
    fn date(&mut self) -> HeaderValue {
        let date = Moment::now().date;
        if self.date.0 != date {
            self.date = (date, HeaderValue::from_bytes(&date).unwrap_or(HeaderValue::from_static("")));
        }
        self.date.1.clone()
    }

    pub(super) fn log_done(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let lines = self.done.iter().map(|exchange| line(exchange, &self.client));
        self.desk.service.log.access(lines, &Moment::now());
        self.done.drain(..).for_each(recycle);
    }

    /// Lets go of the requests whose streams were reset; what of them has not begun never will.
    pub(super) fn look_after_resets(&mut self, context: &mut Context<'_>) {
        for id in self.line.take_touched() {
            let is_reset = |respond: &mut SendResponse<Bytes>, context: &mut Context<'_>| {
                u32::from(respond.stream_id()) == id && !matches!(respond.poll_reset(context), Poll::Pending)
            };
            if let Some(at) = self.calls.iter_mut().position(|call| is_reset(&mut call.respond, context)) {
                let call = self.calls.remove(at);
                self.desk.abandon(&call.mailbox, Some(&call.request), &Stop::Gone);
            }
            self.pending.retain_mut(|pending| !is_reset(&mut pending.accepted.respond, context));
        }
    }

    /// Answers with 504 what took too long, and with 503 what waited too long.
    pub(super) fn give_up_late(&mut self, now: u64) {
        while self.calls.first().is_some_and(|call| call.due < now) {
            let call = self.calls.remove(0);
            self.desk.abandon(&call.mailbox, Some(&call.request), &Stop::TimedOut);
            self.desk.note_late(&call.request);
            let mut exchange = Exchange::new(Some(call.request), Work::Status(504, None));
            exchange.began = call.began;
            self.give_task(Accepted { exchange, respond: call.respond, content: None, awaited: None }, None);
        }
        while self.pending.front().is_some_and(|pending| pending.due < now) {
            let Some(Pending { mut accepted, .. }) = self.pending.pop_front() else { break };
            let reason = "too many requests of this connection are being worked on";
            accepted.exchange.work = Work::Status(503, Some(reason.to_owned()));
            (accepted.content, accepted.awaited) = (None, None);
            self.give_task(accepted, None);
        }
    }
}
