//! Header fields as an ordered list with case-insensitive look-up (RFC 9110 section 5).
//!
//! All names and values are in one text; a field is four offsets into it. A request's text is its head as received. A
//! response's text is exactly the bytes that are sent, so writing it is one copy. Names or values that could break a
//! message cannot be added, which makes response splitting impossible.

use std::fmt;

use super::field::Field;
use super::name::{KnownHeader, is_token, is_value, stands_once};
use super::spare_fields;
use crate::error::Error;

/// An ordered list of header fields.
///
/// Values are bytes; [`Headers::get`] reads those that are UTF-8 (in practice all are ASCII).
///
/// ```
/// let mut headers = outside::Headers::new();
/// headers.append("Vary", "Accept")?;
/// headers.append("vary", "Cookie")?;
/// assert_eq!(headers.get("VARY"), Some("Accept"));
/// assert_eq!(headers.get_all("vary").count(), 2);
/// assert!(headers.append("X-Note", "a\r\nSet-Cookie: stolen=1").is_err());
/// # Ok::<(), outside::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    text: Vec<u8>,
    fields: Vec<Field>,
}

/// Bytes of text that are allocated for the fields of a usual response.
const USUAL_TEXT: usize = 48;
const USUAL_FIELDS: usize = 2;

impl Headers {
    /// An empty list.
    pub const fn new() -> Self {
        Self { text: Vec::new(), fields: Vec::new() }
    }

    /// Number of fields; repeated names count each time.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The first value of this name, in any case of letters; `None` if absent or not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of this name as the bytes received.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        let known = KnownHeader::of(name.as_bytes());
        self.fields.iter().find(|field| self.is_named(field, known, name)).map(|field| self.value_of(field))
    }

    /// Every value of this name in order, as bytes.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> + 'a {
        let known = KnownHeader::of(name.as_bytes());
        self.fields.iter().filter(move |field| self.is_named(field, known, name)).map(|field| self.value_of(field))
    }

    fn is_named(&self, field: &Field, known: KnownHeader, name: &str) -> bool {
        field.known == known
            && (known != KnownHeader::Other || self.name_of(field).eq_ignore_ascii_case(name.as_bytes()))
    }

    /// The first value of a name that the server knows by id.
    pub fn known(&self, known: KnownHeader) -> Option<&[u8]> {
        self.fields.iter().find(|field| field.known == known).map(|field| self.value_of(field))
    }

    /// Every value of a name that the server knows by id, in order.
    pub fn all_known(&self, known: KnownHeader) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |field| field.known == known).map(|field| self.value_of(field))
    }

    /// The id and the value of every field, in order.
    pub(crate) fn known_fields(&self) -> impl Iterator<Item = (KnownHeader, &[u8])> {
        self.fields.iter().map(|field| (field.known, self.value_of(field)))
    }

    /// The id and the whole line with its CRLF of every field. Only for lists that were built by `append` and `set`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (KnownHeader, &[u8])> {
        let end = |field: &Field| (field.value + field.value_len) as usize + 2;
        self.fields.iter().map(move |field| (field.known, &self.text[field.name as usize..end(field)]))
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// Names and values in order, as received.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.name_str(field), self.value_of(field)))
    }

    /// The same with the names as bytes, which spares a look at whether they are text.
    pub fn iter_bytes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.name_of(field), self.value_of(field)))
    }

    /// Adds a field at the end, even if the name exists already.
    ///
    /// # Errors
    /// The name is not a token, or the value holds a control byte (RFC 9110 section 5.5).
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let value = value.as_ref();
        let name = name.as_bytes();
        if !is_token(name) || name.len() > usize::from(u16::MAX) {
            return Err(Error::new(format!("a header name is one or more token characters, not {:?}", Lossy(name))));
        }
        if !is_value(value) || value.len() >= MAX_TEXT || self.text.len() + value.len() >= MAX_TEXT {
            return Err(Error::new(format!(
                "the value of header {:?} may not hold CR, LF, NUL or another control byte: {:?}",
                Lossy(name),
                Lossy(value)
            )));
        }
        self.push_checked(name, value.trim_ascii());
        Ok(())
    }

    /// Adds the fields of another list at the end. They were checked when they came into that list.
    ///
    /// # Errors
    /// The list would become larger than a head may be.
    pub fn append_all(&mut self, other: &Self) -> Result<(), Error> {
        if self.text.len() + other.text.len() >= MAX_TEXT {
            return Err(Error::new("the fields of a header section are too many"));
        }
        for field in &other.fields {
            self.push_known(field.known, other.name_of(field), other.value_of(field));
        }
        Ok(())
    }

    /// Sets a field: removes all fields of this name and adds the new value at the end.
    ///
    /// # Errors
    /// As [`Headers::append`].
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.remove(name);
        self.append(name, value)
    }

    /// Whether a message has one field of this name at most, because several would contradict each other (RFC 9110
    /// section 5.3).
    ///
    /// ```
    /// assert!(outside::Headers::stands_once("content-type"));
    /// assert!(!outside::Headers::stands_once("Set-Cookie"));
    /// ```
    pub fn stands_once(name: &str) -> bool {
        stands_once(name.as_bytes())
    }

    /// Removes every field of this name. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        let mut rest = Self { text: Vec::with_capacity(self.text.len()), fields: Vec::with_capacity(self.len()) };
        for (other, value) in self.iter() {
            if !other.eq_ignore_ascii_case(name) {
                rest.push_checked(other.as_bytes(), value);
            }
        }
        *self = rest;
        true
    }

    /// Adds a field that is known to be well formed, in the form of the wire.
    pub(crate) fn push_checked(&mut self, name: &[u8], value: &[u8]) {
        self.push_known(KnownHeader::of(name), name, value);
    }

    /// The same for a name whose id is known.
    pub(crate) fn push_known(&mut self, known: KnownHeader, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        let length = name.len() + value.len() + 4;
        // A request without fields has the text of its line, which stays.
        if self.fields.capacity() == 0 && self.text.is_empty() {
            // Allocating once is quicker than growing, and memory that was used before is quicker still.
            let allocated = || (Vec::with_capacity(length.max(USUAL_TEXT)), Vec::with_capacity(USUAL_FIELDS));
            (self.text, self.fields) = spare_fields::take().unwrap_or_else(allocated);
        }
        self.text.reserve(length);
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        let value_start = self.text.len();
        self.text.extend_from_slice(value);
        self.text.extend_from_slice(b"\r\n");
        self.fields.push(Field {
            name: start as u32,
            value: value_start as u32,
            value_len: value.len() as u32,
            name_len: name.len() as u16,
            known,
        });
    }

    /// Sets a field that is known to be well formed.
    pub(crate) fn replace_checked(&mut self, known: KnownHeader, name: &[u8], value: &[u8]) {
        if self.known(known).is_some() {
            self.remove(&String::from_utf8_lossy(name));
        }
        self.push_known(known, name, value);
    }

    /// The fields as sent, each with its CRLF. Only for lists that were built by `append` and `set`.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.text
    }

    /// The whole text: of a request, its head.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Text and fields for a decoder to fill; the offsets of fields must lie within the text, and names must be ASCII.
    pub(crate) fn raw_parts(&mut self) -> (&mut Vec<u8>, &mut Vec<Field>) {
        (&mut self.text, &mut self.fields)
    }

    /// Gives the memory to the next answers of this thread.
    pub(crate) fn give_back(self) {
        spare_fields::keep(self.text, self.fields);
    }

    /// Bytes of memory that are allocated.
    pub(crate) fn kept_memory(&self) -> usize {
        self.text.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// Removes everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    fn name_of(&self, field: &Field) -> &[u8] {
        &self.text[field.name as usize..][..usize::from(field.name_len)]
    }

    fn name_str(&self, field: &Field) -> &str {
        // A name is a token and so always ASCII.
        std::str::from_utf8(self.name_of(field)).unwrap_or_default()
    }

    fn value_of(&self, field: &Field) -> &[u8] {
        &self.text[field.value as usize..][..field.value_len as usize]
    }
}

/// Bytes of the longest header section that the server makes; offsets stay within 32 bits.
const MAX_TEXT: usize = 16 << 20;

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, Lossy(value)))).finish()
    }
}

/// Shows bytes as text, even if they are not UTF-8.
struct Lossy<'a>(&'a [u8]);

impl fmt::Debug for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_replaces_in_any_case_and_keeps_the_rest() {
        let mut headers = Headers::new();
        for (name, value) in [("A", "1"), ("b", "2"), ("a", "3")] {
            headers.append(name, value).unwrap();
        }
        headers.set("a", "4").unwrap();
        assert_eq!(headers.wire(), b"b: 2\r\na: 4\r\n");
        assert!(!headers.remove("c"));
    }

    #[test]
    fn fields_of_another_list() {
        let mut headers = Headers::new();
        headers.append("A", "1").unwrap();
        let mut other = Headers::new();
        other.append("content-TYPE", "text/plain").unwrap();
        headers.append_all(&other).unwrap();
        headers.append_all(&Headers::new()).unwrap();
        assert_eq!(headers.wire(), b"A: 1\r\ncontent-TYPE: text/plain\r\n");
        assert_eq!(headers.known(KnownHeader::ContentType), Some(&b"text/plain"[..]));
    }

    #[test]
    fn nothing_that_breaks_the_message_gets_in() {
        let mut headers = Headers::new();
        for byte in (0..0x20).chain([0x7f]).filter(|&byte| byte != b'\t') {
            assert!(headers.append("X", [b'a', byte, b'b']).is_err(), "{byte:#x} in a value");
            assert!(headers.append(std::str::from_utf8(&[b'X', byte]).unwrap(), "a").is_err(), "{byte:#x} in a name");
        }
        for name in ["", "a b", "a:", "é", "a\"b"] {
            assert!(headers.append(name, "a").is_err(), "{name:?}");
        }
        assert!(headers.is_empty());
    }
}
