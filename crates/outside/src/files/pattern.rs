//! Names of files: patterns with wildcards, and names that hold a hash of the content.

/// Whether the whole text matches. `*` stands for any characters, slashes included, `?` for one. At worst the time is
/// the product of both lengths; the pattern comes from the programmer.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to continue if the last `*` has to take one character more.
    let mut again = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p + 1, t));
                p += 1;
            }
            Some(&letter) if letter == '?' || letter == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((star, taken)) = again else { return false };
                (p, t) = (star, taken + 1);
                again = Some((star, taken + 1));
            }
        }
    }
    pattern[p..].iter().all(|&letter| letter == '*')
}

/// Whether the name holds a hash of the content as build tools make it: `app.3f2a9c1b.js`, `index-BvN3kX9a.css`. The
/// content of such a file never changes under its name, so clients keep it for a year. A word or a date must not be
/// taken for a hash: it has eight or more characters behind a dot or hyphen, hexadecimal with digits and letters, or
/// with digits and letters of both cases.
pub(super) fn is_hashed_name(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _extension)) = name.rsplit_once('.') else { return false };
    let Some(at) = stem.rfind(['.', '-']).filter(|&at| at > 0) else { return false };
    let hash = &stem[at + 1..];
    let has = |is: fn(&u8) -> bool| hash.bytes().any(|byte| is(&byte));
    let digits = has(u8::is_ascii_digit);
    let is_hexadecimal =
        hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && has(u8::is_ascii_alphabetic);
    let is_mixed = hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase);
    (8..=64).contains(&hash.len()) && digits && (is_hexadecimal || is_mixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("*.js", "a.js", true),
            ("*.js", "deep/a.js", true),
            ("*.js", "a.jsx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("assets/*", "assets/x/y", true),
            ("*a*b", "xxaxxbxb", true),
            ("*a*b", "xxbxxa", false),
            ("**", "x", true),
            ("?", "é", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn hashes_and_words() {
        for name in ["app.3f2a9c1b.js", "index-BvN3kX9a.js", "a/b/style.0123456789abcdef.css", "chunk-a1b2c3d4e5.mjs"] {
            assert!(is_hashed_name(name), "{name}");
        }
        for name in [
            "app.js",
            "jquery.min.js",
            "report-20261122.pdf",
            "my-document.pdf",
            "foo-version10.js",
            "a.defaced1",
            "3f2a9c1b.js",
            "photo-JavaScript.js",
            "x.deadbeef.js",
            "-3f2a9c1b.js",
            "app.3f2a9c1.js",
        ] {
            assert!(!is_hashed_name(name), "{name}");
        }
    }
}
