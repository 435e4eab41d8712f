//! `outside cert status` and `outside cert renew`: the certificates that servers of this machine obtain by themselves, and
//! the keys of their configuration that the environment sets.

use std::path::PathBuf;

use outside::Config;
use outside::certificates::{certificate_status, renew_certificates};
use outside::config::{KEYS, Value};

use crate::certificate_words::ManagedAction;
use crate::{NOT_STARTED, USAGE};

/// Exit status and reason.
type ManagedFault = (u8, String);

/// Does what is asked; returns the text to print.
pub(crate) fn run(storage: Option<PathBuf>, action: &ManagedAction) -> Result<String, ManagedFault> {
    let config = config(&[], storage)?;
    let failed = |error: outside::Error| (NOT_STARTED, error.to_string());
    match action {
        ManagedAction::Renew(names) => {
            let names = renew_certificates(&config, names).map_err(failed)?;
            Ok(format!("the server renews the certificate for {}; its log tells how that ends\n", names.join(", ")))
        }
        ManagedAction::Status => {
            let found = certificate_status(&config).map_err(failed)?;
            if found.is_empty() {
                return Err((
                    NOT_STARTED,
                    "there are no certificates here; --acme-storage names another folder".to_owned(),
                ));
            }
            Ok(found.iter().map(ToString::to_string).collect())
        }
    }
}

/// A configuration of the keys about certificates: those of the environment, then those of the command line.
pub(crate) fn config(domains: &[String], storage: Option<PathBuf>) -> Result<Config, ManagedFault> {
    let mut values = Vec::new();
    for key in KEYS.iter().filter(|key| key.name.starts_with("acme_") || key.name == "domains") {
        let Ok(text) = std::env::var(format!("OUTSIDE_{}", key.name.to_ascii_uppercase())) else { continue };
        let value = match key.default {
            _ if text.is_empty() => continue,
            Value::Texts(_) => Value::List(text.split(',').map(|part| Value::Owned(part.trim().to_owned())).collect()),
            _ => Value::Owned(text),
        };
        values.push((key.name, value));
    }
    if !domains.is_empty() {
        values.retain(|(name, _)| *name != "domains");
        values.push(("domains", Value::List(domains.iter().cloned().map(Value::Owned).collect())));
    }
    if let Some(storage) = storage {
        let storage = storage.into_os_string().into_string().map_err(|path| (USAGE, format!("{path:?} is no text")))?;
        values.retain(|(name, _)| *name != "acme_storage");
        values.push(("acme_storage", Value::Owned(storage)));
    }
    Config::from_values(values).map_err(|error| (USAGE, error.to_string()))
}
