//! The ways of a request: most are calls of a function whose answer fits into a window; the others get a task.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;

use super::Http2;
use super::exchange::{AcceptedStream, PendingStream, StreamExchange};
use super::heads;
use super::pending_calls::PendingCall;
use super::send::{OutgoingContent, render};
use super::shared::{MOST_WORKING, Permit};
use crate::budget::{Reserved, SMALL};
use crate::connection::buffer::{recycle, take_request};
use crate::exchange::{Exchange, Job, ReplySlot, SHARED, Stop, Work, access_line, is_patient, millis, receive, sample};
use crate::log::Moment;
use crate::message::Body;
use crate::protocol::http2::{BESIDE, Malformed, decode_request, note_line};

/// Milliseconds for which a stream may wait until others are done; after that it gets 503.
const LONGEST_WAIT: u64 = 5000;

impl Http2 {
    /// Takes a request in; `true` if it is answered.
    pub(super) fn accept(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) -> bool {
        self.received += 1;
        let service = &self.dispatcher.service;
        service.site.refresh(&mut self.dispatcher.site);
        let (head, content) = request.into_parts();
        let beside = match head.uri.path_and_query() {
            Some(path) if path.as_str() == BESIDE => self.line.take_path(respond.stream_id().into()),
            _ => None,
        };
        let mut request = take_request(self.address);
        let (announced, welcome) = match Arc::get_mut(&mut request) {
            None => (Err(SHARED), Ok(())),
            Some(empty) => {
                let (peer, limits) = ((self.address, self.is_secure), service.head_limits());
                receive(service, empty, peer, |empty| decode_request(&head, beside.as_deref(), &limits, empty))
            }
        };
        let began = service.began();
        let mut exchange = Exchange::new(None, Work::Done);
        exchange.began = began;
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
            self.dispatcher.refuse(&mut exchange, &refusal);
        }
        if let Some(request) = &exchange.request
            && heads::size_of(request) > heads::USUAL
            && heads::size_of(request) + self.heads_size() > heads::MOST
        {
            service.log.complain("max_header_size", "too many large header sections at once on one connection");
            let mut respond = respond;
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            return false;
        }
        let awaited = match content {
            // Whether the request can be answered depends on its content.
            Some(_) => None,
            None => self.dispatcher.route(&mut exchange),
        };
        let is_simple = content.is_none() && awaited.is_none();
        if let Some(request) = &exchange.request {
            exchange.kind = self.dispatcher.service.note_active(&self.dispatcher.control, request);
        }
        match &exchange.work {
            // The most frequent case takes the shortest way.
            Work::Call(function)
                if is_simple
                    && !function.is_answering()
                    && function.expected_answer() == 0
                    && self.pending.is_empty()
                    && self.shared.admit() =>
            {
                self.call(exchange, respond, None);
                return false;
            }
            _ if is_simple && !exchange.is_open() => {
                self.answer(vec![exchange], respond);
                return true;
            }
            _ => {}
        }
        let accepted = AcceptedStream { exchange, respond, content, awaited, reserved: None };
        let waits = !self.pending.is_empty();
        let accepted = match waits {
            true => accepted,
            false => match self.try_to_begin(accepted) {
                Some(accepted) => accepted,
                None => return false,
            },
        };
        match self.pending.len() < MOST_WORKING {
            true => {
                let due = self.dispatcher.service.clock.now() + LONGEST_WAIT;
                self.pending.push_back(PendingStream { accepted, due });
            }
            false => {
                let mut accepted = accepted;
                accepted.respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        }
        false
    }

    /// Bytes of the heads of all requests that are being worked on.
    fn heads_size(&self) -> usize {
        let called = self.calls.iter().map(|call| heads::size_of(&call.request));
        let pending = self.pending.iter().filter_map(|pending| pending.accepted.exchange.request.as_deref());
        called.sum::<usize>() + pending.map(heads::size_of).sum::<usize>() + self.heads.size()
    }

    /// Begins a request if there are a permit and room for its answer; else returns it.
    fn try_to_begin(&mut self, mut accepted: AcceptedStream) -> Option<AcceptedStream> {
        if accepted.reserved.is_none()
            && let Some(expected) = accepted.expected_answer()
        {
            accepted.reserved = self.shared.account.reserve(expected);
            if accepted.reserved.is_none() {
                return Some(accepted);
            }
        }
        if !self.shared.admit() {
            accepted.reserved = None;
            return Some(accepted);
        }
        match (&accepted.exchange.work, &accepted.content) {
            // A call without a deadline has a task, because calls here are in the order of their deadlines.
            (work @ Work::Call(_), None) if !is_patient(work) => {
                self.call(accepted.exchange, accepted.respond, accepted.reserved)
            }
            _ => self.give_task(accepted, Some(self.shared.permit())),
        }
        None
    }

    /// Makes a job of the function that answers.
    fn call(&mut self, exchange: Exchange, respond: SendResponse<Bytes>, reserved: Option<Reserved>) {
        let Some(request) = exchange.request.clone() else { return };
        let pooled = self.dispatcher.wants_pool(&exchange);
        let began = exchange.began;
        let number = self.calls.next();
        let mut used = self.free_slots.pop();
        let slot = match used.as_mut().and_then(Arc::get_mut) {
            Some(slot) => {
                slot.renumber(number);
                used
            }
            None => None,
        };
        let slot = slot.unwrap_or_else(|| {
            let account = Arc::clone(&self.shared.account);
            Arc::new(ReplySlot::numbered(account, Arc::clone(&self.shared) as _, number))
        });
        let mut exchanges = self.emptied.pop().unwrap_or_default();
        exchanges.push(exchange);
        let job = Job { commands: exchanges, context: Arc::clone(&self.dispatcher.site.1), slot: Arc::clone(&slot) };
        match pooled {
            true => self.dispatcher.service.executor.push_to_pool(job),
            false => self.jobs.push(job),
        }
        let due = self.dispatcher.service.clock.now() + millis(self.dispatcher.service.config.process_timeout);
        self.calls.push(due, PendingCall { respond, slot, request, began, _reserved: reserved });
    }

    /// Hands the new jobs to the executor.
    pub(super) fn push_jobs(&mut self) {
        self.dispatcher.service.executor.push_all(&mut self.jobs);
    }

    /// Begins the requests that had to wait, as far as there are permits and room.
    pub(super) fn begin_pending(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        for pending in std::mem::take(&mut self.pending) {
            let PendingStream { accepted, due } = pending;
            if let Some(accepted) = self.try_to_begin(accepted) {
                self.pending.push_back(PendingStream { accepted, due });
            }
        }
    }

    fn give_task(&self, accepted: AcceptedStream, permit: Option<Arc<Permit>>) {
        drop(self.spawn(self.stream(accepted, permit).run()));
    }

    fn stream(&self, accepted: AcceptedStream, permit: Option<Arc<Permit>>) -> StreamExchange {
        let site = (self.dispatcher.site.0, Arc::clone(&self.dispatcher.site.1));
        let (shared, client) = (Arc::clone(&self.shared), Arc::clone(&self.client));
        let guard = Arc::clone(&self.guard);
        StreamExchange::new(accepted, &self.dispatcher.service, site, permit, shared, client, (guard, &self.heads))
    }

    fn spawn(&self, life: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        self.dispatcher.service.executor.runtime.spawn(life)
    }

    /// Answers the requests whose exchanges came back from the executor; `true` if any did.
    pub(super) fn deliver(&mut self) -> bool {
        if self.calls.is_empty() {
            return false;
        }
        let mut replies = self.shared.replies(std::mem::take(&mut self.replies));
        let has_news = !replies.is_empty();
        for (number, mut exchanges) in replies.drain(..) {
            // The call is missing if it was given up meanwhile.
            let Some(mut call) = self.calls.take(number) else { continue };
            // The exchange must hold the last reference to its request, so that the memory is used again.
            drop(call.request);
            exchanges.iter_mut().for_each(|exchange| exchange.began = call.began);
            let is_answered = !exchanges.iter().any(Exchange::lacks_room);
            match is_answered {
                true => self.answer(exchanges, call.respond),
                false => self.ask_later(exchanges, call.respond),
            }
            if let Some(empty) = Arc::get_mut(&mut call.slot).filter(|_| self.free_slots.len() < MOST_WORKING) {
                empty.release();
                self.free_slots.push(call.slot);
            }
        }
        self.replies = replies;
        has_news
    }

    /// Puts a request back until there is room for its answer; the handler was not called, or its answer is lost.
    fn ask_later(&mut self, mut exchanges: Vec<Exchange>, respond: SendResponse<Bytes>) {
        let Some(mut exchange) = exchanges.pop() else { return };
        self.dispatcher.make_room(&mut exchange);
        let awaited = self.dispatcher.route(&mut exchange);
        let accepted = AcceptedStream { exchange, respond, content: None, awaited, reserved: None };
        let due = self.dispatcher.service.clock.now() + LONGEST_WAIT;
        self.pending.push_back(PendingStream { accepted, due });
    }

    /// Sends the answer of these exchanges, if that can be done at once; else gives the stream a task.
    fn answer(&mut self, mut exchanges: Vec<Exchange>, mut respond: SendResponse<Bytes>) {
        let Some(exchange) = exchanges.first_mut() else { return };
        let mut rest = None;
        if self.is_sent_at_once(exchange) {
            self.dispatcher.add_policy_headers(exchange);
            let Work::Answered(mut response) = std::mem::replace(&mut exchange.work, Work::Done) else { return };
            let (head, content) = render(exchange, &mut response, &mut self.values, &self.dispatcher.service.front);
            response.headers.give_back();
            if let OutgoingContent::Bytes(bytes) = content {
                if let Ok(mut stream) = respond.send_response(head, false) {
                    stream.reserve_capacity(bytes.len());
                    if stream.capacity() < bytes.len() {
                        rest = Some((stream, bytes));
                    } else {
                        exchange.bytes = bytes.len() as u64;
                        // A client that has gone misses its answer; that needs no reaction.
                        let _is_taken = stream.send_data(bytes, true);
                    }
                }
            } else {
                drop(respond.send_response(head, true));
            }
            if rest.is_none() {
                return self.done.push(exchanges);
            }
        }
        let Some(exchange) = exchanges.pop() else { return };
        let accepted = AcceptedStream { exchange, respond, content: None, awaited: None, reserved: None };
        match rest {
            Some((stream, bytes)) => drop(self.spawn(self.stream(accepted, None).run_sending(stream, bytes))),
            None => self.give_task(accepted, None),
        }
    }

    /// Whether this answer is complete, small, and ready to leave without waiting.
    fn is_sent_at_once(&self, exchange: &Exchange) -> bool {
        let Work::Answered(response) = &exchange.work else { return false };
        let length = match &response.body {
            Body::Bytes(bytes) => bytes.len(),
            Body::Empty => 0,
            Body::File(_) | Body::Stream(_) => return false,
        };
        length <= SMALL
            && !self.dispatcher.calls_after(exchange.request.as_ref())
            && !self.dispatcher.compresses(exchange)
            && exchange.content.is_none()
    }

    /// Writes the lines of the answered exchanges into the access log, and keeps their memory.
    pub(super) fn log_done(&mut self) {
        if self.done.is_empty() {
            return;
        }
        self.dispatcher.service.measure(self.done.iter().flatten().filter_map(sample));
        let lines = self.done.iter().flatten().map(|exchange| access_line(exchange, &self.client));
        self.dispatcher.service.log.access(lines, &Moment::now());
        for mut exchanges in self.done.drain(..) {
            exchanges.drain(..).for_each(recycle);
            if self.emptied.len() < MOST_WORKING {
                self.emptied.push(exchanges);
            }
        }
    }

    /// Writes a line for each message that breaks the rules (RFC 9113 section 8.1.1), as HTTP/1.1 does.
    pub(super) fn log_malformed(&mut self) {
        /// Streams that are remembered as faulty; `h2` ends the connection before there are as many faults.
        const MOST: usize = 256;
        let (messages, resets) = self.line.take_malformed();
        let known: Vec<u32> = messages.iter().map(|message| message.stream).collect();
        let others = resets.into_iter().filter(|stream| !known.contains(stream)).map(|stream| {
            let method = b"-".to_vec();
            Malformed { stream, target: method.clone(), method }
        });
        let all: Vec<_> = messages.into_iter().chain(others).collect();
        for Malformed { stream, method, target } in all {
            if self.faulty.contains(&stream) || self.faulty.len() == MOST {
                continue;
            }
            self.faulty.push(stream);
            let mut exchange = Exchange::new(None, Work::Done);
            let mut request = take_request(self.address);
            if let Some(empty) = Arc::get_mut(&mut request) {
                note_line(&method, &target, empty);
            }
            exchange.fragment = Some(request);
            exchange.status = 400;
            self.done.push(vec![exchange]);
        }
    }

    /// Gives up the requests whose streams were reset; handlers that have not begun are never called for them.
    pub(super) fn look_after_resets(&mut self, context: &mut Context<'_>) {
        for id in self.line.take_touched() {
            let is_reset = |respond: &mut SendResponse<Bytes>, context: &mut Context<'_>| {
                u32::from(respond.stream_id()) == id && !matches!(respond.poll_reset(context), Poll::Pending)
            };
            if let Some(call) = self.calls.take_if(|call| is_reset(&mut call.respond, context)) {
                self.dispatcher.abandon(&call.slot, Some(&call.request), &Stop::Gone);
                self.done.push(vec![unanswered(call)]);
            }
            let gone = self.pending.iter_mut().position(|pending| is_reset(&mut pending.accepted.respond, context));
            if let Some(PendingStream { accepted, .. }) = gone.and_then(|at| self.pending.remove(at)) {
                self.done.push(vec![accepted.exchange]);
            }
        }
    }

    /// Gives up what the connection still waits for, at its end.
    pub(super) fn give_up_all(&mut self) {
        for call in self.calls.drain() {
            self.dispatcher.abandon(&call.slot, Some(&call.request), &Stop::Gone);
            self.done.push(vec![unanswered(call)]);
        }
        self.done.extend(self.pending.drain(..).map(|pending| vec![pending.accepted.exchange]));
        self.log_done();
    }

    /// Answers calls that took too long with 504, and requests that waited too long with 503.
    pub(super) fn give_up_late(&mut self, now: u64) {
        while let Some(call) = self.calls.take_late(now) {
            self.dispatcher.abandon(&call.slot, Some(&call.request), &Stop::TimedOut);
            self.dispatcher.note_late(&call.request);
            let mut exchange = Exchange::new(Some(call.request), Work::Status(504, None));
            exchange.began = call.began;
            let respond = call.respond;
            self.give_task(AcceptedStream { exchange, respond, content: None, awaited: None, reserved: None }, None);
        }
        // A request that waits because its client does not take other answers has no deadline of its own.
        while !self.shared.account.is_in_use() && self.pending.front().is_some_and(|pending| pending.due < now) {
            let Some(PendingStream { mut accepted, .. }) = self.pending.pop_front() else { break };
            let reason = "too many requests of this connection are being worked on";
            accepted.exchange.work = Work::Status(503, Some(reason.to_owned()));
            (accepted.content, accepted.awaited) = (None, None);
            self.give_task(accepted, None);
        }
    }
}

/// The exchange of a call that gets no answer any more, for the log.
fn unanswered(call: PendingCall) -> Exchange {
    let mut exchange = Exchange::new(Some(call.request), Work::Done);
    exchange.began = call.began;
    exchange
}
