//! The fields and files of a form: `application/x-www-form-urlencoded` and `multipart/form-data` (RFC 7578).
//!
//! Content in memory is read at once, content in a temporary file piece by piece. No file is copied: each is a range of
//! the content.

use std::io;

use super::pieces::gathered;
use super::range::{ContentRange, Stored};
use crate::error::{Error, Refusal};
use crate::message::{FormLimits, KnownHeader, Request};
use crate::protocol::multipart::{MultipartEvent, MultipartReader, PartHead};
use crate::protocol::urlencoded::UrlencodedReader;

/// A form: fields and files in the order in which they arrived.
#[derive(Debug, Default)]
pub struct Form<'a> {
    /// Names and values.
    pub fields: Vec<(String, String)>,
    /// Names and files.
    pub files: Vec<(String, FormFile<'a>)>,
}

/// One uploaded file.
///
/// ```
/// # use outside::Request;
/// # use outside::message::RequestParts;
/// let content = b"--cut\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"../a.png\"\r\n\r\nPNG\r\n--cut--";
/// let headers = [("Content-Type", &b"multipart/form-data; boundary=cut"[..])];
/// let request = Request::from_parts(&RequestParts { content, headers: &headers, ..RequestParts::default() })?;
/// let form = request.form()?;
/// let photo = form.file("photo").expect("a file");
/// assert_eq!((photo.name(), photo.content.len()), ("a.png", 3));
/// assert_eq!(photo.headers().map(|(name, _)| name).collect::<Vec<_>>(), ["Content-Disposition"]);
/// photo.content.save(std::env::temp_dir().join("photo.png"))?;
/// # std::fs::remove_file(std::env::temp_dir().join("photo.png"))?;
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Debug)]
pub struct FormFile<'a> {
    /// The name as the client wrote it. Never use it as a path; see [`FormFile::name`].
    pub filename: String,
    /// The media type as the client gave it, unverified; empty if it gave none.
    pub content_type: String,
    /// The bytes of the file.
    pub content: ContentRange<'a>,
    /// The header lines of its part.
    lines: Box<[u8]>,
}

impl FormFile<'_> {
    /// The header fields of its part, in order, as the client gave them: names and values.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // Lines without a colon, and names that are no tokens, were refused.
        self.lines.split(|&byte| byte == b'\n').filter_map(|line| {
            let at = memchr::memchr(b':', line)?;
            Some((std::str::from_utf8(&line[..at]).ok()?, line[at + 1..].trim_ascii()))
        })
    }

    /// The last segment of the file name, which leads into no other folder; empty if there is none.
    pub fn name(&self) -> &str {
        base_name(&self.filename)
    }
}

/// The last segment of a file name, with the separators of Unix and of Windows. Empty if it holds a control byte, or is
/// one of the names `.` and `..`.
fn base_name(filename: &str) -> &str {
    let name = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    if matches!(name, "." | "..") || name.chars().any(char::is_control) { "" } else { name }
}

impl Request {
    /// The fields and files of a form, url-encoded or multipart, by the request's `Content-Type`; empty for others.
    ///
    /// # Errors
    /// 400 for a malformed multipart body, 413 for one past the limits (`max_form_fields` and the like): a handler that
    /// passes the error on with `?` answers with this status. Or the temporary file cannot be read.
    pub fn form(&self) -> Result<Form<'_>, Error> {
        let content_type = self.headers().known(KnownHeader::ContentType).unwrap_or_default();
        let limits = self.form_limits.as_deref().unwrap_or(&FormLimits::DEFAULT);
        Form::read(content_type, gathered(self)?, limits)
    }
}

impl<'a> Form<'a> {
    /// Reads a form by its content type; empty for any other type.
    ///
    /// # Errors
    /// 400 for a malformed multipart body, 413 for one past the limits.
    pub fn parse(content_type: Option<&[u8]>, content: &'a [u8], limits: &FormLimits) -> Result<Self, Error> {
        Self::read(content_type.unwrap_or_default(), Stored::Memory(content), limits)
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The first file of this name.
    pub fn file(&self, name: &str) -> Option<&FormFile<'a>> {
        self.files.iter().find(|(other, _)| other == name).map(|(_, file)| file)
    }

    fn read(content_type: &[u8], stored: Stored<'a>, limits: &FormLimits) -> Result<Self, Error> {
        let kind = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let mut form = Self::default();
        if kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            let mut reader = UrlencodedReader::new(limits);
            for_each_piece(stored, |input, _, is_all| {
                while let Some(field) = reader.receive(input, is_all)? {
                    form.fields.push(field);
                }
                Ok(())
            })?;
        } else if kind.eq_ignore_ascii_case(b"multipart/form-data") {
            form.read_multipart(MultipartReader::new(content_type, limits)?, stored)?;
        }
        Ok(form)
    }

    fn read_multipart(&mut self, mut reader: MultipartReader<'_>, stored: Stored<'a>) -> Result<(), Error> {
        let mut part: Option<(PartHead, u64)> = None;
        let (mut field, mut length) = (Vec::new(), 0);
        for_each_piece(stored, |input, end, _| {
            while let Some(event) = reader.receive(input)? {
                match event {
                    MultipartEvent::Part(head) => {
                        part = Some((head, end - input.len() as u64));
                        length = 0;
                    }
                    MultipartEvent::Content(bytes) => {
                        length += bytes.len() as u64;
                        if part.as_ref().is_some_and(|(head, _)| head.filename.is_none()) {
                            field.extend_from_slice(bytes);
                        }
                    }
                    MultipartEvent::PartEnd => {
                        let Some((head, start)) = part.take() else { continue };
                        match head.filename {
                            Some(filename) => {
                                let content = ContentRange::new(stored, start..start + length);
                                let (content_type, lines) = (head.content_type, head.lines);
                                self.files.push((head.name, FormFile { filename, content_type, content, lines }));
                            }
                            None => {
                                let value = String::from_utf8(std::mem::take(&mut field));
                                let value = value
                                    .unwrap_or_else(|fault| String::from_utf8_lossy(fault.as_bytes()).into_owned());
                                self.fields.push((head.name, value));
                            }
                        }
                    }
                    MultipartEvent::End => {}
                }
            }
            Ok(())
        })?;
        Ok(reader.finish()?)
    }
}

/// Bytes of a temporary file that are read at once.
const PIECE: usize = 128 << 10;

/// Calls a function with the content piece by piece: the bytes, the position in the content where they end, and whether
/// they are the last. Bytes that the function leaves are put before the next piece.
fn for_each_piece(
    stored: Stored<'_>,
    mut take: impl FnMut(&mut &[u8], u64, bool) -> Result<(), Refusal>,
) -> Result<(), Error> {
    let source = match stored {
        Stored::Memory(mut content) => {
            let end = content.len() as u64;
            return Ok(take(&mut content, end, true)?);
        }
        Stored::Source(source) => source,
    };
    let (mut buffer, mut held, mut at) = (vec![0; PIECE], 0, 0);
    while at < source.length() {
        if held == buffer.len() {
            // A field longer than the buffer; its reader bounds it.
            buffer.resize(2 * held, 0);
        }
        let count = usize::try_from(source.length() - at).unwrap_or(usize::MAX).min(buffer.len() - held);
        source.read_at(&mut buffer[held..held + count], at).map_err(cannot_read)?;
        at += count as u64;
        let filled = held + count;
        let mut rest = &buffer[..filled];
        take(&mut rest, at, at == source.length())?;
        held = rest.len();
        buffer.copy_within(filled - held..filled, 0);
    }
    Ok(())
}

fn cannot_read(error: io::Error) -> Error {
    Error::with_source("the content of a request cannot be read", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere() {
        for (filename, name) in [
            ("a.txt", "a.txt"),
            ("/etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("C:\\x/y\\z", "z"),
            ("..", ""),
            ("a/.", ""),
            ("a\0.txt", ""),
            ("", ""),
            (".htaccess", ".htaccess"),
        ] {
            assert_eq!(base_name(filename), name, "{filename:?}");
        }
    }
}
