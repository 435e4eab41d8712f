//! Negotiation of permessage-deflate (RFC 7692 section 7.1).
//!
//! The first well-formed offer that can be met is accepted; without one, there is no compression. An offer is never an
//! error: a client whose offers cannot be met goes on without compression.

use std::fmt::Write;

use crate::message::is_token_byte;

/// The compression settings of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeflateSettings {
    /// Whether the server forgets each message it has sent: 300 KiB less for each connection, and less compression.
    pub(crate) server_no_context_takeover: bool,
    /// Whether the client is asked to do the same: 42 KiB less for each connection.
    pub(crate) client_no_context_takeover: bool,
    /// The largest window to compress with: 9 to 15, for 512 bytes to 32 KiB.
    pub(crate) server_max_window_bits: u8,
    /// The largest window that a client may use, if it leaves the choice to the server: 9 to 15.
    pub(crate) client_max_window_bits: u8,
    /// 1 (fast) to 9 (small).
    pub(crate) level: u8,
    /// Messages of fewer bytes are sent as they are.
    pub(crate) threshold: usize,
}

impl Default for DeflateSettings {
    fn default() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
            level: 3,
            threshold: 256,
        }
    }
}

/// The negotiated terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeflateTerms {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    /// 8 to 15; `None`: not negotiated, so 15.
    pub(crate) server_max_window_bits: Option<u8>,
    /// As above.
    pub(crate) client_max_window_bits: Option<u8>,
    /// Not negotiated, like the threshold.
    pub(crate) level: u8,
    pub(crate) threshold: usize,
}

impl DeflateTerms {
    /// The value of the answer's Sec-WebSocket-Extensions.
    pub(crate) fn to_field_value(&self) -> String {
        let mut value = NAME.to_owned();
        for (said, name) in [
            (self.server_no_context_takeover, "; server_no_context_takeover"),
            (self.client_no_context_takeover, "; client_no_context_takeover"),
        ] {
            value.push_str(if said { name } else { "" });
        }
        for (bits, name) in [
            (self.server_max_window_bits, "server_max_window_bits"),
            (self.client_max_window_bits, "client_max_window_bits"),
        ] {
            if let Some(bits) = bits {
                // Writing to a string cannot fail.
                let _ = write!(value, "; {name}={bits}");
            }
        }
        value
    }
}

const NAME: &str = "permessage-deflate";

/// Reads every value of Sec-WebSocket-Extensions in order, and accepts the first offer that can be met.
pub(crate) fn negotiate<'r>(
    values: impl IntoIterator<Item = &'r [u8]>,
    settings: &DeflateSettings,
) -> Option<DeflateTerms> {
    let mut offers = values.into_iter().flat_map(elements).filter_map(DeflateOffer::read);
    offers.next().map(|offer| offer.terms(settings))
}

/// The elements of a list, which is split at commas outside quotes.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |&byte| {
        quoted ^= !escaped && byte == b'"';
        escaped = quoted && !escaped && byte == b'\\';
        byte == b',' && !quoted
    })
}

/// One offer of permessage-deflate, as parsed.
#[derive(Debug, Default)]
struct DeflateOffer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner value is `None` if the client leaves the choice to the server.
    client_max_window_bits: Option<Option<u8>>,
}

impl DeflateOffer {
    /// Reads an element, if it is a well-formed offer of permessage-deflate.
    fn read(element: &[u8]) -> Option<Self> {
        let mut cursor = Cursor { rest: element };
        if !cursor.token()?.eq_ignore_ascii_case(NAME.as_bytes()) {
            return None;
        }
        let mut offer = Self::default();
        while cursor.next_is(b';') {
            let name = cursor.token()?;
            let value = if cursor.next_is(b'=') { Some(cursor.value()?) } else { None };
            offer.take(name, value)?;
        }
        cursor.rest.is_empty().then_some(offer)
    }

    /// Takes a parameter; `None` for one that is unknown, malformed or there a second time (section 7).
    fn take(&mut self, name: &[u8], value: Option<&[u8]>) -> Option<()> {
        let window_bits = |value: &[u8]| match value {
            [digit @ (b'8' | b'9')] => Some(digit - b'0'),
            [b'1', digit @ b'0'..=b'5'] => Some(10 + digit - b'0'),
            _ => None,
        };
        let again = match (name, value) {
            (b"server_no_context_takeover", None) => std::mem::replace(&mut self.server_no_context_takeover, true),
            (b"client_no_context_takeover", None) => std::mem::replace(&mut self.client_no_context_takeover, true),
            (b"server_max_window_bits", Some(value)) => {
                self.server_max_window_bits.replace(window_bits(value)?).is_some()
            }
            (b"client_max_window_bits", None) => self.client_max_window_bits.replace(None).is_some(),
            (b"client_max_window_bits", Some(value)) => {
                self.client_max_window_bits.replace(Some(window_bits(value)?)).is_some()
            }
            _ => return None,
        };
        (!again).then_some(())
    }

    fn terms(&self, settings: &DeflateSettings) -> DeflateTerms {
        // The server's window may be limited even if the client did not offer it (section 7.1.2.1).
        let ours = settings.server_max_window_bits;
        let server_max_window_bits = match self.server_max_window_bits {
            Some(offered) => Some(offered.min(ours)),
            None => (ours < 15).then_some(ours),
        };
        // The client's may not (section 7.1.2.2); a window of 15 bits reads the output of any other.
        let theirs = settings.client_max_window_bits;
        let client_max_window_bits = self
            .client_max_window_bits
            .filter(|_| theirs < 15)
            .map(|offered| offered.map_or(theirs, |bits| bits.min(theirs)));
        DeflateTerms {
            server_no_context_takeover: self.server_no_context_takeover || settings.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || settings.client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
            level: settings.level,
            threshold: settings.threshold,
        }
    }
}

/// The unread part of an element (RFC 6455 section 9.1).
struct Cursor<'r> {
    rest: &'r [u8],
}

impl<'r> Cursor<'r> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    fn token(&mut self) -> Option<&'r [u8]> {
        self.skip_space();
        let end = self.rest.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (end > 0).then_some(token)
    }

    /// A token, or one between quotation marks, where white space would be part of it.
    fn value(&mut self) -> Option<&'r [u8]> {
        if !self.next_is(b'"') {
            return self.token();
        }
        let end = self.rest.iter().position(|&byte| byte == b'"')?;
        let token = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(settings: &DeflateSettings, offers: &[&str]) -> Option<String> {
        negotiate(offers.iter().map(|offer| offer.as_bytes()), settings).map(|terms| terms.to_field_value())
    }

    /// Settings that accept every offer.
    fn open() -> DeflateSettings {
        let default = DeflateSettings::default();
        DeflateSettings { server_no_context_takeover: false, client_no_context_takeover: false, ..default }
    }

    #[test]
    fn offers_and_answers() {
        let table: &[(&str, &str)] = &[
            ("permessage-deflate", ""),
            ("Permessage-Deflate", ""),
            ("permessage-deflate; client_max_window_bits", ""),
            ("permessage-deflate; client_max_window_bits=10", ""),
            ("permessage-deflate;server_no_context_takeover", "; server_no_context_takeover"),
            ("permessage-deflate ; client_no_context_takeover ", "; client_no_context_takeover"),
            ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15"),
            ("permessage-deflate; server_max_window_bits=\"10\"", "; server_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=8", "; server_max_window_bits=8"),
            (",, x-webkit-deflate-frame, permessage-deflate", ""),
            (
                "other; a=\"x, y\\\" , permessage-deflate; z\", permessage-deflate; server_max_window_bits=9",
                "; server_max_window_bits=9",
            ),
            // The first that can be met.
            (
                "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=11, permessage-deflate",
                "; server_max_window_bits=11",
            ),
        ];
        for (offer, expected) in table {
            assert_eq!(answer(&open(), &[offer]), Some(format!("permessage-deflate{expected}")), "{offer}");
        }
        let taken =
            answer(&open(), &["x; y", "", "permessage-deflate; a", "permessage-deflate; client_no_context_takeover"]);
        assert_eq!(taken.as_deref(), Some("permessage-deflate; client_no_context_takeover"));
    }

    #[test]
    fn malformed_offers_are_declined() {
        for offer in [
            "",
            ",",
            "permessage-deflate-x",
            "permessage-deflate; unknown",
            "permessage-deflate;",
            "permessage-deflate; ; server_no_context_takeover",
            "permessage-deflate server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=\"9",
            "permessage-deflate; server_max_window_bits=\"9 \"",
            "permessage-deflate; server_max_window_bits=\" 9\"",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; server_no_context_takeover=\"\"",
            "permessage-deflate; Server_Max_Window_Bits=9",
            "\"permessage-deflate\"",
            "a=\", permessage-deflate",
        ] {
            assert_eq!(answer(&open(), &[offer]), None, "{offer}");
        }
    }

    #[test]
    fn the_server_states_its_terms() {
        let small =
            DeflateSettings { server_max_window_bits: 10, client_max_window_bits: 12, ..DeflateSettings::default() };
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for (offer, expected) in [
            ("permessage-deflate", "; server_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=14", "; server_max_window_bits=10"),
            ("permessage-deflate; client_max_window_bits", "; server_max_window_bits=10; client_max_window_bits=12"),
            ("permessage-deflate; client_max_window_bits=15", "; server_max_window_bits=10; client_max_window_bits=12"),
            ("permessage-deflate; client_max_window_bits=8", "; server_max_window_bits=10; client_max_window_bits=8"),
        ] {
            assert_eq!(answer(&small, &[offer]), Some(format!("{both}{expected}")), "{offer}");
        }
    }
}
