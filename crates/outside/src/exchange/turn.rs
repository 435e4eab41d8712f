//! A call of a WebSocket's handler by the executor.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::executor::Callback;
use crate::log::{Level, Log};
use crate::websocket::{Few, Message, Style, WebSocketConnection, WebSocketExit};

/// Messages for which the handler is called before other jobs have their turn.
const MOST_MESSAGES: usize = 16;

/// One call of a handler, or one call for each of the messages.
pub(crate) struct Turn {
    pub(crate) connection: WebSocketConnection,
    pub(crate) occasion: Occasion,
    pub(crate) messages: Few<Message>,
}

/// The reason for a call of the handler.
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

    /// Calls the handler; an error of the handler ends the connection. Some messages may be left for a further call.
    pub(crate) fn perform(&mut self, log: &Log) {
        let connection = &self.connection;
        let handler = connection.websocket().handler();
        let _inside = match self.occasion == Occasion::Messages || handler.style() == Style::Callbacks {
            true => connection.enter_callback(),
            false => connection.enter_publisher(),
        };
        let mut goes_on = false;
        let done = catch_unwind(AssertUnwindSafe(|| match self.occasion {
            Occasion::Open => handler.open(connection).map(|()| {
                connection.must_rest();
                handler.style() == Style::Blocking
            }),
            Occasion::Messages => {
                for _ in 0..MOST_MESSAGES {
                    let Some(message) = self.messages.pop() else { return Ok(false) };
                    // The message before may have ended the connection.
                    if connection.is_ending() {
                        return Ok(false);
                    }
                    handler.message(connection, message)?;
                    if connection.must_rest() || self.messages.is_empty() {
                        return Ok(false);
                    }
                }
                goes_on = true;
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
        if !goes_on && !self.messages.is_empty() {
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

impl Callback for Turn {
    type Session = WebSocketConnection;

    fn begin(&self) {
        self.connection.begin_turn();
    }

    fn perform(&mut self, log: &Log) {
        Self::perform(self, log);
    }

    fn is_unfinished(&self) -> bool {
        !self.messages.is_empty()
    }

    fn end(self) -> Option<WebSocketConnection> {
        self.connection.end_turn().then_some(self.connection)
    }

    fn tell(session: WebSocketConnection) {
        session.call_session();
    }
}
