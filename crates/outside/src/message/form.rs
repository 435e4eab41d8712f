//! The fields and files of a form: `application/x-www-form-urlencoded` and `multipart/form-data` (RFC 7578).
//!
//! Works on a complete body in one pass and copies no file: a file is a slice of the content. Every part, header and
//! field is bounded (edge.md S32).

use memchr::memmem;

use super::query::parse_query;
use crate::error::Refusal;

/// What a form may hold at most.
#[derive(Clone, Debug)]
pub struct FormLimits {
    /// Fields that are no files.
    pub fields: usize,
    /// Bytes of one such field.
    pub field_size: usize,
    /// Files.
    pub files: usize,
    /// Header fields of one part.
    pub part_headers: usize,
    /// Bytes of the headers of one part.
    pub part_header_size: usize,
}

impl Default for FormLimits {
    fn default() -> Self {
        Self { fields: 1000, field_size: 500_000, files: 100, part_headers: 8, part_header_size: 4096 }
    }
}

/// A form: fields and files in the order they came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form<'a> {
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// Names and files.
    pub files: Vec<(String, FormFile<'a>)>,
}

/// One uploaded file.
#[derive(Debug, PartialEq, Eq)]
pub struct FormFile<'a> {
    /// The name the client gave it. Never use it as a path: it is the client's word.
    pub filename: String,
    /// The media type the client gave, empty if none.
    pub content_type: String,
    /// Its bytes.
    pub content: &'a [u8],
}

impl<'a> Form<'a> {
    /// Reads a form by its content type; empty for any other type.
    ///
    /// # Errors
    /// 400 for a malformed multipart body, 413 for one past the limits.
    pub fn parse(content_type: Option<&[u8]>, content: &'a [u8], limits: &FormLimits) -> Result<Self, Refusal> {
        let content_type = content_type.unwrap_or_default();
        let kind = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            let fields = parse_query(content, limits.fields + 1);
            return if fields.len() > limits.fields { Err(TOO_MANY) } else { Ok(Self { fields, files: Vec::new() }) };
        }
        if kind.eq_ignore_ascii_case(b"multipart/form-data") {
            let boundary = parameter(content_type, "boundary")
                .filter(|boundary| (1..=70).contains(&boundary.len()))
                .ok_or(Refusal::bad("multipart without a boundary of 1 to 70 characters"))?;
            return Self::parse_multipart(&boundary, content, limits);
        }
        Ok(Self::default())
    }

    fn parse_multipart(boundary: &str, content: &'a [u8], limits: &FormLimits) -> Result<Self, Refusal> {
        let mut form = Self::default();
        let first = format!("--{boundary}");
        let next = format!("\r\n--{boundary}");
        let finder = memmem::Finder::new(next.as_bytes());
        let mut rest = if content.starts_with(first.as_bytes()) {
            &content[first.len()..]
        } else {
            let at = finder.find(content).ok_or(Refusal::bad("multipart without its first boundary"))?;
            &content[at + next.len()..]
        };
        loop {
            if rest.starts_with(b"--") {
                return Ok(form);
            }
            let start = memmem::find(rest, b"\r\n").ok_or(Refusal::bad("multipart boundary line without an end"))?;
            if !rest[..start].trim_ascii().is_empty() {
                return Err(Refusal::bad("multipart boundary line with more than the boundary"));
            }
            // The CRLF of the boundary line belongs to what follows, so that a part without headers is found too.
            let part = &rest[start..];
            let end = finder.find(&part[2..]).ok_or(Refusal::bad("multipart without its last boundary"))? + 2;
            form.take_part(&part[2..end.max(2)], limits)?;
            rest = &part[end + next.len()..];
        }
    }

    fn take_part(&mut self, part: &'a [u8], limits: &FormLimits) -> Result<(), Refusal> {
        let (head, body) = match memmem::find(part, b"\r\n\r\n") {
            _ if part.starts_with(b"\r\n") => (&b""[..], &part[2..]),
            Some(at) => (&part[..at], &part[at + 4..]),
            None => return Err(Refusal::bad("multipart part without the end of its headers")),
        };
        if head.len() > limits.part_header_size {
            return Err(Refusal::new(413, "headers of a multipart part too large"));
        }
        let (mut disposition, mut content_type) = (None, String::new());
        for (count, line) in head.split(|&byte| byte == b'\n').enumerate() {
            if count >= limits.part_headers {
                return Err(Refusal::new(413, "too many headers in a multipart part"));
            }
            let Some(at) = memchr::memchr(b':', line) else { continue };
            let (name, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-disposition") {
                disposition = Some(value);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                content_type = String::from_utf8_lossy(value).into_owned();
            }
        }
        let disposition = disposition.ok_or(Refusal::bad("multipart part without Content-Disposition"))?;
        let name = parameter(disposition, "name").ok_or(Refusal::bad("multipart part without a name"))?;
        match parameter(disposition, "filename") {
            Some(filename) if self.files.len() < limits.files => {
                self.files.push((name, FormFile { filename, content_type, content: body }));
            }
            None if body.len() > limits.field_size => return Err(Refusal::new(413, "form field too large")),
            None if self.fields.len() < limits.fields => {
                self.fields.push((name, String::from_utf8_lossy(body).into_owned()));
            }
            _ => return Err(TOO_MANY),
        }
        Ok(())
    }
}

const TOO_MANY: Refusal = Refusal::new(413, "too many fields or files in a form");

/// A parameter of a field value, `; name=token` or `; name="quoted"` (RFC 9110 section 5.6.6). A backslash quotes only
/// a quote or a backslash: browsers write file names such as `C:\a.txt` as they are.
fn parameter(value: &[u8], wanted: &str) -> Option<String> {
    let mut rest = &value[memchr::memchr(b';', value)?..];
    while let Some(at) = rest.iter().position(|&byte| byte != b';' && !byte.is_ascii_whitespace()) {
        rest = &rest[at..];
        let equals = rest.iter().position(|&byte| byte == b'=' || byte == b';')?;
        let name = rest[..equals].trim_ascii();
        if rest[equals] == b';' {
            rest = &rest[equals..];
            continue;
        }
        rest = &rest[equals + 1..];
        let mut text = Vec::new();
        if rest.first() == Some(&b'"') {
            let mut at = 1;
            while at < rest.len() && rest[at] != b'"' {
                at += usize::from(rest[at] == b'\\' && matches!(rest.get(at + 1), Some(b'"' | b'\\')));
                text.push(rest[at]);
                at += 1;
            }
            rest = rest.get(at + 1..).unwrap_or_default();
        } else {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            text.extend_from_slice(rest[..end].trim_ascii());
            rest = &rest[end..];
        }
        if name.eq_ignore_ascii_case(wanted.as_bytes()) {
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &[u8] = b"multipart/form-data; boundary=\"xYz\"";

    fn parse(content: &[u8]) -> Result<Form<'_>, Refusal> {
        Form::parse(Some(KIND), content, &FormLimits::default())
    }

    #[test]
    fn fields_and_files() {
        let body = b"preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--xYz\r\n\
            content-disposition: form-data; filename=\"C:\\x\\\"y\\\".txt\"; name=f\r\nContent-Type: text/plain\r\n\r\n\
            \r\n--xY\r\n--xYz--\r\nepilogue";
        let form = parse(body).unwrap();
        assert_eq!(form.fields, [("a".into(), "one".into())]);
        let (name, file) = &form.files[0];
        assert_eq!(name, "f");
        assert_eq!(file.filename, "C:\\x\"y\".txt");
        assert_eq!((file.content_type.as_str(), file.content), ("text/plain", &b"\r\n--xY"[..]));
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for body in [
            &b""[..],
            b"--xYz",
            b"--xYz\r\n",
            b"--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\nno end",
            b"--xYz\r\nContent-Disposition: form-data\r\n\r\n\r\n--xYz--",
            b"--xYz\r\n\r\nheadless\r\n--xYz--",
            b"--xYzz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--xYz--",
        ] {
            assert_eq!(parse(body).unwrap_err().status, 400, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn floods_are_refused() {
        let part = "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n";
        let body = part.repeat(1001) + "--xYz--";
        assert_eq!(parse(body.as_bytes()).unwrap_err().status, 413);
        let body = part.repeat(1000) + "--xYz--";
        assert_eq!(parse(body.as_bytes()).unwrap().fields.len(), 1000);
    }
}
