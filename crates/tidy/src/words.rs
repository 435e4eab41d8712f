//! Words that stand for a subject without naming it, counted over all comments and documents.
//!
//! A reader has to guess the noun behind such a word. The ceilings come down to the rates of a project that reads well;
//! there is no list of exceptions.

use std::collections::BTreeMap;

use crate::{Problem, python, rust};

/// Words, and how often they may stand in 1,000 words. The goals are 0.1, 1.6 and 0.1; a ceiling may only become lower.
pub const CEILINGS: &[(&[&str], f64)] = &[(&["who", "whoever"], 0.1), (&["what", "whatever"], 1.6), (&["nobody"], 0.1)];

/// Checks the comments, docs and documents of a tree.
pub fn check(tree: &[(String, String)]) -> Vec<Problem> {
    above(tree, CEILINGS)
}

fn above(tree: &[(String, String)], ceilings: &[(&[&str], f64)]) -> Vec<Problem> {
    let prose: Vec<(&str, String)> =
        tree.iter().filter_map(|(path, text)| Some((path.as_str(), prose(path, text)?))).collect();
    let total: usize = prose.iter().map(|(_, text)| words(text).count()).sum();
    let mut problems = Vec::new();
    for (wanted, ceiling) in ceilings {
        let of = |text: &str| {
            words(text).filter(|word| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted))).count()
        };
        let mut counts: Vec<(usize, &str)> = prose.iter().map(|(path, text)| (of(text), *path)).collect();
        let count: usize = counts.iter().map(|(count, _)| count).sum();
        if rate(count, total) <= *ceiling {
            continue;
        }
        counts.sort_unstable_by(|one, other| other.cmp(one));
        let worst: Vec<String> = counts.iter().take(5).map(|(count, path)| format!("{path} ({count})")).collect();
        let law = format!(
            "words: {} stand {:.2} times in 1,000 words of comments and documents, {ceiling} at most; most in {}",
            wanted.join(", "),
            rate(count, total),
            worst.join(", ")
        );
        problems.push(Problem::new(counts.first().map_or("", |(_, path)| path), 1, law));
    }
    problems
}

/// The rate of each word of the ceilings in 1,000 words.
pub fn rates(tree: &[(String, String)]) -> BTreeMap<&'static str, f64> {
    let prose: Vec<String> = tree.iter().filter_map(|(path, text)| prose(path, text)).collect();
    let total: usize = prose.iter().map(|text| words(text).count()).sum();
    let all = CEILINGS.iter().flat_map(|(wanted, _)| wanted.iter().copied());
    all.map(|wanted| {
        let count = prose.iter().flat_map(|text| words(text)).filter(|word| word.eq_ignore_ascii_case(wanted)).count();
        (wanted, rate(count, total))
    })
    .collect()
}

fn rate(count: usize, total: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(count) * 1000.0 / number(total.max(1))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '\'' && character != '_')
        .filter(|word| word.starts_with(char::is_alphabetic))
}

fn prose(path: &str, text: &str) -> Option<String> {
    match path.rsplit_once('.')?.1 {
        "rs" => Some(rust::comments(text)),
        "py" | "pyi" => Some(python::prose(text)),
        "md" => Some(without_programs(text)),
        _ => None,
    }
}

/// A document without its blocks of code.
fn without_programs(text: &str) -> String {
    let mut is_program = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_program = !is_program;
        } else if !is_program {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_where_they_are_read() {
        let tree = [
            ("a.rs", "//! Who comes.\nlet who = \"who\"; // nobody, what?\n/* whatever */"),
            ("b.py", "\"\"\"Who.\"\"\"\nwho = 'who'  # a who's who\n"),
            ("c.md", "Nobody reads `who`.\n```\nwho\n```\n"),
            ("d.toml", "# who"),
        ];
        let tree: Vec<(String, String)> =
            tree.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        // Twelve words: who comes nobody what whatever; who a who's who; nobody reads who.
        let rates = rates(&tree);
        assert!((rates["who"] - 4.0 * 1000.0 / 12.0).abs() < 0.01, "{rates:?}");
        assert!((rates["nobody"] - 2.0 * 1000.0 / 12.0).abs() < 0.01, "{rates:?}");
        let problems = above(&tree, &[(&["nobody"], 160.0), (&["what"], 90.0)]);
        assert_eq!(
            problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "c.md:1: words: nobody stand 166.67 times in 1,000 words of comments and documents, 160 at most; most in \
                 c.md (1), a.rs (1), b.py (0)"
            ]
        );
    }
}
