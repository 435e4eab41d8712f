//! `application/x-www-form-urlencoded` piece by piece (WHATWG URL section 5.1): bytes in, fields out.
//!
//! As in `multipart`, bytes that are not understood yet stay with the caller, and fields are bounded (docs/security.md S32).

use super::multipart::{FIELD_TOO_LARGE, TOO_MANY_FIELDS};
use crate::error::Refusal;
use crate::message::{FormLimits, decode_component};

/// Reads the content of one form.
#[derive(Debug)]
pub(crate) struct UrlencodedReader<'l> {
    limits: &'l FormLimits,
    /// Bytes of an unfinished field that were searched for `&`.
    scanned: usize,
    fields: usize,
}

impl<'l> UrlencodedReader<'l> {
    pub(crate) fn new(limits: &'l FormLimits) -> Self {
        Self { limits, scanned: 0, fields: 0 }
    }

    /// The next name and value; `None` when more input is needed, or all of it is read. `is_all` says that no more will
    /// come. Removes the understood bytes from the front.
    pub(crate) fn receive(&mut self, input: &mut &[u8], is_all: bool) -> Result<Option<(String, String)>, Refusal> {
        // A byte has at most three when encoded; name and value each have the bound.
        let longest = self.limits.field_size.saturating_mul(6).saturating_add(1);
        loop {
            let end = match memchr::memchr(b'&', &input[self.scanned..]) {
                Some(at) => self.scanned + at,
                None if is_all && !input.is_empty() => input.len(),
                None if input.len() > longest => return Err(FIELD_TOO_LARGE),
                None => {
                    self.scanned = input.len();
                    return Ok(None);
                }
            };
            let pair = &input[..end];
            *input = input.get(end + 1..).unwrap_or_default();
            self.scanned = 0;
            if pair.is_empty() {
                continue;
            }
            self.fields += 1;
            if self.fields > self.limits.fields {
                return Err(TOO_MANY_FIELDS);
            }
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            let (name, value) = (decode_component(name), decode_component(value));
            if name.len().max(value.len()) > self.limits.field_size {
                return Err(FIELD_TOO_LARGE);
            }
            return Ok(Some((name, value)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8], step: usize, limits: &FormLimits) -> Result<Vec<(String, String)>, Refusal> {
        let (mut reader, mut held, mut fields) = (UrlencodedReader::new(limits), Vec::new(), Vec::new());
        let mut come = 0;
        for piece in content.chunks(step) {
            held.extend_from_slice(piece);
            come += piece.len();
            let mut rest = &held[..];
            while let Some(field) = reader.receive(&mut rest, come == content.len())? {
                fields.push(field);
            }
            held = rest.to_vec();
        }
        assert!(held.is_empty());
        Ok(fields)
    }

    #[test]
    fn every_cut_reads_the_same() {
        let limits = FormLimits::DEFAULT;
        let content = b"&a=1+2&&b=%C3%A9&flag&=nameless&c=a=b;d&a=%zz&";
        let wanted = [("a", "1 2"), ("b", "\u{e9}"), ("flag", ""), ("", "nameless"), ("c", "a=b;d"), ("a", "%zz")];
        for step in 1..=content.len() {
            let fields = read(content, step, &limits).unwrap();
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(fields, wanted, "{step}");
        }
        assert_eq!(read(b"", 1, &limits), Ok(vec![]));
    }

    #[test]
    fn floods_are_refused() {
        let limits = FormLimits { fields: 3, field_size: 4, ..FormLimits::DEFAULT };
        for (content, limit) in [
            ("a&b&c", None),
            ("a&b&c&d", Some("max_form_fields")),
            ("a=%61%61%61%61", None),
            ("a=aaaaa", Some("max_form_field_size")),
            ("aaaaa", Some("max_form_field_size")),
            (&"x".repeat(100), Some("max_form_field_size")),
        ] {
            for step in [1, 1000] {
                let refused = read(content.as_bytes(), step, &limits).err().map(|refusal| refusal.limit);
                assert_eq!(refused, limit.map(Some), "{content} {step}");
            }
        }
    }
}
