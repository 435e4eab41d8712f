//! A document that a text names is in the tree.
//!
//! Comments of Rust, and every line of other files, may name a Markdown file: by its path from the root, from the
//! folder of the file that names it, or from a folder above that. A name in quotes is data of a program and is left
//! alone, and so is a link in a page that a program writes: it counts from that page.

use std::collections::HashSet;

use crate::Problem;

const END: &str = ".md";

/// Checks every file of a tree.
pub fn check(tree: &[(String, String)]) -> Vec<Problem> {
    let paths: HashSet<&str> = tree.iter().map(|(path, _)| path.as_str()).collect();
    let mut problems = Vec::new();
    for (path, text) in tree {
        for (index, line) in text.lines().enumerate() {
            for name in named(prose(path, line), path.ends_with(END)) {
                if !is_there(&paths, path, name) {
                    let law = format!("documents: there is no {name} in the tree; name a page that readers have");
                    problems.push(Problem::new(path, index + 1, law));
                }
            }
        }
    }
    problems
}

/// The part of a line that is written for people.
fn prose<'a>(path: &str, line: &'a str) -> &'a str {
    if !path.ends_with(".rs") {
        return line;
    }
    // Within a string, two slashes stand behind a colon or a quote.
    let mut starts = line.match_indices("//").map(|(start, _)| start);
    let comment = starts.find(|&start| line[..start].chars().next_back().is_none_or(char::is_whitespace));
    comment.map_or("", |start| &line[start..])
}

/// The Markdown files that a text names, without addresses of other hosts and names in quotes.
fn named(text: &str, is_page: bool) -> Vec<&str> {
    let mut found = Vec::new();
    for (dot, _) in text.match_indices(END) {
        let end = dot + END.len();
        let start = text[..dot]
            .rfind(|character| !is_part(character))
            .map_or(0, |place| place + text[place..].chars().next().map_or(0, char::len_utf8));
        let before = text[..start].chars().next_back();
        let goes_on = text[end..].chars().next().is_some_and(|after| after.is_alphanumeric() || after == '_');
        let is_address = text[..start].ends_with(':') && text[start..].starts_with("//");
        let is_pattern = matches!(before, Some('*' | '}' | '"' | '\'' | '…'));
        let is_written = !is_page && text[..start].ends_with("](");
        if start < dot && !goes_on && !is_address && !is_pattern && !is_written {
            found.push(&text[start..end]);
        }
    }
    found
}

fn is_part(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '/')
}

/// Whether the name leads to a file from the folder of the file that has it, or from one above.
fn is_there(paths: &HashSet<&str>, from: &str, name: &str) -> bool {
    let mut folder = from;
    loop {
        folder = folder.rfind('/').map_or("", |slash| &folder[..slash]);
        if joined(folder, name).is_some_and(|path| paths.contains(path.as_str())) {
            return true;
        }
        if folder.is_empty() {
            return false;
        }
    }
}

/// The path of a name that is relative to a folder; `None` if it leads out of the tree.
fn joined(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(path: &str, text: &str) -> Vec<String> {
        let there = ["README.md", "bench/RESULTS.md", "docs/security.md", "docs/guide/files.md"];
        let mut tree: Vec<(String, String)> = there.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        tree.push((path.to_owned(), text.to_owned()));
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn documents_of_the_tree_may_be_named() {
        for (path, text) in [
            ("crates/a/src/b.rs", "/// Bounded (docs/security.md S32), see README.md."),
            ("bench/harness/report.py", "\"\"\"Writes RESULTS.md.\"\"\""),
            ("docs/index.md", "[files](guide/files.md#folders) and [bounds](./security.md)"),
            ("docs/guide/routes.md", "[bounds](../security.md)"),
            ("tests/a.py", "(DOCS / \"security.md\").glob(\"*.md\")"),
            ("crates/a/src/b.rs", "let name = \"gone.md\"; let line = \"// gone.md\";"),
            ("make/pages.py", "\"[gone](gone.md)\""),
            ("notes.txt", "https://example.com/gone.md, every *.md, {name}.md, a.mdx, docs/**/*.md"),
        ] {
            assert_eq!(laws(path, text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn documents_that_are_elsewhere_are_refused() {
        assert_eq!(
            laws("crates/a/src/b.rs", "\n/// Bounded (edge.md S32)."),
            ["crates/a/src/b.rs:2: documents: there is no edge.md in the tree; name a page that readers have"]
        );
        for (path, text) in [
            ("tests/a.py", "\"\"\"edge.md S32: time is bounded.\"\"\"  # see performance.md"),
            ("docs/index.md", "[gone](guide/gone.md)"),
            ("docs/index.md", "[out](../../README.md)"),
            ("Makefile", "# gone.md"),
        ] {
            assert!(!laws(path, text).is_empty(), "{text}");
        }
    }
}
