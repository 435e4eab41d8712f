//! Automatic certificates: obtained from an authority and renewed, for years (ACME, RFC 8555, RFC 9773).
//!
//! One thread with an event loop of its own in each process that serves: signing and looking up names take milliseconds,
//! and belong on no reactor. Of all processes, the one that has the lock of a certificate orders it; every process
//! answers the challenges, and takes the new file over as it takes the files of users. The order of the files: `schedule`
//! decides, `keeper` does it, `order` talks to the authority by `client`, `verify` checks the result, `storage` keeps it.
//! Where several machines have a bus, one of all orders (`fleet`), and a keeper of each takes part in that (`machines`).

mod client;
mod clock;
mod failure;
mod fleet;
mod hooks;
mod keeper;
mod machines;
mod order;
mod plan;
mod prepared;
mod proof;
mod schedule;
mod seal;
mod state;
mod status;
mod storage;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

pub(crate) use fleet::Fleet;
pub(crate) use hooks::TakeOver;
pub use hooks::{CertificateHooks, DnsRecord, OnCertificate, SetDnsRecord};
use keeper::{Common, KEEPING, Keeper};
use plan::Plan;
pub(crate) use prepared::Prepared;
use schedule::Wish;
use state::CertificateState;
pub use status::{CertificateStatus, certificate_status, renew_certificates};
use storage::{Presence, Storage, certificate_file};

use crate::config::{Config, Domain};
use crate::error::Error;
use crate::log::Log;
use crate::transport::{Challenges, ManagedCertificate};

/// The stage in which no certificate is ordered any more; challenges are still answered.
const ENDING: u8 = 1;
const ENDED: u8 = 2;
/// Orders of one process at one time.
const MOST_ORDERS: usize = 4;
/// Interval at which the folder of challenges is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Time that the end of a server waits for an order in progress, which would be made again otherwise.
const PATIENCE: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(10);

/// Checks the configuration, and prepares the storage, before anything is bound.
///
/// # Errors
/// A name cannot be signed or proved, or the storage cannot be written.
pub(crate) fn prepare(config: &Config) -> Result<Prepared, Error> {
    let plan = Plan::of(config)?;
    let warnings = plan.storage.prepare()?;
    plan.storage.remove_remnants();
    let certificates = plan.domains.iter().map(|domain| ManagedCertificate {
        names: domain.names().to_vec(),
        file: certificate_file(&plan.storage.folder(domain.names())),
    });
    Ok(Prepared { certificates: certificates.collect(), challenges: plan.storage.challenges(), warnings })
}

/// Has the process that leads forget the pause after a failure, once: the effect of SIGHUP.
pub(crate) fn retry_soon(config: &Config) {
    if let Ok(storage) = Storage::locate(config) {
        config.domains.iter().for_each(|domain| retry(&storage.folder(domain.names())));
    }
}

fn retry(folder: &Path) {
    if CertificateState::read(folder).history.failures > 0 {
        Wish::Retry.leave(folder).unwrap_or_default();
    }
}

/// The certificates of a server that runs.
pub(crate) struct Certificates {
    stage: Arc<AtomicU8>,
    busy: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
    folders: Vec<PathBuf>,
}

impl Certificates {
    /// Starts the thread. `fleet`: the other machines with the same names, where the configuration has a bus.
    ///
    /// # Errors
    /// The system refuses a thread, or the configuration has changed since it was prepared.
    pub(crate) fn start(
        config: &Config,
        hooks: CertificateHooks,
        take_over: TakeOver,
        memory: &Arc<Challenges>,
        fleet: Option<Fleet>,
        log: &Arc<Log>,
    ) -> Result<Self, Error> {
        let (stage, busy) = (Arc::new(AtomicU8::new(KEEPING)), Arc::<AtomicUsize>::default());
        let plan = Plan::of(config)?;
        let common = Arc::new(Common {
            presence: Presence::join(&plan.storage.challenges()).ok().map(Arc::new),
            plan,
            hooks,
            take_over,
            memory: Arc::clone(memory),
            fleet: fleet.map(Arc::new),
            log: Arc::clone(log),
            stage: Arc::clone(&stage),
            busy: Arc::clone(&busy),
            permits: Semaphore::new(MOST_ORDERS),
        });
        let storage = &common.plan.storage;
        let folders = common.plan.domains.iter().map(|domain| storage.folder(domain.names())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("outside-certs".into());
        let thread = thread.spawn(move || {
            runtime.block_on(keep(&common));
            // A question to the authority may still wait for its answer.
            runtime.shutdown_background();
        })?;
        Ok(Self { stage, busy, thread, folders })
    }

    /// As [`retry_soon`].
    pub(crate) fn retry(&self) {
        self.folders.iter().for_each(|folder| retry(folder));
    }

    /// Lets other processes lead: this one begins to drain.
    pub(crate) fn drain(&self) {
        self.stage.fetch_max(ENDING, Ordering::SeqCst);
    }

    /// Ends the thread, after the orders in progress if they take little time, or at most this time.
    pub(crate) fn end(self, patience: Duration) {
        self.drain();
        let deadline = Instant::now() + patience.max(PATIENCE);
        while self.busy.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
        self.stage.store(ENDED, Ordering::SeqCst);
        let deadline = Instant::now() + PATIENCE;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
    }
}

async fn keep(common: &Arc<Common>) {
    let names = common.plan.domains.iter().map(Domain::names);
    let mut tasks: Vec<_> = names.map(|names| tokio::spawn(Keeper::new(common, names).run())).collect();
    tasks.extend(common.fleet.clone().map(|fleet| tokio::spawn(fleet.watch())));
    while common.stage.load(Ordering::SeqCst) != ENDED {
        common.memory.refresh();
        tokio::time::sleep(LOOK).await;
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}
