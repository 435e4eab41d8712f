//! Field names that the server itself has to recognise, as small ids, and what a name may consist of.
//!
//! An id is found once per field while the head is read; every later look-up compares one byte.

/// A field name that some part of the server asks for; `Other` is every other name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the field name it spells")]
pub enum Known {
    Other,
    Accept,
    Authorization,
    Connection,
    ContentEncoding,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Host,
    KeepAlive,
    Referer,
    Server,
    SetCookie,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
    UserAgent,
}

impl Known {
    /// The id of a name, whatever its case.
    pub fn of(name: &[u8]) -> Self {
        let candidate = match name.len() {
            2 => (Self::Te, "te"),
            4 if name[0] | 0x20 == b'h' => (Self::Host, "host"),
            4 => (Self::Date, "date"),
            6 => match name[0] | 0x20 {
                b'a' => (Self::Accept, "accept"),
                b'c' => (Self::Cookie, "cookie"),
                b'e' => (Self::Expect, "expect"),
                _ => (Self::Server, "server"),
            },
            7 if name[0] | 0x20 == b'u' => (Self::Upgrade, "upgrade"),
            7 if name[0] | 0x20 == b't' => (Self::Trailer, "trailer"),
            7 => (Self::Referer, "referer"),
            10 => match name[0] | 0x20 {
                b'c' => (Self::Connection, "connection"),
                b'k' => (Self::KeepAlive, "keep-alive"),
                b's' => (Self::SetCookie, "set-cookie"),
                _ => (Self::UserAgent, "user-agent"),
            },
            12 => (Self::ContentType, "content-type"),
            13 => (Self::Authorization, "authorization"),
            14 => (Self::ContentLength, "content-length"),
            16 => (Self::ContentEncoding, "content-encoding"),
            17 => (Self::TransferEncoding, "transfer-encoding"),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(candidate.1.as_bytes()) { candidate.0 } else { Self::Other }
    }
}

/// Is this byte a token character (RFC 9110 section 5.6.2)?
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Is this a token: at least one character, each a token character?
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| is_token_byte(byte))
}

/// May this stand in a field value: visible, space, tab or obs-text, no control bytes (RFC 9110 section 5.5)?
pub(crate) fn is_value(text: &[u8]) -> bool {
    text.iter().all(|&byte| is_value_byte(byte))
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
            ("HOST", Known::Host),
            ("transfer-Encoding", Known::TransferEncoding),
            ("user-agent", Known::UserAgent),
            ("X-Else", Known::Other),
            ("hosts", Known::Other),
            ("most", Known::Other),
            ("", Known::Other),
        ] {
            assert_eq!(Known::of(name.as_bytes()), id, "{name}");
        }
    }
}
