//! A server in this process, and journals in which its handlers record events.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use outside::{
    AccessLog, Address, Config, Error, IntoHandler, Level, Listener, LogSink, Message, NoRuntime, OutsideHttp,
    WebSocket, WebSocketConnection, WebSocketExit,
};

use crate::client::DEADLINE;

/// Serves until it is dropped.
pub(crate) struct Running {
    pub(crate) server: Arc<OutsideHttp>,
    pub(crate) address: SocketAddr,
    /// The events of its log, without access lines.
    pub(crate) told: Journal,
    thread: Option<thread::JoinHandle<Result<(), Error>>>,
}

impl Running {
    pub(crate) fn start(configure: impl FnOnce(&mut Config)) -> Self {
        let told = Journal::default();
        let sink = Arc::new(Sink(told.clone()));
        let mut server = OutsideHttp::new(("127.0.0.1", 0)).unwrap().embedded(Arc::new(NoRuntime), sink);
        server.config.access_log = AccessLog::Off;
        configure(&mut server.config);
        let server = Arc::new(server);
        let running = Arc::clone(&server);
        let run = move || {
            let address = Address::resolve(("127.0.0.1", 0))?;
            let listeners = Listener::bind_each(&address, 1024, running.config.reactors)?;
            running.run_with::<Error>(running.enter()?, listeners, &running.config, |_| (), || Ok(()))
        };
        let thread = Some(thread::spawn(run));
        assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
        let address = server.address().and_then(|address| address.socket_addr()).unwrap();
        Self { server, address, told, thread }
    }

    /// One route, with the default configuration.
    pub(crate) fn with(websocket: WebSocket) -> Self {
        let running = Self::start(|_| {});
        running.set_route("/", websocket);
        running
    }

    pub(crate) fn set_route<Kind>(&self, route: &str, handler: impl IntoHandler<Kind>) {
        self.server.set_route(route, handler).unwrap();
    }

    /// Ends the server and waits for its end.
    pub(crate) fn stop(mut self) {
        self.server.terminate(false);
        self.thread.take().unwrap().join().unwrap().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.terminate(false);
        self.server.terminate(true);
        let Some(thread) = self.thread.take() else { return };
        let result = thread.join();
        if !thread::panicking() {
            result.unwrap().unwrap();
        }
    }
}

struct Sink(Journal);

impl LogSink for Sink {
    fn access(&self, _lines: &[u8]) {}

    fn event(&self, _level: Level, text: &str) {
        self.0.note(text);
    }
}

/// Recorded events in order. Clones are the same journal.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Journal {
    pub(crate) fn note(&self, entry: impl Into<String>) {
        self.0.0.lock().unwrap().push(entry.into());
        self.0.1.notify_all();
    }

    /// The entries so far.
    pub(crate) fn entries(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until the journal has this many entries.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<String> {
        self.wait_until(|entries| entries.len() >= count)
    }

    /// Waits until this entry is there.
    pub(crate) fn wait_for_entry(&self, wanted: &str) {
        self.wait_until(|entries| entries.iter().any(|entry| entry == wanted));
    }

    fn wait_until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut entries = self.0.0.lock().unwrap();
        while !enough(&entries) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no more than {entries:?}");
            entries = self.0.1.wait_timeout(entries, left).unwrap().0;
        }
        entries.clone()
    }
}

/// Sends everything back.
pub(crate) fn echo() -> WebSocket {
    WebSocket::new().on_message(|connection: &WebSocketConnection, message: Message| connection.send(message))
}

/// The same with a thread.
pub(crate) fn blocking_echo() -> WebSocket {
    WebSocket::new().on_connection(|connection: &WebSocketConnection| -> Result<(), WebSocketExit> {
        loop {
            connection.send(connection.recv()?)?;
        }
    })
}
