//! How the content of a request reaches its handler.

use crate::config::Config;
use crate::content::ContentCoding;
use crate::error::Refusal;

/// The way of a request's content to its handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intake {
    /// Whether the handler takes the content while it comes in.
    pub(crate) in_pieces: bool,
    /// Bytes that the content may have.
    pub(crate) most: u64,
    /// Whether the handler is an application of another interface, which may take any time and has bounds of its own.
    pub(crate) is_hosted: bool,
    /// The coding in which the content comes, to be decoded for its handler.
    pub(crate) coding: Option<ContentCoding>,
    /// The reason why the handler cannot have the content: a coding that the server does not know.
    pub(crate) refusal: Option<Refusal>,
}

impl Intake {
    /// All content at once, within the bounds of the configuration.
    pub(crate) fn whole(config: &Config) -> Self {
        let most = config.max_body_size as u64;
        Self { in_pieces: false, most, is_hosted: false, coding: None, refusal: None }
    }

    /// The same for a function of a program, which gets the content without its coding.
    pub(super) fn decoded(self, coding: Result<Option<ContentCoding>, Refusal>) -> Self {
        match coding {
            Ok(coding) => Self { coding, ..self },
            Err(refusal) => Self { refusal: Some(refusal), ..self },
        }
    }

    /// Refuses content of this declared length before it is read: 413 if it is too large, 415 for an unknown coding.
    pub(crate) fn check(&self, declared: Option<u64>) -> Result<(), Refusal> {
        match (self.refusal, declared) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(length)) if length > self.most => Err(TOO_LARGE),
            _ => Ok(()),
        }
    }

    /// The same for a hosted application: the bound counts if it was set.
    pub(super) fn hosted(config: &Config) -> Self {
        let most = config.max_hosted_body_size.unwrap_or(u64::MAX);
        Self { most, is_hosted: true, ..Self::whole(config) }
    }
}

pub(crate) const TOO_LARGE: Refusal = Refusal::limit(413, "content too large", "max_body_size_mb");
