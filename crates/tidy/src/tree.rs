//! Finds the files that belong to the project.
//!
//! Everything below the root except files that were built, installed or downloaded. It walks the folders instead of
//! asking git: the tidy test also works in an unpacked archive.

use std::path::Path;
use std::{fs, io};

/// Folders without files written by hand. Hidden folders are left out too, except the ones in `HIDDEN`.
const BUILT: &[&str] = &["target", "work", "artifacts", "coverage", "corpus", "vendor", "node_modules", "__pycache__"];

/// Hidden folders that are part of the project.
const HIDDEN: &[&str] = &[".ci", ".github", ".cargo"];

/// Ends of names that are worth reading; files without an end (Makefile, .ci/run) are read as well.
const READ: &[&str] = &["rs", "py", "pyi", "toml", "md", "mk", "sh", "txt", "yml", "yaml", "json", "lock", "html"];

/// The text files below `root`: their paths relative to it, and their text, in the order of their paths.
pub fn read(root: &Path) -> io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    walk(root, "", &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
            if !hidden && !BUILT.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), found)?;
            }
        } else if kind.is_file() && is_read(&name) {
            // A file that is not text is left out.
            if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
                found.push((path, text));
            }
        }
    }
    Ok(())
}

fn is_read(name: &str) -> bool {
    match name.rsplit_once('.') {
        None => true,
        Some(("", _)) => false,
        Some((_, end)) => READ.contains(&end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_and_hidden_files_are_left_out() {
        assert!(is_read("Makefile") && is_read("lib.rs") && is_read("__init__.py"));
        assert!(!is_read(".gitignore") && !is_read("_outside.so"));
        let root = std::env::temp_dir().join(format!("tidy-{}", std::process::id()));
        for place in ["src/a.rs", "target/b.rs", ".venv/c.py", ".ci/run"] {
            let file = root.join(place);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        let paths: Vec<String> = read(&root).unwrap().into_iter().map(|(path, _)| path).collect();
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(paths, [".ci/run", "src/a.rs"]);
    }
}
