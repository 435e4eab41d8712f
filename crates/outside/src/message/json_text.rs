//! The text of a JSON document in any Unicode encoding (RFC 8259 section 8.1 requires UTF-8; RFC 4627 section 3 allowed
//! the others, and tells how to distinguish them).

use std::borrow::Cow;

/// The text without its byte order mark; `None` if it is malformed.
///
/// ```
/// assert_eq!(outside::message::json_text(b"[1]").as_deref(), Some("[1]"));
/// assert_eq!(outside::message::json_text(b"\xff\xfe[\x001\x00]\x00").as_deref(), Some("[1]"));
/// assert_eq!(outside::message::json_text(b"\"\xff\""), None);
/// ```
pub fn json_text(content: &[u8]) -> Option<Cow<'_, str>> {
    // A text in UTF-16 or UTF-32 begins with a byte order mark, or has a NUL among its first bytes, which UTF-8 has
    // not.
    let begins_plainly = !content.iter().take(4).any(|&byte| byte == 0 || byte >= 0xef);
    if begins_plainly {
        return std::str::from_utf8(content).ok().map(Cow::Borrowed);
    }
    let text = match content {
        [0xef, 0xbb, 0xbf, text @ ..] => return std::str::from_utf8(text).ok().map(Cow::Borrowed),
        [0xff, 0xfe, 0, 0, text @ ..] => utf_32(text, u32::from_le_bytes),
        [0, 0, 0xfe, 0xff, text @ ..] => utf_32(text, u32::from_be_bytes),
        [0xff, 0xfe, text @ ..] => utf_16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf_16(text, u16::from_be_bytes),
        [0, 0, _, _, ..] => utf_32(content, u32::from_be_bytes),
        [_, 0, 0, 0, ..] => utf_32(content, u32::from_le_bytes),
        [0, _, ..] => utf_16(content, u16::from_be_bytes),
        [_, 0, ..] => utf_16(content, u16::from_le_bytes),
        _ => return std::str::from_utf8(content).ok().map(Cow::Borrowed),
    };
    text.map(Cow::Owned)
}

fn utf_16(text: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Option<String> {
    let (units, rest) = text.as_chunks();
    let text: Result<String, _> = char::decode_utf16(units.iter().map(|&bytes| unit(bytes))).collect();
    text.ok().filter(|_| rest.is_empty())
}

fn utf_32(text: &[u8], unit: impl Fn([u8; 4]) -> u32) -> Option<String> {
    let (units, rest) = text.as_chunks();
    let text: Option<String> = units.iter().map(|&bytes| char::from_u32(unit(bytes))).collect();
    text.filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::json_text;

    const TEXT: &str = "{\"a\": \"é😀\"}";

    #[test]
    fn every_encoding_is_read_with_its_mark_and_without() {
        let utf_16: Vec<u16> = TEXT.encode_utf16().collect();
        let utf_32: Vec<u32> = TEXT.chars().map(u32::from).collect();
        let encodings: [(Vec<u8>, &[u8]); 5] = [
            (TEXT.into(), b"\xef\xbb\xbf"),
            (utf_16.iter().flat_map(|unit| unit.to_le_bytes()).collect(), b"\xff\xfe"),
            (utf_16.iter().flat_map(|unit| unit.to_be_bytes()).collect(), b"\xfe\xff"),
            (utf_32.iter().flat_map(|unit| unit.to_le_bytes()).collect(), b"\xff\xfe\0\0"),
            (utf_32.iter().flat_map(|unit| unit.to_be_bytes()).collect(), b"\0\0\xfe\xff"),
        ];
        for (bytes, mark) in encodings {
            assert_eq!(json_text(&bytes).as_deref(), Some(TEXT), "{bytes:?}");
            assert_eq!(json_text(&[mark, &bytes].concat()).as_deref(), Some(TEXT), "{mark:?}");
        }
    }

    #[test]
    fn malformed_json_is_no_text() {
        for bytes in [
            &b"\xff"[..],
            b"\"\xed\xa0\x80\"",
            b"\xff\xfe[",
            b"\xff\xfe\x00\xd8]\0",
            b"\xff\xfe\0\0\0\xd8\0\0",
            b"\xff\xfe\0\0\0\0\x11\0",
            b"[\0\0",
        ] {
            assert_eq!(json_text(bytes), None, "{bytes:?}");
        }
        for (bytes, text) in [(&b""[..], ""), (b"7", "7"), (b"7\0", "7"), (b"\0\x37", "7"), ("é".as_bytes(), "é")] {
            assert_eq!(json_text(bytes).as_deref(), Some(text), "{bytes:?}");
        }
    }
}
