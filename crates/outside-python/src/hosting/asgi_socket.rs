//! One WebSocket call of an ASGI application: the opening that it accepts or refuses, and messages in both directions.
//!
//! The engine opens the connection when the application has accepted it, and tells the call. Messages wait in the
//! engine's queues; the call is told when there is one to take, or room for one.

use std::any::Any;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use outside::handler::Reply;
use outside::message::Body;
use outside::websocket::{Acceptance, Message, SessionHandler, Style, WebSocketExit};
use outside::{Error, Headers, Request, Response, WebSocket, WebSocketConnection};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::event_loop::EventLoop;
use crate::hosting::asgi_awaitable::{Awaitable, Awaited, Call, Received, Sent, Waiting, wake_all};
use crate::hosting::asgi_event::{
    disconnect_event, disconnected, event_of, headers_of, message_event, misplaced, name_of, octets, response, unknown,
};
use crate::support::lock;

/// One call, as the loop and the engine share it.
pub(crate) struct SocketCall {
    websocket: Arc<WebSocket>,
    request: Arc<Request>,
    state: Mutex<SocketState>,
}

struct SocketState {
    reply: Option<Reply>,
    phase: SocketPhase,
    /// The head and the content of a refusal that the application words itself.
    denial: Option<(u16, Headers, Vec<Bytes>)>,
    connection: Option<WebSocketConnection>,
    /// The end of the connection, once it is known.
    exit: Option<(u16, Box<str>)>,
    waiters: Vec<Py<PyAny>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketPhase {
    /// The application has not taken `websocket.connect`.
    New,
    /// It has not decided.
    Connecting,
    Accepting,
    Open,
    /// It words a refusal.
    Denying,
    Closed,
}

impl SocketCall {
    pub(crate) fn new(websocket: Arc<WebSocket>, request: Arc<Request>, reply: Reply) -> Arc<Self> {
        let state = SocketState {
            reply: Some(reply),
            phase: SocketPhase::New,
            denial: None,
            connection: None,
            exit: None,
            waiters: Vec::new(),
        };
        Arc::new(Self { websocket, request, state: Mutex::new(state) })
    }

    fn wake_waiters(&self, py: Python<'_>) {
        let waiters = std::mem::take(&mut lock(&self.state).waiters);
        wake_all(py, waiters);
    }

    fn notify(self: Arc<Self>) {
        EventLoop::execute(move |py| self.wake_waiters(py));
    }

    /// The engine has opened the connection.
    fn opened(self: &Arc<Self>, connection: &WebSocketConnection) {
        let call = Arc::downgrade(self);
        connection.set_listener(move || {
            if let Some(call) = call.upgrade() {
                call.notify();
            }
        });
        let mut state = lock(&self.state);
        state.connection = Some(connection.clone());
        if state.phase == SocketPhase::Accepting {
            state.phase = SocketPhase::Open;
        }
        drop(state);
        Arc::clone(self).notify();
    }

    /// The connection could not be opened.
    fn not_opened(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.phase = SocketPhase::Closed;
        state.exit.get_or_insert_with(|| (1006, Box::default()));
        drop(state);
        Arc::clone(self).notify();
    }

    fn accept(self: &Arc<Self>, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = event.py();
        let subprotocol: Option<String> = match event.get_item(intern!(py, "subprotocol"))? {
            Some(name) => name.extract()?,
            None => None,
        };
        if let Some(name) = &subprotocol
            && !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
        {
            return Err(PyValueError::new_err(format!("a subprotocol is a token such as 'chat.v2', not {name:?}")));
        }
        let headers = match event.get_item(intern!(py, "headers"))? {
            Some(given) if !given.is_none() => headers_of(&given)?,
            _ => Headers::new(),
        };
        if headers.contains("sec-websocket-protocol") {
            return Err(PyValueError::new_err("the subprotocol of websocket.accept is its \"subprotocol\", no header"));
        }
        let mut state = lock(&self.state);
        match state.phase {
            SocketPhase::New | SocketPhase::Connecting => {}
            SocketPhase::Closed if state.exit.is_some() => return Err(disconnected(py)),
            _ => return Err(misplaced("websocket.accept", "the application has decided already")),
        }
        let Some(reply) = state.reply.take() else { return Err(disconnected(py)) };
        state.phase = SocketPhase::Accepting;
        drop(state);
        let attachment = Box::new(Opening(Mutex::new(Some(Arc::clone(self)))));
        let acceptance = Acceptance { websocket: Arc::clone(&self.websocket), subprotocol, headers, attachment };
        reply.send(Ok(acceptance.into_response()));
        Ok(())
    }

    /// Sends a message. Returns whether the application has to wait for room.
    fn message(&self, event: &Bound<'_, PyDict>) -> PyResult<bool> {
        let py = event.py();
        let text = event.get_item(intern!(py, "text"))?.filter(|text| !text.is_none());
        let bytes = event.get_item(intern!(py, "bytes"))?.filter(|bytes| !bytes.is_none());
        let message = match (text, bytes) {
            (Some(text), _) => Message::from(text.cast_into::<PyString>()?.to_str()?),
            (None, Some(bytes)) => Message::from(&octets(&bytes)?[..]),
            (None, None) => return Err(PyTypeError::new_err("websocket.send has a \"text\" or \"bytes\"")),
        };
        let connection = self.connection("websocket.send", py)?;
        match connection.try_send(&message) {
            Ok(true) => Ok(connection.listen_for_room()),
            // The queue was full: one that waits for room each time never comes here.
            Ok(false) => py.detach(|| connection.send(message)).map(|()| false).map_err(|_| disconnected(py)),
            Err(_) => Err(disconnected(py)),
        }
    }

    fn connection(&self, event: &str, py: Python<'_>) -> PyResult<WebSocketConnection> {
        let state = lock(&self.state);
        match (state.phase, &state.connection) {
            (SocketPhase::Open, Some(connection)) => Ok(connection.clone()),
            (SocketPhase::Closed, _) => Err(disconnected(py)),
            _ => Err(misplaced(event, "it comes after websocket.accept")),
        }
    }

    fn close(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = event.py();
        let code: u16 = match event.get_item(intern!(py, "code"))? {
            Some(code) if !code.is_none() => code.extract()?,
            _ => 1000,
        };
        let reason: String = match event.get_item(intern!(py, "reason"))? {
            Some(reason) if !reason.is_none() => reason.extract()?,
            _ => String::new(),
        };
        let mut state = lock(&self.state);
        match state.phase {
            SocketPhase::New | SocketPhase::Connecting => {
                state.phase = SocketPhase::Closed;
                state.exit = Some((1006, Box::default()));
                let reply = state.reply.take();
                drop(state);
                if let Some(reply) = reply {
                    reply.send(Ok(response(403, Headers::new(), Body::Empty)));
                }
            }
            SocketPhase::Open => {
                state.phase = SocketPhase::Closed;
                let connection = state.connection.clone();
                state.exit.get_or_insert_with(|| (code, reason.as_str().into()));
                drop(state);
                if let Some(connection) = connection {
                    connection.exit(code, &reason).map_err(|error| PyValueError::new_err(error.to_string()))?;
                }
            }
            SocketPhase::Closed if state.exit.is_some() => return Err(disconnected(py)),
            _ => return Err(misplaced("websocket.close", "the application has decided already")),
        }
        self.wake_waiters(py);
        Ok(())
    }

    fn deny(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = event.py();
        let status: u16 = match event.get_item(intern!(py, "status"))? {
            Some(status) => status.extract()?,
            None => return Err(PyTypeError::new_err("websocket.http.response.start has no status")),
        };
        if !(200..=999).contains(&status) {
            return Err(PyValueError::new_err(format!("the status of an answer is one of 200 to 999, not {status}")));
        }
        let headers = match event.get_item(intern!(py, "headers"))? {
            Some(given) => headers_of(&given)?,
            None => Headers::new(),
        };
        let mut state = lock(&self.state);
        match state.phase {
            SocketPhase::New | SocketPhase::Connecting => {}
            SocketPhase::Closed if state.exit.is_some() => return Err(disconnected(py)),
            _ => return Err(misplaced("websocket.http.response.start", "the application has decided already")),
        }
        state.phase = SocketPhase::Denying;
        state.denial = Some((status, headers, Vec::new()));
        Ok(())
    }

    fn denial_body(&self, event: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = event.py();
        let piece = match event.get_item(intern!(py, "body"))? {
            Some(body) => octets(&body)?,
            None => Bytes::new(),
        };
        let more = match event.get_item(intern!(py, "more_body"))? {
            Some(more) => more.is_truthy()?,
            None => false,
        };
        let mut state = lock(&self.state);
        let Some((status, headers, mut pieces)) = state.denial.take() else {
            return Err(misplaced("websocket.http.response.body", "it comes after websocket.http.response.start"));
        };
        pieces.push(piece);
        if more {
            state.denial = Some((status, headers, pieces));
            return Ok(());
        }
        state.phase = SocketPhase::Closed;
        state.exit = Some((1006, Box::default()));
        let reply = state.reply.take();
        drop(state);
        let mut content = BytesMut::new();
        pieces.iter().for_each(|piece| content.extend_from_slice(piece));
        if let Some(reply) = reply {
            reply.send(Ok(response(status, headers, Body::Bytes(content.freeze()))));
        }
        self.wake_waiters(py);
        Ok(())
    }

    fn event<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = lock(&self.state);
        if state.phase == SocketPhase::New {
            state.phase = SocketPhase::Connecting;
            drop(state);
            let event = PyDict::new(py);
            event.set_item(intern!(py, "type"), intern!(py, "websocket.connect"))?;
            return Ok(Some(event.into_any()));
        }
        if let (SocketPhase::Closed, Some((code, reason))) = (state.phase, state.exit.clone()) {
            drop(state);
            return disconnect_event(py, code, &reason).map(Some);
        }
        let Some(connection) = state.connection.clone() else { return Ok(None) };
        drop(state);
        match connection.recv_or_listen() {
            Ok(None) => Ok(None),
            Ok(Some(message)) => message_event(py, &message).map(Some),
            Err(WebSocketExit { code, reason, .. }) => {
                let mut state = lock(&self.state);
                state.phase = SocketPhase::Closed;
                state.exit = Some((code, reason.clone()));
                drop(state);
                disconnect_event(py, code, &reason).map(Some)
            }
        }
    }
}

impl Call for SocketCall {
    fn leave(&self, py: Python<'_>) {
        let mut state = lock(&self.state);
        if state.connection.is_none() {
            state.phase = SocketPhase::Closed;
            state.exit.get_or_insert_with(|| (1006, Box::default()));
            drop(state.reply.take());
        }
        drop(state);
        self.wake_waiters(py);
    }

    fn end_first_step(self: Arc<Self>) {}

    fn returned(&self) -> Result<(), &'static str> {
        let state = lock(&self.state);
        match (state.phase, state.connection.clone()) {
            (SocketPhase::Closed, _) => Ok(()),
            (_, Some(connection)) => {
                drop(state);
                // The code and the empty reason are valid.
                drop(connection.exit(1000, ""));
                Ok(())
            }
            _ => Err("the application returned without having accepted or refused the WebSocket"),
        }
    }

    fn fail(&self, page: &mut dyn FnMut() -> Result<Response, Error>) {
        let mut state = lock(&self.state);
        let (reply, connection) = (state.reply.take(), state.connection.clone());
        state.phase = SocketPhase::Closed;
        drop(state);
        if let Some(reply) = reply {
            reply.send(page());
        }
        if let Some(connection) = connection {
            drop(connection.exit(1011, ""));
        }
    }

    fn is_complete(&self) -> bool {
        lock(&self.state).phase == SocketPhase::Closed
    }

    fn is_gone(&self) -> bool {
        lock(&self.state).exit.is_some()
    }

    fn request(&self) -> &Arc<Request> {
        &self.request
    }
}

struct SocketAwaitable {
    call: Arc<SocketCall>,
    /// Whether `websocket.accept` waits, rather than `websocket.send`.
    opens: bool,
}

impl Awaitable for SocketAwaitable {
    fn poll<'py>(&self, py: Python<'py>, awaited: Awaited) -> PyResult<Option<Bound<'py, PyAny>>> {
        if awaited == Awaited::Event {
            return self.call.event(py);
        }
        let state = lock(&self.call.state);
        match (state.phase, state.connection.clone()) {
            (SocketPhase::Accepting, _) => Ok(None),
            (SocketPhase::Closed, None) => {
                drop(state);
                Err(disconnected(py))
            }
            (_, Some(connection)) if !self.opens => {
                drop(state);
                match connection.close_code() {
                    Some(_) => Err(disconnected(py)),
                    None => Ok((!connection.listen_for_room()).then(|| py.None().into_bound(py))),
                }
            }
            _ => Ok(Some(py.None().into_bound(py))),
        }
    }

    fn add_waiter(&self, future: &Bound<'_, PyAny>, _awaited: Awaited) {
        lock(&self.call.state).waiters.push(future.clone().unbind());
    }
}

/// `receive` and `send` of one call.
#[pyclass(module = "outside", name = "_AsgiSocket", frozen)]
pub(crate) struct AsgiSocket(pub(crate) Arc<SocketCall>);

#[pymethods]
impl AsgiSocket {
    fn receive<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.0.event(py)? {
            Some(event) => Ok(Bound::new(py, Received(Some(event.unbind())))?.into_any()),
            None => self.wait(py, Awaited::Event, false),
        }
    }

    fn send<'py>(&self, event: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = event.py();
        let event = event_of(event)?;
        let name = name_of(&event)?;
        match name.to_str()? {
            "websocket.send" => {
                if self.0.message(&event)? {
                    return self.wait(py, Awaited::Room, false);
                }
            }
            "websocket.accept" => {
                self.0.accept(&event)?;
                return self.wait(py, Awaited::Room, true);
            }
            "websocket.close" => self.0.close(&event)?,
            "websocket.http.response.start" => self.0.deny(&event)?,
            "websocket.http.response.body" => self.0.denial_body(&event)?,
            other => return Err(unknown(other, "websocket.accept, .send, .close, .http.response.start or .body")),
        }
        Sent::object(py)
    }
}

impl AsgiSocket {
    fn wait<'py>(&self, py: Python<'py>, awaited: Awaited, opens: bool) -> PyResult<Bound<'py, PyAny>> {
        let call = Arc::new(SocketAwaitable { call: Arc::clone(&self.0), opens });
        Ok(Bound::new(py, Waiting::new(call, awaited))?.into_any())
    }
}

/// A connection that is about to open. If it is dropped before that, the call learns it.
struct Opening(Mutex<Option<Arc<SocketCall>>>);

impl Drop for Opening {
    fn drop(&mut self) {
        lock(&self.0).take().iter().for_each(|call| call.not_opened());
    }
}

/// The handler of all connections of ASGI applications, as the engine sees it.
pub(crate) struct Sessions;

impl SessionHandler for Sessions {
    fn style(&self) -> Style {
        Style::Async
    }

    fn prepare(&self, connection: &WebSocketConnection, attachment: Option<&(dyn Any + Send)>) {
        let opening = attachment.and_then(|it| it.downcast_ref::<Opening>());
        let call = opening.and_then(|opening| lock(&opening.0).take());
        *connection.session_data() = call.map(|call| Box::new(Opening(Mutex::new(Some(call)))) as _);
    }

    fn open(&self, connection: &WebSocketConnection) -> Result<(), Error> {
        let data = connection.session_data().take();
        let opening = data.and_then(|data| data.downcast::<Opening>().ok());
        if let Some(call) = opening.and_then(|opening| lock(&opening.0).take()) {
            call.opened(connection);
        }
        Ok(())
    }
}
