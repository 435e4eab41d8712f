//! One certificate, kept valid: in the process that leads for it, by the schedule; the others wait for the lead.

use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::client::CaClient;
use super::clock::{date, now, seconds};
use super::failure::AttemptFailure;
use super::fleet::{Fleet, MachineView, OrderRight, certificate_id};
use super::hooks::{CertificateHooks, TakeOver};
use super::order::{Attempt, Pauses, ask_advice, identifier_of};
use super::plan::{Authority, Plan, host_of};
use super::proof::Proofs;
use super::schedule::{Choice, Held, Step, Wish, advised, schedule, unadvised};
use super::state::CertificateState;
use super::storage::{self, Lead, Presence, certificate_file};
use super::verify::verify;
use crate::log::{Level, Log};
use crate::transport::{Challenges, Inspection, inspect};

/// The stage in which certificates are obtained; later ones are [`super::ENDING`] and [`super::ENDED`].
pub(super) const KEEPING: u8 = 0;

/// The parts that the keepers of all certificates share.
pub(super) struct Common {
    pub(super) plan: Plan,
    pub(super) hooks: CertificateHooks,
    pub(super) take_over: TakeOver,
    pub(super) memory: Arc<Challenges>,
    /// Other machines with the same names, where the configuration has a bus.
    pub(super) fleet: Option<Arc<Fleet>>,
    /// This process among those that answer challenges, unless the file system has no locks.
    pub(super) presence: Option<Arc<Presence>>,
    pub(super) log: Arc<Log>,
    pub(super) stage: Arc<AtomicU8>,
    /// Attempts that are in progress.
    pub(super) busy: Arc<AtomicUsize>,
    /// Orders at one time.
    pub(super) permits: Semaphore,
}

/// The keeper of one certificate.
pub(super) struct Keeper {
    pub(super) common: Arc<Common>,
    pub(super) names: Vec<String>,
    /// The name of the certificate on all machines.
    pub(super) id: String,
    pub(super) folder: PathBuf,
    pub(super) state: CertificateState,
    pub(super) machines: MachineView,
    held: Option<(FileIdentity, Inspection)>,
    /// The time before which nothing is tried, because the storage could not be written, or another machine orders.
    pub(super) blocked: u64,
    has_greeted: bool,
}

/// The metadata of a file that tell whether it was replaced.
type FileIdentity = (u64, i64, i64);

/// Interval at which the clock, the lead and wishes are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Seconds for which nothing is tried after the storage could not be written.
const BLOCKED: u64 = 60;
/// Seconds by which two clocks may differ before it is said.
const CLOCK_TOLERANCE: u64 = 3600;
/// Seconds by which the time of the next step may change before it is written down.
const COARSE: u64 = 30;
const DAY: u64 = 86_400;

/// A random number below a bound.
fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes) % below.max(1))
}

/// A panic is a failure of this attempt, and not the end of all renewals.
async fn caught<T>(work: impl Future<Output = Result<T, AttemptFailure>>) -> Result<T, AttemptFailure> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let fault = |_| Poll::Ready(Err(AttemptFailure::new("the client of the authority has a fault".to_owned())));
        polled.unwrap_or_else(fault)
    })
    .await
}

impl Keeper {
    pub(super) fn new(common: &Arc<Common>, names: &[String]) -> Self {
        Self {
            common: Arc::clone(common),
            names: names.to_vec(),
            id: certificate_id(names, &common.plan),
            folder: common.plan.storage.folder(names),
            state: CertificateState::default(),
            machines: MachineView::default(),
            held: None,
            blocked: 0,
            has_greeted: false,
        }
    }

    /// Until the process drains: then another one may lead.
    pub(super) async fn run(mut self) {
        let mut lead = None;
        while self.common.stage.load(Ordering::SeqCst) == KEEPING {
            if lead.is_none() {
                lead = match Lead::take(&self.folder) {
                    Ok(lead) => lead,
                    Err(error) => {
                        self.complain_of_storage(&AttemptFailure::of_storage(&self.folder, &error));
                        None
                    }
                };
                if lead.is_some() {
                    self.state = CertificateState::read(&self.folder);
                    self.greet();
                    self.common.fleet.iter().for_each(|fleet| fleet.begin_to_lead());
                }
            }
            if lead.is_some() {
                self.look_at_machines().await;
            }
            if lead.is_some() && self.blocked <= now() {
                self.step().await;
            }
            tokio::time::sleep(TICK).await;
        }
        self.leave_machines();
    }

    fn greet(&mut self) {
        if !std::mem::replace(&mut self.has_greeted, true) {
            let hosts: Vec<&str> = self.common.plan.authorities.iter().map(Authority::host).collect();
            let text = format!(
                "the certificate for {} is kept valid by {}, to whose terms config[\"domains\"] agrees; it lies in {:?}",
                self.title(),
                hosts.join(", then "),
                self.folder
            );
            self.common.log.event(Level::Info, text);
        }
    }

    pub(super) fn title(&self) -> String {
        self.names.join(", ")
    }

    /// Does what is due, if anything is.
    async fn step(&mut self) {
        self.look_at_certificate();
        let held = self.held();
        let wish = Wish::read(&self.folder);
        let choice = Choice { authorities: self.common.plan.authorities.len() };
        let step = schedule(now(), held.as_ref(), self.state.advice.as_ref(), &self.state.history, wish, choice);
        match step {
            Step::Order { authority, rehearse } => {
                let common = Arc::clone(&self.common);
                let Ok(_permit) = common.permits.acquire().await else { return };
                if common.stage.load(Ordering::SeqCst) != KEEPING {
                    return;
                }
                let right = match self.ask_for_right().await {
                    OrderRight::Alone => None,
                    OrderRight::Granted(right) => Some(right),
                    OrderRight::Denied => return,
                };
                common.busy.fetch_add(1, Ordering::SeqCst);
                self.attempt(authority, rehearse).await;
                if let Some(right) = right {
                    self.leave_to_machines().await;
                    self.give_right_back(right).await;
                }
                common.busy.fetch_sub(1, Ordering::SeqCst);
            }
            Step::AskAdvice => self.ask_advice(held).await,
            Step::Wait(until) => {
                if self.state.next.abs_diff(until) > COARSE {
                    self.state.next = until;
                    self.write_state();
                }
            }
        }
    }

    /// Reads the certificate if its file has changed.
    pub(super) fn look_at_certificate(&mut self) {
        let file = certificate_file(&self.folder);
        let found = std::fs::metadata(&file).ok();
        let Some(found) = found else {
            self.held = None;
            return;
        };
        let stamp = (found.ino(), found.mtime(), found.mtime_nsec());
        if self.held.as_ref().is_none_or(|(known, _)| *known != stamp) {
            let text = std::fs::read(&file).unwrap_or_default();
            self.held = inspect(&file, &text).ok().map(|inspection| (stamp, inspection));
        }
    }

    pub(super) fn held(&self) -> Option<Held> {
        let (_, inspection) = self.held.as_ref()?;
        let leaf = &inspection.leaf;
        // Some authorities add names, such as that with `www.`: such a certificate is not ordered anew.
        let is_exact = self.names.len() == leaf.names.len() || self.names == self.state.names;
        let has_names = is_exact && self.names.iter().all(|name| leaf.names.contains(name));
        let is_of_authority = self.state.authority.as_deref().is_none_or(|own| self.common.plan.has_authority(own));
        let (from, until) = (seconds(leaf.not_before), seconds(leaf.not_after));
        Some(Held { from, until, fits: has_names && is_of_authority })
    }

    async fn attempt(&mut self, authority: usize, rehearse: bool) {
        self.state.history = self.state.history.begun(now(), random(1000));
        self.state.names = self.names.clone();
        if !self.write_state() {
            // Nothing is asked for that could not be kept, and no attempt is made that would not be remembered.
            return;
        }
        Wish::forget(&self.folder);
        // If this machine dies, the others know of the attempt.
        self.leave_to_machines().await;
        let common = Arc::clone(&self.common);
        let Some(authority) = common.plan.authorities.get(authority) else { return };
        let (result, client) = match common.plan.tls() {
            Ok(tls) => {
                let client = CaClient::new(tls);
                (caught(self.obtain(authority, rehearse, &client)).await, Some(client))
            }
            Err(error) => (Err(AttemptFailure::new(error.to_string())), None),
        };
        let notes = client.as_ref().map(CaClient::notes);
        if let Some(ahead) = notes.as_ref().and_then(|notes| notes.clock_ahead())
            && ahead.unsigned_abs() > CLOCK_TOLERANCE
        {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            let text =
                format!("the clock of this machine is {} s {side} that of {}", ahead.unsigned_abs(), authority.host());
            common.log.event(Level::Warning, text);
        }
        match result {
            Ok(until) => self.succeed(authority, until),
            Err(failure) => self.fail(authority, &failure, notes.and_then(|notes| notes.retry_after())),
        }
    }

    /// Obtains the certificate, checks it, and puts it into its place. Returns the end of its validity.
    async fn obtain(&self, authority: &Authority, rehearse: bool, client: &CaClient) -> Result<u64, AttemptFailure> {
        let plan = &self.common.plan;
        let proofs = Proofs::new(
            plan.storage.challenges(),
            self.common.hooks.dns.clone(),
            Arc::clone(&self.common.memory),
            self.common.presence.clone(),
            self.common.fleet.clone().map(|fleet| (fleet, self.id.clone())),
        );
        let has_machines = self.common.fleet.is_some();
        let attempt = |directory| Attempt {
            plan,
            names: &self.names,
            directory,
            client: client.clone(),
            pauses: if has_machines { Pauses::OF_MACHINES } else { Pauses::default() },
            proofs: &proofs,
            turn: self.state.history.failures,
        };
        if let Some(staging) = authority.staging.as_deref().filter(|_| rehearse) {
            // Failures at the authority itself are few and count; a name that cannot be proved fails here.
            attempt(staging).obtain(None).await?;
        }
        let is_successor = self.state.authority.as_deref() == Some(authority.directory.as_str());
        let replaces = self.held.as_ref().filter(|_| is_successor).and_then(|(_, held)| identifier_of(held));
        let obtained = attempt(&authority.directory).obtain(replaces).await?;
        let file = certificate_file(&self.folder);
        let ahead = client.notes().clock_ahead().unwrap_or(0);
        let until = verify(&file, &obtained.pem, &self.names, now(), ahead, &plan.private_issuers())?;
        storage::write(&file, obtained.pem.as_bytes()).map_err(|error| AttemptFailure::of_storage(&file, &error))?;
        Ok(until)
    }

    fn succeed(&mut self, authority: &Authority, until: u64) {
        self.state.history = self.state.history.succeeded(now());
        self.state.authority = Some(authority.directory.clone());
        (self.state.advice, self.state.error, self.state.next) = (None, None, 0);
        self.write_state();
        (self.common.take_over)();
        let text = format!(
            "a certificate for {} was obtained from {}, valid until {}",
            self.title(),
            authority.host(),
            date(until)
        );
        self.common.log.notable(Level::Info, text);
        self.tell_hook();
    }

    /// Tells the program that there is a new certificate.
    pub(super) fn tell_hook(&self) {
        if let Some(hook) = self.common.hooks.on_certificate.clone() {
            let (names, file) = (self.names.clone(), certificate_file(&self.folder));
            drop(tokio::task::spawn_blocking(move || hook.obtained(&names, &file)));
        }
    }

    fn fail(&mut self, authority: &Authority, failure: &AttemptFailure, retry_after: Option<u64>) {
        self.state.history = self.state.history.failed(now(), retry_after);
        self.state.error = Some(failure.to_string());
        let held = self.held();
        let choice = Choice { authorities: self.common.plan.authorities.len() };
        let next = schedule(now(), held.as_ref(), self.state.advice.as_ref(), &self.state.history, None, choice);
        let at = if let Step::Wait(at) = next { at.max(now()) } else { now() };
        self.state.next = at;
        self.write_state();
        let (done, held_until) = match held.map(|held| held.until).filter(|until| *until > now()) {
            Some(until) => ("renewed", format!("; the one in use is valid until {}", date(until))),
            None => ("obtained", String::new()),
        };
        let text = format!(
            "the certificate for {} could not be {done} from {}: {failure}{held_until}; the next attempt is at {}",
            self.title(),
            authority.host(),
            date(at)
        );
        self.common.log.notable(if held_until.is_empty() { Level::Error } else { Level::Warning }, text);
    }

    /// Asks the authority that has issued the certificate when to renew it.
    async fn ask_advice(&mut self, held: Option<Held>) {
        let (Some(held), Some((_, inspection))) = (held, &self.held) else { return };
        let (Some(directory), Some(identifier)) = (self.state.authority.clone(), identifier_of(inspection)) else {
            self.state.advice = Some(super::schedule::Advice { window: None, ask_again: now() + DAY });
            return;
        };
        let file = self.common.plan.account_file(&directory);
        let asked = match self.common.plan.tls() {
            Ok(tls) => caught(ask_advice(CaClient::new(tls), &file, &identifier)).await,
            Err(error) => Err(AttemptFailure::new(error.to_string())),
        };
        let before = self.state.advice;
        let advice = match asked {
            Ok((window, again)) => {
                let advice = advised(now(), window, again, before.as_ref(), random);
                if advice.window.is_none() {
                    let text = format!("{} advises a renewal that ends before it starts: ignored", host_of(&directory));
                    self.common.log.event(Level::Warning, text);
                }
                advice
            }
            Err(failure) => {
                let text = format!("{} has no advice on renewal: {failure}", host_of(&directory));
                self.common.log.event(Level::Debug, text);
                unadvised(now(), &held, before.as_ref())
            }
        };
        self.state.advice = Some(advice);
        self.write_state();
    }

    /// Writes the state down. If that fails, nothing is tried for a while.
    pub(super) fn write_state(&mut self) -> bool {
        match self.state.write(&self.folder) {
            Ok(()) => true,
            Err(error) => {
                self.complain_of_storage(&AttemptFailure::of_storage(&self.folder, &error));
                false
            }
        }
    }

    fn complain_of_storage(&mut self, failure: &AttemptFailure) {
        self.blocked = now() + BLOCKED;
        let text = format!("the certificate for {} is not renewed: {failure}", self.title());
        self.common.log.notable(Level::Error, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let failed = runtime.block_on(caught(async { Err::<(), _>(AttemptFailure::new("no".to_owned())) }));
        assert_eq!(failed.unwrap_err().to_string(), "no");
        let panicked =
            runtime.block_on(caught(async { if std::hint::black_box(true) { panic!("on purpose") } else { Ok(()) } }));
        assert!(panicked.unwrap_err().to_string().contains("has a fault"));
    }
}
