//! Certificates of every kind, in files of a temporary folder.

use std::path::PathBuf;

use outside::config::CertificateFiles;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority that the clients of these tests trust.
pub(crate) struct Authority {
    pub(crate) issuer: CertifiedIssuer<'static, KeyPair>,
    pub(crate) folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Certificate and key, as PEM.
    pub(crate) fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The same for a key that is there already.
    pub(crate) fn certificate_for(&self, names: &[&str], key: &KeyPair) -> String {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        CertificateParams::new(names).unwrap().signed_by(key, &self.issuer).unwrap().pem()
    }

    /// The same in files `NAME.pem` and `NAME.key`.
    pub(crate) fn files(&self, name: &str, names: &[&str]) -> CertificateFiles {
        let (certificate, key) = self.issue(names, |_| ());
        self.write(name, &certificate, &key)
    }

    pub(crate) fn write(&self, name: &str, certificate: &str, key: &str) -> CertificateFiles {
        let files = CertificateFiles {
            certfile: self.path(&format!("{name}.pem")),
            keyfile: self.path(&format!("{name}.key")),
        };
        std::fs::write(&files.certfile, certificate).unwrap();
        std::fs::write(&files.keyfile, key).unwrap();
        files
    }
}
