//! The public types of a server: the server itself, a server that only redirects, and an answer made without a server.

mod application;
mod around;
mod certificates;
mod error_function;
mod heard_signals;
mod metrics;
mod open_bus;
mod places;
mod redirect;
mod routes;
mod scheduled;
mod server_run;
mod signals;
mod test_client;
mod topics;

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use error_function::ErrorFunction;
pub use heard_signals::HeardSignals;
pub use open_bus::OpenBus;
pub use places::Security;
pub use redirect::OutsideHttpRedirect;
pub use scheduled::ScheduledResponse;
pub use server_run::ServerRun;
pub use test_client::{TestClient, TestRequest, TestResponse, TestWebSocket};

use crate::certificates::CertificateHooks;
use crate::config::Config;
use crate::error::Error;
use crate::handler::{Handler, IntoHandler, LanguageRuntime, NoRuntime};
use crate::hub::LocalHub;
use crate::log::{Level, LogSink, StandardError};
use crate::message::{Cors, IntoAnswer, Request};
use crate::metrics::Meter;
use crate::server::{Control, Running};
use crate::site::{ErrorHandler, Hooks, Site, unnamed_hosts};
use crate::transport::{Address, ConnectionSource, Endpoint, ListenerRole, Listeners, SocketFile, TicketKeys};

/// An HTTP server.
///
/// Routes and error handlers can be set before and while it runs, from any thread.
///
/// ```no_run
/// use outside::{OutsideHttp, Request, Response};
///
/// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
/// server.set_route("/hello", |_request: &Request| Response::text("Hello, World!"))?;
/// server.run()?;
/// # Ok::<(), outside::Error>(())
/// ```
pub struct OutsideHttp {
    /// The settings, read when the server starts.
    pub config: Config,
    /// The addresses of the constructor's host.
    addresses: Vec<Address>,
    /// Further places to listen at, with their security.
    also: Mutex<Vec<(Vec<Address>, Security)>>,
    site: Arc<Site>,
    control: Arc<Control>,
    listening: Arc<Listening>,
    host: Arc<dyn LanguageRuntime>,
    sink: Arc<dyn LogSink>,
    ticket_keys: TicketKeys,
    certificate_hooks: Mutex<CertificateHooks>,
    /// The broker, while it is used.
    open_bus: Mutex<Weak<OpenBus>>,
    meter: Arc<Meter>,
}

/// The endpoints where a server listens, with a condition for threads that wait for them.
#[derive(Default)]
struct Listening {
    endpoints: Mutex<Vec<Endpoint>>,
    changed: Condvar,
}

impl OutsideHttp {
    /// A server for this address: an IP address or a host name (all its addresses), and a port (0: a free one). Nothing is bound yet.
    ///
    /// # Errors
    /// The address is invalid, or its host name cannot be resolved.
    pub fn new(host: impl ToSocketAddrs) -> Result<Self, Error> {
        Ok(Self::at(Address::resolve_all(host)?))
    }

    /// The same for any kind of address, or several of one host.
    pub fn at(addresses: impl Into<Vec<Address>>) -> Self {
        let site = Arc::<Site>::default();
        site.topics.set_local(LocalHub::make);
        Self {
            config: Config::default(),
            addresses: addresses.into(),
            also: Mutex::default(),
            site,
            control: Control::new(),
            listening: Arc::default(),
            host: Arc::new(NoRuntime),
            sink: Arc::new(StandardError),
            ticket_keys: TicketKeys::default(),
            certificate_hooks: Mutex::default(),
            open_bus: Mutex::default(),
            meter: Arc::default(),
        }
    }

    /// The same server with another frame around its handlers and another sink for its log: for bindings.
    #[must_use]
    pub fn embedded(mut self, host: Arc<dyn LanguageRuntime>, sink: Arc<dyn LogSink>) -> Self {
        self.host = host;
        self.sink = sink;
        self
    }

    /// Adds a route or replaces it. The route owns its path and everything below it; the longest match wins; `/`
    /// answers the requests that match no other route.
    ///
    /// The handler is a function of `&Request`, a [`crate::FilePath`] or a [`crate::Folder`]. It may return a
    /// [`crate::Response`], a `Result` of one, text, bytes, JSON, `(body, code)` or `(code, message)`; state is shared by capturing
    /// an `Arc`.
    ///
    /// # Errors
    /// The route is not an absolute path, or there is no file or folder where the handler says.
    pub fn set_route<Kind>(&self, route: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        let name = handler.route_name();
        self.site.set_route(None, route, handler.into_handler()?)?;
        match name {
            Some(name) => self.name_route(&name, route),
            None => Ok(()),
        }
    }

    /// The same for requests for one host: a name, an IP address, or all names below one (`*.example.com`). Of all
    /// routes that match, those of the very host come first, then those of the nearest name above it, then those of
    /// all hosts.
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// use outside::Request;
    /// server.set_route_for("api.example.com", "/", |_: &Request| "the API")?;
    /// server.set_route("/", |_: &Request| "everything else")?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`OutsideHttp::set_route`]; or the host is no valid host pattern.
    pub fn set_route_for<Kind>(&self, host: &str, route: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        self.site.set_route(Some(&host.parse()?), route, handler.into_handler()?)
    }

    /// Removes a route; later requests do not find it.
    ///
    /// # Errors
    /// There is no such route; the text names the routes that exist.
    pub fn remove_route(&self, route: &str) -> Result<(), Error> {
        self.site.edit(|site| site.routes.remove(None, route))
    }

    /// Removes a route of one host.
    ///
    /// # Errors
    /// As [`OutsideHttp::remove_route`]; or the host is no valid host pattern.
    pub fn remove_route_for(&self, host: &str, route: &str) -> Result<(), Error> {
        let host = host.parse()?;
        self.site.edit(|site| site.routes.remove(Some(&host), route))
    }

    /// Sets the error handler for this status code. It makes the answers of the server itself with this code, and those
    /// that handlers ask for with [`Error::status`].
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// use outside::{Request, Response};
    /// server.set_errorhandler(404, |_: Option<&Request>, _: Option<&str>| Response::text("Nothing here").with_status(404))?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// The code is outside 400 to 599.
    pub fn set_errorhandler<F, A>(&self, code: u16, handler: F) -> Result<(), Error>
    where
        F: Fn(Option<&Request>, Option<&str>) -> A + Send + Sync + 'static,
        A: IntoAnswer + 'static,
    {
        self.set_foreign_errorhandler(code, Arc::new(ErrorFunction(handler)))
    }

    /// The same for a handler of another language: for bindings.
    ///
    /// # Errors
    /// The code is outside 400 to 599.
    pub fn set_foreign_errorhandler(&self, code: u16, handler: Arc<dyn ErrorHandler>) -> Result<(), Error> {
        if !(400..=599).contains(&code) {
            return Err(Error::new(format!("an error code is one of 400 to 599, not {code}")));
        }
        self.site.edit(|site| {
            site.error_handlers.insert(code, handler);
            Ok(())
        })
    }

    /// Removes the error handler of this code; the built-in page answers again.
    pub fn remove_errorhandler(&self, code: u16) {
        let removed = self.site.edit(|site| {
            site.error_handlers.remove(&code);
            Ok(())
        });
        debug_assert!(removed.is_ok(), "taking something out of a map cannot fail");
    }

    /// Sets the CORS rules for paths below this one, in place of `config.cors`.
    pub fn set_cors(&self, path: &str, cors: Cors) {
        let changed = self.site.edit(|site| {
            site.edit_policy(|policy| policy.set_below(path, cors));
            Ok(())
        });
        debug_assert!(changed.is_ok(), "setting a field cannot fail");
    }

    /// Sets or takes away the callbacks around each answer: for bindings.
    pub fn set_hooks(&self, hooks: Option<Arc<dyn Hooks>>) {
        let changed = self.site.edit(|site| {
            site.hooks = hooks;
            Ok(())
        });
        debug_assert!(changed.is_ok(), "setting a field cannot fail");
    }

    /// The routes at this moment, by path; the path of a route of one host has the host before it.
    pub fn routes(&self) -> BTreeMap<String, Handler> {
        let site = self.site.snapshot();
        site.routes.iter().map(|route| (route.name.clone(), route.handler.clone())).collect()
    }

    /// The codes that have an error handler, at this moment.
    pub fn error_codes(&self) -> Vec<u16> {
        self.site.snapshot().error_handlers.keys().copied().collect()
    }

    /// Binds, serves until terminated, and returns. SIGINT and SIGTERM terminate gracefully; a second one cuts at once.
    /// SIGHUP has certificates read again, which also happens by itself when their files change; it ends the server
    /// gracefully when the terminal was closed, and stays ignored if it was.
    ///
    /// # Errors
    /// A certificate cannot be used ([`crate::tls::CertificateError`]), the address cannot be bound, or the system refuses a
    /// thread.
    pub fn run(&self) -> Result<(), Error> {
        self.run_telling(|endpoints| {
            for (index, endpoint) in endpoints.iter().enumerate() {
                let advice = if index + 1 == endpoints.len() { " (Ctrl+C stops it)" } else { "" };
                eprintln!("outside is serving on {endpoint}{advice}");
            }
            if let (Some(path), Some(endpoint)) = (self.debug_path(), endpoints.first()) {
                eprintln!("Pages about errors are for a browser that has opened {endpoint}{path}");
            }
        })
    }

    /// The same, but calls `started` with the endpoints instead of writing lines to standard error. Their order: the
    /// constructor's, the added ones, then those where clients are redirected to TLS.
    ///
    /// # Errors
    /// As [`OutsideHttp::run`].
    pub fn run_telling(&self, started: impl FnOnce(&[Endpoint])) -> Result<(), Error> {
        let server_run = self.enter()?;
        let signals = signals::Signals::watch(&server_run)?;
        self.run_entered(server_run, started, || {
            signals.pass_on(&self.control);
            Ok(())
        })
    }

    /// The same without watching signals, for bindings. `on_wake` is called each time this thread wakes, because a signal
    /// or another event may be pending.
    ///
    /// # Errors
    /// As [`OutsideHttp::run`], or the error that `on_wake` returned.
    pub fn run_entered<E: From<Error>>(
        &self,
        server_run: ServerRun,
        started: impl FnOnce(&[Endpoint]),
        on_wake: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let listeners = self.open(&self.addresses, &self.config, &self.ticket_keys, self.config.reactors)?;
        let files = listeners.files();
        let result = self.run_with(server_run, listeners, &self.config, started, on_wake);
        files.into_iter().for_each(SocketFile::remove);
        result
    }

    /// Warns in the log if handlers are called for any host name and the server can be reached from other machines.
    fn warn_of_hosts(&self, listeners: &Listeners, config: &Config) {
        // A file or a redirect is the same for every host name.
        let is_plain = |handler: &Handler| matches!(handler, Handler::Files(_) | Handler::Redirect(_));
        let site = self.site.snapshot();
        if site.routes.iter().all(|route| is_plain(&route.handler)) && site.routes.patterns().is_empty() {
            return;
        }
        let site = listeners.iter().filter(|listener| listener.role() == ListenerRole::Serve);
        let mut addresses = site.filter_map(|listener| listener.address().socket_addr());
        if let Some(text) = addresses.find_map(|address| unnamed_hosts(config, address)) {
            self.sink.event(Level::Warning, &text);
        }
    }

    /// Begins a run: from here on [`OutsideHttp::terminate`] has an effect. For [`OutsideHttp::run_with`].
    ///
    /// # Errors
    /// The server is running already.
    pub fn enter(&self) -> Result<ServerRun, Error> {
        match self.control.enter()? {
            Some(wake_pipe) => Ok(ServerRun { control: Arc::clone(&self.control), wake_pipe }),
            None => Err(Error::new("this server is running already")),
        }
    }

    /// The same with other settings, on listeners that are bound already, or on none: for bindings.
    ///
    /// # Errors
    /// There is no listener, the system refuses a thread, or `on_wake` returned an error.
    pub fn run_with<E: From<Error>>(
        &self,
        server_run: ServerRun,
        source: impl Into<ConnectionSource>,
        config: &Config,
        started: impl FnOnce(&[Endpoint]),
        on_wake: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let sink = Arc::clone(&self.sink);
        let control = (Arc::clone(&self.control), Arc::clone(&server_run.wake_pipe));
        let config = &config.with_domains();
        let bus = self.open_bus(config)?;
        let source = source.into();
        let meter = self.meter_of(config, &source)?;
        if let (Some(bus), Some(meter)) = (&bus, &meter) {
            bus.count_in(meter);
        }
        let running = Running::start(source, config, &self.site, &self.host, sink, control, meter)?;
        let hooks = self.certificate_hooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let running = running.keep_certificates(config, hooks)?;
        let endpoints = running.endpoints().to_vec();
        started(&endpoints);
        self.listening.set(endpoints);
        let result = running.serve(config, on_wake);
        self.listening.set(Vec::new());
        drop(server_run);
        result
    }

    /// The address where the server listens; `None` if it does not run. Of several, the constructor's.
    pub fn address(&self) -> Option<Address> {
        self.listening.lock().first().map(|endpoint| endpoint.address.clone())
    }

    /// All endpoints where the server listens: the constructor's, the added ones, and those where clients are
    /// redirected to TLS.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.listening.lock().clone()
    }

    /// Waits until the server listens. Returns whether it does; `false` after `at_most`.
    pub fn wait_until_ready(&self, at_most: Option<Duration>) -> bool {
        let deadline = at_most.map(|time| Instant::now() + time);
        let mut endpoints = self.listening.lock();
        while endpoints.is_empty() {
            let left = deadline.map_or(Duration::from_secs(3600), |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let waited = self.listening.changed.wait_timeout(endpoints, left);
            endpoints = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends the server gracefully: it accepts no connections, completes the answers in flight, and cuts those that are
    /// left after `termination_timeout`. With `at_once`, a second call cuts them immediately. Has no effect if the
    /// server does not run.
    pub fn terminate(&self, at_once: bool) {
        self.control.terminate(at_once);
    }

    /// Ends the server after another process has taken its listeners over. It accepts no connections. An idle
    /// connection may send one more request until `drain_idle`, which is answered with `Connection: close`. Then as
    /// [`OutsideHttp::terminate`].
    pub fn retire(&self) {
        self.control.retire();
    }

    /// The effect of SIGHUP: certificates whose files have changed are read again at once; the log names faulty ones.
    /// If the terminal from which the server was started is closed, the server ends.
    pub fn hang_up(&self) {
        self.control.hang_up();
    }

    /// Whether the end of this run, or of the last one, has begun.
    pub fn is_terminating(&self) -> bool {
        self.control.is_terminating()
    }

    /// Whether the server accepts no more connections: it has been asked to end, and `drain_delay` is over.
    pub fn is_draining(&self) -> bool {
        self.control.is_draining()
    }
}

impl std::fmt::Debug for OutsideHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address().as_ref().or(self.addresses.first()) {
            Some(address) => write!(f, "OutsideHttp({address})"),
            None => f.write_str("OutsideHttp"),
        }
    }
}

impl Listening {
    fn set(&self, endpoints: Vec<Endpoint>) {
        *self.lock() = endpoints;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
