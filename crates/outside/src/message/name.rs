//! The field names that the server recognises, as small ids, and the characters that names may have.
//!
//! The id is found once per field while the head is read; later look-ups compare one byte.

/// A field name that some part of the server looks up; `Other` is every other name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the field name it spells")]
pub enum KnownHeader {
    Other,
    Accept,
    AcceptEncoding,
    AcceptRanges,
    Authorization,
    CacheControl,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentRange,
    ContentType,
    Cookie,
    Date,
    ETag,
    Expect,
    Host,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    KeepAlive,
    LastModified,
    Range,
    Referer,
    Server,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    Vary,
}

impl KnownHeader {
    /// The id of a name, in any case of letters.
    pub fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        // Length and first letter leave one or two candidates.
        match (name.len(), first | 0x20) {
            (2, b't') => Self::Te.if_same(name, b"te"),
            (4, b'd') => Self::Date.if_same(name, b"date"),
            (4, b'e') => Self::ETag.if_same(name, b"etag"),
            (4, b'v') => Self::Vary.if_same(name, b"vary"),
            (5, b'r') => Self::Range.if_same(name, b"range"),
            (4, b'h') => Self::Host.if_same(name, b"host"),
            (6, b'a') => Self::Accept.if_same(name, b"accept"),
            (6, b'c') => Self::Cookie.if_same(name, b"cookie"),
            (6, b'e') => Self::Expect.if_same(name, b"expect"),
            (6, b's') => Self::Server.if_same(name, b"server"),
            (7, b'r') => Self::Referer.if_same(name, b"referer"),
            (7, b't') => Self::Trailer.if_same(name, b"trailer"),
            (7, b'u') => Self::Upgrade.if_same(name, b"upgrade"),
            (8, b'i') => Self::IfMatch.if_same(name, b"if-match").or(Self::IfRange.if_same(name, b"if-range")),
            (10, b'c') => Self::Connection.if_same(name, b"connection"),
            (10, b'k') => Self::KeepAlive.if_same(name, b"keep-alive"),
            (10, b's') => Self::SetCookie.if_same(name, b"set-cookie"),
            (10, b'u') => Self::UserAgent.if_same(name, b"user-agent"),
            (12, b'c') => Self::ContentType.if_same(name, b"content-type"),
            (13, b'a') => Self::Authorization
                .if_same(name, b"authorization")
                .or(Self::AcceptRanges.if_same(name, b"accept-ranges")),
            (13, b'c') => Self::CacheControl
                .if_same(name, b"cache-control")
                .or(Self::ContentRange.if_same(name, b"content-range")),
            (13, b'i') => Self::IfNoneMatch.if_same(name, b"if-none-match"),
            (13, b'l') => Self::LastModified.if_same(name, b"last-modified"),
            (14, b'c') => Self::ContentLength.if_same(name, b"content-length"),
            (15, b'a') => Self::AcceptEncoding.if_same(name, b"accept-encoding"),
            (16, b'c') => Self::ContentEncoding.if_same(name, b"content-encoding"),
            (17, b'i') => Self::IfModifiedSince.if_same(name, b"if-modified-since"),
            (17, b't') => Self::TransferEncoding.if_same(name, b"transfer-encoding"),
            (19, b'i') => Self::IfUnmodifiedSince.if_same(name, b"if-unmodified-since"),
            _ => Self::Other,
        }
    }

    /// This id, or else the other candidate.
    fn or(self, other: Self) -> Self {
        if self == Self::Other { other } else { self }
    }

    /// For a fixed length the comparison is a few machine words.
    fn if_same<const N: usize>(self, name: &[u8], lower: &[u8; N]) -> Self {
        let Ok(name) = <&[u8; N]>::try_from(name) else { return Self::Other };
        // Setting the bit of lower case changes no hyphen, and turns no token character into another one's letter.
        let differs = name.iter().zip(lower).fold(0, |differs, (byte, lower)| differs | ((byte | 0x20) ^ lower));
        if differs == 0 { self } else { Self::Other }
    }
}

/// Whether a response has one field of this name at most, because its value is no list.
pub(crate) fn stands_once(name: &[u8]) -> bool {
    const NAMES: [&str; 13] = [
        "Access-Control-Allow-Credentials",
        "Access-Control-Allow-Origin",
        "Age",
        "Content-Disposition",
        "Content-Length",
        "Content-Location",
        "Content-Range",
        "Content-Type",
        "ETag",
        "Expires",
        "Last-Modified",
        "Location",
        "Retry-After",
    ];
    NAMES.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether this byte is a token character (RFC 9110 section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether this is a token: at least one character, each a token character.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// Whether this may be a field value: visible characters, space, tab or obs-text, no control bytes (RFC 9110 section
/// 5.5).
pub(crate) fn is_value(text: &[u8]) -> bool {
    // Without an early exit the compiler checks many bytes at once.
    text.iter().fold(true, |valid, &byte| valid & is_value_byte(byte))
}

pub(crate) const fn is_value_byte(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f || byte == b'\t'
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case() {
        for (name, id) in [
            ("HOST", KnownHeader::Host),
            ("transfer-Encoding", KnownHeader::TransferEncoding),
            ("user-agent", KnownHeader::UserAgent),
            ("If-Match", KnownHeader::IfMatch),
            ("if-range", KnownHeader::IfRange),
            ("CONTENT-RANGE", KnownHeader::ContentRange),
            ("Cache-Control", KnownHeader::CacheControl),
            ("Accept-Ranges", KnownHeader::AcceptRanges),
            ("authorization", KnownHeader::Authorization),
            ("X-Else", KnownHeader::Other),
            ("hosts", KnownHeader::Other),
            ("most", KnownHeader::Other),
            ("", KnownHeader::Other),
        ] {
            assert_eq!(KnownHeader::of(name.as_bytes()), id, "{name}");
        }
    }
}
