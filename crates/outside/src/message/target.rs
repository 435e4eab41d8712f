//! The path of a request, decoded once and normalised once, before any other code uses it.
//!
//! The result has two forms. Handlers read the *url*: percent-decoded, without dot segments. Routing compares the
//! *route*: the same, but an encoded slash stays `%2F`, so that it never changes the choice of the handler (docs/security.md
//! S28). For nearly all requests both are the path as received, and nothing is copied.

use percent_encoding::percent_decode;

use super::query::decode_lossy;
use crate::error::Refusal;

/// Url and route of a path that differs from them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) url: String,
    pub(crate) route: String,
}

/// Decodes and normalises an absolute path; `None` if url and route are the path itself.
///
/// Dot segments are removed by RFC 3986 section 5.2.4, after decoding, so that `%2e%2e` is one too. A malformed escape
/// and an encoded NUL are refused.
pub(crate) fn resolve(path: &[u8]) -> Result<Option<Resolved>, Refusal> {
    let (encoded, dotted) = look(path);
    if !encoded && !dotted {
        return Ok(None);
    }
    if encoded {
        check_escapes(path)?;
    }
    resolved(path, true).map(Some)
}

/// The same for applications that take paths as they were received: what [`resolve`] refuses stands for itself, but for
/// a NUL, which ends names in the functions of C.
pub(crate) fn resolve_as_received(path: &[u8]) -> Result<Resolved, Refusal> {
    match memchr::memmem::find(path, b"%00") {
        Some(_) => Err(NUL),
        None => resolved(path, false),
    }
}

/// Bytes of most targets at most: for so few a search that is made for megabytes costs more than a loop.
const USUAL: usize = 64;

/// The position of the query's mark.
pub(super) fn query_mark(target: &[u8]) -> Option<usize> {
    match target.len() > USUAL {
        true => memchr::memchr(b'?', target),
        false => target.iter().position(|&byte| byte == b'?'),
    }
}

/// Whether there is an escape, and a segment that begins with a dot.
fn look(path: &[u8]) -> (bool, bool) {
    if path.len() > USUAL {
        return (memchr::memchr(b'%', path).is_some(), memchr::memmem::find(path, b"/.").is_some());
    }
    let (mut encoded, mut dotted, mut before) = (false, false, 0);
    for &byte in path {
        encoded |= byte == b'%';
        dotted |= byte == b'.' && before == b'/';
        before = byte;
    }
    (encoded, dotted)
}

fn resolved(path: &[u8], is_strict: bool) -> Result<Resolved, Refusal> {
    let (segments, trailing) = normalised(path);
    let mut resolved = Resolved { url: String::with_capacity(path.len()), route: String::with_capacity(path.len()) };
    for segment in &segments {
        let decoded = decode_lossy(segment);
        resolved.url.push('/');
        resolved.url.push_str(&decoded);
        resolved.route.push('/');
        if has_encoded_slash(segment) {
            if is_strict && decoded.split('/').any(|part| part == "." || part == "..") {
                // Decoding would turn it into a dot segment for code that joins the url to a folder.
                return Err(Refusal::bad("a dot segment beside an encoded slash"));
            }
            // Only the slash keeps its escape: the text between two slashes is decoded as usual.
            let mut rest = *segment;
            while let Some(at) = find_encoded_slash(rest) {
                resolved.route.push_str(&decode_lossy(&rest[..at]));
                resolved.route.push_str("%2F");
                rest = &rest[at + 3..];
            }
            resolved.route.push_str(&decode_lossy(rest));
        } else {
            resolved.route.push_str(&decoded);
        }
    }
    if trailing {
        resolved.url.push('/');
        resolved.route.push('/');
    }
    Ok(resolved)
}

/// The url of a resolved path as bytes: names of files need not be UTF-8, while a url has U+FFFD instead.
pub(crate) fn octets(path: &[u8]) -> Vec<u8> {
    let (segments, trailing) = normalised(path);
    let mut octets = Vec::with_capacity(path.len());
    for segment in segments {
        octets.push(b'/');
        octets.extend(percent_decode(segment));
    }
    if trailing {
        octets.push(b'/');
    }
    octets
}

/// The resolved path, percent-encoded for a `Location`; `None` unless it begins with exactly one slash, since a second
/// one would name a host.
pub(crate) fn location(path: &[u8]) -> Option<String> {
    let (segments, trailing) = normalised(path);
    let mut location = String::with_capacity(path.len() + 1);
    for segment in segments {
        location.push('/');
        for &byte in segment {
            match byte {
                b'!' | b'$'..=b'.' | b'0'..=b';' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => {
                    location.push(char::from(byte));
                }
                // A backslash too, which browsers take for a slash.
                _ => location.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    if trailing {
        location.push('/');
    }
    (location.starts_with('/') && !location.starts_with("//")).then_some(location)
}

/// The segments without dot segments, and whether a slash follows them.
fn normalised(path: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut trailing = false;
    for segment in path.split(|&byte| byte == b'/').skip(1) {
        trailing = false;
        match &*decode_lossy(segment) {
            "." => trailing = true,
            ".." => {
                segments.pop();
                trailing = true;
            }
            _ => segments.push(segment),
        }
    }
    trailing |= segments.is_empty();
    (segments, trailing)
}

const NUL: Refusal = Refusal::bad("encoded NUL in the path");

fn check_escapes(path: &[u8]) -> Result<(), Refusal> {
    for at in memchr::memchr_iter(b'%', path) {
        match path.get(at + 1..at + 3) {
            Some(b"00") => return Err(NUL),
            Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err(Refusal::bad("malformed percent-encoding in the path")),
        }
    }
    Ok(())
}

fn has_encoded_slash(segment: &[u8]) -> bool {
    find_encoded_slash(segment).is_some()
}

fn find_encoded_slash(segment: &[u8]) -> Option<usize> {
    segment.windows(3).position(|window| window.eq_ignore_ascii_case(b"%2f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_bytes_nothing_is_lost() {
        for (path, expected) in [
            ("/caf%E9", &b"/caf\xe9"[..]),
            ("/%ff/./%C3%A9/x%20y", b"/\xff/\xc3\xa9/x y"),
            ("/%ff/../%2e%2e/a%fe/", b"/a\xfe/"),
            ("/%ff/%2e%2e", b"/"),
            ("/%EF%BF%BD", "/\u{fffd}".as_bytes()),
        ] {
            assert_eq!(octets(path.as_bytes()), expected, "{path}");
            let url = resolve(path.as_bytes()).unwrap().unwrap().url;
            assert_eq!(String::from_utf8_lossy(expected), url, "{path}");
        }
    }

    #[test]
    fn applications_get_paths_that_are_refused_else() {
        for (path, url, route) in
            [("/%zz/a%", "/%zz/a%", "/%zz/a%"), ("/a%2f..%2fb", "/a/../b", "/a%2F..%2Fb"), ("/%zz/../%41", "/A", "/A")]
        {
            assert!(resolve(path.as_bytes()).is_err(), "{path}");
            let resolved = resolve_as_received(path.as_bytes()).unwrap();
            assert_eq!((resolved.url.as_str(), resolved.route.as_str()), (url, route), "{path}");
        }
        assert!(resolve_as_received(b"/a%zz%00").is_err());
    }

    #[test]
    fn paths_resolve() {
        for (path, url, route) in [
            ("/a/../b", "/b", "/b"),
            ("/a/./b/.", "/a/b/", "/a/b/"),
            ("/../../etc", "/etc", "/etc"),
            ("/a/..", "/", "/"),
            ("/%61", "/a", "/a"),
            ("/%2e%2E/x", "/x", "/x"),
            ("/a%2Fb", "/a/b", "/a%2Fb"),
            ("/a%2f...%2fb", "/a/.../b", "/a%2F...%2Fb"),
            ("/caf%C3%A9", "/café", "/café"),
            ("/%252e", "/%2e", "/%2e"),
            ("/.hidden", "/.hidden", "/.hidden"),
            ("//a/.", "//a/", "//a/"),
        ] {
            let resolved = resolve(path.as_bytes()).unwrap().unwrap();
            assert_eq!((resolved.url.as_str(), resolved.route.as_str()), (url, route), "{path}");
        }
        assert_eq!(resolve(b"/plain/path").unwrap(), None);
        for bad in ["/%", "/%z1", "/%1", "/a%00", "/a%2f..%2fb", "/..%2F", "/a%2F.", "/%2e%2e%2fb"] {
            assert!(resolve(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
