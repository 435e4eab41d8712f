//! The parts of a certificate that a server needs: the times of its validity, and its names (RFC 5280 section 4.1).
//!
//! The files come from the administrator, so only these parts are read; whether a client trusts the certificate is left
//! to the client. Bytes to values, nothing else.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The parts of a certificate that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// As encoded: one less than the version's name.
    pub(super) version: u8,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// The content of the serial number in DER, and the identifier of the issuer's key, which name a certificate at an
    /// authority (RFC 9773 section 4.1).
    pub(crate) serial: Vec<u8>,
    pub(crate) authority_key: Option<Vec<u8>>,
    /// The names of issuer and subject, in DER.
    pub(crate) issuer: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    /// DNS names in lower case, with `*.` before those that stand for any one label; and IP addresses.
    pub(crate) names: Vec<String>,
}

/// Only this version has extensions, and one of these holds the names of hosts (RFC 5280 section 4.1.2.1).
pub(super) const VERSION_3: u8 = 2;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Constructed and context-specific.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Within a subject alternative name.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// Within an authority key identifier.
const KEY_IDENTIFIER: u8 = 0x80;
/// 2.5.29.35
const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 0x23];
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads a certificate in DER; `None` if the bytes are no complete certificate.
pub(super) fn read(der: &[u8]) -> Option<Certificate> {
    let mut outermost = Elements(der);
    let certificate = outermost.next_of(SEQUENCE)?;
    let mut fields = Elements(Elements(certificate).next_of(SEQUENCE)?);
    let mut version = 0;
    if fields.0.first() == Some(&VERSION) {
        version = match Elements(fields.next_of(VERSION)?).next_of(INTEGER)? {
            &[version] => version,
            _ => return None,
        };
    }
    let serial = fields.next_of(INTEGER)?.to_vec();
    // Algorithm of the signature.
    fields.next()?;
    let issuer = fields.next()?.1.to_vec();
    let mut validity = Elements(fields.next_of(SEQUENCE)?);
    let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
    let subject = fields.next()?.1.to_vec();
    // Public key; optional fields follow.
    fields.next()?;
    let extensions = fields.find(|(tag, _)| *tag == EXTENSIONS).map(|(_, list)| list);
    let names = extensions.map_or(Some(Vec::new()), names)?;
    let authority_key = extensions.and_then(authority_key);
    let certificate = Certificate { version, not_before, not_after, serial, authority_key, issuer, subject, names };
    outermost.0.is_empty().then_some(certificate)
}

/// The identifier of the issuer's key (RFC 5280 section 4.2.1.1).
fn authority_key(extensions: &[u8]) -> Option<Vec<u8>> {
    for (_, extension) in Elements(Elements(extensions).next_of(SEQUENCE)?) {
        let mut fields = Elements(extension);
        if fields.next_of(OBJECT_IDENTIFIER)? == AUTHORITY_KEY_IDENTIFIER {
            let (_, value) = fields.find(|(tag, _)| *tag == OCTET_STRING)?;
            return Elements(Elements(value).next_of(SEQUENCE)?).next_of(KEY_IDENTIFIER).map(<[u8]>::to_vec);
        }
    }
    None
}

fn names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for (_, extension) in Elements(Elements(extensions).next_of(SEQUENCE)?) {
        let mut fields = Elements(extension);
        if fields.next_of(OBJECT_IDENTIFIER)? != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        // A flag for criticality may stand in between.
        let (_, value) = fields.find(|(tag, _)| *tag == OCTET_STRING)?;
        let list = Elements(Elements(value).next_of(SEQUENCE)?);
        names.extend(list.filter_map(|(tag, name)| match tag {
            DNS_NAME => Some(std::str::from_utf8(name).ok()?.to_ascii_lowercase()),
            IP_ADDRESS => ip_address(name),
            _ => None,
        }));
    }
    Some(names)
}

fn ip_address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|ip| ip.to_string())
}

/// The elements of DER in order, as tag and content; ends at the first incomplete one.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            length = bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
            rest = behind;
        }
        let (content, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some((tag, content))
    }
}

impl<'a> Elements<'a> {
    /// The next element, if it has this tag.
    fn next_of(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
fn time((tag, text): (u8, &[u8])) -> Option<SystemTime> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => digits.split_at(2),
        (GENERALIZED_TIME, 14) => digits.split_at(4),
        _ => return None,
    };
    let number = |digits: &[u8]| digits.iter().fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
    let year = match (tag, number(year)) {
        (UTC_TIME, year) if year >= 50 => 1900 + year,
        (UTC_TIME, year) => 2000 + year,
        (_, year) => year,
    };
    let part = |index: usize| number(&rest[2 * index..2 * index + 2]);
    let (month, day, hour, minute, second) = (part(0), part(1), part(2), part(3), part(4));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 || year < 1970
    {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, with years that begin in March, so that a leap day is the
/// last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_BEFORE_1970
}

/// From 0000-03-01 on.
const DAYS_BEFORE_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        Some(time((tag, text.as_bytes()))?.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn times() {
        for (tag, text, wanted) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "000229120000Z", Some(951_825_600)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "20500101000000Z", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "7001010000 0Z", None),
            (SEQUENCE, "700101000000Z", None),
        ] {
            assert_eq!(seconds(tag, text), wanted, "{text}");
        }
    }

    #[test]
    fn the_fields_of_a_certificate() {
        let names = ["Example.com".to_owned(), "*.example.com".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let mut parameters = rcgen::CertificateParams::new(names).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 31);
        parameters.not_after = rcgen::date_time_ymd(2052, 2, 29);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let der = certificate.der();
        let read_back = read(der).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(read_back.names, ["example.com", "*.example.com", "127.0.0.1", "::1"]);
        assert_eq!((read_back.not_before, read_back.not_after), (at(1_769_817_600), at(2_592_777_600)));
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "{length} of {} bytes", der.len());
        }
        for place in 0..der.len() {
            let mut changed = der.to_vec();
            changed[place] ^= 0x55;
            // In every case it is read without a panic.
            drop(read(&changed));
        }
    }
}
