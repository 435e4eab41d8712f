//! Reads the corpus of raw requests that lies in `tests/corpus` at the root and is shared with the Python suite.
//!
//! The format is described in `tests/support/corpus_reader.py`. A file that cannot be read is a panic with its place: the
//! corpus is part of the source.

use std::path::Path;

/// One step of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Bytes to be written at once.
    Send(Vec<u8>),
    /// Bytes that must arrive before the next step; `Date: *` stands for any date.
    Expect(Vec<u8>),
    /// Ends a write, so that the next bytes travel on their own.
    Flush,
    /// The client ends its sending side.
    End,
}

/// One title with its steps and its verdict.
#[derive(Debug)]
pub struct Case {
    pub title: String,
    pub place: String,
    pub steps: Vec<Step>,
    pub statuses: Vec<String>,
    pub stays_open: bool,
    complete: bool,
}

impl Case {
    /// Whether it spells out the answers.
    pub fn is_transcript(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Expect(_)))
    }
}

/// Every case of every file.
pub fn all_cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            parse(&text, &path.file_name().unwrap_or_default().to_string_lossy())
        })
        .collect()
}

/// The cases of one file.
pub fn parse(text: &str, source: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let place = format!("{source}:{}", number + 1);
        if let Some(title) = line.strip_prefix("==") {
            cases.push(Case {
                title: title.trim().into(),
                place,
                steps: Vec::new(),
                statuses: Vec::new(),
                stays_open: false,
                complete: false,
            });
            continue;
        }
        let case =
            cases.last_mut().filter(|case| !case.complete).unwrap_or_else(|| panic!("{place}: outside of a case"));
        match line.split_at_checked(2) {
            Some(("> ", rest)) => match case.steps.last_mut() {
                Some(Step::Send(bytes)) => bytes.extend(unescape(rest)),
                _ => case.steps.push(Step::Send(unescape(rest))),
            },
            Some(("< ", rest)) => match case.steps.last_mut() {
                Some(Step::Expect(bytes)) => bytes.extend(unescape(rest)),
                _ => case.steps.push(Step::Expect(unescape(rest))),
            },
            Some(("= ", rest)) => {
                case.statuses = rest.split_ascii_whitespace().map(String::from).collect();
                let state = case.statuses.pop().unwrap_or_default();
                assert!(state == "open" || state == "close", "{place}: a verdict ends with open or close");
                case.stays_open = state == "open";
                case.complete = true;
            }
            _ if line == "~" => case.steps.push(Step::Flush),
            _ if line == "^" => case.steps.push(Step::End),
            _ => panic!("{place}: cannot read {line:?}"),
        }
    }
    cases
}

/// The bytes of an escaped line.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend(rest[..at].bytes());
        let after = &rest[at + 1..];
        let taken = match after.as_bytes().first() {
            Some(b'r') => push(&mut bytes, b'\r'),
            Some(b'n') => push(&mut bytes, b'\n'),
            Some(b't') => push(&mut bytes, b'\t'),
            Some(b'0') => push(&mut bytes, 0),
            Some(b'\\') => push(&mut bytes, b'\\'),
            Some(b'x') => {
                let code = after.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                push(&mut bytes, code.unwrap_or_else(|| panic!("unknown escape in {text:?}"))) + 2
            }
            Some(b'{') => {
                let end = after.find('}').unwrap_or_else(|| panic!("open repeat in {text:?}"));
                let (count, repeated) = after[1..end].split_once('*').unwrap_or_else(|| panic!("no count in {text:?}"));
                let count = count.parse().unwrap_or_else(|_| panic!("no count in {text:?}"));
                bytes.extend(unescape(repeated).repeat(count));
                end + 1
            }
            _ => panic!("unknown escape in {text:?}"),
        };
        rest = &after[taken..];
    }
    bytes.extend(rest.bytes());
    bytes
}

fn push(bytes: &mut Vec<u8>, byte: u8) -> usize {
    bytes.push(byte);
    1
}

#[test]
fn escapes() {
    assert_eq!(unescape(r"a\r\n\t\0\\\x7f"), b"a\r\n\t\0\\\x7f");
    assert_eq!(unescape(r"<\{3*ab\n}>"), b"<ab\nab\nab\n>");
}
