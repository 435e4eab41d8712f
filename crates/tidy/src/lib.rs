//! The laws of ARCHITECTURE.md, as a program that reads the source tree.
//!
//! `rooms` holds the engine's imports to one direction, `purity` keeps sockets and clocks out of its lower rooms,
//! `files` has the laws of a single file, `dependencies` asks for the reason of each dependency, `documents` finds
//! names of documents that are not in the tree. `graph` allows no circle of imports, `order` holds folders to the order
//! that the document gives, `names` asks for one meaning of each type name, `words` for sentences that name their
//! subject. `rust` turns Rust source into tokens and paths, `python` does so for Python; `tree` finds the files. The
//! test in `tests/tree.rs` runs all of it over this repository; the tests of each module show that its law can fail.

pub mod dependencies;
pub mod documents;
pub mod files;
pub mod graph;
pub mod names;
pub mod order;
pub mod purity;
pub mod python;
pub mod rooms;
pub mod rust;
pub mod tree;
pub mod words;

use std::fmt;

/// One line that breaks a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the root of the repository, with `/` between its parts.
    pub path: String,
    /// The line, counted from one.
    pub line: usize,
    /// The law, and an advice.
    pub law: String,
}

impl Problem {
    pub(crate) fn new(path: &str, line: usize, law: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, law: law.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.law)
    }
}

/// Every problem of a tree: `(path, text)` of each file.
pub fn check(tree: &[(String, String)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree {
        problems.extend(files::check(path, text));
        if let Some(inside) = path.strip_prefix("crates/outside/src/") {
            let source = rust::Source::read(inside, text);
            problems.extend(rooms::check(path, inside, &source));
            problems.extend(purity::check(path, inside, &source));
        }
    }
    problems.extend(files::check_exemptions(tree));
    problems.extend(documents::check(tree));
    problems.extend(files::check_long(tree));
    problems.extend(names::check(tree));
    problems.extend(words::check(tree));
    let edges = graph::edges(tree);
    problems.extend(graph::check(&edges));
    if let Some((path, text)) = tree.iter().find(|(path, _)| path == "ARCHITECTURE.md") {
        problems.extend(rooms::check_document(path, text));
        problems.extend(dependencies::check(tree, text));
        problems.extend(order::check(path, text, tree, &edges));
    }
    problems
}
