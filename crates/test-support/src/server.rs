//! A server of this process that speaks HTTP/2 without TLS, gates at which its handlers wait, and what it has logged.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use outside::{AccessLog, Address, Config, Error, IntoHandler, Level, Listener, LogSink, NoHost, OutsideHttp};

/// Nothing in these tests takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Serves until it is dropped.
pub(crate) struct Running {
    pub(crate) server: Arc<OutsideHttp>,
    pub(crate) address: SocketAddr,
    thread: Option<thread::JoinHandle<Result<(), Error>>>,
    log: Arc<Recorded>,
}

impl Running {
    pub(crate) fn start(configure: impl FnOnce(&mut Config)) -> Self {
        let log = Arc::new(Recorded::default());
        let mut server = OutsideHttp::new(("127.0.0.1", 0)).unwrap().embedded(Arc::new(NoHost), Arc::clone(&log) as _);
        server.config.access_log = AccessLog::Common;
        server.config.h2c = true;
        configure(&mut server.config);
        let server = Arc::new(server);
        let running = Arc::clone(&server);
        let run = move || {
            let listener = Listener::bind(&Address::resolve(("127.0.0.1", 0))?, 1024, false)?;
            running.run_with::<Error>(running.enter()?, vec![listener], &running.config, |_| (), || Ok(()))
        };
        let thread = Some(thread::spawn(run));
        assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
        let address = server.address().and_then(|address| address.socket_addr()).unwrap();
        Self { server, address, thread, log }
    }

    /// Ends it and waits for that.
    pub(crate) fn stop(&mut self) {
        self.server.terminate(false);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }

    pub(crate) fn set_route<Kind>(&self, route: &str, handler: impl IntoHandler<Kind>) {
        self.server.set_route(route, handler).unwrap();
    }

    /// The first line of the log, of accesses or events, that holds this; waits for it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "{text:?} is not in {lines:?}");
            lines = self.log.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// The lines so far that hold this.
    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        self.log.lines.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.terminate(false);
        self.server.terminate(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[derive(Default)]
struct Recorded {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl LogSink for Recorded {
    fn access(&self, lines: &[u8]) {
        self.lines.lock().unwrap().extend(String::from_utf8_lossy(lines).lines().map(str::to_owned));
        self.more.notify_all();
    }

    fn event(&self, _level: Level, text: &str) {
        self.lines.lock().unwrap().push(text.to_owned());
        self.more.notify_all();
    }
}

/// Where handlers wait until the test opens it. Dropping it opens it too, so that a failed test ends.
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
    /// Who has come, who is there, and how many ever were at a time.
    guests: usize,
    present: usize,
    most: usize,
}

impl Gate {
    /// A handler that waits here, then answers this.
    pub(crate) fn handler(
        &self,
        answer: &'static str,
    ) -> impl Fn(&outside::Request) -> &'static str + Send + Sync + use<> {
        let way = Arc::clone(&self.0);
        move |_| {
            let mut state = way.state.lock().unwrap();
            state.guests += 1;
            state.present += 1;
            state.most = state.most.max(state.present);
            way.changed.notify_all();
            while !state.open {
                state = way.changed.wait(state).unwrap();
            }
            state.present -= 1;
            way.changed.notify_all();
            answer
        }
    }

    pub(crate) fn open(&self) {
        self.0.state.lock().unwrap().open = true;
        self.0.changed.notify_all();
    }

    pub(crate) fn guests(&self) -> usize {
        self.0.state.lock().unwrap().guests
    }

    /// How many were there at a time, at most.
    pub(crate) fn most(&self) -> usize {
        self.0.state.lock().unwrap().most
    }

    pub(crate) fn wait_for_guests(&self, count: usize) {
        self.wait(|state| state.guests >= count);
    }

    pub(crate) fn wait_until_empty(&self) {
        self.wait(|state| state.present == 0);
    }

    fn wait(&self, until: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.0.state.lock().unwrap();
        while !until(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "{} have come, {} are there", state.guests, state.present);
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}
