//! The site: routes, error handlers, hooks, and the built-in error pages.
//!
//! A `Site` can be changed at any time from any thread. Connections work on a `Snapshot`, which never changes, and
//! take a new one when the version has moved on.
//!
//! ```
//! use outside::{OutsideHttp, Request, Response, site};
//!
//! let server = OutsideHttp::new(("127.0.0.1", 8080))?;
//! server.set_errorhandler(404, |request: Option<&Request>, message: Option<&str>| {
//!     let mut page: Response = site::error_page(request, 404, message);
//!     page.headers_mut().set("Cache-Control", "no-store")?;
//!     Ok::<_, outside::Error>(page)
//! })?;
//! # Ok::<(), outside::Error>(())
//! ```

mod application;
mod around;
mod debug;
mod front;
mod hosts;
mod hsts;
mod pages;
mod policy;
mod proxies;
mod shared;
mod to_https;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use application::{SiteApplication, set_site};
pub(crate) use around::{AfterFunction, BeforeFunction, CaughtAny, CaughtType, after, before};
pub(crate) use debug::{DEBUG_PATH, DebugPages, make_token, take_panic};
pub(crate) use front::Front;
pub(crate) use hosts::unnamed_hosts;
pub use pages::error_page;
pub(crate) use policy::Policy;
pub(crate) use shared::SiteShared;
pub(crate) use to_https::{ToHttps, redirect};

use crate::error::Error;
use crate::files::Store;
use crate::handler::{Function, Handler};
use crate::message::{HostPattern, Request, Response};
use crate::route::{RouteChoice, Routes};
use crate::websocket::Topics;

/// Makes the answer for a status code.
pub trait ErrorHandler: Send + Sync {
    /// Makes the answer. Never called for a request whose head could not be read. `attachment` comes from the error or
    /// from the gate: see [`Error::with_attachment`].
    fn call(
        &self,
        request: Option<&Arc<Request>>,
        code: u16,
        message: Option<&str>,
        attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error>;

    /// The same with the error itself, for handlers of the engine's own language.
    fn answer(
        &self,
        request: &Arc<Request>,
        error: &Error,
        attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error> {
        self.call(Some(request), error.code(), error.public_message(), attachment)
    }

    /// Whether it is for errors of one type, and this is one.
    fn takes(&self, error: &Error) -> bool {
        let _ = error; // most are for a code
        false
    }
}

/// Callbacks around each answer, run in the executor.
pub trait Hooks: Send + Sync {
    /// Just before the head is written; may change the response.
    fn before_send(&self, request: Option<&Arc<Request>>, response: &mut Response) -> Result<(), Error>;

    /// Whether [`Hooks::after`] has anything to do.
    fn wants_after(&self) -> bool;

    /// After the last byte was written and logged.
    fn after(&self, request: Option<&Arc<Request>>, response: Response);
}

/// A site at one moment.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) routes: Routes,
    pub(crate) error_handlers: BTreeMap<u16, Arc<dyn ErrorHandler>>,
    /// Asked before those, for every code.
    pub(crate) any_error_handler: Option<Arc<dyn ErrorHandler>>,
    /// Handlers of errors by type, and the one of all errors without any other, of the Rust face.
    pub(crate) caught: Vec<Arc<dyn ErrorHandler>>,
    pub(crate) catch_all: Option<Arc<dyn ErrorHandler>>,
    /// Functions of the Rust face around handlers; the gate and the hooks call them too.
    pub(crate) before: Vec<Arc<BeforeFunction>>,
    /// The pages about errors, in debug mode of the Rust face.
    pub(crate) debug: Option<Arc<DebugPages>>,
    pub(crate) after: Vec<Arc<AfterFunction>>,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    /// Called before an answer that no function makes: files, redirects, WebSockets, 404 and 405. It answers itself, or
    /// returns [`Response::pass`].
    pub(crate) gate: Option<Arc<Function>>,
    /// Whether the gate is for WebSockets alone.
    pub(crate) gates_websockets_only: bool,
    /// The fields for browsers that every answer gets; `None`: none.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The cache of files, with its settings.
    pub(crate) store: Arc<Store>,
}

impl Snapshot {
    /// Whether user code runs before the server's own answer with this status is sent.
    pub(crate) fn involves_user(&self, status: u16) -> bool {
        self.hooks.is_some() || self.error_handler(status).is_some()
    }

    /// Whether an answer to this request is finished by the executor: hooks change it, or its session may be written.
    pub(crate) fn finishes(&self, request: Option<&Request>) -> bool {
        self.hooks.is_some() || request.is_some_and(Request::has_state)
    }

    /// What makes the answer for this status in place of the built-in page.
    pub(crate) fn error_handler(&self, status: u16) -> Option<&Arc<dyn ErrorHandler>> {
        let of_code = self.any_error_handler.as_ref().or_else(|| self.error_handlers.get(&status));
        of_code.or_else(|| self.catch_all.as_ref().filter(|_| status >= 400))
    }

    /// Changes the fields that every answer gets.
    pub(crate) fn edit_policy(&mut self, edit: impl FnOnce(&mut Policy)) {
        let mut policy = self.policy.take().map(Arc::unwrap_or_clone).unwrap_or_default();
        edit(&mut policy);
        self.policy = (!policy.is_empty()).then(|| Arc::new(policy));
    }
}

/// The site, which can be changed while connections work on a snapshot of it.
#[derive(Default)]
pub(crate) struct Site {
    /// The topics of WebSockets and event streams.
    pub(crate) topics: Arc<Topics>,
    /// The state that all processes share.
    pub(crate) shared: SiteShared,
    /// Sessions and background functions.
    pub(crate) application: SiteApplication,
    version: AtomicU64,
    current: Mutex<Arc<Snapshot>>,
}

impl Site {
    /// Changes the site for later requests. If the edit fails, nothing changes.
    pub(crate) fn edit<R>(&self, edit: impl FnOnce(&mut Snapshot) -> Result<R, Error>) -> Result<R, Error> {
        let mut current = self.lock();
        let mut next = Snapshot::clone(&current);
        let result = edit(&mut next)?;
        *current = Arc::new(next);
        self.version.fetch_add(1, Ordering::Release);
        Ok(result)
    }

    /// Sets a route of a host, or of all hosts, or replaces it.
    pub(crate) fn set_route(&self, host: Option<&HostPattern>, path: &str, handler: Handler) -> Result<(), Error> {
        self.edit(|site| site.routes.set(host, path, handler))
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.lock())
    }

    /// Whether a hosted application answers this request.
    pub(crate) fn is_hosted(&self, request: &Request) -> bool {
        match self.snapshot().routes.choose(request) {
            RouteChoice::Plain(route) => route.handler.is_hosted(),
            RouteChoice::Pattern(handler, ..) => handler.is_hosted(),
            _ => false,
        }
    }

    /// Makes `held` the newest snapshot; nearly always one load and one comparison.
    ///
    /// [`Site::edit`] stores the new snapshot before it counts the version up. So a connection that sees the new
    /// version finds at least that snapshot behind the lock. The snapshot may be newer still; then the next call takes
    /// it again.
    pub(crate) fn refresh(&self, held: &mut (u64, Arc<Snapshot>)) {
        let version = self.version.load(Ordering::Acquire);
        if held.0 != version {
            *held = (version, self.snapshot());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Snapshot>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
