//! A call of a WebSocket's handler, as work of the executor.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Builder;

use super::Executor;
use super::leader::STACK;
use crate::error::Error;
use crate::log::{Level, Log};
use crate::websocket::{Few, Message, SessionData, WebSocket, WebSocketConnection, WebSocketExit};

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
    pub(crate) messages: Few<Message>,
    data: SessionData,
}

/// Where a turn lies between two calls.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Place>);

#[derive(Default)]
struct Place {
    turn: Option<Box<Turn>>,
    waker: Option<Waker>,
}

impl Shelf {
    /// Ready when it is there; else the context is woken once it is. Nobody is, who has not asked.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Box<Turn>> {
        let mut place = self.lock();
        match place.turn.take() {
            Some(turn) => Poll::Ready(turn),
            None => {
                place.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn put(&self, turn: Box<Turn>) {
        let mut place = self.lock();
        place.turn = Some(turn);
        let waker = place.waker.take();
        drop(place);
        waker.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        Self { websocket, connection, occasion: Occasion::Open, messages: Few::default(), data: None }
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
                let mut called = Ok(());
                while let (Ok(()), Some(message)) = (&called, self.messages.pop()) {
                    // Unless it was ended by the message before.
                    if !connection.is_ending() {
                        called = handler.message(connection, message, data);
                    }
                }
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
