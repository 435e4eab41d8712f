//! The ids of requests: those that a trusted proxy has sent, or new ones, made when they are first asked for.
//!
//! A request whose ids neither its handler, nor a record of the log, nor a proxy has asked for costs one branch.

use std::cell::RefCell;

use crate::config::Config;
use crate::message::{ID_BYTES, Request, RequestIds, Response};
use crate::protocol::trace_context::{is_request_id, traceparent, tracestate};

/// The fields with the id and the trace of a request, of the answer too.
const REQUEST_ID: &str = "X-Request-ID";
const TRACEPARENT: &str = "traceparent";
/// Bytes of random numbers that a thread has in stock: asking the system for each id would be a system call.
const STOCK: usize = 21 * ID_BYTES;

impl Request {
    /// The id of this request: `X-Request-ID` of a trusted proxy, else the id of its trace, which is a new one unless a
    /// trusted proxy has sent `traceparent`. It stands on the answer, in the access log, and in the log's records.
    ///
    /// ```
    /// let request = outside::Request::default();
    /// assert_eq!(request.id().len(), 32);
    /// assert_eq!(request.id(), request.id());
    /// ```
    pub fn id(&self) -> &str {
        self.ids().id()
    }

    /// The id of the trace: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        &self.ids().trace
    }

    /// The id of the step that this server is in the trace: 16 hexadecimal digits.
    pub fn span_id(&self) -> &str {
        &self.ids().span
    }

    /// The field `traceparent` for the requests that a handler makes on behalf of this one (W3C Trace Context).
    pub fn traceparent(&self) -> String {
        self.ids().traceparent()
    }

    /// The field `tracestate` that goes with it; empty if there is none.
    pub fn tracestate(&self) -> &str {
        &self.ids().state
    }

    fn ids(&self) -> &RequestIds {
        self.state.get_or_init(Box::default).ids.get_or_init(|| RequestIds::new(&random_bytes()))
    }

    /// The ids, if there has been a use for them.
    #[inline]
    pub(crate) fn known_ids(&self) -> Option<&RequestIds> {
        self.state.get()?.ids.get()
    }
}

/// The ids on answers.
#[derive(Debug, Default)]
pub(super) struct Ids {
    /// Whether each answer has its request's id.
    on_every_answer: bool,
}

impl Ids {
    pub(super) fn of(config: &Config) -> Self {
        let on_every_answer = config.request_ids || config.access_log_fields.iter().any(|field| field.is_id());
        Self { on_every_answer }
    }

    /// Adds the ids of the request to its answer, unless the handler has set some.
    #[inline]
    pub(super) fn add_to(&self, request: Option<&Request>, response: &mut Response) {
        let Some(request) = request else { return };
        if self.on_every_answer || request.known_ids().is_some() {
            add(request, response);
        }
    }
}

#[cold]
fn add(request: &Request, response: &mut Response) {
    if !response.headers.contains(REQUEST_ID) {
        response.headers.push_checked(REQUEST_ID.as_bytes(), request.id().as_bytes());
    }
    if !response.headers.contains(TRACEPARENT) {
        response.headers.push_checked(TRACEPARENT.as_bytes(), request.traceparent().as_bytes());
    }
}

/// Notes the ids that a trusted proxy has sent. Those that are malformed, or sent twice, are left out.
pub(super) fn note_ids(request: &Request) {
    let given = only(request, REQUEST_ID).filter(|id| is_request_id(id));
    let parent = only(request, TRACEPARENT).and_then(traceparent);
    if given.is_none() && parent.is_none() {
        return;
    }
    let mut ids = RequestIds::new(&random_bytes());
    ids.given = given.and_then(|id| std::str::from_utf8(id).ok()).map(Into::into);
    if let Some(parent) = parent {
        (ids.trace, ids.flags) = (parent.trace.into(), parent.flags);
        ids.state = tracestate(request.headers.get_all("tracestate")).into();
    }
    // A request that has just come in has none.
    let _is_first = request.state.get_or_init(Box::default).ids.set(ids);
}

/// The value of a field that stands there once.
fn only<'r>(request: &'r Request, name: &'r str) -> Option<&'r [u8]> {
    let mut values = request.headers.get_all(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Random bytes for one request, which no other process gets: not even one that this process has forked.
fn random_bytes() -> [u8; ID_BYTES] {
    struct Stock {
        process: u32,
        left: usize,
        bytes: [u8; STOCK],
    }
    thread_local! {
        static RANDOM: RefCell<Stock> = const { RefCell::new(Stock { process: 0, left: 0, bytes: [0; STOCK] }) };
    }
    RANDOM.with_borrow_mut(|stock| {
        let process = std::process::id();
        if stock.left < ID_BYTES || stock.process != process {
            // Fails only where the system has no random numbers, and TLS would not work either.
            let _filled = aws_lc_rs::rand::fill(&mut stock.bytes);
            (stock.process, stock.left) = (process, STOCK);
        }
        stock.left -= ID_BYTES;
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(&stock.bytes[stock.left..stock.left + ID_BYTES]);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    fn received(fields: &[(&str, &str)]) -> Request {
        let headers: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let request = Request::from_parts(&RequestParts { headers: &headers, ..RequestParts::default() }).unwrap();
        note_ids(&request);
        request
    }

    #[test]
    fn ids_of_a_proxy() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = received(&[("x-request-id", "abc"), ("traceparent", PARENT), ("tracestate", "a=1")]);
        assert_eq!((request.id(), request.trace_id()), ("abc", "0af7651916cd43dd8448eb211c80319c"));
        assert_ne!(request.span_id(), "b7ad6b7169203331");
        assert_eq!((request.traceparent().ends_with("-01"), request.tracestate()), (true, "a=1"));
        let traced = received(&[("traceparent", PARENT)]);
        assert_eq!(traced.id(), "0af7651916cd43dd8448eb211c80319c");
        for fields in [
            &[("X-Request-ID", "a b")][..],
            &[("X-Request-ID", "a"), ("X-Request-ID", "b")],
            &[("traceparent", PARENT), ("traceparent", PARENT)],
            &[("traceparent", "00-x"), ("tracestate", "a=1")],
            &[("tracestate", "a=1")],
        ] {
            let request = received(fields);
            assert!(request.known_ids().is_none(), "{fields:?}");
            assert_eq!((request.id(), request.tracestate()), (request.trace_id(), ""));
            assert!(request.traceparent().ends_with("-02"));
        }
    }

    #[test]
    fn no_two_requests_have_the_same() {
        let made: std::collections::BTreeSet<String> = (0..1000).map(|_| Request::default().id().to_owned()).collect();
        assert_eq!(made.len(), 1000);
    }

    #[test]
    fn answers_have_an_id_if_there_was_a_use_for_it() {
        let said = |config: &Config, request: &Request, set: Option<&str>| {
            let mut response = Response::new(200);
            if let Some(value) = set {
                response = response.with_header(REQUEST_ID, value);
            }
            Ids::of(config).add_to(Some(request), &mut response);
            response.headers.get(REQUEST_ID).map(str::to_owned)
        };
        let (usual, always) = (Config::default(), Config { request_ids: true, ..Config::default() });
        let request = Request::default();
        assert_eq!(said(&usual, &request, None), None);
        let id = request.id().to_owned();
        assert_eq!(said(&usual, &request, None), Some(id.clone()));
        let mut response = Response::new(200);
        Ids::of(&usual).add_to(Some(&request), &mut response);
        assert_eq!(response.headers.get(TRACEPARENT), Some(&*request.traceparent()));
        let mut response = Response::new(200).with_header(TRACEPARENT, "of the handler");
        Ids::of(&usual).add_to(Some(&request), &mut response);
        assert_eq!(response.headers.get(TRACEPARENT), Some("of the handler"));
        assert_eq!(said(&always, &Request::default(), Some("own")).as_deref(), Some("own"));
        assert_eq!(said(&always, &Request::default(), None).map(|id| id.len()), Some(32));
    }
}
