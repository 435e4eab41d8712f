//! The certificates of a server that runs: files that are read again, and the thread that obtains new ones.

use super::Running;
use crate::certificates::{CertificateHooks, Certificates, Fleet, TakeOver};
use crate::config::Config;
use crate::error::Error;
use crate::log::Level;
use crate::transport::{Notice, Tls};

impl Running {
    /// The same with a thread that obtains certificates, where `domains` wants some for the listeners of this server.
    pub(crate) fn keep_certificates(mut self, config: &Config, hooks: CertificateHooks) -> Result<Self, Error> {
        let Some(memory) = self.tls.iter().find_map(|tls| tls.challenges().cloned()) else { return Ok(self) };
        let (tls, log) = (self.tls.clone(), std::sync::Arc::clone(&self.log));
        let take_over: TakeOver = Box::new(move || {
            tls.iter().for_each(|tls| renew_certificates(tls, false, |level, text| log.notable(level, text)));
        });
        let store = self.reactors.iter().next().map(|service| service.site.shared.store());
        let fleet = store.filter(|_| config.bus.is_some()).map(|store| Fleet::new(store, config));
        match Certificates::start(config, hooks, take_over, &memory, fleet, &self.log) {
            Ok(certificates) => {
                self.certificates = Some(certificates);
                Ok(self)
            }
            Err(error) => {
                self.end();
                Err(error)
            }
        }
    }
}

/// Reads certificates again whose files have changed, and reports the result.
pub(crate) fn renew_certificates(tls: &Tls, is_urgent: bool, mut say: impl FnMut(Level, String)) {
    for notice in tls.renew(is_urgent) {
        match notice {
            Notice::Renewed(files) => say(Level::Info, format!("new certificates are in use: {files:?}")),
            Notice::Fault(text) => say(Level::Error, text),
            Notice::Early(text) => say(Level::Warning, text),
        }
    }
}
