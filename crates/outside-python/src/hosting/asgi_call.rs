//! One HTTP call of an ASGI application: its events in both directions, and its answer.
//!
//! The head of the answer is held until its first content, so that an application that fails before that is answered
//! with 500. An answer that is complete when the first step of the application has ended leaves as a whole.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use outside::content::Pieces;
use outside::handler::Reply;
use outside::message::{Body, Trailers};
use outside::{Error, Headers, Request, Response};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyTuple};

use crate::event_loop::EventLoop;
use crate::hosting::asgi_awaitable::{Awaitable, Awaited, Call, Received, Sent, Waiting, wake_all};
use crate::hosting::asgi_event::{
    disconnected, event_of, gone_event, headers_of, join, misplaced, name_of, octets, response, unknown,
};
use crate::hosting::asgi_outgoing::{Outgoing, OutgoingEnd, OutgoingStream, Sender};
use crate::support::lock;

/// One call, as the loop and the connection share it.
pub(crate) struct HttpCall {
    request: Arc<Request>,
    pub(super) outgoing: Outgoing,
    pub(super) state: Mutex<HttpCallState>,
}

/// The state of a call; only the thread of the loop changes it.
pub(super) struct HttpCallState {
    pub(super) reply: Option<Reply>,
    pub(super) phase: Phase,
    head: Option<(u16, Headers)>,
    /// The length that the head declares.
    pub(super) declared: Option<u64>,
    /// The trailers so far, if the head has announced that there will be some.
    pub(super) trailers: Option<Trailers>,
    /// Bytes of content that the application has sent.
    sent: u64,
    /// Content that waits for the end of the first step.
    pub(super) waiting: Vec<Bytes>,
    waiting_bytes: usize,
    /// Whether the first step of the application runs.
    is_first_step: bool,
    /// Bytes of the request's content that the application has taken; `None` when it has all.
    taken: Option<u64>,
    waiters: Vec<Py<PyAny>>,
    listening: Listening,
}

/// The task of the application that waits in `receive`, as many frameworks have one beside the task that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listening {
    No,
    Yes,
    /// It has had its time to cancel the other task, which now learns by an exception that the client has left.
    Over,
}

/// Seconds that a task in `receive` has for that.
const LISTENING_TIME: f64 = 0.02;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Neither head nor content.
    New,
    /// The head is held.
    Started,
    Streaming,
    /// All content has been sent, and the trailers have not.
    Trailers,
    Complete,
}

/// Bytes of content after which an answer is sent although the first step of its application has not ended.
const MOST_WAITING: usize = 64 << 10;

impl HttpCall {
    pub(crate) fn new(request: Arc<Request>, reply: Reply) -> Arc<Self> {
        Arc::new(Self {
            request,
            outgoing: Outgoing::default(),
            state: Mutex::new(HttpCallState {
                reply: Some(reply),
                phase: Phase::New,
                head: None,
                declared: None,
                trailers: None,
                sent: 0,
                waiting: Vec::new(),
                waiting_bytes: 0,
                is_first_step: true,
                taken: Some(0),
                waiters: Vec::new(),
                listening: Listening::No,
            }),
        })
    }

    pub(super) fn wake_waiters(&self, py: Python<'_>) {
        let waiters = std::mem::take(&mut lock(&self.state).waiters);
        wake_all(py, waiters);
    }

    /// Gives the task in `receive` its time. `future` knows the loop.
    fn end_listening_later(self: &Arc<Self>, future: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = future.py();
        let call = Arc::clone(self);
        let end = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            call.end_listening(arguments.py());
        };
        let end = PyCFunction::new_closure(py, None, None, end)?;
        future.call_method0(intern!(py, "get_loop"))?.call_method1(intern!(py, "call_later"), (LISTENING_TIME, end))?;
        Ok(())
    }

    fn end_listening(&self, py: Python<'_>) {
        lock(&self.state).listening = Listening::Over;
        self.wake_waiters(py);
    }

    fn start(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = event.py();
        let status = event.get_item(intern!(py, "status"))?;
        let status: u16 = status.ok_or_else(|| PyTypeError::new_err("http.response.start has no status"))?.extract()?;
        if !(200..=999).contains(&status) {
            return Err(PyValueError::new_err(format!("the status of an answer is one of 200 to 999, not {status}")));
        }
        let headers = match event.get_item(intern!(py, "headers"))? {
            Some(given) => headers_of(&given)?,
            None => Headers::new(),
        };
        let mut state = lock(&self.state);
        if state.phase != Phase::New {
            return Err(misplaced("http.response.start", "the answer has begun"));
        }
        let has_content = !matches!(status, 204 | 304) && self.request.method() != "HEAD";
        state.declared =
            match headers.get("content-length") {
                Some(text) if has_content => Some(text.parse().map_err(|_| {
                    PyValueError::new_err(format!("a Content-Length is a number of bytes, not {text:?}"))
                })?),
                _ => None,
            };
        let has_trailers = event.get_item(intern!(py, "trailers"))?.map_or(Ok(false), |given| given.is_truthy())?;
        state.trailers = has_trailers.then(Trailers::new);
        state.phase = Phase::Started;
        state.head = Some((status, headers));
        Ok(())
    }

    fn body(self: &Arc<Self>, event: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = event.py();
        let mut piece = match event.get_item(intern!(py, "body"))? {
            Some(body) if !body.is_none() => octets(&body)?,
            _ => Bytes::new(),
        };
        let more = match event.get_item(intern!(py, "more_body"))? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Started | Phase::Streaming => {}
            Phase::New => return Err(misplaced("http.response.body", "it comes after http.response.start")),
            Phase::Trailers => {
                return Err(misplaced("http.response.body", "the content is complete, and trailers are next"));
            }
            Phase::Complete => return Err(misplaced("http.response.body", "the answer is complete")),
        }
        if self.outgoing.is_gone() {
            let waits = state.listening == Listening::Yes;
            drop(state);
            return if waits { Ok(true) } else { Err(disconnected(py)) };
        }
        state.sent += piece.len() as u64;
        if let Some(declared) = state.declared
            && (state.sent > declared || (!more && state.sent < declared))
        {
            let text = format!("an answer of {} bytes has a Content-Length of {declared}", state.sent);
            return Err(PyRuntimeError::new_err(text));
        }
        if self.request.method() == "HEAD" || matches!(state.head, Some((204 | 304, _))) {
            piece = Bytes::new();
        }
        if !more && state.trailers.is_some() {
            if state.phase == Phase::Started {
                state.waiting.push(piece);
                self.begin_stream(&mut state);
            } else {
                self.outgoing.push(piece);
            }
            state.phase = Phase::Trailers;
            return Ok(false);
        }
        if state.phase == Phase::Streaming {
            drop(state);
            self.outgoing.push(piece);
            if !more {
                lock(&self.state).phase = Phase::Complete;
                self.outgoing.finish(OutgoingEnd::Complete);
                self.wake_waiters(py);
            }
            return Ok(more && !self.outgoing.has_room());
        }
        if !more {
            state.phase = Phase::Complete;
            let content = join(std::mem::take(&mut state.waiting), piece);
            self.answer(&mut state, if content.is_empty() { Body::Empty } else { Body::Bytes(content) });
            drop(state);
            self.wake_waiters(py);
            return Ok(false);
        }
        state.waiting_bytes += piece.len();
        state.waiting.push(piece);
        if !state.is_first_step || state.waiting_bytes > MOST_WAITING {
            self.begin_stream(&mut state);
        }
        drop(state);
        Ok(!self.outgoing.has_room())
    }

    /// Hands the head and this content over.
    pub(super) fn answer(&self, state: &mut HttpCallState, body: Body) {
        self.answer_with(state, |head| {
            let mut response = head;
            *response.body_mut() = body;
            response
        });
    }

    /// Hands the answer over that is made of the head.
    pub(super) fn answer_with(&self, state: &mut HttpCallState, fill: impl FnOnce(Response) -> Response) {
        let (Some((status, headers)), Some(reply)) = (state.head.take(), state.reply.take()) else { return };
        EventLoop::coalesce();
        reply.send(Ok(fill(response(status, headers, Body::Empty))));
    }

    /// Hands the head over, and lets the connection take the content as it comes.
    fn begin_stream(self: &Arc<Self>, state: &mut HttpCallState) {
        state.phase = Phase::Streaming;
        std::mem::take(&mut state.waiting).into_iter().for_each(|piece| self.outgoing.push(piece));
        let media_type = state.head.as_ref().and_then(|(_, headers)| headers.get("content-type"));
        let is_events = media_type.is_some_and(|it| it.trim_start().starts_with("text/event-stream"));
        self.answer(state, Body::Stream(Box::new(OutgoingStream { sender: Arc::clone(self), is_events })));
    }

    /// The next piece of the request's content, if there is one; `Err` if the rest will not come.
    fn piece<'py>(self: &Arc<Self>, py: Python<'py>, at: u64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut pieces = Pieces::starting_at(&self.request, at);
        let waker = Waker::from(Arc::new(CallWaker(Arc::clone(self))));
        let polled = pieces.poll_next_with(&Context::from_waker(&waker), |bytes| PyBytes::new(py, bytes));
        let (body, more) = match polled {
            Poll::Pending => return Ok(None),
            Poll::Ready(Ok(Some(body))) => {
                let length = self.request.content_length();
                let has_more = length == 0 || pieces.position() < length;
                (body, has_more)
            }
            Poll::Ready(Ok(None)) => (PyBytes::new(py, b""), false),
            Poll::Ready(Err(_)) => {
                self.outgoing.leave();
                return gone_event(py).map(Some);
            }
        };
        lock(&self.state).taken = more.then(|| pieces.position());
        let event = PyDict::new(py);
        event.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
        event.set_item(intern!(py, "body"), body)?;
        event.set_item(intern!(py, "more_body"), more)?;
        Ok(Some(event.into_any()))
    }

    /// The next event of `receive`, if there is one.
    fn event<'py>(self: &Arc<Self>, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let state = lock(&self.state);
        let (taken, is_complete) = (state.taken, state.phase == Phase::Complete);
        drop(state);
        if is_complete || self.outgoing.is_gone() {
            return gone_event(py).map(Some);
        }
        match taken {
            Some(at) => self.piece(py, at),
            None => Ok(None),
        }
    }
}

impl Call for HttpCall {
    fn leave(&self, py: Python<'_>) {
        self.outgoing.leave();
        self.wake_waiters(py);
    }

    fn end_first_step(self: Arc<Self>) {
        let mut state = lock(&self.state);
        state.is_first_step = false;
        if state.phase == Phase::Started && !state.waiting.is_empty() {
            self.begin_stream(&mut state);
        }
    }

    fn returned(&self) -> Result<(), &'static str> {
        let mut state = lock(&self.state);
        match state.phase {
            Phase::Complete => Ok(()),
            _ if self.outgoing.is_gone() => {
                drop(state.reply.take());
                Ok(())
            }
            Phase::Streaming => Err("the application returned in the middle of its answer"),
            Phase::Trailers => Err("the application returned without the trailers that it has announced"),
            Phase::New | Phase::Started => Err("the application returned without an answer"),
        }
    }

    fn fail(&self, page: &mut dyn FnMut() -> Result<Response, Error>) {
        let mut state = lock(&self.state);
        let phase = std::mem::replace(&mut state.phase, Phase::Complete);
        let reply = state.reply.take();
        drop(state);
        match (phase, reply) {
            (_, Some(reply)) => reply.send(page()),
            (Phase::Streaming | Phase::Trailers, None) => self.outgoing.finish(OutgoingEnd::Cut),
            _ => {}
        }
    }

    fn is_complete(&self) -> bool {
        lock(&self.state).phase == Phase::Complete
    }

    fn is_gone(&self) -> bool {
        self.outgoing.is_gone()
    }

    fn request(&self) -> &Arc<Request> {
        &self.request
    }
}

struct CallWaker(Arc<HttpCall>);

impl Wake for CallWaker {
    fn wake(self: Arc<Self>) {
        Arc::clone(&self.0).notify();
    }
}

/// The call as its awaitables hold it.
struct CallAwaitable(Arc<HttpCall>);

impl Awaitable for CallAwaitable {
    fn poll<'py>(&self, py: Python<'py>, awaited: Awaited) -> PyResult<Option<Bound<'py, PyAny>>> {
        match awaited {
            Awaited::Event => self.0.event(py),
            Awaited::Room if self.0.outgoing.is_gone() => match lock(&self.0.state).listening {
                Listening::Yes => Ok(None),
                Listening::No | Listening::Over => Err(disconnected(py)),
            },
            Awaited::Room => Ok(self.0.outgoing.has_room().then(|| py.None().into_bound(py))),
        }
    }

    fn add_waiter(&self, future: &Bound<'_, PyAny>, awaited: Awaited) {
        let mut state = lock(&self.0.state);
        state.waiters.push(future.clone().unbind());
        if awaited == Awaited::Event && state.listening == Listening::No {
            state.listening = Listening::Yes;
        }
        drop(state);
        if awaited == Awaited::Room && self.0.outgoing.is_gone() {
            let call = Arc::clone(&self.0);
            let scheduled = call.end_listening_later(future);
            if scheduled.is_err() {
                call.end_listening(future.py());
            }
        }
    }
}

impl Sender for HttpCall {
    fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    fn notify(self: Arc<Self>) {
        EventLoop::execute(move |py| self.wake_waiters(py));
    }
}

/// `receive` and `send` of one call.
#[pyclass(module = "outside", name = "_AsgiCall", frozen)]
pub(crate) struct AsgiCall(pub(crate) Arc<HttpCall>);

#[pymethods]
impl AsgiCall {
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0.event(py)? {
            Some(event) => Ok(Bound::new(py, Received(Some(event.unbind())))?.into_any()),
            None => self.wait(py, Awaited::Event),
        }
    }

    fn send<'py>(slf: &Bound<'py, Self>, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (event.py(), slf.get());
        let event = event_of(event)?;
        let name = name_of(&event)?;
        let waits = match name.to_str()? {
            "http.response.body" => this.0.body(&event)?,
            "http.response.start" => {
                this.0.start(&event)?;
                false
            }
            "http.response.pathsend" => {
                this.0.path(&event)?;
                false
            }
            "http.response.trailers" => {
                this.0.trailers(&event)?;
                false
            }
            "http.response.early_hint" => {
                this.0.hint(&event)?;
                false
            }
            "http.response.zerocopysend" => match this.0.file(&event, slf.as_any())? {
                None => false,
                Some(pieces) => return Ok(pieces),
            },
            other => {
                let allowed = "http.response.start, .body, .pathsend, .zerocopysend, .trailers or .early_hint";
                return Err(unknown(other, allowed));
            }
        };
        if waits { this.wait(py, Awaited::Room) } else { Sent::object(py) }
    }
}

impl AsgiCall {
    fn wait<'py>(&self, py: Python<'py>, awaited: Awaited) -> PyResult<Bound<'py, PyAny>> {
        let call = Arc::new(CallAwaitable(Arc::clone(&self.0)));
        Ok(Bound::new(py, Waiting::new(call, awaited))?.into_any())
    }
}
