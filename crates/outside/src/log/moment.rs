//! The present second in the forms that messages and log lines need, rendered once a second.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One second.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    unix: u64,
    /// IMF-fixdate (RFC 9110 section 5.6.7): `Sun, 22 Nov 2026 07:30:00 GMT`.
    pub(crate) date: [u8; 29],
    /// The part between address and request in the Common Log Format: ` - - [22/Nov/2026:07:30:00 +0000] "`.
    pub(crate) common: [u8; 35],
    /// RFC 3339: `2026-11-22T07:30:00Z`.
    pub(crate) iso: [u8; 20],
}

impl Moment {
    /// The present second.
    pub(crate) fn now() -> Self {
        thread_local! {
            static LAST: RefCell<Moment> = RefCell::new(Moment::at(0));
        }
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        LAST.with_borrow_mut(|last| {
            if last.unix != unix {
                *last = Self::at(unix);
            }
            *last
        })
    }

    pub(super) fn at(unix: u64) -> Self {
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix));
        let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        if text.len() == date.len() {
            date.copy_from_slice(text.as_bytes());
        }
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let mut common = *b" - - [01/Jan/1970:00:00:00 +0000] \"";
        common[6..8].copy_from_slice(day);
        common[9..12].copy_from_slice(month);
        common[13..17].copy_from_slice(year);
        common[18..26].copy_from_slice(time);
        const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let number = MONTHS.chunks(3).position(|name| name == month).unwrap_or(0) as u8 + 1;
        let mut iso = *b"1970-01-01T00:00:00Z";
        iso[0..4].copy_from_slice(year);
        iso[5..7].copy_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
        iso[8..10].copy_from_slice(day);
        iso[11..19].copy_from_slice(time);
        Self { unix, date, common, iso }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_second_in_three_forms() {
        let moment = Moment::at(1_795_332_600);
        assert_eq!(&moment.date, b"Sun, 22 Nov 2026 07:30:00 GMT");
        assert_eq!(&moment.common, b" - - [22/Nov/2026:07:30:00 +0000] \"");
        assert_eq!(&moment.iso, b"2026-11-22T07:30:00Z");
    }
}
