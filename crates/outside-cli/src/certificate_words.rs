//! The words of the command line about certificates: `--domain`, and those behind `cert`.

use std::ffi::OsString;
use std::path::PathBuf;

use outside::config::Domain;

/// An action on certificates that are obtained by servers.
#[derive(Debug, PartialEq)]
pub(crate) enum ManagedAction {
    Status,
    /// A renewal at once, of the certificates with these names or of all.
    Renew(Vec<String>),
}

/// The task of `cert`.
pub(crate) enum CertificateTask {
    /// A certificate for development, for these names.
    Write(Vec<String>),
    Managed(Option<PathBuf>, ManagedAction),
}

/// The names of one certificate.
pub(crate) fn domain_of(text: String) -> Result<String, String> {
    text.parse::<Domain>().map(|_| text).map_err(|error| format!("--domain: {error}"))
}

/// The task of `cert`: `status` and `renew` are about the certificates of servers.
pub(crate) fn certificate_task(words: Vec<OsString>, storage: Option<PathBuf>) -> Result<CertificateTask, String> {
    match words.get(1).and_then(|word| word.to_str()) {
        Some("status") if words.len() == 2 => Ok(CertificateTask::Managed(storage, ManagedAction::Status)),
        Some("status") => Err("cert status takes no names: it shows all certificates".to_owned()),
        Some("renew") => {
            let names = words.into_iter().skip(2).map(|word| word.to_string_lossy().into_owned()).collect();
            Ok(CertificateTask::Managed(storage, ManagedAction::Renew(names)))
        }
        _ if storage.is_some() => Err("--acme-storage is for servers, and for cert status and cert renew".to_owned()),
        _ => Ok(CertificateTask::Write(certificate_names(words)?)),
    }
}

/// The words behind `cert`.
fn certificate_names(words: Vec<OsString>) -> Result<Vec<String>, String> {
    let names = words.into_iter().skip(1).map(|word| word.into_string().map_err(|word| format!("{word:?} is no name")));
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    if names.is_empty() {
        Err("cert lacks its names, such as localhost; a folder of that name is ./cert".to_owned())
    } else {
        Ok(names)
    }
}
