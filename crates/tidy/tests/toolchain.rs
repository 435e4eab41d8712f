//! The oldest Rust that the manifests declare is the one that builds everything here: an older one would be a promise without a test.

use std::fs;
use std::path::Path;

#[test]
fn the_declared_version_is_the_one_that_is_built() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.unwrap_or_else(|| panic!("{file} has no {key}")).trim_matches('"').to_owned()
    };
    let built = value("rust-toolchain.toml", "channel");
    for manifest in ["Cargo.toml", "bench/Cargo.toml"] {
        let declared = value(manifest, "rust-version");
        assert!(
            built == declared || built.starts_with(&format!("{declared}.")),
            "{manifest}: {declared}, built with {built}"
        );
    }
}
