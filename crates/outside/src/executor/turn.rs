//! A call of a WebSocket's handler, as work of the executor.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;

use super::Executor;
use super::leader::STACK;
use crate::error::Error;
use crate::log::{Level, Log};
use crate::websocket::{Few, Message, Style, WebSocketConnection, WebSocketExit};

impl Executor {
    /// Starts a thread that is no member of the threads, for something that lasts: a WebSocket with a handler that blocks.
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

/// One call of a handler, or one for each of these messages.
pub(crate) struct Turn {
    pub(crate) connection: WebSocketConnection,
    pub(crate) occasion: Occasion,
    pub(crate) messages: Few<Message>,
}

/// What the handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    Open,
    Messages,
    Exit,
}

impl Turn {
    /// A call without messages.
    pub(crate) fn new(connection: WebSocketConnection, occasion: Occasion) -> Self {
        Self { connection, occasion, messages: Few::default() }
    }

    /// Calls the handler; what it fails with ends the connection.
    pub(crate) fn perform(&mut self, log: &Log) {
        let connection = &self.connection;
        let handler = connection.websocket().handler();
        let _inside = match self.occasion == Occasion::Messages || handler.style() == Style::Callbacks {
            true => connection.enter_callback(),
            false => connection.enter_publisher(),
        };
        let done = catch_unwind(AssertUnwindSafe(|| match self.occasion {
            Occasion::Open => handler.open(connection).map(|()| {
                connection.must_rest();
                handler.style() == Style::Blocking
            }),
            Occasion::Messages => {
                while let Some(message) = self.messages.pop() {
                    // Unless it was ended by the message before.
                    if connection.is_ending() {
                        break;
                    }
                    handler.message(connection, message)?;
                    if connection.must_rest() {
                        break;
                    }
                }
                Ok(false)
            }
            Occasion::Exit => {
                handler.exit(connection);
                Ok(false)
            }
        }));
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
        if !self.messages.is_empty() {
            self.connection.put_back(std::mem::take(&mut self.messages));
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
