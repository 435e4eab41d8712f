//! The site as requests and programs see it: sessions, addresses, functions that run beside requests.

use std::any::Any;
use std::fmt::Display;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};

use super::{DebugPages, Site, make_token};
use crate::application::{Background, BackgroundResult, Session, Signer, run_future};
use crate::config::Config;
use crate::error::Error;
use crate::input::FromRequest;
use crate::message::Request;
use crate::websocket::Message;

/// How to make a secret, for errors about a missing one.
const HOW_TO: &str = "`openssl rand -base64 33` makes one, and server.config.secret takes it";

/// The parts of an application that a site keeps, as the configuration of its run has them.
#[derive(Default)]
pub(crate) struct SiteApplication {
    signer: RwLock<Option<Arc<Signer>>>,
    debug_token: OnceLock<Option<Arc<str>>>,
    pub(crate) background: Background,
}

impl Site {
    /// Begins a run with these settings. `report` writes a failure of a background function into the log.
    pub(crate) fn begin(
        &self,
        config: &Config,
        is_native: bool,
        report: impl Fn(String) + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let signer = Signer::new(&config.secret, config.session_life).map(Arc::new);
        *self.application.signer.write().unwrap_or_else(PoisonError::into_inner) = signer;
        self.application.background.begin(config.max_background, report);
        let token = if config.debug && is_native { self.debug_token() } else { None };
        let debug = token.map(|token| Arc::new(DebugPages::new(token)));
        self.edit(|site| {
            site.debug = debug;
            Ok(())
        })
    }

    /// The token for debug pages; made when it is first asked for.
    pub(crate) fn debug_token(&self) -> Option<Arc<str>> {
        self.application.debug_token.get_or_init(make_token).clone()
    }

    fn signer(&self) -> Option<Arc<Signer>> {
        self.application.signer.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells a request its site, unless it knows that already.
#[inline]
pub(crate) fn set_site(request: &mut Request, site: &Arc<Site>) {
    let known = request.owner.as_ref().map(|owner| owner.as_ptr().cast::<()>());
    if known != Some(Arc::as_ptr(site).cast::<()>()) {
        let site: Weak<Site> = Arc::downgrade(site);
        request.owner = Some(site);
    }
}

/// See [`Request::session`].
impl FromRequest for Session {
    fn from_request(request: &Request) -> Result<Self, Error> {
        request.session()
    }
}

impl Request {
    pub(super) fn site(&self) -> Option<Arc<Site>> {
        let owner: Arc<dyn Any + Send + Sync> = self.owner.as_ref()?.upgrade()?;
        owner.downcast().ok()
    }

    /// The session of this request: values in a signed cookie, read when first asked for. Answers vary with the cookie from
    /// then on. Examples stand at [`Session`].
    ///
    /// # Errors
    /// The server has no `config.secret`, or the request was made by hand.
    pub fn session(&self) -> Result<Session, Error> {
        Session::of(self, || {
            let site = self.site().ok_or_else(|| {
                Error::new(format!("request.session() is for requests of a server with config.secret; {HOW_TO}"))
            })?;
            site.signer()
                .ok_or_else(|| Error::new(format!("request.session() needs config.secret, which signs it; {HOW_TO}")))
        })
    }

    /// The path of a route of this server: by the name that [`named`](crate::handler::named) gave it, or by its pattern; with a
    /// value for each parameter, percent-encoded. Values that are no parameters become the query.
    ///
    /// ```
    /// use outside::handler::named;
    /// use outside::{Error, OutsideHttp, Request, Response};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// server.get("/users/{name}/issues/{id:int}", named("issue", |_: &Request| "an issue"))?;
    /// server.get("/", |request: &Request| -> Result<String, Error> {
    ///     request.url_for("issue", &[("name", &"ada l"), ("id", &7), ("page", &2)])
    /// })?;
    /// assert_eq!(server.test_client()?.get("/").send()?.text(), "/users/ada%20l/issues/7?page=2");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no such route (the text names those that exist), a value is missing, or one would not lead back to the route.
    pub fn url_for(&self, name: &str, values: &[(&str, &dyn Display)]) -> Result<String, Error> {
        let site = self.site().ok_or_else(|| Error::new("request.url_for() is for requests of a server"))?;
        site.snapshot().routes.url_for(name, values)
    }

    /// The same with scheme and host, as the client wrote them.
    ///
    /// # Errors
    /// As [`Request::url_for`].
    pub fn full_url_for(&self, name: &str, values: &[(&str, &dyn Display)]) -> Result<String, Error> {
        Ok(format!("{}://{}{}", self.scheme(), self.host(), self.url_for(name, values)?))
    }

    /// Sends a message to all WebSockets of this server that have subscribed to a topic: as
    /// [`OutsideHttp::publish`](crate::OutsideHttp::publish). Without effect for a request that was made by hand.
    ///
    /// ```
    /// use outside::{OutsideHttp, Request, WebSocket, WebSocketConnection};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// let subscribe = |connection: &WebSocketConnection| -> Result<(), outside::Error> {
    ///     connection.subscribe("news");
    ///     Ok(connection.send("subscribed")?)
    /// };
    /// server.set_route("/live", WebSocket::new().on_open(subscribe))?;
    /// server.post("/news", |request: &Request| request.publish("news", "it rains"))?;
    ///
    /// let client = server.test_client()?;
    /// let mut live = client.websocket("/live").open()?;
    /// live.recv()?;
    /// client.post("/news").send()?;
    /// assert_eq!(live.recv()?, "it rains".into());
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn publish(&self, topic: &str, message: impl Into<Message>) {
        if let Some(site) = self.site() {
            site.topics.publish(topic, &message.into());
        }
    }

    /// Runs a function on a thread of its own when the answer is out. It has no deadline; a failure goes to the log. The end
    /// of the server waits for it, for `termination_timeout` at most.
    ///
    /// ```
    /// use outside::{OutsideHttp, Request};
    ///
    /// let server = OutsideHttp::new(("127.0.0.1", 8080))?;
    /// let (sent, received) = std::sync::mpsc::channel();
    /// server.post("/orders", move |request: &Request| {
    ///     let sent = sent.clone();
    ///     request.after(move || sent.send("a mail"));
    ///     "ordered"
    /// })?;
    /// let client = server.test_client()?;
    /// assert_eq!(client.post("/orders").send()?.text(), "ordered");
    /// assert_eq!(received.recv()?, "a mail");
    /// # Ok::<(), outside::Error>(())
    /// ```
    pub fn after<R: BackgroundResult>(&self, function: impl FnOnce() -> R + Send + 'static) {
        let site = self.site();
        self.call_after(move || match &site {
            // A function that cannot be added is lost: its request is over.
            Some(site) => site.application.background.add_or_report(function),
            None => drop(function()),
        });
    }

    /// The same for a future, which may use tokio: timers, sockets, tasks.
    pub fn after_async<R: BackgroundResult>(&self, future: impl Future<Output = R> + Send + 'static) {
        self.after(move || run_future(future));
    }
}
