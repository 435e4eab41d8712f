//! The page: one file with its own style and script, and a policy that allows these two and no others.

use std::sync::LazyLock;

const PAGE: &str = include_str!("page.html");

/// The page.
pub(super) fn page() -> &'static str {
    PAGE
}

/// The policy of all answers: the style and the script of the page, by their hashes, and questions to this listener.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash =
        |tag: &str| base64(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content_of(tag).as_bytes()).as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("style"),
        hash("script")
    )
});

/// The text between the tags of this element, of which the page has one.
fn content_of(tag: &str) -> &'static str {
    let behind = PAGE.split_once(&format!("<{tag}>")).map_or("", |(_, behind)| behind);
    behind.split_once(&format!("</{tag}>")).map_or("", |(content, _)| content)
}

/// Base64 with padding (RFC 4648 section 4), as policies have it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let of = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = of(0) << 16 | of(1) << 8 | of(2);
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_small_file() {
        assert!(PAGE.len() <= 40 << 10, "{} bytes", PAGE.len());
        assert!(!content_of("style").is_empty() && !content_of("script").is_empty());
        for word in ["http://", "https://", "src=", "href=", "@import", "onclick", "style=", "innerHTML", "eval("] {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(POLICY.starts_with("default-src 'none'; style-src 'sha256-"));
    }

    #[test]
    fn texts_of_rfc_4648() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
