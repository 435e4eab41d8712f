//! FieldParameters of a field value: `; name=token`, `; name="quoted"` (RFC 9110 section 5.6.6), `;
//! name*=charset'language'encoded` (RFC 8187), and values that are split into sections (RFC 2231 section 3).
//!
//! Time and memory grow linearly with the length of the value.

use std::str;

use percent_encoding::percent_decode;

/// The first parameter of this name, in any case of letters; `name*` is a different name.
pub(crate) fn parameter(value: &[u8], wanted: &str) -> Option<String> {
    let found = FieldParameters::of(value).find(|parameter| parameter.name.eq_ignore_ascii_case(wanted.as_bytes()))?;
    Some(String::from_utf8_lossy(&found.text()).into_owned())
}

/// The same in any of the forms that clients write: `name*` takes precedence (RFC 6266 section 4.3), then sections,
/// then `name`. RFC 7578 section 4.2 rules out the first two in multipart forms, but clients send them.
pub(crate) fn text_parameter(value: &[u8], wanted: &str) -> Option<String> {
    let (mut plain, mut extended, mut sections) = (None, None, Sections::default());
    for parameter in FieldParameters::of(value) {
        let Some((name, rest)) = parameter.name.split_at_checked(wanted.len()) else { continue };
        if !name.eq_ignore_ascii_case(wanted.as_bytes()) {
            continue;
        }
        match rest {
            [] if plain.is_none() => plain = Some(parameter.text()),
            b"*" if extended.is_none() => extended = Some(parameter.text()),
            [b'*', section @ ..] if !section.is_empty() => sections.add(section, &parameter),
            _ => {}
        }
    }
    let extended = extended.map(|text| Extended::of(&text).decode());
    match (extended, plain) {
        (Some(Ok(text)), _) => Some(text),
        _ if sections.count > 0 => Some(sections.charset.decode(&sections.bytes)),
        (_, Some(plain)) => Some(String::from_utf8_lossy(&plain).into_owned()),
        (Some(Err(as_written)), None) => Some(as_written),
        (None, None) => None,
    }
}

/// A parameter as written in its field.
struct FieldParameter<'a> {
    name: &'a [u8],
    value: &'a [u8],
    is_quoted: bool,
}

impl FieldParameter<'_> {
    /// The value without its quotes. A backslash only quotes a quote or a backslash, because browsers do not escape
    /// file names such as `C:\a.txt`.
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.value.len());
        let mut rest = self.value;
        while let [byte, behind @ ..] = rest {
            rest = match (byte, behind) {
                (b'\\', [quoted @ (b'"' | b'\\'), behind @ ..]) if self.is_quoted => {
                    text.push(*quoted);
                    behind
                }
                _ => {
                    text.push(*byte);
                    behind
                }
            };
        }
        text
    }
}

/// The parameters of a field value in order.
struct FieldParameters<'a>(&'a [u8]);

impl<'a> FieldParameters<'a> {
    fn of(value: &'a [u8]) -> Self {
        Self(memchr::memchr(b';', value).map_or(&[], |at| &value[at..]))
    }
}

impl<'a> Iterator for FieldParameters<'a> {
    type Item = FieldParameter<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.0.iter().position(|&byte| byte != b';' && !byte.is_ascii_whitespace())?;
            let rest = &self.0[at..];
            let equals = rest.iter().position(|&byte| byte == b'=' || byte == b';')?;
            let (name, behind) = (rest[..equals].trim_ascii(), &rest[equals + 1..]);
            if rest[equals] == b';' {
                self.0 = behind;
                continue;
            }
            let is_quoted = behind.first() == Some(&b'"');
            let value = if is_quoted {
                let end = end_of_quoted(behind);
                self.0 = behind.get(end + 1..).unwrap_or_default();
                &behind[1..end]
            } else {
                let end = memchr::memchr(b';', behind).unwrap_or(behind.len());
                self.0 = &behind[end..];
                behind[..end].trim_ascii()
            };
            return Some(FieldParameter { name, value, is_quoted });
        }
    }
}

/// The position of the quote that ends a quoted text; the end of the text if there is none.
fn end_of_quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' && matches!(text.get(at + 1), Some(b'"' | b'\\')) { 2 } else { 1 };
    }
    at.min(text.len())
}

/// The character encodings that clients are known to use; others are not guessed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Charset {
    #[default]
    Utf8,
    Latin1,
    Unknown,
}

impl Charset {
    fn of(name: &[u8]) -> Self {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"utf-8") || is(b"us-ascii") || is(b"ascii") {
            Self::Utf8
        } else if is(b"iso-8859-1") {
            Self::Latin1
        } else {
            Self::Unknown
        }
    }

    fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Latin1 => bytes.iter().map(|&byte| char::from(byte)).collect(),
            Self::Utf8 | Self::Unknown => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// The value of an extended parameter (RFC 8187 section 3.2.1): `charset'language'encoded`.
struct Extended<'a> {
    charset: Charset,
    encoded: &'a [u8],
}

impl<'a> Extended<'a> {
    fn of(text: &'a [u8]) -> Self {
        let mut parts = text.splitn(3, |&byte| byte == b'\'');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(charset), Some(_), Some(encoded)) => Self { charset: Charset::of(charset), encoded },
            _ => Self { charset: Charset::Unknown, encoded: text },
        }
    }

    /// The text; as an error the undecoded bytes, if the encoding is unknown.
    fn decode(&self) -> Result<String, String> {
        match self.charset {
            Charset::Unknown => Err(String::from_utf8_lossy(self.encoded).into_owned()),
            charset => Ok(charset.decode(&percent_decode(self.encoded).collect::<Vec<u8>>())),
        }
    }
}

/// A value in several sections: `name*0`, `name*1` and so on; an encoded section ends in `*`.
#[derive(Default)]
struct Sections {
    count: usize,
    charset: Charset,
    bytes: Vec<u8>,
}

impl Sections {
    /// Adds the next section; ignores one out of order.
    fn add(&mut self, section: &[u8], parameter: &FieldParameter<'_>) {
        let (number, is_encoded) = match section {
            [number @ .., b'*'] => (number, true),
            number => (number, false),
        };
        if str::from_utf8(number).ok().and_then(|number| number.parse().ok()) != Some(self.count) {
            return;
        }
        let text = parameter.text();
        match (is_encoded, self.count) {
            (true, 0) => {
                let extended = Extended::of(&text);
                self.charset = extended.charset;
                self.bytes.extend(percent_decode(extended.encoded));
            }
            (true, _) => self.bytes.extend(percent_decode(&text)),
            (false, _) => self.bytes.extend_from_slice(&text),
        }
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_however_it_was_written() {
        for (value, wanted) in [
            ("form-data; filename=a.txt", Some("a.txt")),
            ("form-data; filename=\"a;b\\\"c\\\\d\\e.txt\"", Some("a;b\"c\\d\\e.txt")),
            ("form-data; filename=\"no end", Some("no end")),
            ("form-data; filename*=utf-8''%E2%82%AC.txt", Some("€.txt")),
            ("form-data; FILENAME*=UTF-8'en'a%20b", Some("a b")),
            ("form-data; filename*=\"utf-8''a%20b\"", Some("a b")),
            ("form-data; filename*=iso-8859-1''%E9", Some("é")),
            ("form-data; filename*=utf-8''%ff", Some("\u{fffd}")),
            ("form-data; filename*=utf-8''100%", Some("100%")),
            ("form-data; filename*=utf-8''", Some("")),
            ("form-data; filename*=utf-16''%41", Some("%41")),
            ("form-data; filename*=a%20b", Some("a%20b")),
            // An encoded value takes precedence at any position; in an unknown character encoding it counts least.
            ("form-data; filename=\"_.txt\"; filename*=utf-8''%E2%82%AC.txt", Some("€.txt")),
            ("form-data; filename*=utf-8''%E2%82%AC.txt; filename=\"_.txt\"", Some("€.txt")),
            ("form-data; filename=a.txt; filename*=utf-16''%41", Some("a.txt")),
            ("form-data; filename*0=\"a \"; filename*1=b", Some("a b")),
            ("form-data; filename*0*=utf-8''%E2%82; filename*1*=%AC; filename*2=\".txt\"", Some("€.txt")),
            ("form-data; filename*1=b; filename*0=a", Some("a")),
            ("form-data; filename**=a; filename*x=b", None),
            ("form-data; filenames*=utf-8''a; xfilename=b", None),
            ("form-data; filename", None),
        ] {
            assert_eq!(text_parameter(value.as_bytes(), "filename").as_deref(), wanted, "{value}");
        }
    }

    #[test]
    fn a_plain_parameter_is_that_name_alone() {
        for (value, wanted) in [
            ("a/b; boundary=x", Some("x")),
            ("a/b; charset=utf-8;; Boundary =\"x y\"", Some("x y")),
            ("a/b; boundary*=utf-8''x", None),
            ("a/b; boundary*0=x", None),
        ] {
            assert_eq!(parameter(value.as_bytes(), "boundary").as_deref(), wanted, "{value}");
        }
    }
}
