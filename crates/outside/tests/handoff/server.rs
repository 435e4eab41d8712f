//! A server of this process, and gates at which its handlers wait.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use outside::{Address, Config, Error, IntoHandler, Level, Listener, LogSink, NoRuntime, OutsideHttp, Request};

use crate::client::DEADLINE;

/// Serves until it is dropped.
pub(crate) struct Running {
    pub(crate) server: Arc<OutsideHttp>,
    pub(crate) address: SocketAddr,
    thread: Option<thread::JoinHandle<Result<(), Error>>>,
}

impl Running {
    pub(crate) fn start(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(false, configure)
    }

    /// With one queue for all reactors if it is shared, else one for each.
    pub(crate) fn start_on(shared: bool, configure: impl FnOnce(&mut Config)) -> Self {
        let mut server = OutsideHttp::new(("127.0.0.1", 0)).unwrap().embedded(Arc::new(NoRuntime), Arc::new(Silent));
        server.config.access_log = crate::SILENT;
        configure(&mut server.config);
        let server = Arc::new(server);
        let running = Arc::clone(&server);
        let run = move || {
            let address = Address::resolve(("127.0.0.1", 0))?;
            let listeners = match shared {
                true => vec![Listener::bind(&address, 1024, false)?],
                false => Listener::bind_each(&address, 1024, running.config.reactors)?,
            };
            running.run_with::<Error>(running.enter()?, listeners, &running.config, |_| (), || Ok(()))
        };
        let thread = Some(thread::spawn(run));
        assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
        let address = server.address().and_then(|address| address.socket_addr()).unwrap();
        Self { server, address, thread }
    }

    /// Ends the server and waits for its end.
    pub(crate) fn stop(mut self) {
        self.server.terminate(false);
        self.thread.take().unwrap().join().unwrap().unwrap();
    }

    pub(crate) fn set_route<Kind>(&self, route: &str, handler: impl IntoHandler<Kind>) {
        self.server.set_route(route, handler).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.terminate(false);
        let Some(thread) = self.thread.take() else { return };
        let result = thread.join();
        if !thread::panicking() {
            result.unwrap().unwrap();
        }
    }
}

struct Silent;

impl LogSink for Silent {
    fn access(&self, _lines: &[u8]) {}

    fn event(&self, _level: Level, _text: &str) {}
}

/// Handlers wait here until the test opens it. Dropping it opens it too, so that a failed test ends.
#[derive(Default)]
pub(crate) struct Gate(Arc<Way>);

#[derive(Default)]
struct Way {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    guests: usize,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A handler that waits here and then answers with this.
    pub(crate) fn handler(&self, answer: &'static str) -> impl Fn(&Request) -> &'static str + Send + Sync + use<> {
        let way = Arc::clone(&self.0);
        move |_| {
            let mut state = way.state.lock().unwrap();
            state.guests += 1;
            way.changed.notify_all();
            while !state.open {
                state = way.changed.wait(state).unwrap();
            }
            answer
        }
    }

    /// Whether a handler has arrived.
    pub(crate) fn enter(&self) {
        self.0.state.lock().unwrap().guests += 1;
        self.0.changed.notify_all();
    }

    pub(crate) fn open(&self) {
        self.0.state.lock().unwrap().open = true;
        self.0.changed.notify_all();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.state.lock().unwrap().open
    }

    /// Number of handlers that have arrived.
    pub(crate) fn guests(&self) -> usize {
        self.0.state.lock().unwrap().guests
    }

    pub(crate) fn wait_for_guests(&self, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.0.state.lock().unwrap();
        while state.guests < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "{} of {count} have come", state.guests);
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Number of descriptors that this process may have; raised as far as allowed.
pub(crate) fn descriptors() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap())
}
