//! `multipart/form-data` piece by piece (RFC 7578, RFC 2046 section 5.1): bytes in, parts out. Keeps only a tail
//! shorter than a boundary, or the headers of one part.
//!
//! Bytes that are not understood yet stay with the caller, which passes them again with more behind them. Parts,
//! headers and fields are bounded (docs/security.md S32); time grows linearly with the input.

use memchr::memmem::{self, Finder};

use super::field_parameter::{parameter, text_parameter};
use crate::error::Refusal;
use crate::message::{FormLimits, is_token};

/// The longest boundary (RFC 2046 section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

/// The next event in the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MultipartEvent<'a> {
    /// A part begins.
    Part(PartHead),
    /// Some of its content.
    Content(&'a [u8]),
    /// A part has ended.
    PartEnd,
    /// The form has ended; bytes behind it are ignored.
    End,
}

/// The headers of a part that forms use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PartHead {
    pub(crate) name: String,
    /// A part with a file name is a file.
    pub(crate) filename: Option<String>,
    /// Empty if missing.
    pub(crate) content_type: String,
    /// All header lines of a file as they were received; empty for a field.
    pub(crate) lines: Box<[u8]>,
}

/// Reads the content of one form.
#[derive(Debug)]
pub(crate) struct MultipartReader<'l> {
    /// CRLF, two hyphens and the boundary.
    delimiter: Finder<'static>,
    limits: &'l FormLimits,
    state: MultipartState,
    /// Bytes of unfinished headers that were searched for their end.
    scanned: usize,
    fields: usize,
    files: usize,
    /// Bytes that the current field may still have; `None` in a file.
    left: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MultipartState {
    /// The first boundary may come without its CRLF.
    Start,
    Preamble,
    /// Behind a boundary.
    Boundary,
    /// Behind white space behind a boundary.
    Padding,
    Head,
    /// The CRLF that ends the headers may be that of the next boundary.
    ContentStart,
    Content,
    Epilogue,
}

impl<'l> MultipartReader<'l> {
    /// A reader for content of this type; 400 if it names no usable boundary.
    pub(crate) fn new(content_type: &[u8], limits: &'l FormLimits) -> Result<Self, Refusal> {
        let boundary = parameter(content_type, "boundary")
            .filter(|boundary| (1..=LONGEST_BOUNDARY).contains(&boundary.len()))
            .ok_or(Refusal::bad("multipart without a boundary of 1 to 70 characters"))?;
        let delimiter = Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned();
        Ok(Self { delimiter, limits, state: MultipartState::Start, scanned: 0, fields: 0, files: 0, left: None })
    }

    /// The next event; `None` when more input is needed. Removes the understood bytes from the front of `input`.
    pub(crate) fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<MultipartEvent<'a>>, Refusal> {
        let delimiter_length = self.delimiter.needle().len();
        loop {
            match self.state {
                MultipartState::Start | MultipartState::ContentStart => match self.begins_with_boundary(input) {
                    None => return Ok(None),
                    Some(true) => {
                        let was_part = self.state == MultipartState::ContentStart;
                        take(input, delimiter_length - 2);
                        self.state = MultipartState::Boundary;
                        if was_part {
                            return Ok(Some(MultipartEvent::PartEnd));
                        }
                    }
                    Some(false) => {
                        self.state = if self.state == MultipartState::Start {
                            MultipartState::Preamble
                        } else {
                            MultipartState::Content
                        };
                    }
                },
                MultipartState::Preamble => match self.delimiter.find(input) {
                    Some(at) => {
                        take(input, at + delimiter_length);
                        self.state = MultipartState::Boundary;
                    }
                    None => {
                        take(input, input.len().saturating_sub(delimiter_length - 1));
                        return Ok(None);
                    }
                },
                MultipartState::Boundary => match **input {
                    [b'-', b'-', ..] => {
                        take(input, 2);
                        self.state = MultipartState::Epilogue;
                        return Ok(Some(MultipartEvent::End));
                    }
                    [] | [b'-'] => return Ok(None),
                    _ => self.state = MultipartState::Padding,
                },
                MultipartState::Padding => {
                    let padding = input.iter().take_while(|&&byte| matches!(byte, b' ' | b'\t')).count();
                    take(input, padding);
                    match **input {
                        [b'\r', b'\n', ..] => {
                            take(input, 2);
                            self.scanned = 0;
                            self.state = MultipartState::Head;
                        }
                        [] | [b'\r'] => return Ok(None),
                        _ => return Err(Refusal::bad("multipart boundary line with more than the boundary")),
                    }
                }
                MultipartState::Head => {
                    let Some(head) = self.take_head(input)? else { return Ok(None) };
                    self.count(&head)?;
                    self.state = MultipartState::ContentStart;
                    return Ok(Some(MultipartEvent::Part(head)));
                }
                MultipartState::Content => {
                    let length = match self.delimiter.find(input) {
                        Some(0) => {
                            take(input, delimiter_length);
                            self.state = MultipartState::Boundary;
                            return Ok(Some(MultipartEvent::PartEnd));
                        }
                        Some(at) => at,
                        None => input.len().saturating_sub(delimiter_length - 1),
                    };
                    if length == 0 {
                        return Ok(None);
                    }
                    if let Some(left) = &mut self.left {
                        *left = left.checked_sub(length).ok_or(FIELD_TOO_LARGE)?;
                    }
                    return Ok(Some(MultipartEvent::Content(take(input, length))));
                }
                MultipartState::Epilogue => {
                    take(input, input.len());
                    return Ok(None);
                }
            }
        }
    }

    /// Ends the input; an error if the form is incomplete.
    pub(crate) fn finish(&self) -> Result<(), Refusal> {
        match self.state {
            MultipartState::Epilogue => Ok(()),
            MultipartState::Start | MultipartState::Preamble => {
                Err(Refusal::bad("multipart without its first boundary"))
            }
            _ => Err(Refusal::bad("multipart without its last boundary")),
        }
    }

    /// `None` while there are too few bytes to decide.
    fn begins_with_boundary(&self, input: &[u8]) -> Option<bool> {
        let boundary = &self.delimiter.needle()[2..];
        if input.len() < boundary.len() {
            return if boundary.starts_with(input) { None } else { Some(false) };
        }
        Some(input.starts_with(boundary))
    }

    fn take_head(&mut self, input: &mut &[u8]) -> Result<Option<PartHead>, Refusal> {
        if input.starts_with(b"\r\n") {
            return Err(Refusal::bad("multipart part without Content-Disposition"));
        }
        let Some(at) = memmem::find(&input[self.scanned..], b"\r\n\r\n") else {
            let longest = self.limits.part_headers.saturating_mul(self.limits.part_header_size.saturating_add(2));
            if input.len() > longest.saturating_add(2) {
                return Err(HEADER_TOO_LARGE);
            }
            self.scanned = input.len().saturating_sub(3);
            return Ok(None);
        };
        let head = take(input, self.scanned + at);
        take(input, 4);
        self.read_head(head).map(Some)
    }

    fn read_head(&self, lines: &[u8]) -> Result<PartHead, Refusal> {
        let mut head = lines;
        let (mut disposition, mut content_type, mut count) = (None, None, 0);
        while !head.is_empty() {
            let end = memmem::find(head, b"\r\n").unwrap_or(head.len());
            let line = &head[..end];
            head = head.get(end + 2..).unwrap_or_default();
            count += 1;
            if count > self.limits.part_headers {
                return Err(Refusal::new(413, "too many headers in a part of a multipart form"));
            }
            if line.len() > self.limits.part_header_size {
                return Err(HEADER_TOO_LARGE);
            }
            let at = memchr::memchr(b':', line).ok_or(Refusal::bad("multipart header without a colon"))?;
            let (name, value) = (&line[..at], line[at + 1..].trim_ascii());
            if !is_token(name) || memchr::memchr3(b'\r', b'\n', 0, value).is_some() {
                return Err(Refusal::bad("multipart header that is malformed"));
            }
            let known = if name.eq_ignore_ascii_case(b"content-disposition") {
                &mut disposition
            } else if name.eq_ignore_ascii_case(b"content-type") {
                &mut content_type
            } else {
                continue;
            };
            if known.replace(value).is_some() {
                return Err(Refusal::bad("multipart header that is repeated"));
            }
        }
        let disposition = disposition.ok_or(Refusal::bad("multipart part without Content-Disposition"))?;
        let kind = disposition.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if !kind.eq_ignore_ascii_case(b"form-data") {
            return Err(Refusal::bad("multipart part that is not form-data"));
        }
        let filename = text_parameter(disposition, "filename");
        Ok(PartHead {
            name: text_parameter(disposition, "name").ok_or(Refusal::bad("multipart part without a name"))?,
            lines: if filename.is_some() { lines.into() } else { Box::default() },
            filename,
            content_type: String::from_utf8_lossy(content_type.unwrap_or_default()).into_owned(),
        })
    }

    fn count(&mut self, head: &PartHead) -> Result<(), Refusal> {
        if head.filename.is_some() {
            self.left = None;
            self.files += 1;
            if self.files > self.limits.files {
                return Err(Refusal::limit(413, "too many files in a form", "max_form_files"));
            }
        } else {
            self.left = Some(self.limits.field_size);
            self.fields += 1;
            if self.fields > self.limits.fields {
                return Err(TOO_MANY_FIELDS);
            }
        }
        Ok(())
    }
}

pub(crate) const TOO_MANY_FIELDS: Refusal = Refusal::limit(413, "too many fields in a form", "max_form_fields");
pub(crate) const FIELD_TOO_LARGE: Refusal =
    Refusal::limit(413, "a field of a form is too large", "max_form_field_size");
const HEADER_TOO_LARGE: Refusal = Refusal::new(413, "a header in a part of a multipart form is too large");

/// Takes this number of bytes off the front.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &[u8] = b"multipart/form-data; boundary=\"xYz\"";

    /// The events for content that arrives in pieces of this size: one word for each part or fault.
    fn read(content: &[u8], step: usize) -> Result<Vec<String>, Refusal> {
        let limits = FormLimits::default();
        let mut reader = MultipartReader::new(KIND, &limits)?;
        let (mut seen, mut held) = (Vec::<String>::new(), Vec::new());
        for piece in content.chunks(step) {
            held.extend_from_slice(piece);
            let mut rest = &held[..];
            while let Some(event) = reader.receive(&mut rest)? {
                match event {
                    MultipartEvent::Part(PartHead { name, filename, content_type, .. }) => {
                        let file = filename.map(|filename| format!("@{filename};{content_type}")).unwrap_or_default();
                        seen.push(format!("{name}{file}="));
                    }
                    MultipartEvent::Content(bytes) => {
                        seen.last_mut().unwrap().push_str(&bytes.escape_ascii().to_string())
                    }
                    MultipartEvent::PartEnd | MultipartEvent::End => {}
                }
            }
            assert!(rest.len() <= 4100, "{} bytes are held", rest.len());
            held = rest.to_vec();
        }
        reader.finish().map(|()| seen)
    }

    fn part(head: &str, content: &str) -> String {
        format!("--xYz\r\n{head}\r\n\r\n{content}\r\n")
    }

    #[test]
    fn every_cut_reads_the_same() {
        let body = b"preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--xYz \t\r\n\
            content-disposition: form-data; filename=\"C:\\x\\\"y\\\".txt\"; name=f\r\nContent-Type: text/plain\r\n\r\n\
            \r\n--xY\r\n\r\n--xYz\r\nContent-Disposition: form-data; name=e\r\n\r\n--xYz--\r\nepilogue";
        for step in 1..=body.len() {
            let seen = read(body, step).unwrap();
            assert_eq!(seen, ["a=one", "f@C:\\x\"y\".txt;text/plain=\\r\\n--xY\\r\\n", "e="], "{step}");
        }
    }

    #[test]
    fn malformed_content_is_refused() {
        let named = "Content-Disposition: form-data; name=a";
        for body in [
            String::new(),
            "--xYz".into(),
            "--xYz\r\n".into(),
            format!("--xYz\r\n{named}\r\n\r\nno end"),
            part("Content-Disposition: form-data", "") + "--xYz--",
            part("Content-Disposition: attachment; name=a", "") + "--xYz--",
            part("Content-Type: text/plain", "") + "--xYz--",
            part(&format!("{named}\r\n{named}"), "") + "--xYz--",
            part(&format!("{named}\r\n folded"), "") + "--xYz--",
            part(&format!("{named}\n\nX: y"), "") + "--xYz--",
            part(&format!("{named}\r\nX : y"), "") + "--xYz--",
            part(&format!("{named}\0"), "") + "--xYz--",
            "--xYz\r\n\r\nheadless\r\n--xYz--".into(),
            format!("--xYzz\r\n{named}\r\n\r\n1\r\n--xYz--"),
            format!("--xYz\n{named}\n\n1\n--xYz--\n"),
        ] {
            for step in [1, body.len().max(1)] {
                assert_eq!(read(body.as_bytes(), step).map_err(|refusal| refusal.status), Err(400), "{body:?}");
            }
        }
    }

    #[test]
    fn floods_are_refused() {
        let (field, file) =
            (part("Content-Disposition: form-data; name=a", "1"), "Content-Disposition: form-data; name=a; filename=b");
        let headers = |count: usize| format!("{file}{}", "\r\nX: y".repeat(count - 1));
        let long = |length: usize| format!("{file}\r\nX: {}", "y".repeat(length - 3));
        for (good, bad, limit) in [
            (field.repeat(1000), field.repeat(1001), Some("max_form_fields")),
            (part(file, "1").repeat(100), part(file, "1").repeat(101), Some("max_form_files")),
            (part(&headers(8), ""), part(&headers(9), ""), None),
            (part(&long(4096), ""), part(&long(4097), ""), None),
            (
                part("Content-Disposition: form-data; name=a", &"x".repeat(500_000)),
                part("Content-Disposition: form-data; name=a", &"x".repeat(500_001)),
                Some("max_form_field_size"),
            ),
        ] {
            assert!(read((good + "--xYz--").as_bytes(), usize::MAX).is_ok());
            let refusal = read((bad + "--xYz--").as_bytes(), usize::MAX).unwrap_err();
            assert_eq!((refusal.status, refusal.limit), (413, limit));
        }
        // Headers without an end are refused before the end of the input.
        let endless = format!("--xYz\r\n{}", "X: y\r\n".repeat(10_000));
        let limits = FormLimits::default();
        let mut reader = MultipartReader::new(KIND, &limits).unwrap();
        assert_eq!(reader.receive(&mut endless.as_bytes()).unwrap_err().status, 413);
    }

    #[test]
    fn boundaries() {
        let limits = FormLimits::default();
        for (kind, is_usable) in [
            ("multipart/form-data", false),
            ("multipart/form-data; boundary=", false),
            ("multipart/form-data; boundary=\"\"", false),
            ("multipart/form-data; charset=utf-8; boundary=a", true),
            (&format!("multipart/form-data; boundary={}", "a".repeat(70)), true),
            (&format!("multipart/form-data; boundary={}", "a".repeat(71)), false),
        ] {
            assert_eq!(MultipartReader::new(kind.as_bytes(), &limits).is_ok(), is_usable, "{kind}");
        }
    }
}
