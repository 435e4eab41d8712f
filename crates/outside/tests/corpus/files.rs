//! The tables of conditional and range requests in `tests/corpus/files`, asked of a folder, a file on a route, a
//! handler that returns a file, and one that returns a slice of a larger one.
//!
//! The format is described in `tests/support/file_cases.py`, where answers are judged in more detail.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use outside::config::AccessLog;
use outside::message::{Body, FileSlice};
use outside::{Error, FilePath, Folder, OutsideHttp, Request, Response};

use outside_test_support::corpus::unescape;

const CONTENT: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const FACES: [&str; 4] = ["folder", "file", "handler", "slice"];
/// Bytes around the content of which a slice is served.
const AROUND: &[u8] = b"<around>";
/// 29 February 2024, 12:34:56.5, in milliseconds since 1970.
const MODIFIED: u64 = 1_709_210_096_500;

/// One request for a file, and the answer that it must have.
struct Case {
    title: String,
    place: String,
    method: String,
    file: String,
    lines: Vec<Vec<u8>>,
    statuses: Vec<u16>,
    /// First and last byte.
    ranges: Vec<(usize, usize)>,
}

struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// The server with all faces, not yet running. The folder lives as long as the returned value.
pub(crate) fn server() -> Result<(OutsideHttp, tempfile::TempDir), Error> {
    let place = tempfile::tempdir().unwrap();
    let (plain, wide) = (place.path().join("plain"), place.path().join("wide"));
    for (name, content) in [("data.txt", CONTENT), ("empty.txt", b"")] {
        write(&plain.join(name), content);
        write(&wide.join(name), &[AROUND, content, AROUND].concat());
    }
    let mut server = OutsideHttp::new(("127.0.0.1", 0))?;
    server.config.access_log = AccessLog::Off;
    server.set_route("/folder", Folder::new(&plain)?)?;
    for name in ["data.txt", "empty.txt", "missing.txt"] {
        let path = plain.join(name);
        if name == "missing.txt" {
            write(&path, b"soon gone");
        }
        server.set_route(&format!("/file/{name}"), FilePath(path.to_string_lossy().into_owned()))?;
    }
    fs::remove_file(plain.join("missing.txt")).unwrap();
    server.set_route("/handler", move |request: &Request| Response::file(plain.join(name_of(request))))?;
    server.set_route("/slice", move |request: &Request| {
        let path = wide.join(name_of(request));
        let end = fs::metadata(&path).map_or(0, |metadata| metadata.len() - AROUND.len() as u64);
        let mut response = Response::new(200);
        let start = AROUND.len() as u64;
        *response.body_mut() = Body::File(FileSlice { path: path.as_path().into(), start, end: Some(end) });
        response
    })?;
    Ok((server, place))
}

fn name_of(request: &Request) -> &str {
    request.url().rsplit('/').next().unwrap_or_default()
}

fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(MODIFIED)).unwrap();
}

/// Sends every request to every face; returns the differences.
pub(crate) fn play(address: SocketAddr) -> Vec<String> {
    let cases = cases();
    assert!(cases.len() >= 120, "only {} cases found", cases.len());
    let mut faults = Vec::new();
    for face in FACES {
        let whole = |file: &str| ask(address, format!("GET /{face}/{file}.txt HTTP/1.1\r\n").into_bytes(), false);
        let (data, empty) = (whole("data"), whole("empty"));
        assert_eq!((&*data.body, &*empty.body), (CONTENT, &b""[..]), "{face}");
        for case in &cases {
            let whole = if case.file == "empty" { &empty } else { &data };
            let mut head = format!("{} /{face}/{}.txt HTTP/1.1\r\n", case.method, case.file).into_bytes();
            for line in &case.lines {
                head.extend(filled_in(line, whole.field("ETag").unwrap_or_default()));
                head.extend_from_slice(b"\r\n");
            }
            let answer = ask(address, head, case.method == "HEAD");
            if let Err(fault) = judge(case, &answer, whole) {
                faults.push(format!("{} of {face} ({}): {fault}", case.title, case.place));
            }
        }
    }
    faults
}

fn judge(case: &Case, answer: &Answer, whole: &Answer) -> Result<(), String> {
    if !case.statuses.contains(&answer.status) {
        return Err(format!("answered {}, the verdict is {:?}", answer.status, case.statuses));
    }
    let size = whole.body.len();
    let content_range = answer.field("Content-Range");
    let (wanted_range, wanted_body) = match (answer.status, &case.ranges[..]) {
        (200, _) if case.method == "HEAD" => (None, Some(Vec::new())),
        (200, _) => (None, Some(whole.body.clone())),
        (206, [(first, last)]) => {
            (Some(format!("bytes {first}-{last}/{size}")), Some(whole.body[*first..=*last].to_vec()))
        }
        (304, _) => (None, Some(Vec::new())),
        (416, _) => (Some(format!("bytes */{size}")), None),
        _ => (None, None),
    };
    if content_range != wanted_range.as_deref() {
        return Err(format!("Content-Range {content_range:?} instead of {wanted_range:?}"));
    }
    if wanted_body.is_some_and(|wanted| wanted != answer.body) {
        return Err(format!("content {}", answer.body.escape_ascii()));
    }
    if answer.status == 206 && case.ranges.len() > 1 {
        let mut rest = &answer.body[..];
        for (first, last) in &case.ranges {
            let head = format!("\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n");
            let at = rest.windows(head.len()).position(|window| window == head.as_bytes());
            rest = &rest[at.ok_or_else(|| format!("no part {first}-{last}"))? + head.len()..];
            rest = rest.strip_prefix(&whole.body[*first..=*last]).ok_or("another part")?;
        }
    }
    let names = ["ETag", "Cache-Control", "Vary"];
    let is_told = |name: &&str| answer.field(name) == whole.field(name);
    match matches!(answer.status, 200 | 206 | 304) && !names.iter().all(is_told) {
        true => Err(format!("not the fields of the whole: {:?}", answer.fields)),
        false => Ok(()),
    }
}

fn filled_in(line: &[u8], tag: &str) -> Vec<u8> {
    let bare = tag.trim_matches('"');
    let swapped = |letter: char| match letter.is_ascii_lowercase() {
        true => letter.to_ascii_uppercase(),
        false => letter.to_ascii_lowercase(),
    };
    let swapped: String = tag.chars().map(swapped).collect();
    let values = [
        ("{tag}", tag),
        ("{bare}", bare),
        ("{TAG}", &swapped),
        ("{begin}", &bare[..bare.len() / 2]),
        ("{date}", "Thu, 29 Feb 2024 12:34:56 GMT"),
        ("{earlier}", "Thu, 29 Feb 2024 12:34:55 GMT"),
        ("{later}", "Thu, 29 Feb 2024 12:34:57 GMT"),
    ];
    values.iter().fold(line.to_vec(), |line, (name, value)| {
        let Some(at) = line.windows(name.len()).position(|window| window == name.as_bytes()) else { return line };
        let rest = filled_in(&line[at + name.len()..], tag);
        [&line[..at], value.as_bytes(), &rest].concat()
    })
}

fn ask(address: SocketAddr, mut head: Vec<u8>, is_head: bool) -> Answer {
    head.extend_from_slice(b"Host: files\r\nConnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&head).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let end = received.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let text = std::str::from_utf8(&received[..end]).unwrap();
    let status = text.get(9..12).and_then(|code| code.parse().ok()).expect("a status");
    let fields = text.lines().filter_map(|line| line.split_once(": "));
    let answer = Answer {
        status,
        fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: received[end + 4..].to_vec(),
    };
    let length = answer.field("Content-Length").map(|length| length.parse().unwrap());
    assert!(is_head || status == 304 || length == Some(answer.body.len()), "{text}");
    answer
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/files");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let place = format!("{}:{}", path.file_name().unwrap_or_default().display(), number + 1);
            if let Some(title) = line.strip_prefix("== ") {
                cases.push(Case {
                    title: title.into(),
                    place,
                    method: "GET".into(),
                    file: "data".into(),
                    lines: Vec::new(),
                    statuses: Vec::new(),
                    ranges: Vec::new(),
                });
                continue;
            }
            let case = cases.last_mut().unwrap_or_else(|| panic!("{place}: outside of a case"));
            match line.split_at_checked(2) {
                Some(("@ ", words)) => {
                    for word in words.split_whitespace() {
                        let place = if matches!(word, "empty" | "missing") { &mut case.file } else { &mut case.method };
                        *place = word.to_owned();
                    }
                }
                Some(("> ", rest)) => case.lines.push(unescape(rest)),
                Some(("= ", verdict)) => {
                    let (statuses, ranges) = verdict.split_once(' ').unwrap_or((verdict, ""));
                    case.statuses = statuses.split('|').map(|status| status.parse().unwrap()).collect();
                    let ends = ranges.split_whitespace().map(|range| range.split_once('-').unwrap());
                    case.ranges = ends.map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap())).collect();
                }
                _ => panic!("{place}: cannot read {line:?}"),
            }
        }
    }
    cases
}
