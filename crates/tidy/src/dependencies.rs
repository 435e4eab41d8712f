//! Each dependency has its reason in ARCHITECTURE.md.
//!
//! Each crate under `[dependencies]` of a manifest has a row in the table there. Crates of this workspace are not
//! counted as dependencies.

use crate::Problem;

/// Checks the manifests of a tree against the document's text.
pub fn check(tree: &[(String, String)], document: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Helpers of tests are in no program, as dev-dependencies are not.
    let is_checked = |path: &str| path.ends_with("/Cargo.toml") && !path.starts_with("crates/test-support/");
    let manifests = tree.iter().filter(|(path, _)| path.starts_with("crates/") && is_checked(path));
    for (path, text) in manifests {
        for (line, name) in dependencies(text) {
            if !document.contains(&format!("\n| `{name}` | ")) {
                let law = format!("dependencies: `{name}` has no row in ARCHITECTURE.md that says why it is there");
                problems.push(Problem::new(path, line, law));
            }
        }
    }
    problems
}

/// Lines and names of the crates under `[dependencies]`, without crates that are given by a path.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && !value.contains("path =")
        {
            found.push((index + 1, name.trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_refused() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nbytes = \"1\"\nb = { path = \"../b\" }\nserde = \"1\"\n\n[dev-dependencies]\nhyper = \"1\"\n";
        let tree = [("crates/a/Cargo.toml".to_owned(), manifest.to_owned())];
        let problems = check(&tree, "| crate | why |\n|---|---|\n| `bytes` | slices |\n");
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            ["crates/a/Cargo.toml:7: dependencies: `serde` has no row in ARCHITECTURE.md that says why it is there"]
        );
    }
}
