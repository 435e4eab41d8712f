//! Python source as far as the laws need it: its imports, its comments and its docstrings.

/// The imports of every file below `root`, which is where its packages lie: file, line, and the file that is imported.
pub fn imported(root: &str, tree: &[(String, String)]) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    let files = || tree.iter().filter(|(path, _)| path.starts_with(root) && path.ends_with(".py"));
    let file_of = |module: &[String]| {
        let base = format!("{root}{}", module.join("/"));
        // The stub stands for a compiled module.
        [format!("{base}.py"), format!("{base}/__init__.py"), format!("{base}.pyi")]
            .into_iter()
            .find(|candidate| tree.iter().any(|(path, _)| path == candidate))
    };
    for (path, text) in files() {
        let mut package: Vec<String> = path[root.len()..].split('/').map(str::to_owned).collect();
        package.pop();
        for (line, module, names) in imports(text, &package) {
            // Each name may be a module of the package, or a name in the package itself.
            let mut targets: Vec<String> = Vec::new();
            for name in &names {
                let whole: Vec<String> = module.iter().chain([name]).cloned().collect();
                targets.extend(file_of(&whole).or_else(|| file_of(&module)));
            }
            if names.is_empty() {
                targets.extend(file_of(&module));
            }
            for to in targets.into_iter().filter(|to| to != path) {
                found.push((path.clone(), line, to));
            }
        }
    }
    found
}

/// Line, module and names of the imports that run when the file is imported.
fn imports(text: &str, package: &[String]) -> Vec<(usize, Vec<String>, Vec<String>)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut statement = line.split('#').next().unwrap_or("").to_owned();
        if statement.contains('(') && statement.starts_with("from ") {
            while !statement.contains(')') {
                let Some((_, more)) = lines.next() else { break };
                statement.push_str(more.split('#').next().unwrap_or(""));
            }
        }
        if let Some(rest) = statement.strip_prefix("from ")
            && let Some((module, names)) = rest.split_once(" import ")
        {
            let names = names.trim_matches(|character: char| "() ".contains(character)).split(',');
            let names = names.filter_map(|name| name.split_whitespace().next()).map(str::to_owned).collect();
            found.push((index + 1, resolved(module.trim(), package), names));
        } else if let Some(rest) = statement.strip_prefix("import ") {
            for module in rest.split(',').filter_map(|name| name.split_whitespace().next()) {
                found.push((index + 1, resolved(module, package), Vec::new()));
            }
        }
    }
    found
}

/// The parts of a module's name, leading dots resolved against the package.
fn resolved(module: &str, package: &[String]) -> Vec<String> {
    let bare = module.trim_start_matches('.');
    let parts = bare.split('.').filter(|part| !part.is_empty()).map(str::to_owned);
    match module.len() - bare.len() {
        0 => parts.collect(),
        dots => {
            let kept = (package.len() + 1).saturating_sub(dots);
            package[..kept].iter().cloned().chain(parts).collect()
        }
    }
}

/// The comments and docstrings of a file.
pub fn prose(text: &str) -> String {
    let mut found = String::new();
    let mut before = ":".to_owned();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let code = line.trim();
        let quote = ["\"\"\"", "r\"\"\""].into_iter().find(|quote| code.starts_with(quote));
        if let (Some(quote), true) = (quote, before.ends_with(':')) {
            let mut rest = code[quote.len()..].to_owned();
            while !rest.contains("\"\"\"") {
                let Some(more) = lines.next() else { break };
                rest.push('\n');
                rest.push_str(more);
            }
            found.push_str(rest.split("\"\"\"").next().unwrap_or(""));
            found.push('\n');
            before.clear();
            continue;
        }
        if let Some(comment) = comment_of(code) {
            found.push_str(comment);
            found.push('\n');
        }
        if !code.is_empty() && !code.starts_with('#') {
            before = code.to_owned();
        }
    }
    found
}

/// The text behind a `#` that is in no string.
fn comment_of(line: &str) -> Option<&str> {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character == '"' || character == '\'' => quote = Some(character),
            None if character == '#' => return Some(&line[at + 1..]),
            None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_lead_to_files() {
        let files = [
            ("python/p/__init__.py", "from .a import A as A\nimport os\n"),
            ("python/p/a.py", "from . import b, C\nfrom .q import (\n    r,  # first\n    s,\n)\n"),
            ("python/p/b.py", "def f():\n    from . import a\nif TYPE_CHECKING:\n    from .a import A\n"),
            ("python/p/q/__init__.py", ""),
            ("python/p/q/r.py", "from ..b import x\nimport p.a\n"),
        ];
        let tree: Vec<(String, String)> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let found = imported("python/", &tree);
        let found: Vec<String> =
            found.iter().map(|(from, line, to)| format!("{}:{line} {}", &from[9..], &to[9..])).collect();
        assert_eq!(
            found,
            [
                "__init__.py:1 a.py",
                "a.py:1 b.py",
                "a.py:1 __init__.py",
                "a.py:2 q/r.py",
                "a.py:2 q/__init__.py",
                "q/r.py:1 b.py",
                "q/r.py:2 a.py"
            ]
        );
    }

    #[test]
    fn comments_and_docstrings_are_prose() {
        let text = "#!/x\n\"\"\"One.\n\nTwo.\"\"\"\nx = \"# no\"  # three\ny = '''\n'''\nf(\n    \"\"\"no\"\"\")\ndef f():\n    \"\"\"Four.\"\"\"\n";
        let words: Vec<String> = prose(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["!/x", "One.", "Two.", "three", "Four."]);
    }
}
