//! The certificates of a storage as `outside cert status` shows them, and the wish of `outside cert renew`.

use std::fmt;
use std::io;
use std::path::Path;

use super::clock::{date, now, seconds};
use super::schedule::Wish;
use super::state::CertificateState;
use super::storage::{Storage, certificate_file};
use crate::config::Config;
use crate::error::Error;
use crate::transport::inspect;

/// A certificate in the storage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// The names that were asked for.
    pub names: Vec<String>,
    /// The end of its validity, in seconds since 1970; `None` if there is no certificate yet.
    pub valid_until: Option<u64>,
    /// The directory of the authority that has issued it.
    pub authority: Option<String>,
    /// When the next step is due, in seconds since 1970; 0 if none is planned.
    pub next_step: u64,
    /// Why the last attempt has failed, if it has.
    pub error: Option<String>,
}

/// The certificates in the storage of a configuration.
///
/// # Errors
/// There is no storage, or it cannot be read.
pub fn certificate_status(config: &Config) -> Result<Vec<CertificateStatus>, Error> {
    let storage = Storage::locate(config)?;
    Ok(storage.certificate_folders().iter().map(|folder| of(folder)).collect())
}

/// A line with the names, and indented lines about them.
impl fmt::Display for CertificateStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.names.join(", "))?;
        match self.valid_until {
            Some(until) if until > now() => writeln!(f, "  valid until {}", date(until))?,
            Some(until) => writeln!(f, "  EXPIRED at {}", date(until))?,
            None => writeln!(f, "  not obtained yet")?,
        }
        if let Some(authority) = &self.authority {
            writeln!(f, "  from {authority}")?;
        }
        if self.next_step > 0 {
            writeln!(f, "  next step at {}", date(self.next_step))?;
        }
        self.error.as_ref().map_or(Ok(()), |error| writeln!(f, "  last error: {error}"))
    }
}

fn of(folder: &Path) -> CertificateStatus {
    let state = CertificateState::read(folder);
    let file = certificate_file(folder);
    let found = std::fs::read(&file).ok().and_then(|text| inspect(&file, &text).ok()).map(|found| found.leaf);
    let folder_name = || vec![folder.file_name().unwrap_or_default().to_string_lossy().into_owned()];
    let names = if state.names.is_empty() {
        found.as_ref().map_or_else(folder_name, |leaf| leaf.names.clone())
    } else {
        state.names
    };
    CertificateStatus {
        names,
        valid_until: found.map(|leaf| seconds(leaf.not_after)),
        authority: state.authority,
        next_step: state.next,
        error: state.error,
    }
}

/// Has the server of this storage renew certificates within a second: those with one of these names, or all. Returns their
/// names.
///
/// # Errors
/// There is no such certificate, or the storage cannot be written.
pub fn renew_certificates(config: &Config, names: &[String]) -> Result<Vec<String>, Error> {
    let storage = Storage::locate(config)?;
    let mut wished = Vec::new();
    for folder in storage.certificate_folders() {
        let known = of(&folder).names;
        if names.is_empty() || known.iter().any(|name| names.contains(name)) {
            Wish::Renew
                .leave(&folder)
                .map_err(|error: io::Error| Error::new(format!("{folder:?} cannot be written: {error}")))?;
            wished.extend(known);
        }
    }
    match names.iter().find(|name| !wished.contains(name)) {
        Some(missing) => Err(Error::new(format!("the storage has no certificate for {missing:?}"))),
        None if wished.is_empty() => Err(Error::new("the storage has no certificates")),
        None => Ok(wished),
    }
}
