//! A keeper among machines that have the same certificate: what others have obtained is taken over, and an order needs the right to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::clock::{date, now};
use super::failure::AttemptFailure;
use super::fleet::{ChallengeAnswers, Fleet, FleetRecord, HeldRight, OrderRight, RightToOrder};
use super::keeper::Keeper;
use super::proof::server_name;
use super::state::CertificateState;
use super::storage::{self, certificate_file};
use super::verify::verify;
use crate::log::Level;
use crate::transport::is_token;

/// Seconds after which the right to order is asked for again.
const ASK_AGAIN: u64 = 2;
/// Time for machines to leave a certificate of which the broker does not know, because it has come back empty.
const OTHERS: Duration = Duration::from_secs(3);
/// Seconds after which answers to challenges are looked at again without news, since they may have ended with their time.
const LOOK_AGAIN: u64 = 60;

/// What a keeper has found about its certificate on other machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordNews {
    Nothing,
    Known,
    TakenOver,
}

impl Keeper {
    /// Takes over what other machines have left since the last look.
    pub(super) async fn look_at_machines(&mut self) {
        let Some(fleet) = self.common.fleet.clone() else { return };
        let revision = fleet.revision();
        let is_old = !self.machines.shown.is_empty() && self.machines.looked + LOOK_AGAIN <= now();
        if revision.is_none() || (self.machines.seen == revision && !is_old) {
            return;
        }
        self.machines.seen = revision;
        self.machines.looked = now();
        if let Err(reason) = self.catch_up(&fleet).await {
            let text = format!("the certificate of other machines for {} is not known: {reason}", self.title());
            self.common.log.event(Level::Debug, text);
            self.machines.seen = None;
        }
    }

    /// This process does not lead any more: the next one answers the challenges of others.
    pub(super) fn leave_machines(&mut self) {
        if self.common.fleet.is_some() {
            self.show_for_others(&ChallengeAnswers::new());
        }
    }

    /// Takes over what other machines have left.
    async fn catch_up(&mut self, fleet: &Fleet) -> Result<RecordNews, String> {
        let record = fleet.record(&self.id).await?;
        self.show_for_others(&fleet.answers(&self.id).await?);
        self.look_at_certificate();
        let own = self.held().filter(|held| held.fits).map_or(0, |held| held.from);
        let Some(record) = record else {
            // A broker that has come back empty.
            if own == 0 {
                return Ok(RecordNews::Nothing);
            }
            self.leave_to_machines().await;
            return Ok(RecordNews::Known);
        };
        self.take_account(&record);
        if own > record.from {
            self.leave_to_machines().await;
            return Ok(RecordNews::Known);
        }
        let mut theirs = CertificateState::parse(&record.state);
        if record.from > own && record.pem.as_ref().is_some_and(|pem| self.take_certificate(pem)) {
            theirs.next = 0;
            self.state = theirs;
            self.write_state();
            return Ok(RecordNews::TakenOver);
        }
        // Failures of one machine are those of all: each of them would make the same ones.
        let is_later = theirs.history.last > self.state.history.last;
        if is_later {
            self.state.history = theirs.history;
            self.state.error = theirs.error;
            self.write_state();
        }
        Ok(if is_later { RecordNews::TakenOver } else { RecordNews::Known })
    }

    /// Puts another machine's certificate in place, if it is a good one.
    fn take_certificate(&mut self, pem: &str) -> bool {
        let (file, plan) = (certificate_file(&self.folder), &self.common.plan);
        let checked = verify(&file, pem, &self.names, now(), 0, &plan.private_issuers());
        let written = checked.and_then(|until| {
            storage::write(&file, pem.as_bytes()).map_err(|error| AttemptFailure::of_storage(&file, &error))?;
            Ok(until)
        });
        match written {
            Ok(until) => {
                (self.common.take_over)();
                let until = date(until);
                let text =
                    format!("a certificate for {} was obtained by another machine, valid until {until}", self.title());
                self.common.log.event(Level::Info, text);
                self.tell_hook();
                self.look_at_certificate();
                true
            }
            Err(failure) => {
                let text = format!("another machine's certificate for {} is not taken: {failure}", self.title());
                self.common.log.event(Level::Warning, text);
                false
            }
        }
    }

    /// Renewals belong to the account that has ordered the certificate.
    fn take_account(&self, record: &FleetRecord) {
        let Some((directory, credentials)) = &record.account else { return };
        let file = self.common.plan.account_file(directory);
        if self.common.plan.has_authority(directory) && !file.exists() {
            // Without it this machine makes one of its own.
            storage::write(&file, credentials.as_bytes()).unwrap_or_default();
        }
    }

    /// Leaves certificate and state to the other machines.
    pub(super) async fn leave_to_machines(&mut self) {
        let Some(fleet) = self.common.fleet.clone() else { return };
        self.look_at_certificate();
        let held = self.held().filter(|held| held.fits);
        let pem = held.and_then(|_| storage::read(&certificate_file(&self.folder)).ok().flatten());
        let plan = &self.common.plan;
        let directory = self.state.authority.as_ref().or(plan.authorities.first().map(|first| &first.directory));
        let account = directory.and_then(|directory| {
            let text = storage::read(&plan.account_file(directory)).ok().flatten()?;
            Some((directory.clone(), text))
        });
        let from = held.filter(|_| pem.is_some()).map_or(0, |held| held.from);
        let record = FleetRecord { from, pem, state: self.state.to_json(), account };
        if let Err(reason) = fleet.leave(&self.id, &record).await {
            let text = format!("other machines do not get the certificate for {} yet: {reason}", self.title());
            self.common.log.event(Level::Warning, text);
            // The next look finds that theirs is older.
            self.machines.seen = None;
        }
    }

    /// Asks for the right to order, and takes over what another machine has obtained meanwhile.
    pub(super) async fn ask_for_right(&mut self) -> OrderRight {
        let Some(fleet) = self.common.fleet.clone() else { return OrderRight::Alone };
        let reason = match fleet.ask(&self.id).await {
            Ok(RightToOrder::Given(token)) => {
                let holding = tokio::spawn(Arc::clone(&fleet).hold(self.id.clone(), token));
                let right = HeldRight { token, holding };
                match self.look_for_others(&fleet).await {
                    Ok(RecordNews::Nothing | RecordNews::Known) => {
                        self.machines.has_complained = false;
                        return OrderRight::Granted(right);
                    }
                    Ok(RecordNews::TakenOver) => {
                        self.give_right_back(right).await;
                        return OrderRight::Denied;
                    }
                    Err(reason) => {
                        self.give_right_back(right).await;
                        reason
                    }
                }
            }
            Ok(RightToOrder::Elsewhere) => {
                self.blocked = now() + ASK_AGAIN;
                return OrderRight::Denied;
            }
            Err(reason) => reason,
        };
        self.blocked = now() + ASK_AGAIN;
        if !std::mem::replace(&mut self.machines.has_complained, true) {
            let text = format!(
                "the certificate for {} is not ordered while config[\"bus\"] does not say whether another machine orders it: {reason}",
                self.title()
            );
            self.common.log.event(Level::Error, text);
        }
        OrderRight::Denied
    }

    async fn look_for_others(&mut self, fleet: &Fleet) -> Result<RecordNews, String> {
        let found = self.catch_up(fleet).await?;
        if found != RecordNews::Nothing {
            return Ok(found);
        }
        fleet.tell().await?;
        tokio::time::sleep(OTHERS).await;
        self.catch_up(fleet).await
    }

    pub(super) async fn give_right_back(&mut self, right: HeldRight) {
        if let Some(fleet) = &self.common.fleet {
            fleet.give_back(&self.id, right.token).await;
        }
    }

    /// Answers the challenges of other machines: puts them into the folder that all processes of this machine look at.
    fn show_for_others(&mut self, answers: &ChallengeAnswers) {
        let folder = self.common.plan.storage.challenges();
        let wanted: BTreeSet<String> = answers.keys().filter(|name| self.is_challenge(name)).cloned().collect();
        for name in self.machines.shown.difference(&wanted) {
            std::fs::remove_file(folder.join(name)).unwrap_or_default();
        }
        for (name, content) in answers.iter().filter(|(name, _)| wanted.contains(*name)) {
            // One that cannot be written fails the order of the other machine, which says so.
            if !self.machines.shown.contains(name) {
                storage::write(&folder.join(name), content.as_bytes()).unwrap_or_default();
            }
        }
        self.machines.shown = wanted;
        self.common.memory.refresh();
    }

    /// Whether a challenge of this certificate may have a file of this name.
    fn is_challenge(&self, name: &str) -> bool {
        let is_own = |host: &str| self.names.iter().any(|own| server_name(own) == host);
        is_token(name) || name.strip_suffix(".pem").is_some_and(is_own)
    }
}
