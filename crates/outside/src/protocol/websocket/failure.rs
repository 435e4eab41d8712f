//! The reasons for which the server fails a WebSocket, with their close codes (RFC 6455 section 7.4.1).

pub(super) const PROTOCOL_ERROR: u16 = 1002;
pub(super) const INVALID_DATA: u16 = 1007;
pub(super) const TOO_BIG: u16 = 1009;

/// The reason why the server fails a connection (section 7.1.7): a fault of the client, as the code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// 1002, 1007 or 1009.
    pub(crate) code: u16,
    /// For the Close frame and the log; never contains bytes of the client.
    pub(crate) reason: &'static str,
}

impl Failure {
    pub(crate) const fn protocol(reason: &'static str) -> Self {
        Self { code: PROTOCOL_ERROR, reason }
    }

    pub(crate) const fn invalid_data(reason: &'static str) -> Self {
        Self { code: INVALID_DATA, reason }
    }

    pub(crate) const fn too_big(reason: &'static str) -> Self {
        Self { code: TOO_BIG, reason }
    }
}
