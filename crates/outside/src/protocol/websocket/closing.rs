//! The end of a WebSocket (RFC 6455 section 7): codes, Close frames, and the state of the closing handshake.

use super::failure::{Failure, INVALID_DATA, PROTOCOL_ERROR, TOO_BIG};
use super::frame::{MAX_CONTROL_PAYLOAD, Opcode, encode_frame};
use crate::error::Error;

const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const UNSUPPORTED_DATA: u16 = 1003;
/// Never sent, like the two others of section 7.4.1: a Close frame without a code.
const NO_STATUS: u16 = 1005;
/// No Close frame at all.
const ABNORMAL: u16 = 1006;
const POLICY_VIOLATION: u16 = 1008;
const MANDATORY_EXTENSION: u16 = 1010;
const INTERNAL_ERROR: u16 = 1011;
const SERVICE_RESTART: u16 = 1012;
const TRY_AGAIN_LATER: u16 = 1013;
const BAD_GATEWAY: u16 = 1014;
const TLS_HANDSHAKE: u16 = 1015;

/// The meaning of a close code, in the words of its registry.
pub(crate) const fn close_code_name(code: u16) -> &'static str {
    match code {
        NORMAL => "normal closure",
        GOING_AWAY => "going away",
        PROTOCOL_ERROR => "protocol error",
        UNSUPPORTED_DATA => "unsupported data",
        NO_STATUS => "no status received",
        ABNORMAL => "abnormal closure",
        INVALID_DATA => "invalid frame payload data",
        POLICY_VIOLATION => "policy violation",
        TOO_BIG => "message too big",
        MANDATORY_EXTENSION => "mandatory extension",
        INTERNAL_ERROR => "internal error",
        SERVICE_RESTART => "service restart",
        TRY_AGAIN_LATER => "try again later",
        BAD_GATEWAY => "bad gateway",
        TLS_HANDSHAKE => "TLS handshake",
        3000..=3999 => "registered",
        4000..=4999 => "private use",
        _ => "unknown",
    }
}

/// Whether this code may be sent in a Close frame.
const fn is_sendable(code: u16) -> bool {
    matches!(code, NORMAL..=UNSUPPORTED_DATA | INVALID_DATA..=BAD_GATEWAY | 3000..=4999)
}

impl From<Failure> for Close {
    fn from(failure: Failure) -> Self {
        Self { code: Some(failure.code), reason: failure.reason.into() }
    }
}

/// The content of a Close frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Close {
    /// `None`: the frame is empty.
    pub(crate) code: Option<u16>,
    /// 123 bytes at most; empty without a code.
    pub(crate) reason: Box<str>,
}

impl Close {
    /// A Close frame that the application asks for.
    ///
    /// # Errors
    /// The code is not for servers, or the reason is too long for a frame.
    pub(crate) fn new(code: u16, reason: &str) -> Result<Self, Error> {
        // 1010 is for clients that miss an extension.
        if !is_sendable(code) || code == MANDATORY_EXTENSION {
            let name = close_code_name(code);
            return Err(Error::new(format!(
                "a close code is one of 1000 to 1003, 1007 to 1009, 1011 to 1014, or 3000 to 4999, not {code} ({name})"
            )));
        }
        if reason.len() > MAX_REASON {
            let length = reason.len();
            return Err(Error::new(format!("the reason of a close takes {MAX_REASON} bytes of UTF-8, not {length}")));
        }
        Ok(Self { code: Some(code), reason: reason.into() })
    }

    /// Reads the payload of a Close frame (section 5.5.1).
    pub(crate) fn receive(payload: &[u8]) -> Result<Self, Failure> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            if payload.is_empty() {
                return Ok(Self::default());
            }
            return Err(Failure::protocol("a close frame of one byte"));
        };
        let code = u16::from_be_bytes(*code);
        if !is_sendable(code) {
            return Err(Failure::protocol("a close code that may not be sent"));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Failure::invalid_data("a close reason is not UTF-8"))?;
        Ok(Self { code: Some(code), reason: reason.into() })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(MAX_CONTROL_PAYLOAD);
        if let Some(code) = self.code {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(self.reason.as_bytes());
        }
        encode_frame(out, Opcode::Close, &payload);
    }
}

const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// The state of the closing handshake: the Close frames that were sent and received.
#[derive(Debug, Default)]
pub(crate) struct CloseHandshake {
    sent: bool,
    received: Option<Box<Close>>,
}

impl CloseHandshake {
    /// Whether messages, pings and pongs may still be sent. None may follow a Close frame (section 5.5.1).
    pub(crate) const fn is_open(&self) -> bool {
        !self.sent && self.received.is_none()
    }

    /// Begins the closing handshake: appends a Close frame, unless one was sent before. Returns whether it did.
    pub(crate) fn close_to_send(&mut self, close: &Close, out: &mut Vec<u8>) -> bool {
        if self.sent {
            return false;
        }
        self.sent = true;
        close.encode(out);
        true
    }

    /// Takes the client's Close frame. Unless the server has sent one before, appends the answer: the same code.
    pub(crate) fn receive_close(&mut self, close: Close, out: &mut Vec<u8>) {
        if self.received.is_none() {
            self.close_to_send(&Close { code: close.code, reason: Box::default() }, out);
            self.received = Some(Box::new(close));
        }
    }

    /// Whether both sides have sent a Close frame. Then the server closes the socket (section 7.1.1).
    pub(crate) const fn is_complete(&self) -> bool {
        self.sent && self.received.is_some()
    }

    /// The connection's close code (section 7.1.5): the client's; 1005 if it gave none, 1006 without a Close frame.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn code(&self) -> u16 {
        self.received.as_ref().map_or(ABNORMAL, |close| close.code.unwrap_or(NO_STATUS))
    }

    /// The connection's close reason (section 7.1.6): the client's.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn reason(&self) -> &str {
        self.received.as_ref().map_or("", |close| &close.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_wire() {
        let received = |code: u16| Close::receive(&code.to_be_bytes()).is_ok();
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(received(code), "{code}");
            assert_eq!(Close::new(code, "").is_ok(), code != 1010, "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!received(code) && Close::new(code, "").is_err(), "{code}");
        }
    }

    #[test]
    fn payloads_of_close_frames() {
        let close = |code, reason: &str| Ok(Close { code, reason: reason.into() });
        assert_eq!(Close::receive(b""), close(None, ""));
        assert_eq!(Close::receive(b"\x03\xe8"), close(Some(1000), ""));
        assert_eq!(Close::receive(b"\x03\xe8bye \xc3\xa9"), close(Some(1000), "bye é"));
        assert_eq!(Close::receive(b"\x03").unwrap_err().code, 1002);
        assert_eq!(Close::receive(b"\x03\xe8\xed\xa0\x80").unwrap_err().code, 1007);
    }

    #[test]
    fn reasons_fit_in_a_frame() {
        assert!(Close::new(1000, &"é".repeat(61)).is_ok());
        let error = Close::new(1000, &"é".repeat(62)).unwrap_err();
        assert_eq!(error.to_string(), "the reason of a close takes 123 bytes of UTF-8, not 124");
        let error = Close::new(1006, "").unwrap_err().to_string();
        assert!(error.ends_with("3000 to 4999, not 1006 (abnormal closure)"), "{error}");
    }

    #[test]
    fn each_side_sends_one_close_frame() {
        let (mut closing, mut out) = (CloseHandshake::default(), Vec::new());
        assert!(closing.is_open() && closing.code() == 1006);
        closing.receive_close(Close::new(4000, "done").unwrap(), &mut out);
        assert_eq!(out, b"\x88\x02\x0f\xa0");
        assert!(closing.is_complete() && !closing.close_to_send(&Close::new(1001, "").unwrap(), &mut out));
        closing.receive_close(Close::new(1000, "again").unwrap(), &mut out);
        assert_eq!((out.len(), closing.code(), closing.reason()), (4, 4000, "done"));

        let (mut closing, mut out) = (CloseHandshake::default(), Vec::new());
        assert!(closing.close_to_send(&Failure::invalid_data("not UTF-8").into(), &mut out));
        assert_eq!(out, b"\x88\x0b\x03\xefnot UTF-8");
        assert!(!closing.is_open() && !closing.is_complete() && closing.code() == 1006);
        closing.receive_close(Close::default(), &mut out);
        assert_eq!((out.len(), closing.is_complete(), closing.code()), (13, true, 1005));
    }
}
