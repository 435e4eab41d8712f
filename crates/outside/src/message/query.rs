//! Query strings and percent-encoding: `name=value` pairs as forms write them (WHATWG URL, `x-www-form-urlencoded`).
//!
//! Only `&` separates pairs, not `;` (docs/security.md S34). Bytes that are not UTF-8 become U+FFFD; nothing here fails.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The pairs of a query string in order, percent-decoded, `+` read as a space, at most `limit` of them.
///
/// ```
/// let pairs = outside::message::parse_query(b"a=1&b=x+y&flag&a=%C3%A9", 1000);
/// assert_eq!(pairs[1], ("b".into(), "x y".into()));
/// assert_eq!(pairs[2], ("flag".into(), "".into()));
/// assert_eq!(pairs[3], ("a".into(), "é".into()));
/// ```
pub fn parse_query(query: &[u8], limit: usize) -> Vec<(String, String)> {
    query
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty())
        .take(limit)
        .map(|pair| {
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            (decode_component(name), decode_component(value))
        })
        .collect()
}

/// One name or value of a form: `+` becomes a space, then percent-decoding.
pub fn decode_component(text: &[u8]) -> String {
    let spaced: Cow<'_, [u8]> = if memchr::memchr(b'+', text).is_some() {
        Cow::Owned(text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect())
    } else {
        Cow::Borrowed(text)
    };
    decode_lossy(&spaced).into_owned()
}

/// Percent-decoded once; bytes that are not UTF-8 become U+FFFD.
pub fn decode_lossy(text: &[u8]) -> Cow<'_, str> {
    percent_decode(text).decode_utf8_lossy()
}
