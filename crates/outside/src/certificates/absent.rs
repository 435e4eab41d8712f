//! A build without the feature `acme`: `domains` is refused with a sentence, and nothing else of this room is there.

#[path = "hooks.rs"]
mod hooks;
#[path = "prepared.rs"]
mod prepared;

use std::sync::Arc;

pub(crate) use AbsentCertificates as Certificates;
pub(crate) use AbsentFleet as Fleet;
pub(crate) use hooks::TakeOver;
pub use hooks::{CertificateHooks, DnsRecord, OnCertificate, SetDnsRecord};

use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::shared::SharedStore;
use crate::transport::Challenges;
pub(crate) use prepared::Prepared;

/// The shared state of several machines, of which nothing is needed here.
pub(crate) struct AbsentFleet(());

impl AbsentFleet {
    pub(crate) fn new(_: Arc<dyn SharedStore>, _: &Config) -> Self {
        Self(())
    }
}

fn refused() -> Error {
    Error::new("config[\"domains\"] needs the feature `acme`, without which this program was built")
}

pub(crate) fn prepare(_: &Config) -> Result<Prepared, Error> {
    Err(refused())
}

pub(crate) fn retry_soon(_: &Config) {}

/// The certificates of a server that runs: there are none.
pub(crate) struct AbsentCertificates(());

impl AbsentCertificates {
    pub(crate) fn start(
        _: &Config,
        _: CertificateHooks,
        _: TakeOver,
        _: &Arc<Challenges>,
        _: Option<Fleet>,
        _: &Arc<Log>,
    ) -> Result<Self, Error> {
        Err(refused())
    }

    pub(crate) fn retry(&self) {}

    pub(crate) fn drain(&self) {}

    pub(crate) fn end(self, _: std::time::Duration) {}
}
