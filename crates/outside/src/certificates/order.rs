//! One order, from the account to the certificate: the conversation with an authority (RFC 8555 section 7).

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, Error as AcmeError, ExternalAccountKey,
    HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::failure::AttemptFailure;
use super::plan::Plan;
use super::proof::{Proof, Proofs, challenge_type};
use super::storage;
use crate::config::Challenge;

/// Time for the authority to validate, and then to issue.
const PATIENCE: Duration = Duration::from_secs(90);
/// Authorizations that an order may have for each of its names.
const MOST_AUTHORIZATIONS: usize = 4;
/// Orders that are tried in one attempt while the authority loses nonces.
const MOST_NONCES: u32 = 4;

/// A certificate as it came, with its key before it.
pub(super) struct Obtained {
    pub(super) pem: String,
}

/// The pauses of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses {
    /// Time after which every process answers a challenge that was written.
    pub(super) spread: Duration,
    /// First and longest pause between two looks at an order; each is twice the one before.
    pub(super) first: Duration,
    pub(super) longest: Duration,
}

impl Pauses {
    /// Where other machines answer too, which look each second.
    pub(super) const OF_MACHINES: Self = Self {
        spread: Duration::from_millis(2500),
        first: Duration::from_millis(100),
        longest: Duration::from_millis(5000),
    };
}

impl Default for Pauses {
    fn default() -> Self {
        let milliseconds = Duration::from_millis;
        Self { spread: milliseconds(400), first: milliseconds(100), longest: milliseconds(5000) }
    }
}

/// An attempt at one authority.
pub(super) struct Attempt<'a, C> {
    pub(super) plan: &'a Plan,
    pub(super) names: &'a [String],
    pub(super) directory: &'a str,
    pub(super) client: C,
    pub(super) pauses: Pauses,
    pub(super) proofs: &'a Proofs,
    /// The number of failures before: each attempt takes the next kind of challenge.
    pub(super) turn: u32,
}

impl<C: HttpClient + Clone> Attempt<'_, C> {
    /// Obtains a certificate. `replaces` is the one in use; an authority that does not want to hear of it is asked
    /// without.
    pub(super) async fn obtain(
        &self,
        mut replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<Obtained, AttemptFailure> {
        let (mut nonces, mut has_new_account) = (0, false);
        loop {
            let failure = match self.once(replaces.clone()).await {
                Ok(obtained) => return Ok(obtained),
                Err(failure) => failure,
            };
            match failure.kind() {
                Some("badNonce") if nonces < MOST_NONCES => nonces += 1,
                Some("accountDoesNotExist") if !has_new_account => {
                    has_new_account = true;
                    std::fs::remove_file(self.plan.account_file(self.directory)).unwrap_or_default();
                }
                _ if replaces.is_some() && failure.is_about_replacing => replaces = None,
                _ => return Err(failure),
            }
        }
    }

    async fn once(&self, replaces: Option<CertificateIdentifier<'static>>) -> Result<Obtained, AttemptFailure> {
        let account = self.account().await?;
        let identifiers: Vec<Identifier> = self.names.iter().map(|name| identifier(name)).collect();
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(profile) = &self.plan.profile {
            let mut known: Vec<&str> = account.profiles().map(|known| known.name).collect();
            known.sort_unstable();
            if !known.contains(&profile.as_str()) {
                let offered = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(AttemptFailure::new(format!(
                    "the authority has no profile {profile:?}; it offers {offered} (config[\"acme_profile\"])"
                )));
            }
            wanted = wanted.profile(profile);
        }
        let is_replacement = replaces.is_some();
        if let Some(replaces) = replaces {
            wanted = wanted.replaces(replaces);
        }
        let ordered = account.new_order(&wanted).await;
        let mut order = ordered.map_err(|error| AttemptFailure::of_new_order(error, is_replacement))?;
        let proved = self.prove(&mut order).await;
        self.proofs.withdraw().await;
        proved?;
        self.finish(order).await
    }

    /// The account at this authority; a new one if there is none yet.
    async fn account(&self) -> Result<Account, AttemptFailure> {
        let file = self.plan.account_file(self.directory);
        let text = storage::read(&file).map_err(|error| AttemptFailure::of_storage(&file, &error))?;
        if let Some(credentials) = text.and_then(|text| serde_json::from_str::<AccountCredentials>(&text).ok()) {
            let builder = Account::builder_with_http(Box::new(self.client.clone()));
            return builder.from_credentials(credentials).await.map_err(AttemptFailure::of);
        }
        let contact = self.plan.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let eab = self.plan.eab.as_ref().map(|(kid, key)| {
            decode_base64(key)
                .map(|key| ExternalAccountKey::new(kid.clone(), &key))
                .ok_or_else(|| AttemptFailure::new("config[\"acme_eab\"] has a key that is no base64url".to_owned()))
        });
        let eab = eab.transpose()?;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let created = builder.create(&new, self.directory.to_owned(), eab.as_ref()).await;
        let (account, credentials) = created.map_err(AttemptFailure::of)?;
        let text = serde_json::to_string(&credentials).map_err(|error| AttemptFailure::new(error.to_string()))?;
        storage::write(&file, text.as_bytes()).map_err(|error| AttemptFailure::of_storage(&file, &error))?;
        Ok(account)
    }

    /// Proves every name of the order, and waits for the authority's verdict.
    async fn prove(&self, order: &mut Order) -> Result<(), AttemptFailure> {
        let (found, most) = (order.state().authorizations.len(), MOST_AUTHORIZATIONS * self.names.len());
        if found > most {
            return Err(AttemptFailure::new(format!(
                "the authority wants {found} proofs for {} names, which is too many",
                self.names.len()
            )));
        }
        let mut chosen = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(found) = authorizations.next().await {
            let mut authorization = found.map_err(AttemptFailure::of)?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => {
                    chosen.push(None);
                    continue;
                }
                // The authority has remembered a failure: its reason is read below.
                _ => break,
            }
            let identifier = authorization.identifier();
            let (name, is_wildcard) = (name_of(identifier.identifier), identifier.wildcard);
            // The name becomes that of a file, or of a record in the DNS.
            if !self.has_ordered(&name, is_wildcard) {
                return Err(AttemptFailure::new(format!(
                    "the authority wants a proof for {name:?}, which was not ordered"
                )));
            }
            let offered: Vec<Challenge> = self
                .plan
                .challenges
                .iter()
                .copied()
                .filter(|kind| authorization.challenges.iter().any(|one| is_answerable(one, *kind)))
                .filter(|kind| !is_wildcard || *kind == Challenge::Dns01)
                .filter(|kind| name.parse::<IpAddr>().is_err() || *kind != Challenge::Dns01)
                .collect();
            let Some(kind) = offered.get(self.turn as usize % offered.len().max(1)).copied() else {
                return Err(AttemptFailure::new(format!(
                    "the authority offers no challenge for {name} that is possible here (config[\"acme_challenges\"])"
                )));
            };
            let Some(challenge) = authorization.challenge(challenge_type(kind)) else { continue };
            let key_authorization = challenge.key_authorization();
            let proof = Proof {
                kind,
                name,
                token: challenge.token.clone(),
                key_authorization: key_authorization.as_str().to_owned(),
                digest: key_authorization.digest().as_ref().to_vec(),
                dns_value: key_authorization.dns_value(),
            };
            self.proofs.show(proof).await?;
            chosen.push(Some(kind));
        }
        if chosen.iter().any(Option::is_some) && !self.proofs.are_shown_here_alone() {
            pause(self.pauses.spread).await;
        }
        let mut authorizations = order.authorizations();
        for kind in chosen {
            let Some(found) = authorizations.next().await else { break };
            let mut authorization = found.map_err(AttemptFailure::of)?;
            let Some(kind) = kind else { continue };
            if let Some(mut challenge) = authorization.challenge(challenge_type(kind)) {
                challenge.set_ready().await.map_err(AttemptFailure::of)?;
            }
        }
        match poll(order, self.pauses, |status| status != OrderStatus::Pending, "validated the names").await? {
            OrderStatus::Invalid => Err(self.verdict(order).await),
            _ => Ok(()),
        }
    }

    /// Whether the order has this name of an authorization; the one of a wildcard comes without `*.`.
    fn has_ordered(&self, name: &str, is_wildcard: bool) -> bool {
        let is_this = |own: &String| match own.strip_prefix("*.") {
            // Authorities that do not say that it is a wildcard leave the field out.
            Some(parent) => parent == name,
            None => own == name && !is_wildcard,
        };
        self.names.iter().any(is_this)
    }

    /// The authority's reason for an order that is invalid.
    async fn verdict(&self, order: &mut Order) -> AttemptFailure {
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                continue;
            }
            let name = name_of(authorization.identifier().identifier);
            for challenge in &authorization.challenges {
                if let Some(problem) = &challenge.error {
                    return AttemptFailure::of_validation(&name, &challenge.r#type, problem);
                }
            }
        }
        match &order.state().error {
            Some(problem) => AttemptFailure::of(AcmeError::Api(problem.clone())),
            None => AttemptFailure::new("the authority has found the order invalid, and does not say why".to_owned()),
        }
    }

    /// Has the certificate issued for a new key.
    async fn finish(&self, mut order: Order) -> Result<Obtained, AttemptFailure> {
        let failed = |error: rcgen::Error| AttemptFailure::new(format!("a key cannot be made: {error}"));
        let key = KeyPair::generate().map_err(failed)?;
        let mut parameters = CertificateParams::new(self.names.to_vec()).map_err(failed)?;
        // Authorities refuse a common name, or names over 64 bytes in it.
        parameters.distinguished_name = DistinguishedName::new();
        let request = parameters.serialize_request(&key).map_err(failed)?;
        if order.state().status == OrderStatus::Ready {
            order.finalize_csr(request.der()).await.map_err(AttemptFailure::of)?;
        }
        let is_issued = |status| matches!(status, OrderStatus::Valid | OrderStatus::Invalid);
        poll(&mut order, self.pauses, is_issued, "issued the certificate").await?;
        let chain = order.certificate().await.map_err(AttemptFailure::of)?;
        let chain = chain.ok_or_else(|| AttemptFailure::new("the authority has sent no certificate".to_owned()))?;
        Ok(Obtained { pem: format!("{}{chain}", key.serialize_pem()) })
    }
}

/// Looks at the order until its status is a wanted one.
async fn poll(
    order: &mut Order,
    pauses: Pauses,
    is_wanted: impl Fn(OrderStatus) -> bool,
    what: &str,
) -> Result<OrderStatus, AttemptFailure> {
    let deadline = Instant::now() + PATIENCE;
    let mut next = pauses.first;
    loop {
        let status = order.state().status;
        if is_wanted(status) {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            let seconds = PATIENCE.as_secs();
            return Err(AttemptFailure::new(format!(
                "the authority has not {what} within {seconds} s: its order is {status:?}"
            )));
        }
        pause(next).await;
        next = (next * 2).min(pauses.longest);
        order.refresh().await.map_err(AttemptFailure::of)?;
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn is_answerable(challenge: &instant_acme::Challenge, kind: Challenge) -> bool {
    challenge.r#type == challenge_type(kind) && crate::transport::is_token(&challenge.token)
}

fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

fn name_of(identifier: &Identifier) -> String {
    match identifier {
        Identifier::Dns(name) => name.to_ascii_lowercase(),
        Identifier::Ip(address) => address.to_string(),
        other => format!("{other:?}"),
    }
}

/// The identifier of a certificate at its authority; `None` for a file that is no certificate of an authority.
pub(super) fn identifier_of(inspection: &crate::transport::Inspection) -> Option<CertificateIdentifier<'static>> {
    let key = inspection.leaf.authority_key.as_deref()?;
    let (key, serial) =
        (rustls::pki_types::Der::from_slice(key), rustls::pki_types::Der::from_slice(&inspection.leaf.serial));
    Some(CertificateIdentifier::new(key, serial).into_owned())
}

/// Asks for the authority's advice: the window, and the seconds after which to ask again.
pub(super) async fn ask_advice(
    client: impl HttpClient,
    file: &Path,
    certificate: &CertificateIdentifier<'static>,
) -> Result<((u64, u64), u64), AttemptFailure> {
    let text = storage::read(file).map_err(|error| AttemptFailure::of_storage(file, &error))?.unwrap_or_default();
    let credentials: AccountCredentials =
        serde_json::from_str(&text).map_err(|_| AttemptFailure::new("there is no account".to_owned()))?;
    let builder = Account::builder_with_http(Box::new(client));
    let account = builder.from_credentials(credentials).await.map_err(AttemptFailure::of)?;
    let (advice, again) = account.renewal_info(certificate).await.map_err(AttemptFailure::of)?;
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    let window = advice.suggested_window;
    Ok(((seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp())), again.as_secs()))
}

/// Base64 with either alphabet, with or without padding (RFC 4648).
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use instant_acme::ChallengeType;

    use super::*;

    #[test]
    fn base64() {
        for (text, expected) in
            [("", &b""[..]), ("Zg", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("-_-_", b"\xfb\xff\xbf")]
        {
            assert_eq!(decode_base64(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(decode_base64("Z g"), None);
    }

    #[test]
    fn challenge_types_have_names() {
        assert_eq!(challenge_type(Challenge::Http01), ChallengeType::Http01);
    }
}
