//! The proofs of one attempt: files of challenges for every process, and records in the DNS.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use instant_acme::ChallengeType;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};

use super::failure::AttemptFailure;
use super::fleet::{ChallengeAnswers, Fleet};
use super::hooks::{DnsRecord, SetDnsRecord};
use super::storage::{self, Presence};
use crate::config::Challenge;
use crate::transport::Challenges;

/// The facts of one challenge.
pub(super) struct Proof {
    pub(super) kind: Challenge,
    pub(super) name: String,
    pub(super) token: String,
    pub(super) key_authorization: String,
    pub(super) digest: Vec<u8>,
    pub(super) dns_value: String,
}

/// The proofs that are shown now, withdrawn after the attempt.
pub(super) struct Proofs {
    folder: PathBuf,
    dns: Option<Arc<dyn SetDnsRecord>>,
    memory: Arc<Challenges>,
    presence: Option<Arc<Presence>>,
    /// Other machines, and the name of the certificate there.
    fleet: Option<(Arc<Fleet>, String)>,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    files: Vec<PathBuf>,
    /// The same for other machines.
    answers: ChallengeAnswers,
    records: Vec<Box<dyn DnsRecord>>,
}

pub(super) fn challenge_type(kind: Challenge) -> ChallengeType {
    match kind {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::Dns01 => ChallengeType::Dns01,
    }
}

impl Proofs {
    pub(super) fn new(
        folder: PathBuf,
        dns: Option<Arc<dyn SetDnsRecord>>,
        memory: Arc<Challenges>,
        presence: Option<Arc<Presence>>,
        fleet: Option<(Arc<Fleet>, String)>,
    ) -> Self {
        Self { folder, dns, memory, presence, fleet, shown: Mutex::default() }
    }

    /// Whether only this process may be asked for the proofs, which it has in memory already.
    pub(super) fn are_shown_here_alone(&self) -> bool {
        self.fleet.is_none() && self.presence.as_ref().is_some_and(|presence| presence.is_alone())
    }

    /// Shows a proof.
    pub(super) async fn show(&self, proof: Proof) -> Result<(), AttemptFailure> {
        match proof.kind {
            Challenge::Http01 => self.write(&proof.token, &proof.key_authorization).await,
            Challenge::TlsAlpn01 => {
                let text = certificate(&proof.name, &proof.digest)
                    .map_err(|error| AttemptFailure::new(format!("a challenge certificate cannot be made: {error}")))?;
                self.write(&format!("{}.pem", server_name(&proof.name)), &text).await
            }
            Challenge::Dns01 => {
                let dns = self.dns.clone().ok_or_else(|| AttemptFailure::new("there is no acme_dns".to_owned()))?;
                let name = format!("_acme-challenge.{}", proof.name);
                let set = tokio::task::spawn_blocking(move || dns.set(&name, &proof.dns_value)).await;
                match set {
                    Ok(Ok(record)) => {
                        self.lock().records.push(record);
                        Ok(())
                    }
                    Ok(Err(error)) => Err(AttemptFailure::new(format!("acme_dns has failed: {error}"))),
                    Err(_) => Err(AttemptFailure::new("acme_dns has failed".to_owned())),
                }
            }
        }
    }

    async fn write(&self, name: &str, content: &str) -> Result<(), AttemptFailure> {
        let path = self.folder.join(name);
        let answers = {
            let mut shown = self.lock();
            shown.files.push(path.clone());
            shown.answers.insert(name.to_owned(), content.to_owned());
            shown.answers.clone()
        };
        if let Some((fleet, certificate)) = &self.fleet {
            let failed = |reason| AttemptFailure::new(format!("other machines do not get the challenge: {reason}"));
            fleet.show(certificate, &answers).await.map_err(failed)?;
        }
        storage::write(&path, content.as_bytes()).map_err(|error| AttemptFailure::of_storage(&path, &error))?;
        self.memory.refresh();
        Ok(())
    }

    /// Takes all proofs back.
    pub(super) async fn withdraw(&self) {
        let Shown { files, records, answers } = std::mem::take(&mut *self.lock());
        if let Some((fleet, certificate)) = self.fleet.as_ref().filter(|_| !answers.is_empty()) {
            fleet.withdraw(certificate).await;
        }
        for file in files {
            std::fs::remove_file(file).unwrap_or_default();
        }
        if !records.is_empty() {
            let remove = move || records.into_iter().for_each(|record| record.remove());
            drop(tokio::task::spawn_blocking(remove).await);
        }
        self.memory.refresh();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proofs {
    fn drop(&mut self) {
        // An attempt that was cut off leaves no files either.
        for file in std::mem::take(&mut self.lock().files) {
            std::fs::remove_file(file).unwrap_or_default();
        }
    }
}

/// The name in the hello of a validation: for an address that of its reverse zone (RFC 8738 section 6).
pub(super) fn server_name(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Err(_) => name.to_owned(),
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let digits = address.octets().into_iter().rev().flat_map(|byte| [byte & 0xf, byte >> 4]);
            let digits: Vec<String> = digits.map(|digit| format!("{digit:x}")).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

/// The certificate and key of a validation by TLS (RFC 8737 section 3).
fn certificate(name: &str, digest: &[u8]) -> Result<String, rcgen::Error> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    if digest.len() == 32 {
        parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    }
    let key = KeyPair::generate()?;
    Ok(format!("{}{}", key.serialize_pem(), parameters.self_signed(&key)?.pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hellos() {
        assert_eq!(server_name("a.example"), "a.example");
        assert_eq!(server_name("127.0.0.1"), "1.0.0.127.in-addr.arpa");
        let six = server_name("2001:db8::1");
        assert!(six.starts_with("1.0.0.0.") && six.ends_with(".8.b.d.0.1.0.0.2.ip6.arpa") && six.len() == 72, "{six}");
    }
}
