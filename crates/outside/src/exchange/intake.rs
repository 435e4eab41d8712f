//! How the content of a request reaches its handler.

use crate::config::Config;

/// The way of a request's content to its handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intake {
    /// Whether the handler takes the content while it comes in.
    pub(crate) in_pieces: bool,
    /// Bytes that the content may have.
    pub(crate) most: u64,
    /// Whether the handler is an application of another interface, which may take any time and has bounds of its own.
    pub(crate) is_hosted: bool,
}

impl Intake {
    /// All content at once, within the bounds of the configuration.
    pub(crate) fn whole(config: &Config) -> Self {
        Self { in_pieces: false, most: config.max_body_size as u64, is_hosted: false }
    }

    /// The same for a hosted application: the configuration counts if it says another bound than the default.
    pub(super) fn hosted(self) -> Self {
        Self { most: if self.most == USUAL_MOST { u64::MAX } else { self.most }, is_hosted: true, ..self }
    }
}

/// Bytes of content that a request may have if the configuration does not say it.
const USUAL_MOST: u64 = 16 << 20;
