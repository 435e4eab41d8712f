//! Properties of a connection that hold for every input; shared by the fuzz targets and the mutation run.
//!
//! Cut into any pieces, the bytes get the same verdict; an accepted request that is written again is read as the same
//! request; limits are kept; a decoded path holds no dot segment. A violation is a panic.

use outside::Refusal;
use outside::testing::{Conversation, Limits, ReadRequest, TestEnd};
use serde_json::Value;

/// Small enough that small inputs reach every limit.
const TIGHT: Limits = Limits { request_line: 40, fields: 3, section: 64, content: 12 };

/// Bytes as read from a socket.
pub fn conversation(input: &[u8]) {
    let whole = converse(input, Limits::default(), [input.len()]);
    let verdict = Verdict::of(&whole);
    for received in whole.requests() {
        check_request(received);
    }
    let step = if input.len() <= 4096 { 1 } else { 61 };
    verdict.must_agree(&Verdict::of(&converse(input, Limits::default(), (0..input.len()).step_by(step))));
    for cut in cuts(input) {
        verdict.must_agree(&Verdict::of(&converse(input, Limits::default(), [cut])));
    }
    check_bounds(input, &verdict);

    let rewritten: Vec<u8> = whole.requests().iter().flat_map(rewrite).collect();
    let again = Verdict::of(&converse(&rewritten, Limits::default(), [rewritten.len()]));
    assert_eq!(verdict.requests, again.requests, "written down again, it is read otherwise");
    assert!(matches!(again.end, TestEnd::Idle | TestEnd::Closed), "written down again, it ends as {:?}", again.end);
}

/// The bytes of a chunked body, and any bytes behind it.
pub fn chunked(input: &[u8]) {
    conversation(&[b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", input].concat());
}

/// A request target.
pub fn target(input: &[u8]) {
    for method in [&b"GET "[..], b"OPTIONS ", b"CONNECT "] {
        conversation(&[method, input, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    }
}

/// The value of a Cookie field. Written as a list of quoted values, it reads as the same pairs.
pub fn cookies(input: &[u8]) {
    let head = |value: &[u8]| [b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ", value, b"\r\n\r\n"].concat();
    let text = head(input);
    conversation(&text);
    let read = converse(&text, Limits::default(), [text.len()]);
    let Some(first) = read.requests().first() else { return };
    let pairs: Vec<(&[u8], &[u8])> = first.request.cookies().iter().collect();
    assert!(pairs.len() <= 150, "{} cookies", pairs.len());
    for (name, value) in &pairs {
        assert!(!name.is_empty(), "a cookie without a name");
        assert!(!name.contains(&b'=') && ![*name, *value].concat().contains(&b';'), "a cookie with a separator in it");
    }
    let written: Vec<Vec<u8>> = pairs.iter().map(|(name, value)| [name, &b"=\""[..], value, b"\""].concat()).collect();
    let text = head(&written.join(&b"; "[..]));
    let again = converse(&text, Limits::default(), [text.len()]);
    match again.requests().first() {
        Some(again) => assert_eq!(again.request.cookies().iter().collect::<Vec<_>>(), pairs),
        // Quotes make it longer.
        None => assert!(matches!(again.end(), TestEnd::Refused(Refusal { status: 431, .. })), "{:?}", again.end()),
    }
}

/// The reading of input that arrives in pieces: each cut ends one.
pub fn converse(input: &[u8], limits: Limits, cuts: impl IntoIterator<Item = usize>) -> Conversation {
    let mut conversation = Conversation::new(limits);
    let mut start = 0;
    for cut in cuts.into_iter().chain([input.len()]) {
        conversation.receive(&input[start..cut]);
        start = cut;
        let held = conversation.content_held();
        assert!(held <= limits.content, "{held} bytes of content are held");
    }
    conversation
}

/// Some positions that depend only on the input, so that a failure can be repeated.
fn cuts(input: &[u8]) -> impl Iterator<Item = usize> {
    let mixed = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |mixed, &byte| (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let length = input.len() as u64 + 1;
    [mixed % length, (mixed >> 20) % length, (mixed >> 40) % length].into_iter().map(|cut| cut as usize)
}

/// Tighter limits only reduce the number of requests, and never change one.
fn check_bounds(input: &[u8], loose: &Verdict) {
    let tight = converse(input, TIGHT, 0..input.len());
    for received in tight.requests() {
        assert!(received.request.target().len() < TIGHT.request_line, "request line past its bound");
        assert!(received.request.headers().len() <= TIGHT.fields, "more fields than the bound");
        assert!(received.request.content().len() <= TIGHT.content, "content past its bound");
    }
    let tight = Verdict::of(&tight);
    assert!(loose.requests.starts_with(&tight.requests), "tighter bounds make other requests");
    if !matches!(tight.end, TestEnd::Refused(_)) {
        loose.must_agree(&tight);
    }
}

/// The facts on which two readings of the same bytes must agree.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    requests: Vec<(Vec<u8>, String, String, bool)>,
    end: TestEnd,
}

impl Verdict {
    fn of(conversation: &Conversation) -> Self {
        let requests = conversation.requests().iter();
        let requests = requests.map(|received| {
            let request = &received.request;
            (rewrite(received), request.url().to_owned(), received.route().to_owned(), received.keep_alive)
        });
        Self { requests: requests.collect(), end: conversation.end() }
    }

    fn must_agree(&self, other: &Self) {
        assert_eq!(self.requests, other.requests, "cut in other places, it is read otherwise");
        let agree = match (self.end, other.end) {
            (TestEnd::Refused(one), TestEnd::Refused(other)) => {
                one.status == other.status || both_are_early(one, other)
            }
            (one, other) => one == other,
        };
        assert!(agree, "cut in other places, it ends otherwise: {:?} and {:?}", self.end, other.end);
    }
}

/// Of a head with two faults, the first one found decides: too long, or malformed. Both end the connection.
fn both_are_early(one: Refusal, other: Refusal) -> bool {
    [one, other].iter().all(|refusal| matches!(refusal.status, 400 | 414 | 431))
}

/// The request as a careful client would write it.
fn rewrite(received: &ReadRequest) -> Vec<u8> {
    let request = &received.request;
    let mut out = format!("{} {} {}\r\n", request.method(), request.target(), request.version()).into_bytes();
    for (name, value) in request.headers().iter() {
        out.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
    }
    out.extend(b"\r\n");
    if request.headers().contains("Transfer-Encoding") {
        for chunk in request.content().chunks(7) {
            out.extend([format!("{:X}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        }
        out.extend(b"0\r\n\r\n");
    } else {
        out.extend(request.content());
    }
    out
}

fn check_request(received: &ReadRequest) {
    let request = &received.request;
    assert!(!request.method().is_empty() && request.method().bytes().all(is_token_byte), "{:?}", request.method());
    assert!(request.target().bytes().all(|byte| byte.is_ascii_graphic()) && !request.target().contains('#'));
    for (name, value) in request.headers().iter() {
        assert!(!name.is_empty() && name.bytes().all(is_token_byte) && !name.contains('_'), "name {name:?}");
        let clean = value.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
        let trimmed = ![value.first(), value.last()].iter().any(|end| matches!(end, Some(b' ' | b'\t')));
        assert!(clean && trimmed, "value {:?}", value.escape_ascii().to_string());
    }
    let count = |name| request.headers().get_all(name).count();
    let (lengths, codings) = (count("Content-Length"), count("Transfer-Encoding"));
    assert!(lengths + codings <= 1, "{lengths} lengths and {codings} codings");
    assert!(count("Host") == 1 || request.version() == "HTTP/1.0" && count("Host") == 0);
    if lengths == 1 {
        let length = request.headers().get("Content-Length").and_then(|text| text.parse().ok());
        assert_eq!(length, Some(request.content().len()));
    } else {
        assert!(codings == 1 || request.content().is_empty(), "content without a length");
    }
    check_path(received);
    assert!(request.params().len() <= 1000 && request.cookies().iter().count() <= 150);
    // They must not panic for any input.
    let _ = (request.form().is_ok(), request.content_as::<Value>().is_ok(), request.text_content().is_some());
    let _ = (request.params_as::<Value>().is_ok(), request.host());
}

/// Decoded once, no dot segment is left, except within one segment whose slashes were encoded.
fn check_path(received: &ReadRequest) {
    let (url, route) = (received.request.url(), received.route());
    assert!(url.starts_with('/') || url == "*" && received.request.method() == "OPTIONS", "url {url:?}");
    assert!(!url.contains('\0'), "NUL in url {url:?}");
    let has_dots = |path: &str| path.split('/').any(|segment| segment == "." || segment == "..");
    assert!(!has_dots(route), "dot segment in route {route:?}");
    if !received.request.target().to_ascii_lowercase().contains("%2f") {
        assert!(!has_dots(url), "dot segment in url {url:?}");
        assert_eq!(url, route);
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
