//! The tree of patterns beside a matcher that tries each of them in turn.

use std::cmp::Reverse;

use outside::route::testing::{Patterns, TestAnswer};
use outside::testing::{Conversation, Limits};

/// A request target in the first line, and in each line that follows a method and a pattern.
pub fn patterns(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let target = lines.next().unwrap_or_default();
    let mut tree = Patterns::default();
    let mut known = Vec::new();
    // The model below does not know parameters with text around them; the tables do.
    let has_text_around = |segment: &str| segment.contains(['<', '{']) && kind(segment).is_none();
    for (number, line) in lines.take(40).enumerate() {
        let Some((method, pattern)) = line.split_once(' ') else { continue };
        if pattern.split('/').any(has_text_around) {
            continue;
        }
        if tree.add(method, pattern, number) {
            known.push((number, method, pattern));
        }
    }
    let mut conversation = Conversation::new(Limits::default());
    conversation.receive(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    let Some(received) = conversation.requests().first() else { return };
    // The tables cover encoded slashes; the matcher below does not know them.
    let path = received.request.url();
    if received.route() != path {
        return;
    }
    let mut fitting: Vec<_> = known
        .iter()
        .filter_map(|&(number, method, pattern)| {
            matched(pattern, path).map(|values| (rank(pattern), method, number, values))
        })
        .collect();
    fitting.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = fitting.iter().find(|(_, method, ..)| *method == "GET");
    match (tree.find(&received.request), expected) {
        (TestAnswer::Route(number, values), Some((_, _, wanted, texts))) => {
            assert_eq!(number, *wanted, "another route answers {path:?}");
            let written: Vec<String> = values.iter().map(ToString::to_string).collect();
            for (value, text) in written.iter().zip(texts) {
                let is_same =
                    value == text || value.parse::<f64>().ok() == text.parse().ok() || value.eq_ignore_ascii_case(text);
                assert!(is_same, "{text:?} was read as {value:?}");
            }
            assert_eq!(values.len(), texts.len());
        }
        (TestAnswer::Methods(methods), None) => {
            assert!(!fitting.is_empty(), "405 for {path:?}, which nothing matches");
            assert!(fitting.iter().all(|(_, method, ..)| methods.iter().any(|other| other == method)));
        }
        (TestAnswer::Nothing, None) => assert!(fitting.is_empty(), "nobody answers {path:?}, which {fitting:?} match"),
        (answer, expected) => panic!("{answer:?} for {path:?}, not {expected:?}"),
    }
}

/// Kind of a parameter; `None` for a literal.
fn kind(segment: &str) -> Option<&str> {
    if let Some(inside) = segment.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return Some(inside.rsplit_once(':').map_or("str", |(kind, _)| kind));
    }
    let inside = segment.strip_prefix('{')?.strip_suffix('}')?;
    Some(inside.split_once(':').map_or("str", |(_, kind)| kind))
}

fn is_path(segment: &str) -> bool {
    kind(segment) == Some("path")
}

/// The parameters that a pattern would give.
fn matched(pattern: &str, path: &str) -> Option<Vec<String>> {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let Some(at) = wanted.iter().position(|segment| is_path(segment)) else {
        return if wanted.len() == given.len() { segments(&wanted, &given) } else { None };
    };
    let behind = wanted.len() - at - 1;
    if given.len() < at + 1 + behind {
        return None;
    }
    let (begin, rest) = given.split_at(at);
    let (middle, end) = rest.split_at(rest.len() - behind);
    let text = middle.join("/");
    if text.is_empty() || text.starts_with('/') {
        return None;
    }
    let mut values = segments(&wanted[..at], begin)?;
    values.push(text);
    values.extend(segments(&wanted[at + 1..], end)?);
    Some(values)
}

fn segments(wanted: &[&str], given: &[&str]) -> Option<Vec<String>> {
    let mut values = Vec::new();
    for (wanted, given) in wanted.iter().zip(given) {
        match kind(wanted) {
            None if wanted == given => {}
            Some(kind) if fits(kind, given) => values.push((*given).to_owned()),
            _ => return None,
        }
    }
    Some(values)
}

fn fits(kind: &str, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        "int" => digits(text) && text.parse::<i64>().is_ok(),
        "float" => {
            let mut parts = text.splitn(2, '.');
            digits(parts.next().unwrap_or_default())
                && parts.next().is_none_or(digits)
                && text.parse().is_ok_and(f64::is_finite)
        }
        "uuid" => {
            let lengths: Vec<usize> = text.split('-').map(str::len).collect();
            lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
        }
        _ => !text.is_empty(),
    }
}

/// The order of several matching patterns: the first segment in which they differ decides.
fn rank(pattern: &str) -> Vec<(usize, Reverse<usize>)> {
    let all: Vec<&str> = pattern.split('/').collect();
    let rank = |(at, segment): (usize, &&str)| {
        let place =
            ["int", "uuid", "float", "str", "string", "path"].iter().position(|name| kind(segment) == Some(name));
        let behind = if is_path(segment) { all.len() - at } else { 0 };
        let place = place.map_or(0, |place| if place > 3 { place } else { place + 1 });
        (place, Reverse(behind))
    };
    all.iter().enumerate().map(rank).collect()
}
