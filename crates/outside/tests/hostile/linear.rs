//! Time grows at most linearly with the length of the input: 64 KiB of any one byte, at any position of a parser, in
//! one piece and in many.
//!
//! Times are compared with those of inputs an eighth as long, the best of several tries, and counted in CPU time of the
//! thread, so that a busy machine does not decide.

use std::time::Duration;

use outside::Request;
use outside::content::Form;
use outside::message::{FormLimits, RequestParts, parse_query};
use outside::testing::{Conversation, Limits};
use rustix::time::{ClockId, clock_gettime};

const LONG: usize = 64 << 10;
const SHORT: usize = LONG / 8;
/// Limits that do not end the reading early.
const WIDE: Limits = Limits { request_line: 1 << 20, fields: 1 << 20, section: 1 << 20, content: 1 << 20 };

/// The bytes before a flood.
const BEFORE: &[&[u8]] = &[
    b"",
    b"GET /",
    b"GET /?",
    b"GET http://",
    b"GET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
    b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: a",
    b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: a",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX:",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n",
];

/// The bytes that end it, so that all of the flood is parsed.
const BEHIND: &[u8] = b" HTTP/1.1\r\nHost: a\r\n\r\n\r\n";

#[test]
fn a_flood_of_any_byte_in_one_piece() {
    for before in BEFORE {
        for byte in 0..=255 {
            grows_with_its_length(&format!("{} {byte:#04x}", before.escape_ascii()), |length| {
                read(&[before, &vec![byte; length][..], BEHIND].concat(), usize::MAX);
            });
        }
    }
}

#[test]
fn a_flood_that_drips() {
    for before in BEFORE {
        for byte in *b"\r\n a:;0/.%=\"\\\xff" {
            grows_with_its_length(&format!("{} {byte:#04x}", before.escape_ascii()), |length| {
                read(&[before, &vec![byte; length][..], BEHIND].concat(), 1);
            });
        }
    }
}

#[test]
fn a_flood_of_words() {
    for (before, word) in [
        (&b"GET / HTTP/1.1\r\n"[..], &b"A:\r\n"[..]),
        (b"GET / HTTP/1.1\r\n", b"Content-Length: 1\r\n"),
        (b"GET / HTTP/1.1\r\n", b"a_b: c\r\n"),
        (b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"GET ", b"/a/.."),
        (b"GET ", b"/%2f%2e"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ", b"a=\"\\\""),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ", b"close,"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a:\r\n"),
    ] {
        grows_with_its_length(&word.escape_ascii().to_string(), |length| {
            read(&[before, &word.repeat(length / word.len()), BEHIND].concat(), 1);
        });
    }
}

/// docs/security.md S34, and S33 with as many names as the limits allow: other servers take seconds for these.
#[test]
fn cookies_and_names_cost_little() {
    let within = |what: &str, most: Duration, work: &dyn Fn()| {
        let tries = (0..5).map(|_| {
            let start = cpu_time();
            work();
            cpu_time() - start
        });
        let best = tries.min().unwrap_or_default();
        assert!(best <= most, "{what} took {best:?}");
    };
    for value in [vec![b'\\'; LONG], [&b"\""[..], &vec![b'\\'; LONG], b"\""].concat(), b"\"\\".repeat(LONG / 2)] {
        let headers = [("Cookie", &[&b"a="[..], &value].concat()[..])];
        let parts = RequestParts { headers: &headers, ..RequestParts::default() };
        let request = Request::from_parts(&parts).expect("a header of any visible bytes");
        within("a cookie of backslashes", Duration::from_millis(5), &|| {
            assert!(request.cookies().get("a").is_some() && request.cookies().get("b").is_none());
        });
    }
    // Names that collide under a multiplicative hash without a key: they differ in bits that such a hash drops.
    let names: Vec<String> = (0..100_000_u64).map(|n| format!("{:016x}", n << 44)).collect();
    let query = names.iter().map(|name| format!("{name}=1&")).collect::<String>();
    within("a query of 100,000 names", Duration::from_millis(200), &|| {
        assert_eq!(parse_query(query.as_bytes(), usize::MAX).len(), names.len());
    });
    let kind = Some(&b"application/x-www-form-urlencoded"[..]);
    within("a form of 100,000 names", Duration::from_millis(50), &|| {
        let refused = Form::parse(kind, query.as_bytes(), &FormLimits::default());
        assert_eq!(refused.err().map(|error| error.code()), Some(413));
    });
}

#[test]
fn queries_and_forms() {
    let limits =
        FormLimits { fields: LONG, field_size: LONG, files: LONG, part_headers: LONG, part_header_size: 2 * LONG };
    let disposition = "\r\nContent-Disposition: form-data; name=\"";
    let kind = b"multipart/form-data; boundary=x";
    let parse = |kind: &[u8], content: &[u8]| drop(Form::parse(Some(kind), content, &limits));
    for byte in 0..=255 {
        grows_with_its_length(&format!("{byte:#04x} in a query"), |length| {
            parse_query(&vec![byte; length], LONG);
        });
        grows_with_its_length(&format!("{byte:#04x} in a form"), |length| {
            parse(kind, &[b"--x", disposition.as_bytes(), &vec![byte; length], b"\r\n\r\n1\r\n--x--"].concat());
            parse(kind, &[b"--x", &vec![byte; length][..], b"\r\n--x--"].concat());
            parse(&[b"multipart/form-data; ", &vec![byte; length][..]].concat(), b"--x--");
        });
    }
    for word in ["\r\n--", "\r\n--x", "--x\r\n", "a:\n", "\r\n--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1"] {
        grows_with_its_length(&format!("{word:?} in a form"), |length| {
            parse(kind, format!("--x{disposition}a\"\r\n\r\n{}\r\n--x--", word.repeat(length / word.len())).as_bytes());
            parse(
                kind,
                format!("--x\r\n{}{disposition}a\"\r\n\r\n\r\n--x--", word.repeat(length / word.len())).as_bytes(),
            );
        });
    }
    for word in ["; a=b", "; a=\"", "; \\\"", ";="] {
        grows_with_its_length(&format!("{word:?} in a parameter"), |length| {
            parse(format!("multipart/form-data{}", word.repeat(length / word.len())).as_bytes(), b"--x--");
        });
    }
}

/// Reads it as a connection does, and reads the parts that a handler would read.
fn read(input: &[u8], step: usize) {
    let mut conversation = Conversation::new(WIDE);
    for piece in input.chunks(step.min(input.len())) {
        conversation.receive(piece);
    }
    if let Some(received) = conversation.requests().first() {
        let request = &received.request;
        assert!(request.params().len() + request.cookies().iter().count() < 2000);
        assert!(request.cookies().get("no such cookie").is_none());
    }
}

/// Eight times the input may take 24 times as long, and a little, before it counts as more than linear.
fn grows_with_its_length(what: &str, work: impl Fn(usize)) {
    let time = |length| {
        let start = cpu_time();
        work(length);
        cpu_time() - start
    };
    let allowed = |short: Duration| short * 24 + Duration::from_millis(4);
    let (mut short, mut long) = (time(SHORT), time(LONG));
    for _ in 0..6 {
        if long <= allowed(short) {
            return;
        }
        (short, long) = (short.max(time(SHORT)), long.min(time(LONG)));
    }
    panic!("{what}: {SHORT} bytes take {short:?}, {LONG} take {long:?}");
}

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
