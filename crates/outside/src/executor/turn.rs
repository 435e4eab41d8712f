//! A call of a WebSocket's handler, as work of the executor.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;

use super::Executor;
use super::leader::STACK;
use crate::error::Error;
use crate::log::{Level, Log};
use crate::websocket::{Message, SessionData, WebSocket, WebSocketConnection, WebSocketExit};

impl Executor {
    /// Starts a thread that is no member of the crew, for something that lasts: a WebSocket with a handler that blocks.
    pub(crate) fn start_thread(self: &Arc<Self>, life: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let host = Arc::clone(&self.host);
        let mut life = Some(life);
        let spawned = Builder::new().name("outside-websocket".into()).stack_size(STACK).spawn(move || {
            host.live(&mut || {
                host.work(&mut || {
                    if let Some(life) = life.take() {
                        life();
                    }
                });
            });
        });
        spawned.map(drop)
    }
}

/// One call after the other of the same connection; the memory makes the round trip.
pub(crate) struct Turn {
    websocket: Arc<WebSocket>,
    connection: WebSocketConnection,
    pub(crate) occasion: Occasion,
    pub(crate) messages: Vec<Message>,
    data: SessionData,
}

/// What the handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    Open,
    Messages,
    Exit,
}

impl Turn {
    /// The call for an open connection.
    pub(crate) fn new(websocket: Arc<WebSocket>, connection: WebSocketConnection) -> Self {
        Self { websocket, connection, occasion: Occasion::Open, messages: Vec::new(), data: None }
    }

    /// Calls the handler; what it fails with ends the connection.
    pub(crate) fn perform(&mut self, log: &Log) {
        let handler = self.websocket.handler();
        let (connection, data) = (&self.connection, &mut self.data);
        let done = catch_unwind(AssertUnwindSafe(|| match self.occasion {
            Occasion::Open => {
                handler.open(connection, data).map(|()| handler.style() == crate::websocket::Style::Blocking)
            }
            Occasion::Messages => {
                let called = self.messages.drain(..).try_for_each(|message| match connection.close_code() {
                    // It was ended by the message before.
                    Some(_) => Ok(()),
                    None => handler.message(connection, message, data),
                });
                called.map(|()| false)
            }
            Occasion::Exit => {
                handler.exit(connection, data);
                Ok(false)
            }
        }));
        self.messages.clear();
        let ended = match done {
            Ok(Ok(true)) => connection.exit(1000, ""),
            Ok(Ok(false)) => Ok(()),
            Ok(Err(error)) if error.source_as::<WebSocketExit>().is_some() => connection.exit(1000, ""),
            Ok(Err(error)) => self.fail(log, &error),
            Err(_) => self.fail(log, &Error::new("it panicked")),
        };
        if let Err(error) = ended {
            log.event(Level::Error, error.to_string());
        }
    }

    fn fail(&self, log: &Log, error: &Error) -> Result<(), Error> {
        if error.is_internal() {
            let url = self.connection.request().url();
            log.event(Level::Error, format!("WebSocket {url:?}: the handler failed: {error}"));
        }
        self.connection.exit(1011, "")
    }
}
