//! The imports between files: of each crate below `crates/`, and of the Python package.
//!
//! `order` and the law against circles look at these edges. Code that only tests compile is left out, and so are
//! imports inside of Python functions and under `TYPE_CHECKING`: they run later, or never.

use std::collections::{BTreeMap, BTreeSet};

use crate::Problem;
use crate::{python, rust};

/// One import: the file that names, the line, and the file that is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The path of the file that imports.
    pub from: String,
    /// The line of the import, counted from one.
    pub line: usize,
    /// The path of the file that is imported.
    pub to: String,
}

/// Files that may still stand in circles, by their folder. A number may only become smaller.
pub const IN_CIRCLES: &[(&str, usize)] = &[("crates/outside/src/", 0)];

/// The edges of a tree: `(path, text)` of each file.
pub fn edges(tree: &[(String, String)]) -> Vec<Edge> {
    let mut found = BTreeSet::new();
    let roots: BTreeSet<&str> =
        tree.iter().filter_map(|(path, _)| Some(&path[..path.find("/src/")? + "/src/".len()])).collect();
    for root in roots.into_iter().filter(|root| root.starts_with("crates/")) {
        rust_edges(root, tree, &mut found);
    }
    let python = python::imported("python/", tree);
    found.extend(python.into_iter().map(|(from, line, to)| Edge { from, line, to }));
    found.into_iter().collect()
}

/// The files of one crate by their module paths, and the paths that each file names.
struct Crate<'a> {
    files: BTreeMap<Vec<String>, &'a str>,
    named: BTreeMap<&'a str, Vec<rust::Path>>,
}

impl<'a> Crate<'a> {
    fn read(root: &str, tree: &'a [(String, String)]) -> Self {
        let mut made = Self { files: BTreeMap::new(), named: BTreeMap::new() };
        let mut declared = BTreeSet::new();
        for (path, text) in tree {
            if let Some(inside) = path.strip_prefix(root).filter(|inside| inside.ends_with(".rs") && !is_test(inside)) {
                let (module, source) = (rust::module_of(inside), rust::Source::read(inside, text));
                declared.extend(modules(&source.tokens).map(|name| [&module[..], &[name]].concat()));
                made.files.insert(module, path);
                made.named.insert(path, source.paths);
            }
        }
        made.leave_out_tests(&declared);
        made
    }

    /// Leaves out the files that only a test build declares as modules, and the modules below these.
    fn leave_out_tests(&mut self, declared: &BTreeSet<Vec<String>>) {
        let is_known = |module: &[String]| self.files.contains_key(&module[..module.len() - 1]);
        let is_test = |module: &[String]| is_known(module) && !declared.contains(module);
        let tests: Vec<Vec<String>> =
            self.files.keys().filter(|own| (1..=own.len()).any(|length| is_test(&own[..length]))).cloned().collect();
        for path in tests.iter().filter_map(|module| self.files.remove(module)) {
            self.named.remove(path);
        }
    }

    /// The path below the crate that is named in a module, if it is one of this crate.
    fn below<'p>(&self, own: &[String], named: &'p rust::Path) -> Option<std::borrow::Cow<'p, [String]>> {
        let (first, rest) = named.parts.split_first()?;
        if first == "crate" {
            return Some(rest.into());
        }
        // A child module is named without `self::`.
        let child: Vec<String> = own.iter().chain(&named.parts).cloned().collect();
        self.files.contains_key(&child[..=own.len()]).then_some(child.into())
    }

    /// The file that a path leads to; a name that a file hands on from another one leads to that one.
    fn target(&self, path: &[String], depth: usize) -> Option<&'a str> {
        let length = (1..=path.len()).rev().find(|&length| self.files.contains_key(&path[..length]))?;
        let file = self.files[&path[..length]];
        let Some(name) = path.get(length).filter(|_| depth < 8) else { return Some(file) };
        let handed = self.named[file].iter().filter(|named| named.is_reexport && named.parts.last() == Some(name));
        let handed = handed.filter_map(|named| self.below(&path[..length], named));
        handed.filter_map(|path| self.target(&path, depth + 1)).next().or(Some(file))
    }
}

/// The names of the modules that are declared without a body.
fn modules(tokens: &[rust::Token]) -> impl Iterator<Item = String> {
    let is_declared = |three: &&[rust::Token]| three[0].text == "mod" && three[2].text == ";";
    tokens.windows(3).filter(is_declared).map(|three| three[1].text.clone())
}

fn rust_edges(root: &str, tree: &[(String, String)], found: &mut BTreeSet<Edge>) {
    let read = Crate::read(root, tree);
    for (own, &file) in &read.files {
        // A name that a file only hands on is no import of its own.
        for named in read.named[file].iter().filter(|named| !named.is_reexport) {
            let target = read.below(own, named).and_then(|path| read.target(&path, 0));
            if let Some(target) = target.filter(|&target| target != file) {
                found.insert(Edge { from: file.to_owned(), line: named.line, to: target.to_owned() });
            }
        }
    }
}

/// Whether only a test build compiles this file.
fn is_test(inside: &str) -> bool {
    inside.ends_with("/tests.rs") || inside == "tests.rs" || inside.split('/').any(|part| part == "tests")
}

/// The circles: each as the files that reach one another, in the order of their names.
pub fn circles(edges: &[Edge]) -> Vec<Vec<String>> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges {
        next.entry(&edge.from).or_default().insert(&edge.to);
    }
    let reach = |start: &str| {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = next.get(start).into_iter().flatten().copied().collect();
        while let Some(file) = open.pop() {
            if reached.insert(file) {
                open.extend(next.get(file).into_iter().flatten());
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|&file| (file, reach(file))).collect();
    let mut found = BTreeSet::new();
    for (&file, from_here) in &reached {
        let back = |other: &&str| reached.get(other).is_some_and(|from_there| from_there.contains(file));
        let circle: Vec<String> = from_here.iter().copied().filter(back).map(str::to_owned).collect();
        if !circle.is_empty() {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// Checks that no more files than allowed stand in circles.
pub fn check(edges: &[Edge]) -> Vec<Problem> {
    let circles = circles(edges);
    let mut problems = Vec::new();
    let of = |folder: &str, circle: &[String]| circle.first().is_some_and(|file| file.starts_with(folder));
    for (folder, allowed) in IN_CIRCLES {
        let count: usize = circles.iter().filter(|circle| of(folder, circle)).map(Vec::len).sum();
        if count < *allowed {
            let law =
                format!("circles: {count} files of {folder} stand in circles; lower the number {allowed} to that");
            problems.push(Problem::new("crates/tidy/src/graph.rs", 1, law));
        }
        if count <= *allowed {
            continue;
        }
        problems.extend(circles.iter().filter(|circle| of(folder, circle)).map(|circle| told(circle)));
    }
    let is_listed = |circle: &[String]| IN_CIRCLES.iter().any(|(folder, _)| of(folder, circle));
    problems.extend(circles.iter().filter(|circle| !is_listed(circle)).map(|circle| told(circle)));
    problems
}

fn told(circle: &[String]) -> Problem {
    let others = circle[1..].join(", ");
    Problem::new(
        &circle[0],
        1,
        format!("circles: this file and {others} import one another; let the arrows point one way"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn paths_lead_to_files() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "mod b; mod c;\nuse b::B;"),
            ("crates/a/src/b.rs", "use crate::c::D;\n#[cfg(test)] mod tests { use crate::C; }"),
            ("crates/a/src/c/mod.rs", "mod d; pub(crate) use d::D; mod e; use e::E;"),
            ("crates/a/src/c/d.rs", "use std::fs;\nfn f() { super::g() }"),
            ("crates/a/src/c/e.rs", "use super::D;\nuse crate::c::h;"),
        ]);
        let found: Vec<String> =
            edges(&tree).iter().map(|edge| format!("{}:{} {}", &edge.from[13..], edge.line, &edge.to[13..])).collect();
        let wanted = [
            "b.rs:1 c/d.rs",
            "c/d.rs:2 c/mod.rs",
            "c/e.rs:1 c/d.rs",
            "c/e.rs:2 c/mod.rs",
            "c/mod.rs:1 c/e.rs",
            "lib.rs:2 b.rs",
        ];
        assert_eq!(found, wanted);
        assert_eq!(circles(&edges(&tree)), [["crates/a/src/c/d.rs", "crates/a/src/c/e.rs", "crates/a/src/c/mod.rs"]]);
    }

    #[test]
    fn files_that_only_tests_declare_are_left_out() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod model;"),
            ("crates/a/src/b.rs", "use crate::model::M;"),
            ("crates/a/src/model.rs", "mod inner; use crate::b::B;"),
            ("crates/a/src/model/inner.rs", "use super::M;"),
        ]);
        assert_eq!(edges(&tree), []);
    }

    #[test]
    fn a_circle_is_refused_and_told_once() {
        let edge = |from: &str, to: &str| Edge { from: from.to_owned(), line: 1, to: to.to_owned() };
        let round = [edge("x/a", "x/b"), edge("x/b", "x/c"), edge("x/c", "x/a"), edge("x/c", "x/d")];
        let problems = check(&round);
        assert_eq!(problems.len(), 1 + IN_CIRCLES.iter().filter(|(_, allowed)| *allowed > 0).count());
        assert!(
            problems.iter().any(|problem| problem.to_string().starts_with("x/a:1: circles: this file and x/b, x/c"))
        );
        assert!(circles(&round[..2]).is_empty());
    }
}
