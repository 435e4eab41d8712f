//! The laws of a single file.
//!
//! A doc at the head of each module, at most 450 lines, no `unwrap()` outside tests, no path of a developer's machine,
//! no host of a package registry.

use crate::Problem;
use crate::rust;

/// Lines that a source file may have.
pub const MOST_LINES: usize = 450;

/// Files that may be longer, each with the reason. Tables only: code is divided instead.
pub const LONG: &[(&str, &str)] = &[
    ("crates/outside/src/config/keys.rs", "a table: one entry for each key"),
    ("python/outside/_outside.pyi", "a table: one entry for each compiled name"),
];

/// Folders of one machine. Written in pieces, so that this file keeps its own law.
const MACHINE_FOLDERS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// Hosts of package registries: a mirror may stand in their place, so no file of the project names one.
const REGISTRIES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

/// Checks one file; its name decides which laws it has.
pub fn check(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = places(path, text);
    let is_rust = path.ends_with(".rs");
    let is_python = path.ends_with(".py") || path.ends_with(".pyi");
    if is_rust || is_python {
        problems.extend(module_doc(path, text, is_rust));
        problems.extend(length(path, text));
    }
    if is_rust && !is_test_file(path) {
        problems.extend(unwraps(path, text));
    }
    problems
}

/// Checks that each exemption is still needed.
pub fn check_exemptions(tree: &[(String, String)]) -> Vec<Problem> {
    let needed = |name: &str| tree.iter().any(|(path, text)| path == name && text.lines().count() > MOST_LINES);
    let stale = LONG.iter().filter(|(name, _)| !needed(name));
    stale
        .map(|(name, _)| Problem::new(name, 1, "length: the exemption in crates/tidy/src/files.rs is not needed"))
        .collect()
}

/// Lines above which a file is long; `LONG_SHARE` percent of the source files may be long.
const LONG_LINES: usize = 400;
/// Percent of all source files that may be long.
const LONG_SHARE: usize = 5;

/// Checks that few files are long, even if none is too long.
pub fn check_long(tree: &[(String, String)]) -> Option<Problem> {
    let is_source = |path: &str| [".rs", ".py", ".pyi"].iter().any(|end| path.ends_with(end));
    let sources: Vec<_> = tree.iter().filter(|(path, _)| is_source(path)).collect();
    let mut long: Vec<(usize, &str)> =
        sources.iter().map(|(path, text)| (text.lines().count(), path.as_str())).collect();
    long.retain(|(lines, _)| *lines > LONG_LINES);
    long.sort_unstable();
    let (_, longest) = *long.last()?;
    let law = format!(
        "length: {} of {} files are above {LONG_LINES} lines, {LONG_SHARE} in a hundred may be",
        long.len(),
        sources.len()
    );
    (long.len() * 100 > sources.len() * LONG_SHARE).then(|| Problem::new(longest, 1, law))
}

fn module_doc(path: &str, text: &str, is_rust: bool) -> Option<Problem> {
    let mut lines = text.lines().map(str::trim);
    let documented = if is_rust {
        lines.find(|line| !line.is_empty()).is_some_and(|line| line.starts_with("//!"))
    } else {
        // A shebang and comments may stand before a docstring.
        let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        first.is_some_and(|line| line.starts_with("\"\"\"") || line.starts_with("r\"\"\""))
    };
    (!documented)
        .then(|| Problem::new(path, 1, "module doc: say at the head of the file what this room does and must not do"))
}

fn length(path: &str, text: &str) -> Option<Problem> {
    let lines = text.lines().count();
    let exempt = LONG.iter().any(|(name, _)| *name == path);
    let law = format!("length: {lines} lines, {MOST_LINES} at most; divide it by what its parts do");
    (lines > MOST_LINES && !exempt).then(|| Problem::new(path, MOST_LINES + 1, law))
}

/// Files that only a test build compiles.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| matches!(part, "tests" | "benches" | "test-support"))
}

fn unwraps(path: &str, text: &str) -> Vec<Problem> {
    let tokens = rust::Source::read(path, text).tokens;
    let calls = tokens.windows(4).filter(|window| {
        let [dot, name, open, close] = window else { return false };
        dot.text == "." && name.text == "unwrap" && open.text == "(" && close.text == ")"
    });
    calls
        .map(|window| Problem::new(path, window[1].line, "unwrap: handle it, or say why it holds with expect()"))
        .collect()
}

/// Searches comments and strings too: a path of one machine is as wrong there.
fn places(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if MACHINE_FOLDERS.iter().any(|folder| names_folder(line, folder)) {
            problems.push(Problem::new(path, index + 1, "paths: this is a path of one machine"));
        }
        // Lock files are written by cargo, which names its index in them.
        if !path.ends_with(".lock") && REGISTRIES.iter().any(|host| line.contains(host)) {
            problems.push(Problem::new(path, index + 1, "registries: this is a host of a package registry"));
        }
    }
    problems
}

/// Whether the folder stands at the start of an absolute path, with something below it: `example.com/home/` is none.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(place, _)| {
        let before = line[..place].chars().next_back();
        let after = line[place + folder.len()..].chars().next();
        let starts = before.is_none_or(|character| {
            !character.is_alphanumeric() && !matches!(character, '.' | '_' | '-' | '/' | '}' | ')')
        });
        starts && after.is_some_and(|character| character.is_ascii_lowercase() || character == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laws(path: &str, text: &str) -> Vec<String> {
        check(path, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_module_doc_is_asked_for() {
        assert!(laws("a.rs", "\n//! It does.\n").is_empty());
        assert!(laws("a.py", "#!/usr/bin/env python3\n\"\"\"What it does.\"\"\"\n").is_empty());
        for (path, text) in [("a.rs", "use x;"), ("a.rs", ""), ("a.rs", "// What"), ("a.py", "import x"), ("a.pyi", "")]
        {
            assert_eq!(laws(path, text).len(), 1, "{path} {text:?}");
        }
        assert!(laws("a.toml", "").is_empty());
    }

    #[test]
    fn long_files_are_refused() {
        let lines = |count: usize| format!("//! Doc.\n{}", "\n".repeat(count - 1));
        assert!(laws("a.rs", &lines(MOST_LINES)).is_empty());
        assert_eq!(
            laws("a.rs", &lines(MOST_LINES + 1)),
            ["a.rs:451: length: 451 lines, 450 at most; divide it by what its parts do"]
        );
        assert!(laws("a.md", &lines(MOST_LINES + 1)).is_empty());
    }

    #[test]
    fn few_files_are_long() {
        let tree = |long: usize| -> Vec<(String, String)> {
            (0..20).map(|number| (format!("{number}.rs"), "\n".repeat(if number < long { 401 } else { 400 }))).collect()
        };
        assert!(check_long(&tree(0)).is_none() && check_long(&tree(1)).is_none());
        let problem = check_long(&tree(2)).unwrap().to_string();
        assert_eq!(problem, "1.rs:1: length: 2 of 20 files are above 400 lines, 5 in a hundred may be");
    }

    #[test]
    fn unwrap_is_refused_outside_tests() {
        let text = "//! Doc.\nfn f() {\n    g().unwrap();\n}\n";
        assert_eq!(laws("src/a.rs", text), ["src/a.rs:3: unwrap: handle it, or say why it holds with expect()"]);
        assert!(laws("tests/a.rs", text).is_empty());
        assert!(laws("src/a/tests.rs", text).is_empty());
        assert!(
            laws("src/a.rs", "//! Doc.\n#[test]\nfn f() { g().unwrap(); }\n/// x.unwrap()\nfn h() { i.unwrap_or(1); }")
                .is_empty()
        );
    }

    #[test]
    fn places_of_one_machine_are_refused() {
        let home = MACHINE_FOLDERS[1];
        for (line, found) in [
            (format!("open(\"{home}somebody/file\")"), 1),
            (format!("# see {}x", MACHINE_FOLDERS[0]), 1),
            (format!("https://example.com{home}page"), 0),
            (format!("set_route(\"{home}\")"), 0),
            (format!("https://{}/x", REGISTRIES[0]), 1),
        ] {
            assert_eq!(laws("notes.md", &line).len(), found, "{line}");
        }
        assert!(laws("Cargo.lock", REGISTRIES[0]).is_empty());
    }
}
