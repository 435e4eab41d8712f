//! One stream from its head to its last byte, if that takes more than one call of a function: a task of its own.
//!
//! The same dispatcher takes it through the same steps as in HTTP/1.1. One thing differs: the client may reset the
//! stream at any time, and then no further work begins on its behalf.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};

use super::heads::{Heads, HeldHead};
use super::request_body::Http2Body;
use super::shared::{Permit, SharedByStreams};
use crate::budget::Reserved;
use crate::connection::close::DRAIN_TIME;
use crate::connection::guard::ConnectionGuard;
use crate::error::Refusal;
use crate::exchange::{
    Awaited, ConnectionControl, Dispatcher, Exchange, Intake, Service, Stop, Wait, Waiting, WebSocketOpener, Wire, Work,
};
use crate::handler::ResponseSizes;
use crate::message::Headers;
use crate::protocol::http2::{Announced, hints_head};
use crate::site::Snapshot;

/// A stream that has been accepted.
pub(super) struct AcceptedStream {
    pub(super) exchange: Exchange,
    pub(super) respond: SendResponse<Bytes>,
    /// The content that is still to come, and its description in the head.
    pub(super) content: Option<(RecvStream, Announced)>,
    pub(super) awaited: Option<Awaited>,
    /// Room for the answer, if the answer may be large.
    pub(super) reserved: Option<Reserved>,
}

/// A stream that waits until other streams are done.
pub(super) struct PendingStream {
    pub(super) accepted: AcceptedStream,
    /// When the stream gets 503 instead, in milliseconds of the clock.
    pub(super) due: u64,
}

impl AcceptedStream {
    /// Bytes that the answer of a handler may have; `None` if no handler is to be called.
    pub(super) fn expected_answer(&self) -> Option<usize> {
        match (&self.exchange.work, &self.awaited) {
            (Work::Call(function), _) => Some(function.expected_answer()),
            (_, Some(Awaited::Async(handler))) => Some(handler.sizes().map_or(0, ResponseSizes::expected)),
            _ => None,
        }
    }
}

/// A stream with a task of its own.
pub(super) struct StreamExchange {
    pub(super) accepted: AcceptedStream,
    pub(super) dispatcher: Dispatcher,
    pub(super) shared: Arc<SharedByStreams>,
    pub(super) client: Arc<[u8]>,
    /// Content that the handler takes while it comes in.
    inbound: Option<Http2Body>,
    _place: StreamRegistration,
    /// The connection counts as long as this stream is at work, even after its client has left.
    _guard: Arc<ConnectionGuard>,
    _head: HeldHead,
}

/// A place of this stream in the registry of a reactor.
struct StreamRegistration {
    service: Arc<Service>,
    number: u32,
}

impl Drop for StreamRegistration {
    fn drop(&mut self) {
        self.service.registry.remove(self.number);
    }
}

impl StreamExchange {
    /// A stream that has not begun to run.
    pub(super) fn new(
        accepted: AcceptedStream,
        service: &Arc<Service>,
        site: (u64, Arc<Snapshot>),
        permit: Option<Arc<Permit>>,
        shared: Arc<SharedByStreams>,
        client: Arc<[u8]>,
        (guard, heads): (Arc<ConnectionGuard>, &Heads),
    ) -> Self {
        let head = heads.hold(accepted.exchange.request.as_ref());
        let (number, control) = service.registry.add();
        if let Some(request) = &accepted.exchange.request {
            let _kept_with_the_exchange = service.note_active(&control, request);
        }
        let mut dispatcher = Dispatcher::new(Arc::clone(service), control, Arc::clone(&shared.account));
        dispatcher.site = site;
        dispatcher.guard = permit.map(|permit| permit as _);
        let place = StreamRegistration { service: Arc::clone(service), number };
        Self { accepted, dispatcher, shared, client, inbound: None, _place: place, _guard: guard, _head: head }
    }

    /// The whole life of the stream.
    pub(super) fn run(self) -> impl Future<Output = ()> + Send {
        let mut stream = self;
        async move {
            if let Err(stop) = stream.live().await {
                if stream.accepted.exchange.status == 0 {
                    stream.log();
                }
                // A client that still waits for the answer learns by a reset that it will not come.
                let is_ours = matches!(stop, Stop::Gone | Stop::Failed);
                let reason = if is_ours { Reason::INTERNAL_ERROR } else { Reason::CANCEL };
                stream.accepted.respond.send_reset(reason);
            }
        }
    }

    /// The end of a stream whose head has left: only the rest of its content is to be sent.
    pub(super) fn run_sending(self, stream: SendStream<Bytes>, bytes: Bytes) -> impl Future<Output = ()> + Send {
        let mut rest = self;
        async move {
            let result = rest.send_bytes(stream, bytes).await;
            rest.accepted.exchange.is_cut = result.is_err();
            rest.log();
            if result.is_err() {
                rest.accepted.respond.send_reset(Reason::CANCEL);
            }
        }
    }

    async fn live(&mut self) -> Result<(), Stop> {
        if let Some((mut content, announced)) = self.accepted.content.take() {
            let request = self.accepted.exchange.request.as_deref();
            let intake = match request {
                Some(request) => self.dispatcher.intake(request, announced.length),
                None => Intake::whole(&self.dispatcher.service.config),
            };
            let is_refused = intake.check(announced.length).is_err();
            if !is_refused && intake.in_pieces {
                return self.live_streaming(content, &announced, intake).await;
            }
            let is_wanted = !announced.expects_continue || Box::pin(self.admit_early(intake, announced.length)).await?;
            let held = match is_wanted {
                true => self.receive(&mut content, announced, intake).await?,
                false => self.shared.hold(),
            };
            self.accepted.awaited = self.dispatcher.route(&mut self.accepted.exchange);
            self.answer().await?;
            drop(held);
            let sent = self.send().await;
            if sent.is_ok() && !content.is_end_stream() {
                self.linger().await;
            }
            // Dropping the stream tells the client that it need not send the rest of its content (section 8.1).
            drop(content);
            return sent;
        }
        self.answer().await?;
        self.send().await
    }

    /// Takes a request whose client waits for 100 Continue as far as it goes without its content.
    async fn admit_early(&mut self, intake: Intake, declared: Option<u64>) -> Result<bool, Stop> {
        let Self { accepted: AcceptedStream { exchange, respond, .. }, dispatcher, .. } = self;
        let gone = |context: &mut Context<'_>| poll_gone(respond, &dispatcher.control, context);
        dispatcher.admit_early(exchange, intake, declared, gone).await
    }

    /// The life of a stream whose handler takes the content while it comes in.
    async fn live_streaming(&mut self, content: RecvStream, announced: &Announced, intake: Intake) -> Result<(), Stop> {
        let exchange = &mut self.accepted.exchange;
        let request = exchange.request.as_mut().ok_or(Stop::Gone)?;
        match Http2Body::begin(&self.dispatcher.service, request, content, announced, intake) {
            Ok(inbound) => {
                self.inbound = Some(inbound);
                self.accepted.awaited = self.dispatcher.route(exchange);
            }
            Err(refusal) => {
                self.dispatcher.refuse(exchange, &refusal);
                self.dispatcher.respond_with_page(exchange);
            }
        }
        self.answer().await?;
        // The handler has answered and takes no more content. Dropping the rest tells the client, behind the answer.
        let rest = self.inbound.take().map(Http2Body::into_stream);
        let sent = self.send().await;
        drop(rest);
        sent
    }

    /// Waits a moment, because the client got its answer before it had sent all content: some clients do not read an
    /// answer that a reset follows at once. The stream's window bounds the bytes that the client sends meanwhile.
    async fn linger(&mut self) {
        let Self { accepted: AcceptedStream { respond, .. }, dispatcher, .. } = self;
        dispatcher.guard = None;
        dispatcher.control.clear_timeout();
        dispatcher.control.set_deadline(dispatcher.service.clock.after(DRAIN_TIME));
        poll_fn(|context| match poll_gone(respond, &dispatcher.control, context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        })
        .await;
    }

    /// Leaves the exchange answered.
    async fn answer(&mut self) -> Result<(), Stop> {
        self.pass_gate().await?;
        loop {
            self.await_room().await?;
            self.ask().await?;
            self.accepted.reserved = None;
            if !self.accepted.exchange.lacks_room() {
                break;
            }
            self.dispatcher.make_room(&mut self.accepted.exchange);
            self.accepted.awaited = self.dispatcher.route(&mut self.accepted.exchange);
        }
        let Self { accepted: AcceptedStream { exchange, .. }, dispatcher, .. } = self;
        dispatcher.complete(exchange).await
    }

    async fn pass_gate(&mut self) -> Result<(), Stop> {
        if let Some(Awaited::Gate(_)) = self.accepted.awaited {
            let (dispatcher, exchange, awaited, mut wire) = self.split();
            dispatcher.pass_gate(awaited, exchange, &mut wire).await?;
            dispatcher.control.clear_timeout();
        }
        Ok(())
    }

    /// The dispatcher, which has the steps of an exchange, the exchange, and the wire that the steps see.
    fn split(&mut self) -> (&Dispatcher, &mut Exchange, &mut Option<Awaited>, Http2Wire<'_>) {
        let Self { accepted: AcceptedStream { exchange, respond, awaited, .. }, dispatcher, inbound: content, .. } =
            self;
        (dispatcher, exchange, awaited, Http2Wire { content, respond })
    }

    /// Waits until there is room for the answer that the handler may give.
    async fn await_room(&mut self) -> Result<(), Stop> {
        if self.accepted.reserved.is_some() {
            return Ok(());
        }
        let expected = self.accepted.expected_answer();
        let Self { accepted: AcceptedStream { exchange, respond, reserved, .. }, dispatcher, .. } = self;
        // An answer that exists must not wait: other streams wait for the memory that it holds.
        if expected.is_some() || (exchange.begins() && dispatcher.account.is_full()) {
            let gone = |context: &mut Context<'_>| poll_gone(respond, &dispatcher.control, context);
            *reserved = Some(dispatcher.await_room(expected.unwrap_or(0), gone).await?);
        }
        Ok(())
    }

    /// Has the handler answer, of any kind.
    async fn ask(&mut self) -> Result<(), Stop> {
        let (dispatcher, exchange, awaited, mut wire) = self.split();
        if awaited.is_some() {
            dispatcher.ask(awaited.take(), exchange, &mut wire).await?;
            dispatcher.control.clear_timeout();
        }
        if exchange.is_for_executor() {
            let request = exchange.request.clone();
            let pooled = dispatcher.wants_pool(exchange);
            let (file, began) = (exchange.file.take(), exchange.began);
            let asked = std::mem::replace(exchange, Exchange::new(request.clone(), Work::Done));
            let asked = Exchange { file, ..asked };
            let slot = dispatcher.reply_slot();
            dispatcher.push(vec![asked], pooled, Arc::clone(&slot));
            let arrived = loop {
                let gone = |context: &mut Context<'_>| wire.poll_gone(dispatcher, Wait::Function, context);
                match dispatcher.arrivals(&slot, request.as_ref(), gone).await {
                    Ok(arrived) => match dispatcher.send_hints(request.as_ref(), arrived, &mut wire).await {
                        Ok(answers) if answers.is_empty() => {}
                        arrived => break arrived,
                    },
                    stopped => break stopped,
                }
            };
            match arrived {
                Ok(mut arrived) => *exchange = arrived.pop().ok_or(Stop::Gone)?,
                Err(Stop::TimedOut) => {
                    dispatcher.control.clear_timeout();
                    exchange.began = began;
                    dispatcher.respond_late(exchange);
                    if exchange.is_open() {
                        // The user's error handler makes the page of this status.
                        let page = std::mem::replace(exchange, Exchange::new(None, Work::Done));
                        let gone = |context: &mut Context<'_>| wire.poll_gone(dispatcher, Wait::Function, context);
                        *exchange = dispatcher.execute(page, true, gone).await?;
                    }
                }
                Err(stop) => return Err(stop),
            }
        }
        if let Work::Begin(_) = exchange.work
            && !Box::pin(dispatcher.begin(exchange, &mut wire)).await?
        {
            dispatcher.control.clear_timeout();
        }
        Ok(())
    }
}

/// A stream as the steps of an exchange see it.
struct Http2Wire<'s> {
    /// Content that the handler takes while it comes in.
    content: &'s mut Option<Http2Body>,
    respond: &'s mut SendResponse<Bytes>,
}

impl Wire for Http2Wire<'_> {
    fn poll_gone(&mut self, dispatcher: &Dispatcher, wait: Wait, context: &mut Context<'_>) -> Poll<Stop> {
        let polled = match self.content {
            Some(content) if !content.is_over() => content.poll(dispatcher, self.respond, context),
            _ => poll_gone(self.respond, &dispatcher.control, context),
        };
        match (polled, wait) {
            // A request whose stream was reset counts until its handler ends, so the stream waits for it.
            (Poll::Ready(Stop::Gone), Wait::Handler { is_cancelled: false }) => dispatcher.poll_order(context),
            (polled, _) => polled,
        }
    }

    async fn hint(&mut self, _: &Dispatcher, fields: &Headers) -> Result<(), Stop> {
        self.respond.send_informational(hints_head(fields)).map_err(|_| Stop::Gone)
    }

    fn open_websocket(&mut self, dispatcher: &Dispatcher, _: WebSocketOpener, exchange: &mut Exchange) {
        dispatcher.refuse(exchange, &Refusal::new(426, "a WebSocket is opened over HTTP/1.1"));
        dispatcher.respond_with_page(exchange);
    }
}

/// Ready when the client has reset the stream, or the connection is cut.
pub(super) fn poll_gone(
    respond: &mut SendResponse<Bytes>,
    control: &ConnectionControl,
    context: &mut Context<'_>,
) -> Poll<Stop> {
    match respond.poll_reset(context) {
        Poll::Ready(_) => Poll::Ready(Stop::Gone),
        Poll::Pending => match control.stop(context, Waiting::Handler) {
            Some(stop) => Poll::Ready(stop),
            None => Poll::Pending,
        },
    }
}
