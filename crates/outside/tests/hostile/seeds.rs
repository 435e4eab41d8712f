//! The inputs from which mutations and fuzzers begin: the bytes of every case of the corpus, and some cookies, queries,
//! forms.

use std::path::Path;

use outside_test_support::corpus::{Case, Step, all_cases, unescape};

/// Inputs for each kind of target.
pub(crate) struct Seeds {
    pub(crate) conversations: Vec<Vec<u8>>,
    pub(crate) chunked: Vec<Vec<u8>>,
    pub(crate) targets: Vec<Vec<u8>>,
    pub(crate) cookies: Vec<Vec<u8>>,
    pub(crate) queries: Vec<Vec<u8>>,
    pub(crate) forms: Vec<Vec<u8>>,
    pub(crate) codings: Vec<Vec<u8>>,
    pub(crate) ranges: Vec<Vec<u8>>,
    pub(crate) conditions: Vec<Vec<u8>>,
    pub(crate) paths: Vec<Vec<u8>>,
    pub(crate) forwarded: Vec<Vec<u8>>,
    pub(crate) hosts: Vec<Vec<u8>>,
    pub(crate) routes: Vec<Vec<u8>>,
}

/// All bytes that a client sends in a case.
pub(crate) fn sent(case: &Case) -> Vec<u8> {
    let steps = case.steps.iter();
    steps.flat_map(|step| if let Step::Send(bytes) = step { bytes.clone() } else { Vec::new() }).collect()
}

/// All seeds of at most this many bytes.
pub(crate) fn seeds(longest: usize) -> Seeds {
    let cases = all_cases();
    let bytes = |cases: &[Case]| cases.iter().map(sent).filter(|seed| seed.len() <= longest).collect::<Vec<_>>();
    let mut conversations = bytes(&cases);
    // A valid seed is worth more: a change has an effect only if the rest is read.
    let right: Vec<Case> = cases.into_iter().filter(|case| case.stays_open).collect();
    conversations.extend([bytes(&right), bytes(&right), bytes(&right)].concat());
    let chunked = conversations.iter().filter(|seed| find(seed, b"chunked").is_some()).filter_map(|seed| body(seed));
    let targets = conversations.iter().filter_map(|seed| seed.split(|&byte| byte == b' ').nth(1));
    let owned = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    Seeds {
        chunked: chunked
            .chain([b"3;a=\"b\"\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()])
            .collect(),
        targets: targets.map(<[u8]>::to_vec).chain(owned(TARGETS)).collect(),
        cookies: owned(COOKIES),
        queries: owned(QUERIES),
        forms: owned(FORMS),
        codings: owned(CODINGS),
        forwarded: owned(FORWARDED),
        hosts: owned(HOSTS),
        // 62 bytes, as in the tables.
        ranges: lines_of("files/ranges.txt", "> Range: ", longest).map(|value| [b">\0", &value[..]].concat()).collect(),
        conditions: lines_of("files/conditional.txt", "> ", longest).chain(owned(CONDITIONS)).collect(),
        paths: owned(PATHS)
            .into_iter()
            .chain(lines_of("paths/escapes.txt", "404\t", longest))
            .chain(lines_of("paths/escapes.txt", "200 ", longest))
            .collect(),
        routes: ROUTE_TARGETS.iter().map(|target| format!("{target}\n{ROUTES}").into_bytes()).collect(),
        conversations,
    }
}

const FORWARDED: &[&str] = &[
    "for=127.0.0.1",
    "for=\"[2001:db8::1]:80\";proto=https;host=evil.example;by=_x, for=unknown",
    "for=\"_hidden\", for=10.0.0.1;ext=\"a,b;c\\\"\\\\\"",
    "\", for=\"x\\",
    ",, for = 1 ;;",
    "127.0.0.1, 10.0.0.1, [::1]:80, ::ffff:10.0.0.1",
];

const HOSTS: &[&str] = &[
    "example.com",
    "EXAMPLE.com.:8080",
    "a.b-c.example:",
    "[2001:DB8::1]:443",
    "[::ffff:10.0.0.1]",
    "127.0.0.1:80",
    "%65xample.com",
    "a..b",
];

/// The text behind this beginning in the lines of a table of the corpus; behind a tab, if there is one.
fn lines_of(table: &str, begin: &str, longest: usize) -> impl Iterator<Item = Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus").join(table);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter_map(|line| line.strip_prefix(begin));
    let values = lines.map(|rest| unescape(rest.rsplit('\t').next().unwrap_or(rest)));
    let filled = values.map(|value| {
        let text = String::from_utf8_lossy(&value).replace("{tag}", "\"tag-1\"").replace("{bare}", "tag-1");
        let text =
            text.replace("{date}", "Sun, 06 Nov 1994 08:49:37 GMT").replace("{earlier}", "Sun Nov  6 08:49:36 1994");
        match text.contains('\u{fffd}') {
            true => value,
            false => text.into_bytes(),
        }
    });
    filled.filter(|value| value.len() <= longest).collect::<Vec<_>>().into_iter()
}

/// Paths for [`ROUTES`].
const ROUTE_TARGETS: &[&str] = &[
    "/",
    "/a/b",
    "/7",
    "/7/x",
    "/7.5/7",
    "/0189dcd5-5311-7d40-8db0-9496a2eef37b",
    "/f/a/b/edit",
    "/f/a/v/3/x",
    "/f//a",
    "/a/7/b/",
    "/x/../7/%61",
    "/9223372036854775808",
];

/// Patterns for one tree.
const ROUTES: &str = "GET /\nGET /a/b\nPOST /a/<b>\nGET /<int:i>\nGET /{f:float}\nPUT /<uuid:u>\nGET /<s>\nGET /<s>/x\nGET \
                      /<int:i>/<name>\nGET /f/<path:p>\nGET /f/<path:p>/edit\nGET /f/{p:path}/v/{n:int}/<x>\nDELETE /<path:all>\nGET \
                      /a/<float:f>/b/";

fn body(seed: &[u8]) -> Option<Vec<u8>> {
    find(seed, b"\r\n\r\n").map(|at| seed[at + 4..].to_vec())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

const TARGETS: &[&str] =
    &["/a/../b/./c", "/%2e%2E/%2F..%2f/x", "/caf%C3%A9/%252e", "http://[::1]:80?x", "*", "a:80", "//a/.", "/.%2e"];
const COOKIES: &[&str] = &[
    "a=1; b=2",
    "a=\"x y\"; b",
    "=nameless; __Host-a=1",
    "$Version=1; a=1; $Path=/",
    "a=b=c;;; d = \" e \" ",
    "a=\"\\\"\\\\\"; b=\"",
];
const QUERIES: &[&str] = &["a=1&b=x+y&flag&a=%C3%A9", "a;b=1&=&==&&c=%", "%zz=%0&%%=%41%+", "a[]=1&a[b][c]=2"];
const FORMS: &[&str] = &[
    "application/x-www-form-urlencoded; charset=utf-8\na=1&b=x+y&flag&a=%C3%A9",
    "multipart/form-data; boundary=\"xYz\"\n--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--xYz--\r\n",
    "Multipart/Form-Data; x; Boundary=xYz ; y=\"\\\"\"\npreamble\r\n--xYz \t\r\ncontent-disposition: form-data; \
     filename=\"C:\\x\\\"y\\\".txt\"; name=f\r\nContent-Type: text/plain\r\n\r\n\r\n--xY\r\n--xYz--\r\nepilogue",
    "\n--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--xYz\r\nContent-Disposition: form-data; name=f; \
     filename=x\r\n\r\n2\r\n--xYz\r\nContent-Disposition: form-data; name=f; filename=y\r\n\r\n3\r\n--xYz--",
    "\n--xYz\r\nContent-Disposition: form-data; name*=a; name=b\r\nContent-Disposition: ;name=\"c\r\n\r\n\r\n\r\n--xYz--",
];
const PATHS: &[&str] = &[
    "/near",
    "/folder/b.txt",
    "/sub/above/a.txt",
    "/self/self/sub/up",
    "/out",
    "/outer/secret.txt",
    "/sneaky",
    "/beside/secret.txt",
    "/loop/x",
    "/rootfs/etc/passwd",
    "/absolute",
];
const CONDITIONS: &[&str] = &[
    "If-Match: \"x\", \"tag-1\"\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
    "If-None-Match: W/\"tag-1\"\nIf-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT",
    "Range: bytes=0-1\nIf-Range: \"tag-1\"\nIf-Match: *",
    "If-Range: Sun, 06 Nov 1994 08:49:37 GMT\nIf-None-Match: ,, \"a,b\",W/\"\"",
];
const CODINGS: &[&str] = &[
    "gzip, deflate, br, zstd",
    "gzip;q=1.0, identity; q=0.5, *;q=0",
    "br;q=0.801, zstd;q=0.8, gzip;q=0.799",
    "X-Gzip\n*;q=0.001, identity;q=0.000",
    "gzip;q=0\ngzip;q=1.000 ,, br\t;\tQ=0.",
    "gzip;q=2, br;q=1.001, zstd;q=.5, identity;q=, *;x",
];
