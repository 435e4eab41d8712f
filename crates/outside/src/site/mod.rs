//! What is served: routes, error handlers, hooks; and what an error looks like.
//!
//! A [`Site`] can be changed at any time from any thread. Connections work on a [`Snapshot`], which never changes, and
//! take a new one when the version has moved on.

mod front;
mod pages;
mod policy;
mod to_https;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use front::{Front, unnamed_hosts};
pub use pages::error_page;
pub(crate) use policy::Policy;
pub(crate) use to_https::{ToHttps, redirect};

use crate::error::Error;
use crate::files::Store;
use crate::handler::{Function, Handler};
use crate::message::{HostPattern, Request, Response};
use crate::route::Routes;
use crate::websocket::Hub;

/// Makes the answer for a status code.
pub trait ErrorHandler: Send + Sync {
    /// Never called for a request whose head could not be read. `attachment` is that of the error, or what the gate has
    /// left: see [`Error::with_attachment`].
    fn call(
        &self,
        request: Option<&Arc<Request>>,
        code: u16,
        message: Option<&str>,
        attachment: Option<&(dyn Any + Send)>,
    ) -> Result<Response, Error>;
}

/// Callbacks around each answer, run in the executor.
pub trait Hooks: Send + Sync {
    /// Just before the head is written; may change the response.
    fn before_send(&self, request: Option<&Arc<Request>>, response: &mut Response) -> Result<(), Error>;

    /// Is [`Hooks::after`] worth calling?
    fn wants_after(&self) -> bool;

    /// After the last byte was written and logged.
    fn after(&self, request: Option<&Arc<Request>>, response: Response);
}

/// A site at one moment.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) routes: Routes,
    pub(crate) error_handlers: BTreeMap<u16, Arc<dyn ErrorHandler>>,
    pub(crate) hooks: Option<Arc<dyn Hooks>>,
    /// What is asked before anything that is no function answers: files, redirects, WebSockets, 404 and 405. It answers
    /// itself, or with [`Response::pass`].
    pub(crate) gate: Option<Arc<Function>>,
    /// What every answer says to browsers; `None`: nothing.
    pub(crate) policy: Option<Arc<Policy>>,
    /// What is kept of files, and the settings for them.
    pub(crate) store: Arc<Store>,
}

impl Snapshot {
    /// Is user code to run before an answer of the server's own with this status is sent?
    pub(crate) fn involves_user(&self, status: u16) -> bool {
        self.hooks.is_some() || self.error_handlers.contains_key(&status)
    }

    /// Changes what every answer says.
    pub(crate) fn edit_policy(&mut self, edit: impl FnOnce(&mut Policy)) {
        let mut policy = self.policy.take().map(Arc::unwrap_or_clone).unwrap_or_default();
        edit(&mut policy);
        self.policy = (!policy.is_empty()).then(|| Arc::new(policy));
    }
}

/// What is served, open to change.
#[derive(Default)]
pub(crate) struct Site {
    /// The topics of its WebSockets.
    pub(crate) hub: Hub,
    version: AtomicU64,
    current: Mutex<Arc<Snapshot>>,
}

impl Site {
    /// Changes the site for the requests that come after. Nothing changes if the edit fails.
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

    /// Makes sure that `held` is the newest snapshot; nearly always one load and one comparison.
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
