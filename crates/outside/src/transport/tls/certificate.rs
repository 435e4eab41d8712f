//! A certificate and its key, read from their files, parsed and checked before any client sees them.
//!
//! Every fault becomes one sentence that names the file and the reason.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
#[cfg(feature = "acme")]
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::x509;
use crate::config::CertificateFiles;

/// A certificate with its key, ready for handshakes.
pub(super) struct Identity {
    pub(super) key: Arc<CertifiedKey>,
    /// In lower case; `*.` before names that stand for any one label.
    pub(super) names: Vec<String>,
    pub(super) not_before: SystemTime,
    not_after: SystemTime,
    certfile: PathBuf,
}

/// The validity of a certificate by the clock, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It has expired.
    Expired,
    /// It is not valid yet, or the clock is behind.
    Early,
    /// It is valid now.
    Valid,
}

impl Identity {
    pub(super) fn standing(&self, now: SystemTime) -> Standing {
        match () {
            () if self.not_after < now => Standing::Expired,
            () if self.not_before > now => Standing::Early,
            () => Standing::Valid,
        }
    }

    /// Its first name, and the end of its validity.
    pub(super) fn expiry(&self) -> (String, SystemTime) {
        (self.names.first().cloned().unwrap_or_default(), self.not_after)
    }

    /// The reason why clients would refuse it now, if they would.
    pub(super) fn untimely(&self, now: SystemTime) -> Option<CertificateError> {
        let date = httpdate::fmt_http_date;
        let reason = match self.standing(now) {
            Standing::Valid => return None,
            Standing::Expired => format!("has expired: it was valid until {}", date(self.not_after)),
            Standing::Early => format!("is not valid yet: it will be from {} on", date(self.not_before)),
        };
        Some(Subject { path: &self.certfile, is_key: false }.fault(reason))
    }
}

/// Bytes above which a file is no certificate.
const LARGEST: u64 = 1 << 20;

/// The reason why a certificate cannot be used, in one sentence.
#[derive(Debug)]
pub struct CertificateError {
    /// The faulty file.
    pub file: PathBuf,
    /// The fault, as the rest of a sentence that begins with the file.
    pub reason: String,
    /// The system's error, if the file could not be read.
    pub error: Option<io::Error>,
    is_key: bool,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_key { "key" } else { "certificate" };
        write!(f, "the {kind} file {:?} {}", self.file, self.reason)
    }
}

impl std::error::Error for CertificateError {}

/// One of the two files, as the subject of error texts.
#[derive(Clone, Copy)]
struct Subject<'a> {
    path: &'a Path,
    is_key: bool,
}

impl Subject<'_> {
    fn fault(self, reason: impl Into<String>) -> CertificateError {
        CertificateError { file: self.path.to_owned(), reason: reason.into(), error: None, is_key: self.is_key }
    }

    /// The content of the file.
    fn read(self) -> Result<Vec<u8>, CertificateError> {
        let mut text = Vec::new();
        let read = File::open(self.path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text));
        if let Err(error) = read {
            let reason = format!("cannot be read: {error}");
            return Err(CertificateError { error: Some(error), ..self.fault(reason) });
        }
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => Err(self.fault("is empty")),
            Some(_) if text.len() as u64 > LARGEST => Err(self.fault("is larger than 1 MiB")),
            Some(0x30) => Err(self.fault("is in DER, not in PEM: openssl x509 -inform der (or pkey) converts it")),
            Some(_) => Ok(text),
        }
    }

    /// All sections of the file's PEM.
    fn sections(self, text: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, CertificateError> {
        let said = |error| match error {
            pem::Error::MissingSectionEnd { .. } => self.fault("is not complete: its last section has no end"),
            pem::Error::Base64Decode(_) => self.fault("is damaged: a section is not valid base64"),
            other => self.fault(format!("is no PEM file: {other}")),
        };
        <(SectionKind, Vec<u8>)>::pem_slice_iter(text).collect::<Result<_, _>>().map_err(said)
    }
}

/// Reads a certificate with its chain, and its key. Does not check the time of its validity.
pub(super) fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Identity, CertificateError> {
    let certfile = Subject { path: &files.certfile, is_key: false };
    let keyfile = Subject { path: &files.keyfile, is_key: true };
    assemble((certfile, &certfile.read()?), (keyfile, &keyfile.read()?), provider)
}

/// Reads a certificate with its chain and its key from the bytes of this file, before it is written.
///
/// # Errors
/// As for certificates in files.
#[cfg(feature = "acme")]
pub(crate) fn inspect(file: &Path, text: &[u8]) -> Result<Inspection, CertificateError> {
    let (certfile, keyfile) = (Subject { path: file, is_key: false }, Subject { path: file, is_key: true });
    let identity = assemble((certfile, text), (keyfile, text), &default_provider())?;
    let (leaf, behind) = identity.key.cert.split_first().ok_or_else(|| certfile.fault("holds no certificate"))?;
    let leaf = x509::read(leaf).ok_or_else(|| certfile.fault("holds a certificate that cannot be understood"))?;
    let issuers = behind.iter().filter_map(|der| x509::read(der)).map(|certificate| certificate.subject).collect();
    Ok(Inspection { leaf, issuers })
}

/// The facts of a certificate and of the chain behind it.
#[cfg(feature = "acme")]
#[derive(Debug)]
pub(crate) struct Inspection {
    pub(crate) leaf: x509::Certificate,
    /// The subjects of the certificates behind the first, in DER.
    pub(crate) issuers: Vec<Vec<u8>>,
}

fn assemble(
    (certfile, text): (Subject<'_>, &[u8]),
    (keyfile, key_text): (Subject<'_>, &[u8]),
    provider: &CryptoProvider,
) -> Result<Identity, CertificateError> {
    let chain = certfile.sections(text)?.into_iter().filter(|(kind, _)| *kind == SectionKind::Certificate);
    let chain: Vec<CertificateDer<'static>> = chain.map(|(_, der)| der.into()).collect();
    let mut parsed = Vec::new();
    for (place, certificate) in chain.iter().enumerate() {
        let unreadable =
            || certfile.fault(format!("holds a certificate that cannot be understood, number {}", place + 1));
        parsed.push(x509::read(certificate).ok_or_else(unreadable)?);
    }
    let Some(leaf) = parsed.into_iter().next() else { return Err(certfile.fault("holds no certificate")) };
    if leaf.version < x509::VERSION_3 {
        return Err(certfile.fault(format!(
            "holds an X.509 version {} certificate, in which the names of hosts have no place, so that no client takes it: have it \
             made anew as version 3 with subjectAltName (outside cert NAME writes one for development)",
            leaf.version + 1
        )));
    }
    let key = read_key(keyfile, key_text)?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        keyfile.fault("holds a key that is damaged or of a kind that is not supported (ECDSA, Ed25519, RSA are)")
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            let other = other_certificate_matches(&certified);
            let advice = if other { ", but another one in it: the server's own must come first" } else { "" };
            return Err(keyfile.fault(format!("does not match the first certificate in {:?}{advice}", certfile.path)));
        }
        Err(error) => return Err(certfile.fault(format!("holds a certificate that cannot be used: {error}"))),
    }
    let x509::Certificate { names, not_before, not_after, .. } = leaf;
    Ok(Identity { key: Arc::new(certified), names, not_before, not_after, certfile: certfile.path.to_owned() })
}

fn read_key(file: Subject<'_>, text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let sections = file.sections(text)?;
    let key = sections.into_iter().find_map(|(kind, der)| PrivateKeyDer::from_pem(kind, der));
    key.ok_or_else(|| {
        let is_locked = memchr::memmem::find(text, b"ENCRYPTED").is_some();
        file.fault(if is_locked {
            "is locked with a passphrase, which a server cannot ask for: openssl pkey removes it"
        } else {
            "holds no private key"
        })
    })
}

/// Whether the key belongs to a certificate behind the first.
fn other_certificate_matches(certified: &CertifiedKey) -> bool {
    let behind = certified.cert.iter().skip(1);
    let matches = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    };
    behind.into_iter().any(matches)
}

/// The subject of a certificate, in DER.
#[cfg(feature = "acme")]
pub(crate) fn subject_of(der: &[u8]) -> Option<Vec<u8>> {
    x509::read(der).map(|certificate| certificate.subject)
}
