//! The certificates of a configuration before anything is bound.

use std::path::PathBuf;

use crate::transport::ManagedCertificate;

/// The certificates of a configuration, and where they are.
pub(crate) struct Prepared {
    pub(crate) certificates: Vec<ManagedCertificate>,
    /// The folder of challenges.
    pub(crate) challenges: PathBuf,
    /// Sentences for the log.
    pub(crate) warnings: Vec<String>,
}
