//! Ranges of bytes: reading a Range field, and the parts of the answer (RFC 9110 section 14).
//!
//! Pure, and linear but for one sort: many overlapping ranges never cost more than the bytes they cover
//! (docs/security.md S31).

use std::ops::Range;

/// The meaning of a Range field for a representation of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// The whole is sent: there is no range, or none that is well formed.
    Whole,
    /// One or more, each within the representation and not empty; none of them overlap.
    Some(Vec<Range<u64>>),
    /// No range lies within the representation: 416.
    Unsatisfiable,
}

/// Number of ranges after merging beyond which the whole is sent.
pub(crate) const MOST_RANGES: usize = 8;

/// Reads the value of a Range field for `length` bytes. Overlapping and touching ranges are merged, and are then in
/// ascending order; otherwise they keep the order of the field.
pub(crate) fn ranges(value: &[u8], length: u64) -> Ranges {
    let Some((unit, set)) = split_once(value, b'=') else { return Ranges::Whole };
    if !unit.trim_ascii().eq_ignore_ascii_case(b"bytes") {
        return Ranges::Whole;
    }
    let mut found = Vec::new();
    let mut any = false;
    for spec in set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty()) {
        // One malformed range makes the whole field invalid (section 14.2).
        let Some(range) = range(spec, length) else { return Ranges::Whole };
        any = true;
        if !range.is_empty() {
            found.push(range);
        }
    }
    if !any {
        return Ranges::Whole;
    }
    if found.is_empty() {
        return Ranges::Unsatisfiable;
    }
    let merged = merge(&found);
    let found = if merged.len() < found.len() { merged } else { found };
    if found.len() > MOST_RANGES { Ranges::Whole } else { Ranges::Some(found) }
}

/// One range; an empty range cannot be satisfied. `None` if malformed.
fn range(spec: &[u8], length: u64) -> Option<Range<u64>> {
    let (first, last) = split_once(spec, b'-')?;
    if first.is_empty() {
        // The last bytes, by their number; section 14.1.2.
        let suffix = number(last)?;
        return Some(length - suffix.min(length)..length);
    }
    let first = number(first)?;
    let end = if last.is_empty() {
        length
    } else {
        let last = number(last)?;
        if last < first {
            return None;
        }
        last.saturating_add(1).min(length)
    };
    Some(first.min(end)..end)
}

/// Decimal digits; larger numbers become the largest one.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        digits.iter().try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    Some(value.unwrap_or(u64::MAX))
}

fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = memchr::memchr(at, text)?;
    Some((&text[..position], &text[position + 1..]))
}

/// The value of Content-Range for a part (RFC 9110 section 14.4).
pub(crate) fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end - 1)
}

/// The head of each part of several, including the first (RFC 9110 section 14.6).
pub(crate) fn part_head(boundary: &str, media_type: &[u8], range: &Range<u64>, length: u64) -> Vec<u8> {
    let mut head = format!("\r\n--{boundary}\r\nContent-Type: ").into_bytes();
    head.extend_from_slice(media_type);
    head.extend_from_slice(format!("\r\nContent-Range: {}\r\n\r\n", content_range(range, length)).as_bytes());
    head
}

/// The end behind the last part.
pub(crate) fn parts_end(boundary: &str) -> Vec<u8> {
    format!("\r\n--{boundary}--\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(ends: &[(u64, u64)]) -> Ranges {
        Ranges::Some(ends.iter().map(|&(start, end)| start..end).collect())
    }

    #[test]
    fn fields_of_every_kind() {
        for (value, length, result) in [
            ("bytes=0-0", 10, some(&[(0, 1)])),
            ("BYTES=2-4", 10, some(&[(2, 5)])),
            ("bytes = 2-4", 10, some(&[(2, 5)])),
            ("bytes=5-", 10, some(&[(5, 10)])),
            ("bytes=-3", 10, some(&[(7, 10)])),
            ("bytes=-30", 10, some(&[(0, 10)])),
            ("bytes=0-99999999999999999999999", 10, some(&[(0, 10)])),
            ("bytes=-0", 10, Ranges::Unsatisfiable),
            ("bytes=10-", 10, Ranges::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Ranges::Unsatisfiable),
            ("bytes=0-", 0, Ranges::Unsatisfiable),
            ("bytes=-1", 0, Ranges::Unsatisfiable),
            ("bytes=10-,0-1", 10, some(&[(0, 2)])),
            ("bytes=4-5,0-1", 10, some(&[(4, 6), (0, 2)])),
            ("bytes=4-5, 0-1 ,,2-3", 10, some(&[(0, 6)])),
            ("bytes=0-5,3-7", 10, some(&[(0, 8)])),
            ("bytes=5-4", 10, Ranges::Whole),
            ("bytes=0-1,5-4", 10, Ranges::Whole),
            ("bytes=", 10, Ranges::Whole),
            ("bytes=,", 10, Ranges::Whole),
            ("bytes", 10, Ranges::Whole),
            ("bytes=-", 10, Ranges::Whole),
            ("bytes=+1-2", 10, Ranges::Whole),
            ("bytes=1 - 2", 10, Ranges::Whole),
            ("bytes=0x1-2", 10, Ranges::Whole),
            ("bytes=1-2-3", 10, Ranges::Whole),
            ("lines=1-2", 10, Ranges::Whole),
            ("", 10, Ranges::Whole),
        ] {
            assert_eq!(ranges(value.as_bytes(), length), result, "{value}");
        }
    }

    #[test]
    fn more_than_eight_are_the_whole_unless_they_merge() {
        let apart: Vec<String> = (0..9).map(|n| format!("{0}-{0}", 2 * n)).collect();
        assert_eq!(ranges(format!("bytes={}", apart.join(",")).as_bytes(), 100), Ranges::Whole);
        let touching: Vec<String> = (0..5000).map(|n| format!("{n}-{}", n + 5)).collect();
        let merged = ranges(format!("bytes={}", touching.join(",")).as_bytes(), 10_000);
        assert_eq!(merged, some(&[(0, 5005)]));
    }
}
