//! Law 1: imports point one way.
//!
//! The rooms of the engine stand in one list, from top to bottom; a room may name itself and the rooms below it. The
//! same list, in the same order, is the table of rooms in ARCHITECTURE.md. Tests may look upwards.

use crate::Problem;
use crate::rust::Source;

/// The rooms of `crates/outside/src`, from the public types down to the errors that all rooms share.
pub const ROOMS: &[&str] = &[
    "app",
    "server",
    "status",
    "certificates",
    "connection",
    "exchange",
    "executor",
    "log",
    "site",
    "application",
    "route",
    "handler",
    "files",
    "hub",
    "websocket",
    "compression",
    "transport",
    "input",
    "content",
    "protocol",
    "config",
    "budget",
    "placement",
    "metrics",
    "descriptors",
    "message",
    "error",
];

/// The room of a file below `src/`; `None` is `lib.rs`, which stands above all.
fn room_of(inside: &str) -> Option<&str> {
    let first = inside.split('/').next().unwrap_or(inside);
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib").then_some(name)
}

fn height(room: &str) -> Option<usize> {
    ROOMS.iter().position(|&name| name == room)
}

/// Checks one file of the engine.
pub fn check(path: &str, inside: &str, source: &Source) -> Vec<Problem> {
    let Some(room) = room_of(inside) else { return Vec::new() };
    let Some(here) = height(room) else {
        return vec![Problem::new(
            path,
            1,
            format!("law 1: the room `{room}` is not in the list of crates/tidy/src/rooms.rs"),
        )];
    };
    let mut problems: Vec<Problem> = Vec::new();
    for named in &source.paths {
        let [root, target, ..] = named.parts.as_slice() else { continue };
        if root != "crate" {
            continue;
        }
        let law = match height(target) {
            Some(there) if there >= here => continue,
            Some(_) => format!("law 1: `{room}` names `{target}`, which is above it; imports point down"),
            None => format!("law 1: `crate::{target}` is no room; name the room that it lives in, not lib.rs above"),
        };
        let problem = Problem::new(path, named.line, law);
        // A `use` with several names from one room is one problem.
        if problems.last() != Some(&problem) {
            problems.push(problem);
        }
    }
    problems
}

/// The table of rooms in the document must be the list above: rows that begin with ``| `room` `` in the same order.
pub fn check_document(path: &str, text: &str) -> Vec<Problem> {
    let rows: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, line.strip_prefix("| `")?.split_once("/` |")?.0)))
        .collect();
    let mut problems = Vec::new();
    for (place, &room) in ROOMS.iter().enumerate() {
        match rows.get(place) {
            Some(&(_, name)) if name == room => {}
            Some(&(line, name)) => {
                problems.push(Problem::new(
                    path,
                    line,
                    format!("law 1: the list of rooms has `{room}` here, not `{name}`"),
                ));
                return problems;
            }
            None => {
                problems.push(Problem::new(path, 1, format!("law 1: the table of rooms lacks the row | `{room}/` |")));
                return problems;
            }
        }
    }
    problems.extend(
        rows.iter()
            .skip(ROOMS.len())
            .map(|&(line, name)| Problem::new(path, line, format!("law 1: `{name}` is not in the list of rooms"))),
    );
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(inside: &str, text: &str) -> Vec<String> {
        let source = Source::read(inside, text);
        check(inside, inside, &source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn down_is_allowed() {
        assert!(
            laws("connection/read.rs", "use crate::{protocol::http1, message::Request};\nuse super::write;").is_empty()
        );
        assert!(laws("lib.rs", "pub use app::OutsideHttp; pub use crate::message::Request;").is_empty());
        assert!(laws("message/mod.rs", "#[cfg(test)] mod tests { use crate::app::OutsideHttp; }").is_empty());
        assert!(laws("message.rs", "pub(in crate::message) fn f() {} /// crate::app\n").is_empty());
    }

    #[test]
    fn up_is_refused() {
        assert_eq!(
            laws("message/mod.rs", "\nuse crate::{connection::{Loop, Other}, error::Error};"),
            ["message/mod.rs:2: law 1: `message` names `connection`, which is above it; imports point down"]
        );
        assert_eq!(laws("route.rs", "fn f() { crate::site::page() }").len(), 1);
        assert_eq!(laws("route/tree.rs", "use super::super::site::Page;").len(), 1);
        assert_eq!(laws("route/mod.rs", "use super::app;").len(), 1);
    }

    #[test]
    fn shortcuts_through_lib_are_refused() {
        assert_eq!(laws("route.rs", "use crate::Request;").len(), 1);
        assert_eq!(laws("route.rs", "use crate::*;").len(), 1);
    }

    #[test]
    fn unknown_rooms_are_refused() {
        assert_eq!(laws("utils.rs", "").len(), 1);
    }

    #[test]
    fn the_document_lists_the_same_rooms() {
        let rows: Vec<String> = ROOMS.iter().map(|room| format!("| `{room}/` | what it does |")).collect();
        assert!(check_document("A.md", &rows.join("\n")).is_empty());
        let mut swapped = rows.clone();
        swapped.swap(2, 3);
        assert_eq!(check_document("A.md", &swapped.join("\n"))[0].line, 3);
        assert_eq!(check_document("A.md", &rows[..4].join("\n")).len(), 1);
        assert_eq!(check_document("A.md", &format!("{}\n| `attic/` | x |", rows.join("\n"))).len(), 1);
    }
}
