//! The order of files and folders where ARCHITECTURE.md gives one.
//!
//! A table whose head is ``| order | `folder` | … |`` lists the files and folders of that folder from top to bottom. A
//! row may name several, which then stand on one level. A row may import the rows below it, but none above or beside
//! itself. Files that name the others (`lib.rs`, `mod.rs`, `__init__.py`) stand above all, if they are in no row.

use crate::Problem;
use crate::graph::Edge;

/// One table of the document.
#[derive(Debug)]
struct Order<'a> {
    /// The folder, with `/` at its end.
    folder: String,
    /// The line of its head.
    line: usize,
    /// Name and level of each entry; folders without their `/`.
    entries: Vec<(&'a str, usize)>,
}

/// Checks the edges against the tables of the document, and that each table names all files and folders.
pub fn check(path: &str, document: &str, tree: &[(String, String)], edges: &[Edge]) -> Vec<Problem> {
    let orders = orders(document);
    orders.iter().flat_map(|order| check_order(path, order, tree, edges)).collect()
}

fn check_order(path: &str, order: &Order<'_>, tree: &[(String, String)], edges: &[Edge]) -> Vec<Problem> {
    let level = |entry: &str| order.entries.iter().find(|(name, _)| *name == entry).map(|(_, level)| *level);
    let entry = |file: &str| {
        let inside = file.strip_prefix(&order.folder)?;
        Some(inside.split('/').next().unwrap_or(inside).to_owned())
    };
    let mut problems = Vec::new();
    let mut missing: Vec<String> = tree.iter().filter_map(|(file, _)| entry(file)).collect();
    missing.dedup();
    let is_source = |name: &str| !name.contains('.') || name.ends_with(".rs") || name.ends_with(".py");
    for name in missing.iter().filter(|name| is_source(name) && level(name).is_none() && !stands_above(name)) {
        let law = format!("order: the table of `{}` lacks `{name}`", order.folder);
        problems.push(Problem::new(path, order.line, law));
    }
    for (name, _) in order.entries.iter().filter(|(name, _)| !missing.iter().any(|entry| entry == name)) {
        let law = format!("order: `{name}` is not in `{}`", order.folder);
        problems.push(Problem::new(path, order.line, law));
    }
    for edge in edges {
        let (Some(from), Some(to)) = (entry(&edge.from), entry(&edge.to)) else { continue };
        if from == to {
            continue;
        }
        let is_wrong = match (level(&from), level(&to)) {
            (Some(from), Some(to)) => from >= to,
            (None, _) => false,
            // A file that names the others stands above all rows.
            (Some(_), None) => stands_above(&to),
        };
        if is_wrong {
            let law = format!("order: `{from}` names `{to}`, which is not below it in ARCHITECTURE.md");
            problems.push(Problem::new(&edge.from, edge.line, law));
        }
    }
    problems
}

fn stands_above(name: &str) -> bool {
    matches!(name, "lib.rs" | "mod.rs" | "main.rs" | "__init__.py" | "__main__.py")
}

fn orders(document: &str) -> Vec<Order<'_>> {
    let mut found: Vec<Order<'_>> = Vec::new();
    let mut is_open = false;
    for (index, line) in document.lines().enumerate() {
        if let Some(rest) = line.strip_prefix("| order | `") {
            let folder = rest.split('`').next().unwrap_or("").trim_end_matches('/');
            found.push(Order { folder: format!("{folder}/"), line: index + 1, entries: Vec::new() });
            is_open = true;
        } else if !line.starts_with('|') {
            is_open = false;
        } else if let (true, Some(order)) = (is_open, found.last_mut()) {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            if let (Some(Ok(level)), Some(names)) = (cells.next().map(str::parse::<usize>), cells.next()) {
                let names = names.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/'));
                order.entries.extend(names.map(|name| (name, level)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "text\n\n| order | `a/src` | what it does |\n|---|---|---|\n| 1 | `top/` | x |\n| 2 | `left.rs`, `right.rs` | y |\n| 3 | `low.rs` | z |\n\n| 4 | `none.rs` | |\n";

    fn laws(edges: &[(&str, &str)], files: &[&str]) -> Vec<String> {
        let edges: Vec<Edge> = edges
            .iter()
            .map(|(from, to)| Edge { from: format!("a/src/{from}"), line: 7, to: format!("a/src/{to}") })
            .collect();
        let tree: Vec<(String, String)> = files.iter().map(|file| (format!("a/src/{file}"), String::new())).collect();
        check("A.md", DOCUMENT, &tree, &edges).iter().map(ToString::to_string).collect()
    }

    const FILES: &[&str] = &["lib.rs", "left.rs", "low.rs", "right.rs", "top/mod.rs", "top/x.rs"];

    #[test]
    fn down_is_allowed() {
        let edges = [("top/x.rs", "left.rs"), ("left.rs", "low.rs"), ("top/x.rs", "top/mod.rs"), ("lib.rs", "low.rs")];
        assert_eq!(laws(&edges, FILES), [""; 0]);
    }

    #[test]
    fn up_and_beside_are_refused() {
        for edge in [("low.rs", "top/x.rs"), ("left.rs", "right.rs"), ("low.rs", "lib.rs")] {
            assert_eq!(laws(&[edge], FILES).len(), 1, "{edge:?}");
        }
    }

    #[test]
    fn the_table_names_every_file() {
        let more = [FILES, &["new.rs"]].concat();
        assert_eq!(laws(&[], &more), ["A.md:3: order: the table of `a/src/` lacks `new.rs`"]);
        assert_eq!(laws(&[], &FILES[..4]), ["A.md:3: order: `top` is not in `a/src/`"]);
    }
}
