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

    /// The same for a hosted application: the bound counts if it was set.
    pub(super) fn hosted(config: &Config) -> Self {
        Self { in_pieces: false, most: config.max_hosted_body_size.unwrap_or(u64::MAX), is_hosted: true }
    }
}
