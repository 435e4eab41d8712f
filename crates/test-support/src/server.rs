//! A server of this process, which records its log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use outside::config::AccessLog;
use outside::handler::{IntoHandler, NoRuntime};
use outside::listen::{Address, Listener};
use outside::{Config, Error, OutsideHttp};

pub use crate::deadline::DEADLINE;
use crate::log::Log;

/// Serves until it is dropped.
pub struct Running {
    pub server: Arc<OutsideHttp>,
    pub address: SocketAddr,
    pub log: Log,
    thread: Option<thread::JoinHandle<Result<(), Error>>>,
}

impl Running {
    /// HTTP without TLS and without access lines; a listener for each reactor.
    pub fn start(configure: impl FnOnce(&mut Config)) -> Self {
        Self::launch(configure, each_reactor)
    }

    /// The same with HTTP/2, and with access lines.
    pub fn start_h2c(configure: impl FnOnce(&mut Config)) -> Self {
        Self::start(|config| {
            config.access_log = AccessLog::Common;
            config.h2c = true;
            configure(config);
        })
    }

    /// On the listeners that `listen` binds.
    pub fn launch(
        configure: impl FnOnce(&mut Config),
        listen: impl FnOnce(&Config) -> Result<Vec<Listener>, Error> + Send + 'static,
    ) -> Self {
        let log = Log::default();
        let mut server =
            OutsideHttp::new(("127.0.0.1", 0)).unwrap().embedded(Arc::new(NoRuntime), Arc::new(log.clone()));
        server.config.access_log = AccessLog::Off;
        configure(&mut server.config);
        let server = Arc::new(server);
        let running = Arc::clone(&server);
        let run = move || {
            let listeners = listen(&running.config)?;
            running.run_with::<Error>(running.enter()?, listeners, &running.config, |_| (), || Ok(()))
        };
        let thread = Some(thread::spawn(run));
        assert!(server.wait_until_ready(Some(DEADLINE)), "not ready in time");
        let address = server.address().and_then(|address| address.socket_addr()).unwrap();
        Self { server, address, log, thread }
    }

    /// Ends it and waits for that.
    pub fn stop(mut self) {
        self.server.terminate(false);
        self.thread.take().unwrap().join().unwrap().unwrap();
    }

    pub fn set_route<Kind>(&self, route: &str, handler: impl IntoHandler<Kind>) {
        self.server.set_route(route, handler).unwrap();
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

/// A listener on a free port for each reactor.
pub fn each_reactor(config: &Config) -> Result<Vec<Listener>, Error> {
    Listener::bind_each(&Address::resolve(("127.0.0.1", 0))?, 1024, config.reactors)
}
