//! Targets without the secrets that clients put into queries: the log may be read by more people than the program's database.

use std::borrow::Cow;

/// Parts of names whose values are secrets, in lower case.
const PARTS: [&[u8]; 14] = [
    b"token",
    b"secret",
    b"passw",
    b"passphrase",
    b"api_key",
    b"apikey",
    b"api-key",
    b"access_key",
    b"accesskey",
    b"private_key",
    b"credential",
    b"signature",
    b"session",
    b"authorization",
];
/// Names that are a secret as a whole.
const NAMES: [&[u8]; 6] = [b"key", b"sig", b"pwd", b"auth", b"jwt", b"otp"];
/// Stands for a value.
const HIDDEN: &[u8] = b"***";

/// The target of a request, or a URL, with `***` in place of the values of its query whose names speak of tokens, keys, passwords or
/// signatures.
///
/// ```
/// assert_eq!(outside::log::shown_target("/a?b=1&api_key=x&c"), "/a?b=1&api_key=***&c");
/// ```
pub fn shown_target(target: &str) -> Cow<'_, str> {
    match without_secrets(target.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(target),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// The same for bytes of a client.
pub(crate) fn without_secrets(target: &[u8]) -> Cow<'_, [u8]> {
    let Some(start) = memchr::memchr(b'?', target) else { return Cow::Borrowed(target) };
    match query_without_secrets(&target[start + 1..]) {
        Cow::Borrowed(_) => Cow::Borrowed(target),
        Cow::Owned(query) => Cow::Owned([&target[..=start], &query].concat()),
    }
}

/// The same for a query alone.
pub(crate) fn query_without_secrets(query: &[u8]) -> Cow<'_, [u8]> {
    let name_of = |pair: &[u8]| memchr::memchr(b'=', pair).filter(|end| is_secret(&pair[..*end]));
    let pairs = || query.split(|byte| *byte == b'&');
    if !pairs().any(|pair| name_of(pair).is_some()) {
        return Cow::Borrowed(query);
    }
    let shown: Vec<Cow<'_, [u8]>> = pairs()
        .map(|pair| match name_of(pair) {
            Some(end) => Cow::Owned([&pair[..=end], HIDDEN].concat()),
            None => Cow::Borrowed(pair),
        })
        .collect();
    Cow::Owned(shown.join(&b'&'))
}

fn is_secret(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|whole| *whole == name) || PARTS.iter().any(|part| memchr::memmem::find(&name, part).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_their_names() {
        for (target, shown) in [
            ("/", "/"),
            ("/token=x", "/token=x"),
            ("/a?", "/a?"),
            ("/a?q=token", "/a?q=token"),
            ("/a?key=AIza&q=1", "/a?key=***&q=1"),
            ("/a?q=1&Access_Token=a=b&keyword=x", "/a?q=1&Access_Token=***&keyword=x"),
            ("/a?X-Amz-Signature=00&token&password=", "/a?X-Amz-Signature=***&token&password=***"),
            ("https://b/a?sessionid=1?token=2", "https://b/a?sessionid=***"),
        ] {
            assert_eq!(shown_target(target), shown);
        }
        assert_eq!(*query_without_secrets(b"a=\xff&pwd=\xff"), *b"a=\xff&pwd=***");
    }
}
