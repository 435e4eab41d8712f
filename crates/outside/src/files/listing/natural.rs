//! Natural order of names: `page2` before `page10`, `Apple` beside `apple`.
//!
//! A name is turned into a key once, so that sorting only compares bytes.

/// A key for sorting names: without regard to case, and numbers by their value.
///
/// Names that differ only in case or in leading zeros compare by their own bytes, which stand at the end of the key.
pub(super) fn natural_key(name: &[u8]) -> Vec<u8> {
    let lower = String::from_utf8_lossy(name).to_lowercase();
    let mut key = Vec::with_capacity(lower.len() + name.len() + 8);
    let mut rest = lower.as_bytes();
    while let Some(&first) = rest.first() {
        let is_number = first.is_ascii_digit();
        let end = rest.iter().position(|byte| byte.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        if is_number {
            let zeros = run.iter().take_while(|&&byte| byte == b'0').count();
            // Of two numbers the one with more digits is greater. A name has 255 bytes at most, so a byte counts them.
            let digits = &run[zeros..];
            key.extend([b'0', digits.len().min(255) as u8]);
            key.extend(digits);
        } else {
            key.extend(run);
        }
    }
    // Less than any byte of a name, so that a prefix of a name comes before it.
    key.push(0);
    key.extend(name);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line is in order.
    const ORDERS: &[&[&str]] = &[
        &["page1", "page2", "page10", "page10a", "page10b", "page100"],
        &["a", "a1", "a1b", "aa", "b"],
        &["1", "1.5", "1.10", "2", "10", "9999999999999999999998", "9999999999999999999999"],
        &["file 2.txt", "file 10.txt", "file-1.txt", "file.txt", "file1.txt"],
        &["README", "Readme", "readme", "readme.md", "zebra"],
        &["img0009", "img9", "img0010", "img10"],
        &["0", "00", "000a", "0a", "1"],
        &["2026-01-31", "2026-2-01", "2026-11-01"],
        &["v1.2.3", "v1.2.10", "v1.10.0"],
        &["apfel", "Zebra", "ähre", "Ähre2", "ähre10"],
        &["", "!", "a"],
    ];

    #[test]
    fn numbers_by_value_and_letters_without_case() {
        for order in ORDERS {
            let mut names = order.to_vec();
            names.reverse();
            names.sort_by_cached_key(|name| natural_key(name.as_bytes()));
            assert_eq!(&names, order);
        }
    }

    #[test]
    fn names_that_are_no_utf_8_have_their_own_keys() {
        assert!(natural_key(b"a\xff1") < natural_key(b"a\xff2"));
        assert_ne!(natural_key(b"a\xfe"), natural_key(b"a\xff"));
    }
}
