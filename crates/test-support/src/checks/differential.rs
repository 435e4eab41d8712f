//! The engine beside hyper: never more lenient on framing, and the same requests where both accept.
//!
//! Every request that the engine reads, hyper must have read as the same request at the same position. Where the engine
//! stops earlier, its refusal must be a known one; where hyper stops earlier, the request at that position must have a
//! known harmless property. Both tables give the reasons.

use outside::Request;
use outside::testing::{Conversation, Limits, ReadRequest, TestEnd};

use crate::checks::hyper_side::{self, Seen};
use crate::checks::invariants::converse;

/// Inputs that the engine refuses and hyper accepts: the reason of the refusal, and its source.
const STRICTER: &[(&str, &str)] = &[
    ("line ended by a bare LF", "RFC 9112 §2.2: a recipient MAY take it; proxies differ, so none is taken (S5)"),
    ("malformed request line", "RFC 9112 §2.2, §3: one space each, and two empty lines in front are patience enough"),
    ("this is not HTTP", "RFC 9112 §3: known by its first bytes, before its first line has ended"),
    ("request line too long", "RFC 9112 §3: 8 KiB"),
    ("header section too large", "RFC 6585 §5: 32 KiB"),
    ("too many header fields", "RFC 6585 §5: 100"),
    ("a dot segment beside an encoded slash", "RFC 3986 §3.3: data to routing, `..` to whoever joins the url (S28)"),
    ("content too large", "RFC 9110 §15.5.14: max_body_size_mb; hyper has no bound"),
    ("a framing header spelled with an underscore", "RFC 9112 §11.2: one name to CGI-like readers (S11)"),
    ("missing Host", "RFC 9112 §3.2: hyper leaves it to its user"),
    ("more than one Host", "RFC 9112 §3.2: hyper leaves it to its user"),
    ("malformed Host", "RFC 9112 §3.2: hyper leaves it to its user"),
    ("the request target has none of the forms of RFC 9112 section 3.2", "RFC 9112 §3.2: hyper leaves it to its user"),
    ("malformed authority in the request target", "RFC 9110 §4.2.4: user information and such are treated as an error"),
    ("the request target holds a byte that has to be percent-encoded", "RFC 3986 §3.5: hyper drops a fragment"),
    ("malformed percent-encoding in the path", "RFC 3986 §2.1: hyper does not decode"),
    ("encoded NUL in the path", "RFC 3986 §7.3: hyper does not decode"),
    ("CONNECT is not implemented", "RFC 9110 §9.3.6: this is no proxy"),
    ("CONNECT needs an authority as its target", "RFC 9112 §3.2.3"),
    ("an expectation other than 100-continue", "RFC 9110 §10.1.1: answered with 417"),
    ("both Content-Length and Transfer-Encoding", "RFC 9112 §6.1: hyper takes the coding, then closes (S1)"),
    ("more than one Content-Length", "RFC 9112 §6.3: equal ones may be merged, or refused (S2)"),
    ("more than one Transfer-Encoding", "RFC 9112 §6.1: hyper looks at the last coding alone (S3)"),
    ("malformed Transfer-Encoding", "RFC 9112 §6.1: hyper looks at the last coding alone (S3)"),
    ("unknown transfer coding", "RFC 9112 §6.1: answered with 501; hyper leaves codings before chunked to its user"),
    ("malformed chunk line", "RFC 9112 §7.1.1: no white space behind the size, no control byte in an extension (S4)"),
    ("malformed chunk extension", "RFC 9112 §7.1.1: an extension has a name, and its quotes end (S4)"),
    ("chunk size of more than 16 digits", "RFC 9112 §7.1: more fit into 64 bits only as leading zeros"),
    ("malformed trailer", "RFC 9112 §7.1.2: checked like a header field; hyper is asked for content alone"),
];

/// Inputs at which hyper ends and the engine reads on: a part of hyper's error, a property of the request that only the
/// engine has read and of the one before it, and its source.
type Harmless = (&'static str, fn(&Request, Option<&Request>) -> bool, &'static str);
const HARMLESS: &[Harmless] = &[
    (
        "Parse(Version)",
        |request, _| request.version() == "HTTP/1.1",
        "RFC 9110 §2.5: HTTP/1.2 to 1.9 are read as the highest minor version that is spoken; their framing is the same",
    ),
    (
        "Parse(Uri)",
        |request, _| request.target().contains(['<', '>', '`', '"']),
        "RFC 9112 §3.2: these bytes end no target; they are decoded like any other",
    ),
    (
        "Parse(Uri)",
        |request, _| authority(request.target()).contains('%'),
        "RFC 3986 §3.2.2: a host may be percent-encoded",
    ),
    (
        "",
        |_, before| before.is_some_and(has_unreadable_connection),
        "RFC 9110 §5.5: hyper does not read Connection where it holds obs-text, not even keep-alive beside it",
    ),
];

/// Compares the two readings of an input. Returns the number of requests that both have read, or the difference.
pub fn compare(input: &[u8]) -> Result<usize, String> {
    let ours = converse(input, Limits::default(), []);
    let (seen, error) = hyper_side::read(input, if input.len() < 512 { 1 + input.len() % 40 } else { input.len() });
    let complete: Vec<&Seen> = seen.iter().take_while(|seen| seen.content.is_some()).collect();
    for (number, received) in ours.requests().iter().enumerate() {
        match complete.get(number) {
            Some(seen) => must_equal(received, seen).map_err(|fault| format!("request {number}: {fault}"))?,
            None if is_harmless(error.as_deref(), ours.requests(), number) => return Ok(number),
            None => return Err(format!("request {number} was read by the engine alone; hyper: {error:?}, {seen:?}")),
        }
    }
    let more = complete.len() > ours.requests().len();
    match ours.end() {
        TestEnd::Refused(refusal) if more && STRICTER.iter().all(|(reason, _)| *reason != refusal.reason) => {
            Err(format!("refused with {} {:?} by the engine alone", refusal.status, refusal.reason))
        }
        TestEnd::Refused(_) => Ok(ours.requests().len()),
        end if more && !closes_unseen(&ours) => {
            Err(format!("the engine ends as {end:?}; request {} was read by hyper alone", ours.requests().len()))
        }
        _ => Ok(ours.requests().len()),
    }
}

fn must_equal(received: &ReadRequest, seen: &Seen) -> Result<(), String> {
    let request = &received.request;
    let (path, query) = path_and_query(request.target());
    let ours = (request.method(), path, query, request.version(), Some(request.content()));
    let theirs = (&*seen.method, &*seen.path, &*seen.query, &*seen.version, seen.content.as_deref());
    if ours == theirs { Ok(()) } else { Err(format!("the engine has {ours:?}, hyper {theirs:?}")) }
}

/// Path and query of a target, still encoded (RFC 9112 section 3.2). hyper gives an empty path as `/` as well.
fn path_and_query(target: &str) -> (&str, &str) {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find(['/', '?']).map_or("", |at| &rest[at..]),
        _ => target,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

fn authority(target: &str) -> &str {
    let rest = target.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

fn is_harmless(error: Option<&str>, ours: &[ReadRequest], number: usize) -> bool {
    let (request, before) = (&ours[number].request, number.checked_sub(1).map(|number| &ours[number].request));
    let error = error.unwrap_or_default();
    HARMLESS.iter().any(|(part, holds, _)| error.contains(part) && holds(request, before))
}

/// The engine closes if obs-text stands beside the word `close`, while hyper does not see the word.
fn closes_unseen(ours: &Conversation) -> bool {
    ours.end() == TestEnd::Closed && ours.requests().last().is_some_and(|last| has_unreadable_connection(&last.request))
}

fn has_unreadable_connection(request: &Request) -> bool {
    request.headers().get_all("Connection").any(|value| !value.is_ascii())
}
