//! Preconditions of requests: whether a representation is sent, or the client has it already (RFC 9110 section 13).
//!
//! Pure: validators and the request's fields come in, a verdict goes out.

use std::time::UNIX_EPOCH;

use crate::message::{KnownHeader, Request};

/// The identity of one state of a representation (RFC 9110 section 8.8).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Validators<'a> {
    /// The entity tag with its quotes; weak if it begins with `W/`.
    pub(crate) etag: Option<&'a [u8]>,
    /// Time of the last change, in seconds since 1970.
    pub(crate) modified: Option<u64>,
}

/// The result of the preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The request is answered as if there were none.
    Proceed,
    /// The client has it: 304.
    NotModified,
    /// The client asked not to be answered: 412.
    Failed,
}

/// Evaluates the preconditions in the order of RFC 9110 section 13.2.2; `If-Range` is [`allows_range`].
pub(crate) fn evaluate(request: &Request, validators: &Validators<'_>) -> Verdict {
    let headers = request.headers();
    let reads = matches!(request.method(), "GET" | "HEAD");
    // A field with two dates counts as missing (sections 13.1.3 and 13.1.4).
    let date = |known| only(headers.all_known(known)).and_then(seconds);
    // Section 13.1.1: the strong comparison.
    if headers.known(KnownHeader::IfMatch).is_some() {
        if !headers.all_known(KnownHeader::IfMatch).any(|list| matches(list, validators.etag, Comparison::Strong)) {
            return Verdict::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(KnownHeader::IfUnmodifiedSince), validators.modified)
        && modified > since
    {
        // Section 13.1.4.
        return Verdict::Failed;
    }
    // Section 13.1.2: the weak comparison.
    if headers.known(KnownHeader::IfNoneMatch).is_some() {
        if headers.all_known(KnownHeader::IfNoneMatch).any(|list| matches(list, validators.etag, Comparison::Weak)) {
            return if reads { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if let (true, Some(since), Some(modified)) = (reads, date(KnownHeader::IfModifiedSince), validators.modified)
        && modified <= since
    {
        // Section 13.1.3.
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a range may be sent instead of the whole (RFC 9110 section 13.1.5). `now` in seconds since 1970.
pub(crate) fn allows_range(request: &Request, validators: &Validators<'_>, now: u64) -> bool {
    if request.headers().known(KnownHeader::IfRange).is_none() {
        return true;
    }
    let Some(value) = only(request.headers().all_known(KnownHeader::IfRange)) else { return false };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        let mut tags = Tags(value);
        return tags.next().is_some_and(|tag| {
            Some(tag) == validators.etag && !tag.starts_with(b"W/") && tags.next().is_none() && tags.0.is_empty()
        });
    }
    // Section 8.8.2.2: a date is a strong validator only if no second change can have happened within its second.
    matches!((seconds(value), validators.modified), (Some(date), Some(modified)) if date == modified && modified < now)
}

/// The value of a field that has a single one.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    values.next().filter(|_| values.next().is_none())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, or `*`, names this one (RFC 9110 section 8.8.3.2).
fn matches(list: &[u8], etag: Option<&[u8]>, comparison: Comparison) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    match comparison {
        Comparison::Strong => !etag.starts_with(b"W/") && Tags(list).any(|tag| tag == etag),
        Comparison::Weak => Tags(list).any(|tag| opaque(tag) == opaque(etag)),
    }
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity tags of a list, with quotes and mark of weakness; ends at the first malformed member.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let begin = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b',')).unwrap_or(self.0.len());
        let rest = &self.0[begin..];
        let quoted = opaque(rest);
        let length = quoted.strip_prefix(b"\"").and_then(|inner| {
            let end = inner.iter().position(|&byte| byte == b'"')?;
            inner[..end].iter().all(|&byte| byte > b' ' && byte != 0x7f).then_some(end + 2)
        });
        let (tag, rest) = rest.split_at(length? + rest.len() - quoted.len());
        self.0 = rest;
        Some(tag)
    }
}

/// Seconds since 1970 of a date in any of the three forms of RFC 9110 section 5.6.7.
pub(crate) fn seconds(value: &[u8]) -> Option<u64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::RequestParts;

    const CHANGED: u64 = 784_111_777;
    const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn request(method: &str, headers: &[(&str, &[u8])]) -> Request {
        Request::from_parts(&RequestParts { method, headers, ..RequestParts::default() }).unwrap()
    }

    #[test]
    fn the_order_of_preconditions() {
        use Verdict::{Failed, NotModified, Proceed};
        let validators = Validators { etag: Some(b"\"a\""), modified: Some(CHANGED) };
        for (method, headers, verdict) in [
            ("GET", &[][..], Proceed),
            ("GET", &[("If-Match", "\"b\", \"a\"")], Proceed),
            ("GET", &[("If-Match", "W/\"a\"")], Failed),
            ("GET", &[("If-Match", "*")], Proceed),
            ("GET", &[("If-Match", "nonsense")], Failed),
            ("GET", &[("If-Match", "\"a\""), ("If-Unmodified-Since", BEFORE)], Proceed),
            ("GET", &[("If-Unmodified-Since", BEFORE)], Failed),
            ("GET", &[("If-Unmodified-Since", SAME)], Proceed),
            ("GET", &[("If-Unmodified-Since", "yesterday")], Proceed),
            ("HEAD", &[("If-None-Match", "W/\"a\"")], NotModified),
            ("GET", &[("If-None-Match", "\"b\""), ("If-Modified-Since", SAME)], Proceed),
            ("GET", &[("If-None-Match", "\"b\""), ("If-None-Match", "\"a\"")], NotModified),
            ("PUT", &[("If-None-Match", "*")], Failed),
            ("GET", &[("If-Modified-Since", SAME)], NotModified),
            ("GET", &[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
            ("GET", &[("If-Modified-Since", "Sun Nov  6 08:49:37 1994")], NotModified),
            ("GET", &[("If-Modified-Since", BEFORE)], Proceed),
            ("GET", &[("If-Modified-Since", SAME), ("If-Modified-Since", SAME)], Proceed),
            ("GET", &[("If-Unmodified-Since", BEFORE), ("If-Unmodified-Since", BEFORE)], Proceed),
            ("PUT", &[("If-Modified-Since", SAME)], Proceed),
            ("GET", &[("If-Match", "\"b\""), ("If-None-Match", "\"a\"")], Failed),
        ] {
            let fields: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            assert_eq!(evaluate(&request(method, &fields), &validators), verdict, "{method} {headers:?}");
        }
    }

    #[test]
    fn ranges_only_of_the_version_that_the_client_has() {
        let validators = Validators { etag: Some(b"\"a\""), modified: Some(CHANGED) };
        for (value, allowed) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("\"a\", \"b\"", false),
            (SAME, true),
            (BEFORE, false),
            ("a", false),
        ] {
            let request = request("GET", &[("If-Range", value.as_bytes())]);
            assert_eq!(allows_range(&request, &validators, CHANGED + 1), allowed, "{value}");
        }
        let by_date = request("GET", &[("If-Range", SAME.as_bytes())]);
        assert!(!allows_range(&by_date, &validators, CHANGED), "it may change once more within this second");
    }
}
