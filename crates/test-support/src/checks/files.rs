//! Properties of ranges, preconditions and paths of files that hold for every input; shared like `invariants`.
//!
//! Ranges are compared with a second reading that marks single bytes, preconditions with other spellings of themselves.
//! Paths are opened in a folder beside secrets, by the kernel and by the walk, which must agree and never leave it.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::OnceLock;

use outside::config::Symlinks;
use outside::files::testing::Beneath;
use outside::testing::{Limits, byte_ranges, preconditions};

use crate::checks::invariants::converse;

/// A length in two bytes, then the value of a Range field.
pub fn range(input: &[u8]) {
    let Some((length, value)) = input.split_at_checked(2) else { return };
    let length = u64::from(length[0]) << (length[1] % 9);
    let parts = byte_ranges(value, length);
    let again = [b"BYTES", value.strip_prefix(b"bytes").unwrap_or(b"="), b" , ,"].concat();
    if value.starts_with(b"bytes=") {
        assert_eq!(byte_ranges(&again, length), parts, "with empty members behind it");
    }
    let wanted = marked(value, length);
    let Some(parts) = parts else {
        let spread = wanted.map(|wanted| runs(&wanted));
        assert!(spread.is_none_or(|spread| spread > 8), "{spread:?} parts, and everything is sent");
        return;
    };
    let wanted = wanted.expect("parts of what cannot be read");
    assert!(parts.len() <= 8, "{} parts", parts.len());
    let mut sent = vec![false; wanted.len()];
    for part in &parts {
        assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
        for byte in &mut sent[part.start as usize..part.end as usize] {
            assert!(!std::mem::replace(byte, true), "a byte is sent twice");
        }
    }
    assert!(sent == wanted, "other bytes are sent than were asked for");
    assert_eq!(parts.len(), runs(&wanted), "parts that touch are one");
}

/// Each requested byte; `None` if the field cannot be read.
fn marked(value: &[u8], length: u64) -> Option<Vec<bool>> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, set) = text.split_once('=')?;
    let is_space = |letter: char| letter.is_ascii_whitespace();
    if !unit.trim_matches(is_space).eq_ignore_ascii_case("bytes") {
        return None;
    }
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
        // Numbers with too many digits exceed any length, and are not distinguished.
        true => Some(u128::from(digits.parse::<u64>().unwrap_or(u64::MAX))),
        false => None,
    };
    let mut bytes = vec![false; length as usize];
    let mut any = false;
    for member in set.split(',').map(|member| member.trim_matches(is_space)).filter(|member| !member.is_empty()) {
        let (first, last) = member.split_once('-')?;
        let (first, last) = match (first, last) {
            ("", suffix) => (u128::from(length).saturating_sub(number(suffix)?), u128::MAX),
            (first, "") => (number(first)?, u128::MAX),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                (first, last)
            }
        };
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte |= (first..=last).contains(&(at as u128));
        }
        any = true;
    }
    any.then_some(bytes)
}

/// Number of contiguous parts.
fn runs(bytes: &[bool]) -> usize {
    let starts = bytes.iter().enumerate().filter(|&(at, &byte)| byte && (at == 0 || !bytes[at - 1]));
    starts.count()
}

const TAG: &[u8] = b"\"tag-1\"";
const MODIFIED: u64 = 784_111_777;

/// Header lines of a request.
pub fn condition(input: &[u8]) {
    let asked = |method: &str, lines: &[&[u8]]| {
        let head = [method.as_bytes(), b" / HTTP/1.1\r\nHost: a\r\n", &lines.concat(), b"\r\n"].concat();
        let read = converse(&head, Limits::default(), [head.len()]);
        let [received] = read.requests() else { return None };
        Some(preconditions(&received.request, TAG, MODIFIED, MODIFIED + 10))
    };
    let lines: Vec<Vec<u8>> = input
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| [line, b"\r\n"].concat())
        .collect();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let Some((status, range)) = asked("GET", &lines) else { return };
    assert_eq!(asked("HEAD", &lines), Some((status, range)), "HEAD is GET without content");
    if let Some((other, _)) = asked("POST", &lines) {
        assert_ne!(other, 304, "only what reads may be told that nothing has changed");
    }
    let value_of = |line: &[u8], name: &[u8]| -> Option<Vec<u8>> {
        let (field, rest) = line.split_at_checked(name.len())?;
        field.eq_ignore_ascii_case(name).then(|| rest.to_vec())
    };
    for line in &lines {
        // Each alone: a strong match is also a weak match, at any position in the list.
        let Some(list) = value_of(line, b"If-Match:") else { continue };
        if asked("GET", &[line]).is_some_and(|(status, _)| status == 200) {
            let weakly = [b"If-None-Match:", &list[..]].concat();
            assert_eq!(asked("GET", &[&weakly]).map(|(status, _)| status), Some(304), "strongly, but not weakly");
            if list.contains(&b'"') {
                let behind = [b"If-Match: \"x\", W/\"y\" ,", &list[..]].concat();
                assert_eq!(asked("GET", &[&behind]).map(|(status, _)| status), Some(200), "behind others");
            }
        }
        assert!(
            find(&list, TAG) || list.contains(&b'*') || asked("GET", &[line]).is_none_or(|(status, _)| status == 412)
        );
    }
    if range && let Some(validator) = lines.iter().find_map(|line| value_of(line, b"If-Range:")) {
        let is_date = validator.windows(3).any(|three| matches!(three, b"Nov"));
        assert!(find(&validator, TAG) || is_date, "a range of something else");
        assert!(!find(&validator, b"W/"), "a range by a weak tag");
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// A folder with links of every kind, files around it, and the files that may be sent by policy.
struct Tree {
    _place: tempfile::TempDir,
    folder: Beneath,
    inside: HashSet<(u64, u64)>,
}

fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| grow().expect("a folder for the test"))
}

fn grow() -> std::io::Result<Tree> {
    let place = tempfile::tempdir()?;
    let root = place.path().join("public");
    for name in
        ["a.txt", "sub/b.txt", "sub/deep/c.txt", ".env", ".git/config", ".well-known/x", "%2e%2e/d.txt", "..a/e"]
    {
        write(&root.join(name))?;
    }
    for name in ["secret.txt", "public-secret/secret.txt", "etc/passwd"] {
        write(&place.path().join(name))?;
    }
    let absolute = place.path().join("secret.txt");
    for (link, target) in [
        ("near", "a.txt"),
        ("folder", "sub"),
        ("self", "."),
        ("sub/up", "../a.txt"),
        ("sub/above", ".."),
        ("out", "../secret.txt"),
        ("outer", ".."),
        ("sneaky", "sub/../../secret.txt"),
        ("beside", "../public-secret"),
        ("loop", "loop"),
        ("rootfs", "/"),
    ] {
        symlink(target, root.join(link))?;
    }
    symlink(absolute, root.join("absolute"))?;
    let mut inside = HashSet::new();
    for name in [
        "",
        "a.txt",
        "sub",
        "sub/b.txt",
        "sub/deep",
        "sub/deep/c.txt",
        ".well-known",
        ".well-known/x",
        "%2e%2e",
        "%2e%2e/d.txt",
    ] {
        inside.insert(identity(&std::fs::metadata(root.join(name))?));
    }
    Ok(Tree { folder: Beneath::new(&root), _place: place, inside })
}

fn write(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    std::fs::write(path, "x")
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// The part of a request target behind the route of a folder.
pub fn path_below(input: &[u8]) {
    let head = [b"GET /s", input, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let read = converse(&head, Limits::default(), [head.len()]);
    let Some(received) = read.requests().first() else { return };
    // No file name contains an encoded slash; and a path that has left the route is not the folder's.
    let url = received.request.url();
    if received.route() != url {
        return;
    }
    let Some(below) = url.strip_prefix("/s").filter(|below| below.is_empty() || below.starts_with('/')) else { return };
    let tree = tree();
    for links in [Symlinks::Inside, Symlinks::Never] {
        let Some(opened) = tree.folder.open(below, links) else { continue };
        let identities = opened.map(|file| file.as_ref().map(identity_of));
        assert_eq!(identities[0], identities[1], "the kernel and the walk open other things at {below:?} ({links:?})");
        let is_inside = identities[0].is_none_or(|identity| tree.inside.contains(&identity));
        assert!(is_inside, "{below:?} leads out of the folder ({links:?})");
    }
}

fn identity_of(file: &File) -> (u64, u64) {
    file.metadata().map(|metadata| identity(&metadata)).unwrap_or_default()
}
