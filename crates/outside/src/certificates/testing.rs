//! What an authority sends, read without a socket: for the fuzzers and tests of this project.

use std::collections::VecDeque;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use instant_acme::{BodyWrapper, BytesResponse, CertificateIdentifier, Error as AcmeError, HttpClient};
use rustls::pki_types::Der;

use super::client::{answer_of, place, rendered, response};
use super::clock::now;
use super::failure::AttemptFailure;
use super::order::{Attempt, Pauses, ask_advice};
use super::plan::Plan;
use super::proof::Proofs;
use super::schedule::advised;
use super::state::CertificateState;
use super::verify::verify;
use crate::config::{Config, Domain, Value};
use crate::error::Error;
use crate::transport::Tls;

/// Reads an answer of an authority; its status and content, if it is one.
pub fn answer(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    answer_of(bytes, false).ok().map(|(head, content)| (head.status, content))
}

/// Reads a certificate in DER; its subject, if it is a complete certificate.
pub fn certificate(der: &[u8]) -> Option<Vec<u8>> {
    crate::transport::subject_of(der)
}

/// Reads a PEM file of key and chain. Returns whether a server can use it.
pub fn pem(text: &[u8]) -> bool {
    crate::transport::inspect(Path::new("certificate.pem"), text).is_ok()
}

/// Reads the state of a certificate.
pub fn state(text: &str) {
    drop(CertificateState::parse(text));
}

/// The course of a conversation with an authority.
#[derive(Debug, Default)]
pub struct AuthorityConversation {
    /// The heads of the requests that were sent.
    pub requests: Vec<Vec<u8>>,
    /// The failures of the order and of the question for advice, as the log has them.
    pub failures: Vec<String>,
    /// Whether a certificate was sent, which need not be a good one.
    pub has_certificate: bool,
    /// The window and the moment that were chosen by the advice.
    pub window: Option<(u64, u64, u64)>,
}

/// Orders a certificate for `a.example` and `*.b.example` and asks for advice on it. The authority gives these answers, one
/// after another, and none when they have ended. `storage` is the folder of certificates.
///
/// # Errors
/// The folder cannot be written.
pub fn conversation(storage: &Path, answers: &[&[u8]]) -> Result<AuthorityConversation, Error> {
    let script = Script::new(answers);
    let plan = plan(storage)?;
    plan.storage.prepare()?;
    let account = plan.account_file(DIRECTORY);
    std::fs::remove_file(&account).unwrap_or_default();
    let memory = memory(&plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut seen = AuthorityConversation::default();
    let names: Vec<String> = plan.domains.iter().flat_map(Domain::names).cloned().collect();
    let ordered = runtime.block_on(async {
        let proofs = Proofs::new(plan.storage.challenges(), Some(Arc::new(NoRecord)), memory, None, None);
        let pauses = Pauses { spread: Duration::ZERO, first: Duration::ZERO, longest: Duration::ZERO };
        let client = script.clone();
        Attempt { plan: &plan, names: &names, directory: DIRECTORY, client, pauses, proofs: &proofs, turn: 1 }
            .obtain(None)
            .await
    });
    seen.has_certificate = ordered.is_ok();
    let file = Path::new("certificate.pem");
    seen.note(ordered.and_then(|obtained| verify(file, &obtained.pem, &names, now(), 0, &[])));
    let identifier = CertificateIdentifier::new(Der::from_slice(&[1, 2]), Der::from_slice(&[3])).into_owned();
    let advice = runtime.block_on(ask_advice(script.clone(), &account, &identifier));
    if let Some((window, again)) = seen.note(advice) {
        let advice = advised(now(), window, again, None, |below| below - 1);
        seen.window = advice.window.map(|window| (window.start, window.end, window.chosen));
    }
    seen.requests = std::mem::take(&mut *script.requests.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(seen)
}

const DIRECTORY: &str = "https://ca.example/directory";

impl AuthorityConversation {
    fn note<T>(&mut self, result: Result<T, AttemptFailure>) -> Option<T> {
        result.map_err(|failure| self.failures.push(failure.to_string())).ok()
    }
}

fn plan(storage: &Path) -> Result<Plan, Error> {
    let text = |text: &str| Value::Owned(text.to_owned());
    let mut config = Config::from_values([
        ("domains", text("a.example+*.b.example")),
        ("acme_directory", text(DIRECTORY)),
        ("acme_storage", text(&storage.to_string_lossy())),
    ])?;
    config.acme.has_dns = true;
    Plan::of(&config)
}

fn memory(plan: &Plan) -> Result<Arc<crate::transport::Challenges>, Error> {
    let keys = crate::transport::TicketKeys::default();
    let tls = Tls::managed(Vec::new(), Vec::new(), plan.storage.challenges(), &keys)?;
    tls.challenges().cloned().ok_or_else(|| Error::new("there are no challenges"))
}

/// A DNS in which every record can be set.
struct NoRecord;

impl super::SetDnsRecord for NoRecord {
    fn set(&self, _: &str, _: &str) -> Result<Box<dyn super::DnsRecord>, Error> {
        Ok(Box::new(Self))
    }
}

impl super::DnsRecord for NoRecord {
    fn remove(self: Box<Self>) {}
}

/// A client whose answers are written down before.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Vec<u8>>>>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Script {
    fn new(answers: &[&[u8]]) -> Self {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Self { answers: Arc::new(Mutex::new(answers)), requests: Arc::default() }
    }

    fn answer(&self, parts: &http::request::Parts) -> Result<BytesResponse, AcmeError> {
        place(&parts.uri)?;
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(rendered(parts, b""));
        let next = self.answers.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let bytes = next.ok_or(AcmeError::Str("there are no more answers"))?;
        let read = answer_of(&bytes, parts.method == Method::HEAD);
        let (head, content) = read.map_err(|error| AcmeError::Other(Box::new(error)))?;
        response(parts.method == Method::POST, head, content)
    }
}

impl HttpClient for Script {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, AcmeError>> + Send>> {
        let answered = self.answer(&request.into_parts().0);
        Box::pin(async move { answered })
    }
}
