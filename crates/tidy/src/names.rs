//! No type name stands twice in a crate: a name means one thing.
//!
//! Structs, enums, traits, unions and type aliases count, outside tests and functions.

use std::collections::BTreeMap;

use crate::Problem;
use crate::rust::{Source, Token};

/// Names that stand more than once, by crate. The list may only become shorter.
pub const TWICE: &[(&str, &[&str])] = &[("outside", &["Handler", "State", "Task"])];

/// Checks every crate below `crates/`.
pub fn check(tree: &[(String, String)]) -> Vec<Problem> {
    let mut types: BTreeMap<(&str, String), Vec<(&str, usize)>> = BTreeMap::new();
    for (path, text) in tree {
        let Some((name, inside)) = path.strip_prefix("crates/").and_then(|rest| rest.split_once("/src/")) else {
            continue;
        };
        if !inside.ends_with(".rs") || inside.ends_with("tests.rs") || inside.contains("tests/") {
            continue;
        }
        for (line, found) in types_of(&Source::read(inside, text).tokens) {
            types.entry((name, found)).or_default().push((path, line));
        }
    }
    let allowed = |name: &str, found: &str| TWICE.iter().any(|(of, names)| *of == name && names.contains(&found));
    let mut problems = Vec::new();
    for ((name, found), places) in &types {
        if let [(first, _), others @ ..] = places.as_slice()
            && !allowed(name, found)
        {
            problems.extend(others.iter().map(|(path, line)| {
                Problem::new(path, *line, format!("names: the type `{found}` stands in {first} already; name it apart"))
            }));
        }
    }
    for (name, names) in TWICE {
        let is_once = |found: &&&str| types.get(&(*name, (**found).to_owned())).is_none_or(|places| places.len() < 2);
        problems.extend(names.iter().filter(is_once).map(|found| {
            Problem::new(
                "crates/tidy/src/names.rs",
                1,
                format!("names: `{found}` of {name} stands once; take it out of the list"),
            )
        }));
    }
    problems
}

/// Line and name of each type that is declared outside functions and `impl` blocks.
fn types_of(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    // For each open brace whether it belongs to a module.
    let mut braces: Vec<bool> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => braces.push(index >= 2 && tokens[index - 2].text == "mod"),
            "}" => drop(braces.pop()),
            "struct" | "enum" | "trait" | "union" | "type" if braces.iter().all(|&is_module| is_module) => {
                // `union` and `type` are words elsewhere too: a declaration's name begins with a capital.
                if let Some(name) = tokens.get(index + 1)
                    && name.text.starts_with(char::is_uppercase)
                    && !(token.text == "type" && is_same_type(&tokens[index + 2..], &name.text))
                {
                    found.push((name.line, name.text.clone()));
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether an alias means a type of its own name, such as `type Job = crate::executor::Job<Exchange>`.
fn is_same_type(behind: &[Token], name: &str) -> bool {
    behind.iter().take_while(|token| token.text != ";").any(|token| token.text == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(files: &[(&str, &str)]) -> Vec<String> {
        let tree: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let problems = check(&tree).into_iter().filter(|problem| problem.path != "crates/tidy/src/names.rs");
        problems.map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn a_name_that_stands_twice_is_refused() {
        let files = [("crates/a/src/x.rs", "struct State;"), ("crates/a/src/y.rs", "\nenum State {}")];
        assert_eq!(
            laws(&files),
            ["crates/a/src/y.rs:2: names: the type `State` stands in crates/a/src/x.rs already; name it apart"]
        );
        assert_eq!(laws(&[("crates/a/src/x.rs", "mod m { trait T {} } type T = u8;")]).len(), 1);
    }

    #[test]
    fn other_crates_tests_and_inner_types_do_not_count() {
        let files = [
            ("crates/a/src/x.rs", "struct State; impl I for State { type State = u8; } fn f() { struct State; }"),
            ("crates/a/src/y.rs", "#[cfg(test)] mod tests { struct State; }"),
            ("crates/a/src/z.rs", "type State = crate::x::State<u8>;"),
            ("crates/b/src/x.rs", "struct State;"),
            ("crates/a/tests/x.rs", "struct State;"),
        ];
        assert!(laws(&files).is_empty());
    }
}
