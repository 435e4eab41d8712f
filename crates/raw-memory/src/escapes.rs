//! Bytes that stand in a JSON text only as an escape: quotation marks, backslashes and control characters.

#![forbid(unsafe_code)]

/// Bytes that are looked at together.
pub(crate) const CHUNK: usize = 16;

const ONES: u64 = u64::MAX / 255;

/// Bytes of a text of which none is escaped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<'a> {
    bytes: &'a [u8],
    is_ascii: bool,
}

impl<'a> Plain<'a> {
    /// The bytes from a place on, up to the next one that is escaped, if there is one.
    #[inline(always)]
    pub fn read(text: &'a [u8], begin: usize) -> Option<Self> {
        let mut at = begin;
        let mut seen = 0;
        while let Some(word) = text.get(at..)?.first_chunk() {
            let found = in_word(word);
            let bytes = u64::from_le_bytes(*word);
            if found != 0 {
                // The highest bits of the bytes before the one that was found.
                seen |= bytes & (found & found.wrapping_neg()).wrapping_sub(1);
                at += found.trailing_zeros() as usize / 8;
                return Some(Self { bytes: &text[begin..at], is_ascii: seen & (ONES << 7) == 0 });
            }
            seen |= bytes;
            at += 8;
        }
        at += text[at..].iter().position(|&byte| is_escaped(byte))?;
        let bytes = &text[begin..at];
        Some(Self { bytes, is_ascii: bytes.is_ascii() })
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes, if they are ASCII.
    pub(crate) fn ascii(&self) -> Option<&'a [u8]> {
        self.is_ascii.then_some(self.bytes)
    }
}

/// Whether the byte is escaped.
#[inline(always)]
pub(crate) fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// For each byte of a word that is escaped, its highest bit. Above the lowest of them it may be set for other bytes too.
#[inline(always)]
pub(crate) fn in_word(word: &[u8; 8]) -> u64 {
    let bytes = u64::from_le_bytes(*word);
    // With this bit turned, the quotation mark stands right behind the control characters.
    let low = (bytes ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (bytes ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (low | backslash) & !bytes & (ONES << 7)
}

/// Whether a byte of the chunk is escaped. The compiler compares all of them at once.
#[inline(always)]
pub(crate) fn is_in_chunk(chunk: &[u8; CHUNK]) -> bool {
    chunk.iter().fold(false, |found, &byte| found | is_escaped(byte))
}

/// The escape of a byte, and its length.
#[inline(always)]
pub(crate) fn escape(byte: u8) -> (&'static [u8; 8], usize) {
    let escape = &ESCAPES[usize::from(byte) % ESCAPES.len()];
    (escape, usize::from(escape[7]))
}

/// The escape of each byte, with its length at the end.
static ESCAPES: [[u8; 8]; 128] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut escapes = [[0; 8]; 128];
    let mut byte = 0;
    while byte < 128 {
        let letter = match byte as u8 {
            b'"' | b'\\' => byte as u8,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => 0,
        };
        escapes[byte] = match letter {
            0 => [b'\\', b'u', b'0', b'0', DIGITS[byte >> 4], DIGITS[byte & 15], 0, 6],
            letter => [b'\\', letter, 0, 0, 0, 0, 0, 2],
        };
        byte += 1;
    }
    escapes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escaped_byte_is_found_at_each_place() {
        for byte in 0..=255 {
            for place in 0..8 {
                let mut word = [b'a'; 8];
                word[place] = byte;
                let expected = if is_escaped(byte) { place } else { 8 };
                assert_eq!(in_word(&word).trailing_zeros() as usize / 8, expected, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn a_text_is_read_up_to_its_end() {
        for length in 0..40 {
            for head in ["", "é"] {
                let plain = format!("{head}{}", "x".repeat(length));
                let text = format!("{plain}\"é and more bytes behind");
                let read = Plain::read(text.as_bytes(), 0).expect("it has an end");
                assert_eq!(read.bytes(), plain.as_bytes());
                assert_eq!(read.ascii().is_some(), head.is_empty(), "{plain}");
                assert_eq!(Plain::read(text.as_bytes(), plain.len()).map(|read| read.bytes()), Some(&b""[..]));
                assert_eq!(Plain::read(plain.as_bytes(), 0), None);
            }
        }
        assert_eq!(Plain::read(b"a", 2), None);
    }
}
