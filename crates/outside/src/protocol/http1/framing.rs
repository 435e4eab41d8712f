//! The length of a request's body, and whether the connection persists; decided only here (RFC 9112 sections 6 and
//! 9.3).
//!
//! If the RFC lets a server choose between repairing and refusing, this refuses: a proxy in front may have repaired the
//! message in another way (docs/security.md S1 to S3).

use crate::error::Refusal;
use crate::message::{Headers, KnownHeader, Request, Version};

/// The length of a body as its head announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// This many bytes; 0 for a request without a body.
    Known(u64),
    /// Chunks until the last one.
    Chunked,
}

impl BodyLength {
    /// The number of bytes, if the head says it.
    pub(crate) fn known(self) -> Option<u64> {
        match self {
            Self::Known(length) => Some(length),
            Self::Chunked => None,
        }
    }
}

/// The facts that a head states about the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) body: BodyLength,
    /// Whether another request may follow on this connection.
    pub(crate) keep_alive: bool,
    /// Whether the request asks for another protocol. Then the bytes behind it may be no request (RFC 9110 section
    /// 7.8).
    pub(crate) upgrade: bool,
    /// Whether the client waits for a 100 before it sends its body (RFC 9110 section 10.1.1).
    pub(crate) expects_continue: bool,
}

/// Decides the framing of a request whose fields have been read.
pub(crate) fn framing(request: &Request) -> Result<Framing, Refusal> {
    let headers = &request.headers;
    let http_1_0 = request.version == Version::Http10;
    let (mut lengths, mut codings) = (None, None);
    let (mut close, mut keep, mut upgrade, mut expects_continue) = (false, false, false, false);
    for (known, value) in headers.known_fields() {
        match known {
            KnownHeader::ContentLength if lengths.replace(value).is_some() => {
                return Err(Refusal::bad("more than one Content-Length"));
            }
            KnownHeader::TransferEncoding if codings.replace(value).is_some() => {
                return Err(Refusal::bad("more than one Transfer-Encoding"));
            }
            // As browsers send it.
            KnownHeader::Connection if value.eq_ignore_ascii_case(b"keep-alive") => keep = true,
            KnownHeader::Connection => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep |= option.eq_ignore_ascii_case(b"keep-alive");
                    upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                }
            }
            KnownHeader::Expect if value.eq_ignore_ascii_case(b"100-continue") => expects_continue = !http_1_0,
            KnownHeader::Expect => return Err(Refusal::new(417, "an expectation other than 100-continue")),
            _ => {}
        }
    }
    let body = match (lengths, codings) {
        (Some(_), Some(_)) => return Err(Refusal::bad("both Content-Length and Transfer-Encoding")),
        (None, Some(_)) if http_1_0 => return Err(Refusal::bad("Transfer-Encoding in HTTP/1.0")),
        (None, Some(codings)) => transfer_coding(codings)?,
        (Some(length), None) => BodyLength::Known(content_length(length)?),
        (None, None) => BodyLength::Known(0),
    };
    Ok(Framing { body, keep_alive: !close && (keep || !http_1_0), upgrade, expects_continue })
}

/// The length that a handler declares for its answer; `None` if it declares none, or a malformed one.
pub(crate) fn declared_length(headers: &Headers) -> Option<u64> {
    let mut values = headers.all_known(KnownHeader::ContentLength);
    match (values.next(), values.next()) {
        (Some(value), None) => content_length(value).ok(),
        _ => None,
    }
}

/// One number in decimal digits and nothing else (RFC 9110 section 8.6).
fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    const MALFORMED: Refusal = Refusal::bad("malformed Content-Length");
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    value
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(MALFORMED)
}

/// Only `chunked` is supported; other well-formed codings are unknown (RFC 9112 section 6.1).
fn transfer_coding(value: &[u8]) -> Result<BodyLength, Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    let codings: Vec<&[u8]> = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
    let well_formed = codings.iter().all(|coding| crate::message::is_token(coding));
    let chunked_early = codings.iter().rev().skip(1).any(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if well_formed && !chunked_early {
        Err(Refusal::new(501, "unknown transfer coding"))
    } else {
        Err(Refusal::bad("malformed Transfer-Encoding"))
    }
}
