//! A server in this process.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use outside::{
    AccessLog, Address, CertificateFiles, Config, Error, Level, Listener, LogSink, NoRuntime, OutsideHttp, Request,
    Response, TicketKeys, Tls,
};

use crate::client::DEADLINE;

/// Serves until it is dropped.
pub(crate) struct Running {
    pub(crate) server: Arc<OutsideHttp>,
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Sink>,
    thread: Option<thread::JoinHandle<Result<(), Error>>>,
}

impl Running {
    /// With these certificates, and a route that answers hello.
    pub(crate) fn start(files: &[CertificateFiles]) -> Self {
        Self::configured(files, &TicketKeys::default(), |_| ())
    }

    pub(crate) fn configured(
        files: &[CertificateFiles],
        keys: &TicketKeys,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let log = Arc::<Sink>::default();
        let mut server =
            OutsideHttp::new(("127.0.0.1", 0)).unwrap().embedded(Arc::new(NoRuntime), Arc::clone(&log) as _);
        server.config.access_log = AccessLog::Common;
        configure(&mut server.config);
        let server = Arc::new(server);
        server.set_route("/", |request: &Request| Response::text(format!("hello over {}", request.scheme()))).unwrap();
        let tls = (!files.is_empty()).then(|| Tls::new(files.to_vec(), keys).unwrap());
        let running = Arc::clone(&server);
        let run = move || {
            let address = Address::resolve(("127.0.0.1", 0))?;
            let listeners = Listener::bind_each(&address, 1024, running.config.reactors)?;
            let listeners: Vec<_> = listeners.into_iter().map(|listener| listener.with_tls(tls.clone())).collect();
            running.run_with::<Error>(running.enter()?, listeners, &running.config, |_| (), || Ok(()))
        };
        let thread = Some(thread::spawn(run));
        assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
        let address = server.address().and_then(|address| address.socket_addr()).unwrap();
        Self { server, address, log, thread }
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

/// The events of its log.
#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) events: Mutex<Vec<(Level, String)>>,
    pub(crate) lines: Mutex<String>,
    more: Condvar,
}

impl Sink {
    /// Waits until an event of this level contains this text.
    pub(crate) fn wait_for(&self, level: Level, part: &str) {
        let deadline = Instant::now() + DEADLINE;
        let mut events = self.events.lock().unwrap();
        while !events.iter().any(|(told, text)| *told == level && text.contains(part)) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{part:?} was not told, only {events:?}");
            events = self.more.wait_timeout(events, left).unwrap().0;
        }
    }
}

impl LogSink for Sink {
    fn access(&self, lines: &[u8]) {
        self.lines.lock().unwrap().push_str(std::str::from_utf8(lines).unwrap());
    }

    fn event(&self, level: Level, text: &str) {
        self.events.lock().unwrap().push((level, text.to_owned()));
        self.more.notify_all();
    }
}
