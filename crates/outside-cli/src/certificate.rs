//! `outside cert NAME…`: a certificate for development, signed by itself, in two files that never replace others. They
//! lie in a folder whose name begins with a dot, because such folders are not served.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use crate::service::Fault;
use crate::{NOT_STARTED, USAGE};

const DAY: Duration = Duration::from_secs(86_400);
/// Days for which a certificate is valid; browsers accept 398 at most.
const DAYS: u32 = 365;

/// The folder of certificates and keys. Hidden files are not served.
pub(crate) const FOLDER: &str = ".outside";

/// Writes `NAME.pem` and `NAME.key` into [`FOLDER`] below this one; returns the text that explains them.
pub(crate) fn write(below: &Path, names: &[String]) -> Result<String, Fault> {
    let failed = |error: rcgen::Error| (NOT_STARTED, format!("a certificate cannot be made: {error}"));
    let Some(first) = names.first() else { return Err((USAGE, "cert lacks its names".to_owned())) };
    let mut all = names.to_vec();
    if names.iter().any(|name| name == "localhost") {
        all.extend(["127.0.0.1", "::1"].map(str::to_owned).into_iter().filter(|name| !names.contains(name)));
    }
    if let Some(wrong) = all.iter().find(|name| !may_be_name(name)) {
        return Err((USAGE, format!("{wrong:?} is neither the name of a host nor an IP address")));
    }
    let mut parameters = CertificateParams::new(all.clone()).map_err(failed)?;
    // The certificate is used at once, and a client's clock may be late.
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(DAY);
    parameters.not_before = rcgen::date_time_ymd(1970, 1, 1) + start;
    parameters.not_after = parameters.not_before + DAY * DAYS;
    parameters.distinguished_name.push(DnType::CommonName, format!("{first} (development)"));
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = parameters.self_signed(&key).map_err(failed)?;
    let folder = private(below.join(FOLDER))?;
    let base = first.replace(['*', ':'], "_");
    let (certfile, keyfile) = (folder.join(format!("{base}.pem")), folder.join(format!("{base}.key")));
    create(&certfile, certificate.pem().as_bytes(), 0o644)?;
    if let Err(fault) = create(&keyfile, key.serialize_pem().as_bytes(), 0o600) {
        // A certificate without its key is useless.
        std::fs::remove_file(&certfile).unwrap_or_default();
        return Err(fault);
    }
    let (pem, key) = (shown(&certfile), shown(&keyfile));
    Ok(format!(
        "{pem} and {key} are for {} and development, until {DAYS} days from yesterday.\n\
         outside --certfile {pem} --keyfile {key}\n\
         curl --cacert {pem} https://{first}:8080/\n\
         A browser warns of it until it is told to trust {pem}.\n",
        all.join(", "),
    ))
}

/// The folder, made if it is not there, and for its owner alone; version control leaves it out.
fn private(folder: PathBuf) -> Result<PathBuf, Fault> {
    let failed = |error| (NOT_STARTED, format!("{} cannot be made: {error}", shown(&folder)));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => {}
        // The folder may not be a link, whose target may be another user's.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !std::fs::symlink_metadata(&folder).map_err(failed)?.is_dir() {
                return Err((NOT_STARTED, format!("{} is there already, and is no folder", shown(&folder))));
            }
            std::fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let ignored = OpenOptions::new().write(true).create_new(true).open(folder.join(".gitignore"));
    // The file may exist; and the key is as private without it.
    drop(ignored.and_then(|mut file| file.write_all(b"*\n")));
    Ok(folder)
}

/// Letters, digits, and `-`, `.`, `:` and `_` between them; a wildcard at the left.
fn may_be_name(name: &str) -> bool {
    let is_address = name.parse::<std::net::IpAddr>().is_ok();
    let labels = name.strip_prefix("*.").unwrap_or(name).split('.');
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        inner && !label.is_empty() && label.len() < 64 && !label.starts_with('-') && !label.ends_with('-')
    };
    is_address || (name.len() < 254 && labels.into_iter().all(is_label))
}

fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), Fault> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    opened.and_then(|mut file| file.write_all(content)).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => (NOT_STARTED, format!("{} is there already, and stays", shown(path))),
        _ => (NOT_STARTED, format!("{} cannot be written: {error}", shown(path))),
    })
}

/// The path without the `./` at its beginning.
fn shown(path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(".").unwrap_or(path).to_owned();
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["localhost", "a.example", "*.example.com", "127.0.0.1", "::1", "my_host", "xn--bcher-kva.example"]
        {
            assert!(may_be_name(name), "{name}");
        }
        for name in ["", "a b", "../x", "-a", "a..b", "*", "a.*.b", "a/b", "https://a", "[::1]", "a:80"] {
            assert!(!may_be_name(name), "{name}");
        }
    }
}
