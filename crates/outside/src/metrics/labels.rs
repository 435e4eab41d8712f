//! Labels in the text format of Prometheus: names and values between braces, the values quoted.

/// Bytes of a label's value; longer ones are cut.
const LONGEST_VALUE: usize = 256;

/// The text between the braces.
pub(crate) fn labels_text<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        push_escaped(&mut text, cut(value));
        text.push('"');
    }
    text
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(LONGEST_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// The format has three escapes, and no other byte has a meaning within quotes.
fn push_escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            character => text.push(character),
        }
    }
}

/// The value of a label in such a text; empty if there is none.
pub(crate) fn label_of(labels: &str, name: &str) -> String {
    let mut rest = labels;
    while let Some((found, behind)) = rest.split_once("=\"") {
        let (value, length) = unescaped(behind);
        if found == name {
            return value;
        }
        rest = behind.get(length..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    String::new()
}

/// The value up to the closing quote, and the bytes up to behind that.
fn unescaped(quoted: &str) -> (String, usize) {
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, at + 1),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            letter => value.push(letter),
        }
    }
    (value, quoted.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_injection() {
        for value in ["plain", "a\"b", "a\\", "\\\"}\n# HELP x", "b=\"c\",d=\"e", "é\u{2028}", ""] {
            let text = labels_text([("first", "1"), ("route", value), ("last", "9")]);
            assert!(!text.contains('\n'), "{text}");
            assert_eq!(label_of(&text, "route"), value, "{text}");
            assert_eq!(label_of(&text, "last"), "9", "{text}");
        }
        assert_eq!(label_of("a=\"b\"", "c"), "");
        assert_eq!(labels_text([]), "");
        assert!(labels_text([("a", &*"é".repeat(500))]).len() < 300);
    }
}
