//! What a certificate authority sends, and what the storage holds: any bytes are read without a panic, and within bounds.

use std::path::{Path, PathBuf};

use outside::certificates::testing as certificates;
use tempfile::TempDir;

/// Bytes of content beyond which an answer is refused, and those that one read may add.
const LARGEST: usize = (1 << 20) + (16 << 10);

/// An answer of an authority, and its content as the state of a certificate.
pub fn answer(input: &[u8]) {
    if let Some((status, content)) = certificates::answer(input) {
        assert!((200..1000).contains(&status) || status == 101, "{status}");
        assert!(content.len() <= LARGEST.min(input.len()));
        certificates::state(&String::from_utf8_lossy(&content));
    }
}

/// A certificate in DER: no part of one is a whole one.
pub fn certificate(input: &[u8]) {
    if let Some(subject) = certificates::certificate(input) {
        assert!(subject.len() < input.len());
        assert_eq!(certificates::certificate(&input[..input.len() - 1]), None);
    }
}

/// Key and chain in PEM.
pub fn pem(input: &[u8]) {
    certificates::pem(input);
}

/// The line between two answers of a conversation.
pub const NEXT: &[u8] = b"\n=====\n";
/// Letters of a failure at most.
const LONGEST: usize = 1500;
/// Requests without an answer: the one at which the answers end, for each authorization one more, and that for advice.
const UNANSWERED: usize = 12;

/// The answers of an authority to an order and to a question for advice: no file is left or written elsewhere, requests are
/// whole and few, and failures are one line.
pub fn conversation(input: &[u8]) {
    thread_local! {
        static FOLDER: TempDir = folder();
    }
    FOLDER.with(|folder| {
        let answers = pieces(input);
        let storage = folder.path().join("above/storage");
        let seen = certificates::conversation(&storage, &answers).expect("the folder can be written");
        assert!(seen.requests.len() <= answers.len() + UNANSWERED, "{} requests", seen.requests.len());
        for request in &seen.requests {
            let head = request.strip_suffix(b"\r\n\r\n").expect("a whole head");
            let text = std::str::from_utf8(head).unwrap_or_default();
            assert!(["GET /", "HEAD /", "POST /"].iter().any(|begin| text.starts_with(begin)), "{text:?}");
            for line in text.split("\r\n") {
                assert!(!line.is_empty() && line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
            }
        }
        for failure in &seen.failures {
            assert!(failure.chars().count() <= LONGEST && !failure.chars().any(char::is_control), "{failure:?}");
        }
        if let Some((start, end, chosen)) = seen.window {
            assert!(start <= chosen && chosen < end);
        }
        let mut files = files_below(folder.path());
        files.retain(|path| !path.ends_with("above/storage/acme/accounts/ca.example.json"));
        assert!(files.is_empty(), "{files:?}");
    });
}

/// A folder in memory, where there is one: nothing is to be written to a disk for each input.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder")
}

/// The answers of a conversation.
pub fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut pieces) = (input, Vec::new());
    while let Some(at) = rest.windows(NEXT.len()).position(|window| window == NEXT) {
        pieces.push(&rest[..at]);
        rest = &rest[at + NEXT.len()..];
    }
    pieces.push(rest);
    pieces
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder that can be read").flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { vec![entry.path()] })
        .collect()
}
