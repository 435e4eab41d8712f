//! The name under which an answer is saved: `Content-Disposition` (RFC 6266), for any language (RFC 8187).

use std::fmt::Write as _;

/// The value of the field. `name` may be any text. If it is not all visible ASCII, it is also given in UTF-8 by RFC
/// 8187, behind a plain form for clients that do not know that.
///
/// ```
/// use outside::message::content_disposition;
/// assert_eq!(content_disposition(true, None), "attachment");
/// assert_eq!(content_disposition(false, Some("a b.txt")), "inline; filename=\"a b.txt\"");
/// let value = content_disposition(true, Some("naïve €.txt"));
/// assert_eq!(value, "attachment; filename=\"na_ve _.txt\"; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt");
/// ```
pub fn content_disposition(is_attachment: bool, name: Option<&str>) -> String {
    let mut value = if is_attachment { "attachment" } else { "inline" }.to_owned();
    let Some(name) = name else { return value };
    // Clients differ in reading quotes, backslashes and percent signs (RFC 6266 appendix D).
    let is_plain = |letter: char| (' '..='~').contains(&letter) && !matches!(letter, '"' | '\\' | '%');
    value.push_str("; filename=\"");
    value.extend(name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }));
    value.push('"');
    if !name.chars().all(is_plain) {
        value.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => value.push(char::from(byte)),
                // Writing to a String cannot fail.
                _ => write!(value, "%{byte:02X}").unwrap_or_default(),
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::content_disposition;

    #[test]
    fn no_name_breaks_the_field() {
        for (name, wanted) in [
            ("a\"b.txt", "attachment; filename=\"a_b.txt\"; filename*=UTF-8''a%22b.txt"),
            ("a\\b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%5Cb"),
            ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
            ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
            ("", "attachment; filename=\"\""),
        ] {
            assert_eq!(content_disposition(true, Some(name)), wanted);
        }
    }
}
