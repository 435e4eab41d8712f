//! The tidy check of this repository.

use std::path::Path;

#[test]
fn the_tree_keeps_its_laws() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let tree = tidy::tree::read(&root).unwrap();
    // A walk that finds nothing would find no problem either.
    for must in ["crates/outside/src/lib.rs", "python/outside/__init__.py", "Makefile", ".ci/run", "ARCHITECTURE.md"] {
        assert!(tree.iter().any(|(path, _)| path == must), "{must} was not read");
    }
    let problems = tidy::check(&tree);
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{} problems:\n{}", lines.len(), lines.join("\n"));
}

/// Not a check: `cargo test -p tidy rates -- --ignored --nocapture` shows how often the words of `words::CEILINGS` stand.
#[test]
#[ignore = "shows numbers"]
fn rates() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (word, rate) in tidy::words::rates(&tidy::tree::read(&root).unwrap()) {
        println!("{word}: {rate:.2} in 1,000 words");
    }
}
