//! Certificates of several machines, by shared state in the broker of `bus`: the right to order, the answers to challenges, and the
//! certificates themselves.
//!
//! The authority comes to any machine that has the name, and so do clients. **No store, no order**: machines that do not see one
//! another would all order, and use up the few certificates that an authority gives for a name. A *revision* grows with each
//! change; each machine looks at it once a second, and at nothing else while it stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::plan::Plan;
use super::seal::Seal;
use crate::config::Config;
use crate::shared::{Action, Operation, Outcome, SharedStore, SharedValue, StoreError};

/// Time for an answer of the store.
const DEADLINE: Duration = Duration::from_secs(1);
/// Time for which the right to order is given, and the interval at which it is renewed during an order: a machine that dies
/// leaves it for the rest of that time.
const ORDER: Duration = Duration::from_secs(60);
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// Time for which answers to challenges are kept: an order takes less.
const ANSWERS: Duration = Duration::from_secs(600);
/// Time for which a certificate is kept: longer than one is valid.
const RECORD: Duration = Duration::from_secs(400 * 86_400);
/// Interval at which the revision is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The beginning of all keys, and the key of the revision.
const PREFIX: &str = "outside.acme";
const REVISION: &str = "outside.acme.revision";
/// In place of a revision: it is not known.
const UNKNOWN: i64 = -1;

/// The machines that have the same names, as one of them reaches them.
pub(crate) struct Fleet {
    store: Arc<dyn SharedStore>,
    seal: Seal,
    revision: AtomicI64,
    /// Whether this process leads for a certificate, so that the revision is looked at.
    leads: AtomicBool,
}

/// The answer to the question whether this machine may order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RightToOrder {
    /// It may, under this token.
    Given(u64),
    /// Another machine orders.
    Elsewhere,
}

/// Answers to challenges: the names of files, and their content.
pub(super) type ChallengeAnswers = BTreeMap<String, String>;

/// A certificate as one machine leaves it to the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FleetRecord {
    /// Seconds since 1970 from which the certificate is valid: the one that was issued last is the one to use.
    pub(super) from: u64,
    /// Key and chain; missing while no attempt has succeeded.
    pub(super) pem: Option<String>,
    /// The state, as its file has it.
    pub(super) state: String,
    /// The directory of an authority, and the account there.
    pub(super) account: Option<(String, String)>,
}

/// The part of a keeper that concerns other machines.
#[derive(Default)]
pub(super) struct MachineView {
    /// The revision that this keeper has dealt with, and when.
    pub(super) seen: Option<i64>,
    pub(super) looked: u64,
    /// The files of challenges that are here for others.
    pub(super) shown: BTreeSet<String>,
    /// Whether the log says that nothing is ordered.
    pub(super) has_complained: bool,
}

/// The right to order, held until it is given back.
pub(super) struct HeldRight {
    pub(super) token: u64,
    pub(super) holding: JoinHandle<()>,
}

impl Drop for HeldRight {
    fn drop(&mut self) {
        self.holding.abort();
    }
}

/// The answer to the question whether this machine may order now.
pub(super) enum OrderRight {
    /// There are no other machines.
    Alone,
    Granted(HeldRight),
    /// Not now.
    Denied,
}

impl Fleet {
    pub(crate) fn new(store: Arc<dyn SharedStore>, config: &Config) -> Self {
        let seal = Seal::new(&config.secret);
        Self { store, seal, revision: AtomicI64::new(UNKNOWN), leads: AtomicBool::new(false) }
    }

    async fn call(&self, key: &str, action: Action) -> Result<Outcome, String> {
        let (sender, receiver) = oneshot::channel();
        self.store.begin(&Operation { key, action }, Box::new(move |outcome| drop(sender.send(outcome))));
        match tokio::time::timeout(DEADLINE, receiver).await {
            Ok(Ok(Ok(Outcome::Refused(refusal)))) => Err(refusal.to_string()),
            Ok(Ok(outcome)) => outcome.map_err(|error| error.to_string()),
            Ok(Err(_)) => Err(StoreError::Ended.to_string()),
            Err(_) => Err(StoreError::TimedOut.to_string()),
        }
    }

    /// Asks for the right to order this certificate.
    pub(super) async fn ask(&self, certificate: &str) -> Result<RightToOrder, String> {
        match self.call(&key("order", certificate), Action::Lock { ttl: ORDER }).await? {
            Outcome::Locked(token) => Ok(RightToOrder::Given(token)),
            Outcome::Held(_) => Ok(RightToOrder::Elsewhere),
            _ => Err(strange()),
        }
    }

    /// Renews the right for as long as an order takes: until this is aborted.
    pub(super) async fn hold(self: Arc<Self>, certificate: String, token: u64) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            // Without an answer the next attempt may have one; a right that is lost is not taken again.
            let _ = self.call(&key("order", &certificate), Action::Renew { token, ttl: ORDER }).await;
        }
    }

    /// Gives the right back. If that fails, it ends with its time.
    pub(super) async fn give_back(&self, certificate: &str, token: u64) {
        let _ = self.call(&key("order", certificate), Action::Unlock { token }).await;
    }

    /// Has all machines answer these challenges.
    ///
    /// # Errors
    /// The store has not taken them: a sentence.
    pub(super) async fn show(&self, certificate: &str, answers: &ChallengeAnswers) -> Result<(), String> {
        let text = serde_json::to_string(answers).map_err(|error| error.to_string())?;
        self.put(&key("answers", certificate), &text, ANSWERS).await
    }

    /// Takes the answers back. If that fails, they end with their time.
    pub(super) async fn withdraw(&self, certificate: &str) {
        if self.call(&key("answers", certificate), Action::Delete).await.is_ok() {
            let _ = self.tell().await;
        }
    }

    /// The answers that a machine shows for this certificate.
    ///
    /// # Errors
    /// The store does not say: a sentence.
    pub(super) async fn answers(&self, certificate: &str) -> Result<ChallengeAnswers, String> {
        let text = self.get(&key("answers", certificate)).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Leaves a certificate to all machines.
    ///
    /// # Errors
    /// The store has not taken it: a sentence.
    pub(super) async fn leave(&self, certificate: &str, record: &FleetRecord) -> Result<(), String> {
        self.put(&key("certificate", certificate), &record.to_json(), RECORD).await
    }

    /// The certificate that was left last.
    ///
    /// # Errors
    /// The store does not say: a sentence.
    pub(super) async fn record(&self, certificate: &str) -> Result<Option<FleetRecord>, String> {
        let text = self.get(&key("certificate", certificate)).await?;
        Ok(text.and_then(|text| FleetRecord::parse(&text)))
    }

    async fn put(&self, key: &str, text: &str, ttl: Duration) -> Result<(), String> {
        let sealed = self.seal.close(key, text.as_bytes()).ok_or("the system has no random numbers")?;
        let value = SharedValue::Bytes(sealed);
        match self.call(key, Action::Set { value, ttl: Some(ttl), only_if_absent: false }).await? {
            Outcome::Flag(true) => self.tell().await,
            _ => Err(strange()),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<String>, String> {
        let stored = match self.call(key, Action::Get).await? {
            Outcome::Value(None) => return Ok(None),
            Outcome::Value(Some(SharedValue::Bytes(stored))) => stored,
            _ => return Err(strange()),
        };
        let opened = self.seal.open(key, &stored).and_then(|bytes| String::from_utf8(bytes).ok());
        opened.map(Some).ok_or_else(|| "another machine has another config[\"secret\"]".to_owned())
    }

    /// Has all machines look at what is there.
    pub(super) async fn tell(&self) -> Result<(), String> {
        self.call(REVISION, Action::Increment { by: 1, ttl: None }).await.map(drop)
    }

    /// From now on this process leads for a certificate.
    pub(super) fn begin_to_lead(&self) {
        self.leads.store(true, Ordering::Relaxed);
    }

    /// The revision at the last look; `None` before the first one, and while the store is away.
    pub(super) fn revision(&self) -> Option<i64> {
        Some(self.revision.load(Ordering::Relaxed)).filter(|revision| *revision != UNKNOWN)
    }

    /// Looks at the revision each second, until this is aborted.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            if self.leads.load(Ordering::Relaxed) {
                let revision = match self.call(REVISION, Action::Get).await {
                    Ok(Outcome::Value(Some(SharedValue::Integer(revision)))) => revision.max(0),
                    Ok(Outcome::Value(None)) => 0,
                    _ => UNKNOWN,
                };
                self.revision.store(revision, Ordering::Relaxed);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl FleetRecord {
    fn to_json(&self) -> String {
        let Self { from, pem, state, account } = self;
        json!({"from": from, "pem": pem, "state": state, "account": account}).to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let account = &value["account"];
        Some(Self {
            from: value["from"].as_u64()?,
            pem: text(&value["pem"]),
            state: text(&value["state"])?,
            account: text(&account[0]).zip(text(&account[1])),
        })
    }
}

/// The name of a certificate on all machines. It has all names and the authorities in it, so that versions of a program with other
/// ones do not order in turn.
pub(super) fn certificate_id(names: &[String], plan: &Plan) -> String {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.extend(plan.authorities.iter().map(|authority| authority.directory.as_str()));
    let digest = digest(&SHA256, sorted.join(" ").as_bytes());
    let first = names.first().map_or("", String::as_str);
    let digits = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}"));
    digits.fold(format!("{first}."), |id, digits| id + &digits)
}

fn key(kind: &str, certificate: &str) -> String {
    format!("{PREFIX}.{kind}.{certificate}")
}

fn strange() -> String {
    "the store of shared state has given an answer that was not asked for".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{LocalStore, OnOutcome};

    /// A store that is away.
    struct Away;

    impl SharedStore for Away {
        fn call(&self, _: &Operation<'_>, _: Duration) -> Result<Outcome, StoreError> {
            Err(StoreError::Away)
        }

        fn begin(&self, _: &Operation<'_>, on_outcome: OnOutcome) {
            on_outcome(Err(StoreError::Away));
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    fn with_secret(store: &Arc<dyn SharedStore>, secret: Option<&str>) -> Fleet {
        let config = Config { secret: secret.into_iter().collect(), ..Config::default() };
        Fleet::new(Arc::clone(store), &config)
    }

    #[test]
    fn one_machine_orders_and_all_answer() {
        let store: Arc<dyn SharedStore> = Arc::new(LocalStore::default());
        let (here, there) = (with_secret(&store, None), with_secret(&store, None));
        run(async {
            let Ok(RightToOrder::Given(token)) = here.ask("a").await else { panic!("not given") };
            assert_eq!(there.ask("a").await, Ok(RightToOrder::Elsewhere));
            assert!(matches!(there.ask("b").await, Ok(RightToOrder::Given(_))), "another certificate");
            let answers = ChallengeAnswers::from([("token".to_owned(), "token.key".to_owned())]);
            here.show("a", &answers).await.unwrap();
            assert_eq!(there.answers("a").await, Ok(answers));
            assert_eq!(there.answers("b").await, Ok(ChallengeAnswers::new()));
            here.withdraw("a").await;
            assert_eq!(there.answers("a").await, Ok(ChallengeAnswers::new()));
            here.give_back("a", token).await;
            assert!(matches!(there.ask("a").await, Ok(RightToOrder::Given(_))));
        });
    }

    #[test]
    fn a_record_comes_as_it_was_left() {
        let store: Arc<dyn SharedStore> = Arc::new(LocalStore::default());
        let secret = Some("a secret of at least thirty-two bytes");
        let (here, there) = (with_secret(&store, secret), with_secret(&store, secret));
        let account = Some(("https://ca.example/".to_owned(), "{}".to_owned()));
        run(async {
            assert_eq!(there.record("a").await, Ok(None));
            for record in [
                FleetRecord { from: 7, pem: Some("pem".to_owned()), state: "{}".to_owned(), account },
                FleetRecord::default(),
            ] {
                here.leave("a", &record).await.unwrap();
                assert_eq!(there.record("a").await, Ok(Some(record)));
            }
            let stranger = with_secret(&store, None);
            assert!(stranger.record("a").await.unwrap_err().contains("secret"), "it must not order, either");
        });
    }

    #[test]
    fn no_store_no_order() {
        let store: Arc<dyn SharedStore> = Arc::new(Away);
        let fleet = with_secret(&store, None);
        run(async {
            assert!(fleet.ask("a").await.unwrap_err().contains("away"));
            assert!(fleet.show("a", &ChallengeAnswers::new()).await.is_err());
            assert!(fleet.answers("a").await.is_err());
            assert!(fleet.record("a").await.is_err());
        });
    }
}
