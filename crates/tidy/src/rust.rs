//! Rust source as tokens, and the paths that it names.
//!
//! Not a parser: it knows comments, literals, brackets, `mod` blocks, `use` trees and items that are compiled for tests
//! only. That is enough to find the rooms and the parts of the standard library that a file names, with their lines.

/// An identifier, or one character of punctuation. Comments and literals are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text; `::` is one token.
    pub text: String,
    /// The line, counted from one.
    pub line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|first: char| first.is_alphanumeric() || first == '_')
    }
}

/// A path as it is written, with `use` trees spread out and `self` and `super` resolved to `crate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its parts: `["std", "net", "TcpStream"]`, `["crate", "message", "Request"]`; `*` for a glob.
    pub parts: Vec<String>,
    /// The line, counted from one.
    pub line: usize,
    /// Whether it stands in a `pub use`, `pub(crate) use` or `pub(super) use`.
    pub is_reexport: bool,
}

/// Tokens and paths of one file, without its tests.
#[derive(Debug)]
pub struct Source {
    /// The tokens, without items under `#[test]` and `#[cfg(test)]`.
    pub tokens: Vec<Token>,
    /// The paths of two or more parts in those tokens, and every path of a `use`.
    pub paths: Vec<Path>,
}

impl Source {
    /// Reads a file; `inside` is its place below `src/`, which `self` and `super` are resolved against.
    pub fn read(inside: &str, text: &str) -> Self {
        let tokens = without_tests(tokens(text));
        let paths = paths(&tokens, &module_of(inside));
        Self { tokens, paths }
    }
}

/// `site/pages.rs` is the module `["site", "pages"]`; `lib.rs` is `[]`.
pub fn module_of(inside: &str) -> Vec<String> {
    let mut parts: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Splits source text into tokens.
pub fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < characters.len() {
        let start = index;
        let character = at(index);
        if character == '/' && at(index + 1) == '/' {
            while index < characters.len() && at(index) != '\n' {
                index += 1;
            }
        } else if character == '/' && at(index + 1) == '*' {
            index = after_block_comment(&characters, index);
        } else if let Some(end) = after_literal(&characters, index) {
            index = end;
        } else if character.is_alphanumeric() || character == '_' {
            while at(index).is_alphanumeric() || at(index) == '_' {
                index += 1;
            }
            found.push(Token { text: characters[start..index].iter().collect(), line });
        } else if character == ':' && at(index + 1) == ':' {
            index += 2;
            found.push(Token { text: "::".to_owned(), line });
        } else {
            index += 1;
            if !character.is_whitespace() {
                found.push(Token { text: character.to_string(), line });
            }
        }
        line += characters[start..index].iter().filter(|&&character| character == '\n').count();
    }
    found
}

/// The text of all comments, those of tests included.
pub fn comments(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut found = String::new();
    let mut index = 0;
    while index < characters.len() {
        let start = index;
        match (at(index), at(index + 1)) {
            ('/', '/') => {
                while index < characters.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            ('/', '*') => index = after_block_comment(&characters, index),
            _ => {
                index = after_literal(&characters, index).unwrap_or(index + 1);
                continue;
            }
        }
        found.extend(&characters[start..index]);
        found.push('\n');
    }
    found
}

/// Block comments nest.
fn after_block_comment(characters: &[char], start: usize) -> usize {
    let (mut index, mut depth) = (start, 0);
    while index < characters.len() {
        match characters[index..] {
            ['/', '*', ..] => (depth, index) = (depth + 1, index + 2),
            ['*', '/', ..] => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
        if depth == 0 {
            break;
        }
    }
    index
}

/// The end of the string or character literal or the lifetime that starts here, if one does.
fn after_literal(characters: &[char], start: usize) -> Option<usize> {
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    // Prefixes of strings: b, c, r, br, cr; a raw string counts its hashes.
    let mut index = start;
    if matches!(at(index), 'b' | 'c') && matches!(at(index + 1), '"' | '\'' | 'r') {
        index += 1;
    }
    if at(index) == 'r' {
        let hashes = (index + 1..).take_while(|&place| at(place) == '#').count();
        if at(index + 1 + hashes) == '"' {
            let mut end = index + 2 + hashes;
            while end < characters.len() {
                if at(end) == '"' && (1..=hashes).all(|step| at(end + step) == '#') {
                    return Some(end + 1 + hashes);
                }
                end += 1;
            }
            return Some(end);
        }
        return None;
    }
    match at(index) {
        '"' => Some(after_quote(characters, index, '"')),
        '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => Some(after_quote(characters, index, '\'')),
        // A lifetime or a loop label.
        '\'' => {
            Some(index + 1 + (index + 1..).take_while(|&place| at(place).is_alphanumeric() || at(place) == '_').count())
        }
        _ => None,
    }
}

fn after_quote(characters: &[char], start: usize, quote: char) -> usize {
    let mut index = start + 1;
    while index < characters.len() && characters[index] != quote {
        index += if characters[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(characters.len())
}

/// Drops the items that only a test build compiles: those behind `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut index = 0;
    while index < tokens.len() {
        if let Some((end, is_test)) = attribute(&tokens, index) {
            if is_test {
                index = after_item(&tokens, end);
            } else {
                kept.extend_from_slice(&tokens[index..end]);
                index = end;
            }
        } else {
            kept.push(tokens[index].clone());
            index += 1;
        }
    }
    kept
}

/// The end of the outer attribute `#[…]` that starts here, and whether it means "for tests only".
fn attribute(tokens: &[Token], start: usize) -> Option<(usize, bool)> {
    if tokens.get(start)?.text != "#" || tokens.get(start + 1)?.text != "[" {
        return None;
    }
    let end = after_brackets(tokens, start + 1);
    let words: Vec<&str> = tokens[start + 2..end].iter().map(|token| token.text.as_str()).collect();
    let is_test = match words.as_slice() {
        ["test", ..] => true,
        ["cfg", rest @ ..] => rest.contains(&"test") && !rest.contains(&"not") && !rest.contains(&"any"),
        _ => false,
    };
    Some((end, is_test))
}

/// The place after the bracket that closes the one at `start`.
fn after_brackets(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The place after the item that starts here, its further attributes included.
fn after_item(tokens: &[Token], start: usize) -> usize {
    let mut index = start;
    while let Some((end, _)) = attribute(tokens, index) {
        index = end;
    }
    while index < tokens.len() {
        match tokens[index].text.as_str() {
            ";" => return index + 1,
            "{" => return after_brackets(tokens, index),
            "(" | "[" => index = after_brackets(tokens, index),
            _ => index += 1,
        }
    }
    index
}

/// Finds the paths, walking through `mod name { … }` blocks so that `super` has its meaning there.
fn paths(tokens: &[Token], file: &[String]) -> Vec<Path> {
    let mut found = Vec::new();
    let mut module = file.to_vec();
    // For each open brace: whether it opened an inline module.
    let mut braces = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let text = tokens[index].text.as_str();
        let before = index.checked_sub(1).map_or("", |place| tokens[place].text.as_str());
        match text {
            "{" => {
                let opens_module = index >= 2 && tokens[index - 2].text == "mod";
                if opens_module {
                    module.push(tokens[index - 1].text.clone());
                }
                braces.push(opens_module);
            }
            "}" if braces.pop() == Some(true) => {
                module.pop();
            }
            "use" if before != "::" => {
                let is_reexport = before == "pub" || before == ")";
                let mut spread = Vec::new();
                index = spread_tree(tokens, index + 1, &[], &mut spread);
                let spread = spread.into_iter().map(|path| resolved(path, &module));
                found.extend(spread.map(|path| Path { is_reexport, ..path }));
                continue;
            }
            // `pub(in crate::room)` says which code may import, and is no import itself.
            "in" if before == "(" && index >= 2 && tokens[index - 2].text == "pub" => {
                index = after_brackets(tokens, index - 1);
                continue;
            }
            _ if tokens[index].is_word() && before != "::" && next_is(tokens, index, "::") => {
                let line = tokens[index].line;
                let mut parts = vec![text.to_owned()];
                while next_is(tokens, index, "::") && tokens.get(index + 2).is_some_and(Token::is_word) {
                    index += 2;
                    parts.push(tokens[index].text.clone());
                }
                found.push(resolved(Path { parts, line, is_reexport: false }, &module));
            }
            _ => {}
        }
        index += 1;
    }
    found
}

fn next_is(tokens: &[Token], index: usize, text: &str) -> bool {
    tokens.get(index + 1).is_some_and(|token| token.text == text)
}

/// Spreads `a::{b, c::{d, self}, e as f}` into its paths; returns the place after the tree.
fn spread_tree(tokens: &[Token], start: usize, prefix: &[String], found: &mut Vec<Path>) -> usize {
    let mut parts = prefix.to_vec();
    let mut index = start;
    let line = tokens.get(start).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(index) {
        match token.text.as_str() {
            "::" => index += 1,
            "{" => {
                index += 1;
                while tokens.get(index).is_some_and(|token| token.text != "}") {
                    index = spread_tree(tokens, index, &parts, found);
                    if tokens.get(index).is_some_and(|token| token.text == ",") {
                        index += 1;
                    }
                }
                return index + 1;
            }
            "as" => index += 2,
            "," | "}" | ";" => break,
            word => {
                parts.push(word.to_owned());
                index += 1;
            }
        }
    }
    if parts.len() > prefix.len() {
        found.push(Path { parts, line, is_reexport: false });
    }
    // The place always moves on, so that malformed source cannot cause an endless loop.
    index.max(start + usize::from(tokens.get(start).is_some_and(|token| token.text == ";")))
}

/// Replaces leading `self` and `super` by the way from `crate`.
fn resolved(mut path: Path, module: &[String]) -> Path {
    let mut place = module.to_vec();
    let mut rest = path.parts.as_slice();
    match rest.first().map(String::as_str) {
        Some("self") => rest = &rest[1..],
        Some("super") => {}
        _ => return path,
    }
    while let [first, more @ ..] = rest
        && first == "super"
    {
        place.pop();
        rest = more;
    }
    path.parts = ["crate".to_owned()].into_iter().chain(place).chain(rest.iter().cloned()).collect();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(inside: &str, text: &str) -> Vec<String> {
        Source::read(inside, text)
            .paths
            .into_iter()
            .map(|path| format!("{}@{}", path.parts.join("::"), path.line))
            .collect()
    }

    #[test]
    fn comments_and_literals_are_no_source() {
        let text = r##"
            // std::fs
            /* std::fs /* std::fs */ std::fs */
            let a = "std::fs \" std::fs"; let b = r#"std::fs " "#; let c = b"std::fs"; let d = br"std::fs";
            let e = '"'; let f = '\''; fn g<'a>(h: &'a str) {} 'outer: loop {}
            std::env::args();
        "##;
        assert_eq!(named("a.rs", text), ["std::env::args@6"]);
    }

    #[test]
    fn use_trees_are_spread_out() {
        let text =
            "use std::{fs, net::{self, IpAddr as Ip, *},\n time::Duration};\nuse bytes;\npub(crate) use crate::a::b;";
        assert_eq!(
            named("a.rs", text),
            [
                "std::fs@1",
                "std::net::self@1",
                "std::net::IpAddr@1",
                "std::net::*@1",
                "std::time::Duration@2",
                "bytes@3",
                "crate::a::b@4"
            ]
        );
    }

    #[test]
    fn self_and_super_are_resolved() {
        let text = "use super::x; mod inner { use super::y; use super::super::z; fn f() { self::g() } } use self::w;";
        assert_eq!(
            named("room/file.rs", text),
            [
                "crate::room::x@1",
                "crate::room::file::y@1",
                "crate::room::z@1",
                "crate::room::file::inner::g@1",
                "crate::room::file::w@1"
            ]
        );
        assert_eq!(named("room/mod.rs", "use super::x;"), ["crate::x@1"]);
    }

    #[test]
    fn tests_are_left_out() {
        let text = "#[cfg(test)]\n#[path = \"x\"]\nmod tests { use std::fs; }\n#[test]\nfn t() -> [u8; 2] { std::fs::read() }\n#[cfg(not(test))]\nuse std::env;";
        assert_eq!(named("a.rs", text), ["std::env@7"]);
    }

    #[test]
    fn malformed_source_ends() {
        for text in
            ["use ", "use {", "use a::{b", "use ;", "use }", "use a::{;}", "#[", "#[test]", "\"", "r#\"", "/*", "'"]
        {
            named("a.rs", text);
        }
    }
}
