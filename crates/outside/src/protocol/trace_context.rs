//! The fields `traceparent` and `tracestate` (W3C Trace Context), and the form of an id that a proxy gives a request.

use crate::message::{RANDOM, SAMPLED};

/// The parts of a field `traceparent` that are taken over. Its parent, the caller's own step, is in the field itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traceparent<'a> {
    pub(crate) trace: &'a str,
    /// The flags that this version knows.
    pub(crate) flags: u8,
}

/// Bytes of an id that is accepted from a proxy.
const LONGEST_ID: usize = 128;
/// Bytes of `tracestate` that are passed on (section 3.3.1.5 asks for at least as many).
const LONGEST_STATE: usize = 512;
/// Bytes of an entry that goes first if all together are too long (section 3.3.1.5).
const LARGE_ENTRY: usize = 128;
/// Entries of `tracestate`.
const MOST_ENTRIES: usize = 32;
/// Bytes of a key of `tracestate`, and of a value.
const LONGEST_KEY: usize = 256;
const LONGEST_VALUE: usize = 256;

/// Whether this is an id that may stand in logs and answers: letters, digits, `.`, `_` and `-`.
pub(crate) fn is_request_id(text: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_ID).contains(&text.len()) && text.iter().all(is_allowed)
}

/// Reads a field `traceparent` (section 3.2). Later versions may be longer, and are read as far as this one goes
/// (section 3.2.4). `None`: it is malformed, and the request begins a trace.
pub(crate) fn traceparent(field: &[u8]) -> Option<Traceparent<'_>> {
    const LENGTH: usize = 55;
    let text = std::str::from_utf8(field).ok()?;
    let (version, rest) = (digits(text.get(..2)?)?, text.get(2..)?);
    let is_long = text.len() > LENGTH;
    if version == "ff" || (version == "00" && is_long) || (is_long && text.as_bytes()[LENGTH] != b'-') {
        return None;
    }
    let trace = digits(rest.strip_prefix('-')?.get(..32)?)?;
    let parent = digits(rest.get(33..)?.strip_prefix('-')?.get(..16)?)?;
    let flags = digits(rest.get(50..)?.strip_prefix('-')?.get(..2)?)?;
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    if is_zero(trace) || is_zero(parent) {
        return None;
    }
    let known = if version == "00" { SAMPLED | RANDOM } else { SAMPLED };
    Some(Traceparent { trace, flags: u8::from_str_radix(flags, 16).ok()? & known })
}

/// The text, if it is of hexadecimal digits in lower case alone.
fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(text)
}

/// The fields `tracestate` of a request as the one that is passed on (section 3.3): at most 512 bytes, without the entries
/// that do not fit. Empty if an entry is malformed: the others may not be trusted then.
pub(crate) fn tracestate<'a>(fields: impl Iterator<Item = &'a [u8]>) -> String {
    let mut entries = Vec::new();
    for field in fields {
        let Ok(field) = std::str::from_utf8(field) else { return String::new() };
        for entry in field.split(',').map(|entry| entry.trim_matches([' ', '\t'])).filter(|entry| !entry.is_empty()) {
            let Some((key, value)) = entry.split_once('=') else { return String::new() };
            if !is_key(key) || !is_state_value(value) {
                return String::new();
            }
            // The first entry of a key is the newest one.
            if !entries.iter().any(|(other, _)| *other == key) {
                entries.push((key, entry));
            }
            if entries.len() > MOST_ENTRIES {
                return String::new();
            }
        }
    }
    let length = |entries: &[(&str, &str)]| entries.iter().map(|(_, entry)| entry.len() + 1).sum::<usize>();
    while length(&entries) > LONGEST_STATE + 1 {
        let large = entries.iter().rposition(|(_, entry)| entry.len() > LARGE_ENTRY);
        entries.remove(large.unwrap_or(entries.len() - 1));
    }
    entries.iter().map(|(_, entry)| *entry).collect::<Vec<_>>().join(",")
}

/// Whether this is a key (section 3.3.1.3.1): of one system, or of a system of several tenants.
fn is_key(key: &str) -> bool {
    let is_rest =
        |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let begins = |text: &str, with_digit: bool| {
        let first = text.bytes().next();
        first.is_some_and(|byte| byte.is_ascii_lowercase() || (with_digit && byte.is_ascii_digit()))
    };
    match key.split_once('@') {
        None => key.len() <= LONGEST_KEY && begins(key, false) && is_rest(key),
        Some((tenant, system)) => {
            let fits = tenant.len() <= 241 && system.len() <= 14;
            fits && begins(tenant, true) && is_rest(tenant) && begins(system, false) && is_rest(system)
        }
    }
}

/// Whether this is a value (section 3.3.1.3.2). Space at its end was taken for padding.
fn is_state_value(value: &str) -> bool {
    let is_allowed = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b'=';
    (1..=LONGEST_VALUE).contains(&value.len()) && value.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a kind, a tab, the field in escapes, a tab, the result. `tests/logging/test_ids.py` reads it too.
    const CORPUS: &str = include_str!("../../../../tests/corpus/ids/trace_context.txt");

    #[test]
    fn the_corpus() {
        let mut count = 0;
        for line in CORPUS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let (kind, field, expected) = (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
            let field = unescaped(field);
            let found = match kind {
                "traceparent" => {
                    traceparent(&field).map_or("-".to_owned(), |found| format!("{} {:02x}", found.trace, found.flags))
                }
                "tracestate" => match tracestate(std::iter::once(&field[..])) {
                    passed if passed.is_empty() => "-".to_owned(),
                    passed => passed,
                },
                "id" => if is_request_id(&field) { "yes" } else { "-" }.to_owned(),
                kind => panic!("no kind {kind:?}"),
            };
            assert_eq!(found, unescaped_text(expected), "{line}");
            count += 1;
        }
        assert!(count >= 70, "{count} vectors");
    }

    #[test]
    fn fields_are_joined() {
        let fields = [&b"a=1"[..], b" ,b=2 ", b"", b"a=3"];
        assert_eq!(tracestate(fields.into_iter()), "a=1,b=2");
        assert_eq!(tracestate([&b"a=1"[..], b"B=2"].into_iter()), "");
    }

    fn unescaped_text(text: &str) -> String {
        String::from_utf8(unescaped(text)).unwrap()
    }

    /// `\xhh` is a byte, `{text*n}` the text n times.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(hexadecimal) = rest.strip_prefix("\\x") {
                bytes.push(u8::from_str_radix(&hexadecimal[..2], 16).unwrap());
                rest = &hexadecimal[2..];
            } else if let Some((repeated, behind)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                let (text, times) = repeated.split_once('*').unwrap();
                bytes.extend(text.repeat(times.parse().unwrap()).bytes());
                rest = behind;
            } else {
                bytes.extend(first.to_string().bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
        bytes
    }
}
