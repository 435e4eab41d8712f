//! THE PAGE: the steps of a request, one after another, whichever wire brings it.
//!
//! A wire turns bytes into one exchange and back, and calls these steps in this order:
//!
//! 1. [`receive`] decodes the head, and refuses hosts that are not served;
//! 2. content is stored ([`store_content`](super::store_content)) or handed on ([`RequestBody`](super::RequestBody));
//!    A client that waits for 100 Continue is asked for content behind steps 3 and 4 ([`Dispatcher::admit_early`]);
//! 3. [`Dispatcher::route`]: challenges of certificate authorities, health, HTTPS, preflight, route;
//! 4. [`Dispatcher::pass_gate`] asks the site's gate for everything that is no function;
//! 5. [`Dispatcher::ask`]: a file, an asynchronous handler or a WebSocket answers; the executor calls functions;
//! 6. [`Dispatcher::begin`]: a stream has its first piece before its head is sent;
//! 7. [`Dispatcher::complete`]: compression, then the fields that the site adds to every answer;
//! 8. [`seal`]: HSTS, the id of the request, length and media type; the wire renders and sends that;
//! 9. [`access_line`] makes the line of the log; [`Dispatcher::call_after_hooks`] comes last.
//!
//! Only waiting differs. HTTP/1.1 takes a batch of requests through each step and writes their answers at once. HTTP/2
//! calls a function whose answer is small without a task of its own, and such an answer skips the steps that would
//! wait. Both are schedulers of the same steps: a new step has its place here, and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::compress::is_worth_encoding;
use super::control::Stop;
use super::dispatch::{Awaited, Dispatcher};
use super::meta::{ResponseMeta, response_meta};
use super::service::Service;
use super::state::{Exchange, Work};
use crate::application::is_forged;
use crate::content::ACCEPTED;
use crate::error::Refusal;
use crate::files::FileContent;
use crate::handler::Handler;
use crate::log::{AccessLine, End, UNANSWERED};
use crate::message::{Body, Headers, Request, Response};
use crate::route::RouteChoice;
use crate::site::{DEBUG_PATH, Front, set_site};
use crate::websocket::{Acceptance, WebSocket};

/// A version of HTTP, as the steps see it: it notices that a client is gone, and opens a WebSocket.
pub(crate) trait Wire {
    /// Ready when the wait for the answer ends. Content that a handler takes while it comes in moves on meanwhile.
    fn poll_gone(&mut self, dispatcher: &Dispatcher, wait: Wait, context: &mut Context<'_>) -> Poll<Stop>;

    /// Sends fields before the answer, with the status 103.
    fn hint(&mut self, dispatcher: &Dispatcher, fields: &Headers) -> impl Future<Output = Result<(), Stop>> + Send;

    /// Takes the connection over for a WebSocket, or refuses.
    fn open_websocket(&mut self, dispatcher: &Dispatcher, opener: WebSocketOpener, exchange: &mut Exchange);
}

/// The source of a WebSocket that is to be opened.
pub(crate) enum WebSocketOpener {
    /// The route has it.
    Route(Arc<WebSocket>),
    /// The handler of the route has accepted it.
    Handler(Box<Acceptance>),
}

/// The step that waits: it decides how a client that leaves ends the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The gate, or a function that the executor calls: it runs to its end.
    Function,
    /// An asynchronous handler, or the first piece of a stream. `is_cancelled`: whether it ends with its client.
    Handler {
        is_cancelled: bool,
    },
    FirstPiece {
        is_cancelled: bool,
    },
}

/// Step 1. Decodes a head into an empty request. Returns the result of that, and a refusal if the host is not served.
/// Paths that only hosted applications may get are refused where there is none.
#[inline]
pub(crate) fn receive<T>(
    service: &Service,
    empty: &mut Request,
    (address, is_secure): (SocketAddr, bool),
    decode: impl FnOnce(&mut Request) -> Result<T, Refusal>,
) -> (Result<T, Refusal>, Result<(), Refusal>) {
    (empty.address, empty.is_secure) = (address, is_secure);
    empty.max_params = u32::try_from(service.config.max_query_parameters).unwrap_or(u32::MAX);
    empty.max_cookies = u32::try_from(service.config.max_cookies).unwrap_or(u32::MAX);
    empty.wants_problems = service.config.problem_errors;
    if let Some(requests) = &service.requests {
        requests.note();
    }
    set_site(empty, &service.site);
    let mut decoded = decode(empty);
    let welcome = if decoded.is_ok() { service.front.receive(empty) } else { Ok(()) };
    if let (Some(fault), true, Ok(())) = (empty.path_fault, decoded.is_ok(), &welcome)
        && !service.site.is_hosted(empty)
    {
        decoded = Err(Refusal::bad(fault));
    }
    (decoded, welcome)
}

impl Dispatcher {
    /// Any step can end here: the client gets the fault of its request as a status.
    pub(crate) fn refuse(&self, exchange: &mut Exchange, refusal: &Refusal) {
        if let Some(key) = refusal.limit {
            self.service.log.complain(key, refusal.reason);
            self.service.count_refusal(key, &refusal.status.to_string());
        }
        if refusal.status == 415 {
            // The codings that the client may use (RFC 9110 section 15.5.16).
            exchange.extra.get_or_insert_default().push_checked(b"Accept-Encoding", ACCEPTED);
        }
        exchange.work = Work::Status(refusal.status, Some(refusal.reason.to_owned()));
    }

    /// Step 3. Answers a request that needs no handler, or finds one: a function becomes a call, others are returned.
    pub(crate) fn route(&self, exchange: &mut Exchange) -> Option<Awaited> {
        if matches!(exchange.work, Work::Answered(_) | Work::Call(_) | Work::Begin(_)) {
            // The work is left from the round before.
            return None;
        }
        let Work::Done = exchange.work else {
            self.respond_with_page(exchange);
            return None;
        };
        let request = exchange.request.as_deref()?;
        if let Some(response) = self.service.front.challenge(request) {
            // As for health, hooks have no part in it: a certificate authority asks.
            exchange.work = Work::Answered(response);
            return None;
        }
        if let Some(response) = self.health(request) {
            // Hooks have no part in this answer: it tells whether the process lives.
            exchange.work = Work::Answered(response);
            return None;
        }
        if let Some(debug) = self.site.1.debug.as_ref().filter(|_| request.url() == DEBUG_PATH) {
            exchange.work = Work::Answered(debug.enter(request));
            return None;
        }
        if self.service.checks_forgery && is_forged(request) {
            self.refuse(exchange, &Refusal::new(403, "this request does not come from a page of this site"));
            self.respond_with_page(exchange);
            return None;
        }
        if let Some(redirected) = self.to_https(request) {
            self.respond_or_refuse(exchange, redirected);
            return None;
        }
        if let Some(response) = self.preflight(request) {
            self.respond(exchange, Ok(response));
            return None;
        }
        let (handler, below) = match self.site.1.routes.choose(request) {
            RouteChoice::Plain(route) => {
                request.route_number.store(route.number, Ordering::Relaxed);
                (&route.handler, route.length())
            }
            RouteChoice::Pattern(handler, below, parameters) => {
                request.route_number.store(parameters.route.number, Ordering::Relaxed);
                // A request that has passed the gate has its parameters already.
                let _they_are_the_same = request.parameters.set(parameters);
                (handler, below)
            }
            unrouted => {
                let gate = if self.site.1.gates_websockets_only { None } else { self.gate(exchange) };
                if gate.is_none() {
                    self.respond_unrouted(exchange, &unrouted);
                }
                return gate;
            }
        };
        match handler {
            Handler::Sync(function) => {
                exchange.work = Work::Call(Arc::clone(function));
                exchange.cancel_on_disconnect = function.cancel_on_disconnect;
                None
            }
            Handler::Async(handler) => {
                // Functions of the Rust face before a handler may block.
                let gate = if self.site.1.before.is_empty() { None } else { self.gate(exchange) };
                exchange.cancel_on_disconnect = handler.cancel_on_disconnect();
                gate.or_else(|| Some(Awaited::Async(Arc::clone(handler))))
            }
            handler => {
                let passes = self.site.1.gates_websockets_only && !matches!(handler, Handler::WebSocket(_));
                let gate = if passes { None } else { self.gate(exchange) };
                gate.or_else(|| self.without_function(handler, below, exchange))
            }
        }
    }

    /// Step 4. Has the gate let the request pass, or answer it. `false` if the gate was late: the answer is 504.
    pub(crate) async fn pass_gate(
        &self,
        awaited: &mut Option<Awaited>,
        exchange: &mut Exchange,
        wire: &mut impl Wire,
    ) -> Result<bool, Stop> {
        let Some(Awaited::Gate(gate)) = awaited else { return Ok(true) };
        let gone = |context: &mut Context<'_>| wire.poll_gone(self, Wait::Function, context);
        let is_in_time = self.ask_gate(Arc::clone(gate), exchange, gone).await?;
        *awaited = self.route(exchange);
        Ok(is_in_time)
    }

    /// Step 5. Has the handler answer, unless it is a function. `false` if the handler was late: the answer is 504.
    pub(crate) async fn ask(
        &self,
        awaited: Option<Awaited>,
        exchange: &mut Exchange,
        wire: &mut impl Wire,
    ) -> Result<bool, Stop> {
        match awaited {
            None | Some(Awaited::Gate(_)) => {}
            Some(Awaited::Files(files, below)) => self.answer_with_file(&files, below, exchange).await?,
            Some(Awaited::WebSocket(websocket)) => {
                wire.open_websocket(self, WebSocketOpener::Route(websocket), exchange);
            }
            Some(Awaited::Async(handler)) => {
                let wait = Wait::Handler { is_cancelled: self.is_cancelled(exchange.cancel_on_disconnect) };
                let is_in_time = self.ask_elsewhere(&*handler, exchange, wait, wire).await?;
                match std::mem::replace(&mut exchange.work, Work::Done) {
                    Work::Open(acceptance) => {
                        wire.open_websocket(self, WebSocketOpener::Handler(acceptance), exchange);
                    }
                    work => exchange.work = work,
                }
                return Ok(is_in_time);
            }
        }
        Ok(true)
    }

    /// Step 6. Takes the first piece of this answer's stream. `false` if the piece was late: the answer is 504.
    pub(crate) async fn begin(&self, exchange: &mut Exchange, wire: &mut impl Wire) -> Result<bool, Stop> {
        let wait = Wait::FirstPiece { is_cancelled: self.is_cancelled(exchange.cancel_on_disconnect) };
        self.begin_stream(exchange, |context| wire.poll_gone(self, wait, context)).await
    }

    /// Whether step 7 has to wait for this answer to be compressed.
    pub(crate) fn compresses(&self, exchange: &Exchange) -> bool {
        self.service.config.compression && is_worth_encoding(exchange)
    }

    /// Step 7. Gives the answer the coding and the fields that the site wants for every answer.
    pub(crate) async fn complete(&self, exchange: &mut Exchange) -> Result<(), Stop> {
        if self.compresses(exchange) {
            self.encode(exchange).await?;
        }
        self.add_policy_headers(exchange);
        Ok(())
    }

    /// Whether step 9 has hooks to call, for any request.
    pub(crate) fn has_after_hooks(&self) -> bool {
        self.site.1.hooks.as_ref().is_some_and(|hooks| hooks.wants_after())
    }

    /// Whether step 9 has hooks, or functions of this request, to call.
    #[inline]
    pub(crate) fn calls_after(&self, request: Option<&Arc<Request>>) -> bool {
        self.has_after_hooks() || request.is_some_and(|request| request.after.get().is_some())
    }

    /// Step 9, behind the log line: has the executor call the last hooks. The line has reached its sink by then.
    pub(crate) async fn call_after_hooks(&self, sent: Vec<(Option<Arc<Request>>, Response)>) -> Result<(), Stop> {
        self.flush_log().await?;
        let after = sent.into_iter().map(|(request, response)| Exchange::new(request, Work::After(response)));
        self.spawn_detached(after.collect());
        Ok(())
    }
}

/// An answer that is ready to be rendered.
pub(crate) struct Sealed {
    pub(crate) body: Body,
    /// The file in place of a body.
    pub(crate) file: Option<Box<FileContent>>,
    pub(crate) meta: ResponseMeta,
}

/// Step 8. Takes the content out of an answer, and decides the facts for its head. `is_secure`: whether TLS is used.
#[inline]
pub(crate) fn seal(front: &Front, exchange: &mut Exchange, is_secure: bool, response: &mut Response) -> Sealed {
    let request = exchange.request.as_deref().or(exchange.fragment.as_deref());
    front.add_hsts(request, is_secure, response);
    front.add_id(request, response);
    let (mut body, file) = (std::mem::take(&mut response.body), exchange.content.take());
    if let Body::Stream(stream) = &mut body
        && let Some(whole) = stream.take_whole()
    {
        // Content that was complete before its head is sent needs no chunks.
        body = Body::Bytes(whole);
    }
    exchange.status = response.status;
    let request = exchange.request.as_deref();
    let mut meta = response_meta(request, response.status, &response.headers, &body, file.as_deref());
    if response.is_final {
        meta.content_type = None;
    }
    Sealed { body, file, meta }
}

/// Step 9. The line of an exchange in the access log, however it has ended.
pub(crate) fn access_line<'e>(exchange: &'e Exchange, client: &'e [u8]) -> AccessLine<'e> {
    let (status, end) = match exchange.status {
        0 => (UNANSWERED, End::Unanswered),
        status => (status, if exchange.is_cut { End::Cut } else { End::Complete }),
    };
    AccessLine {
        request: exchange.request.as_deref().or(exchange.fragment.as_deref()),
        client,
        status,
        bytes: exchange.bytes,
        duration: exchange.began.map(|began| began.elapsed()),
        end,
    }
}
