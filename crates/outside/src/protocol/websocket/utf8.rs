//! UTF-8 that arrives in pieces (RFC 6455 section 8.1): the first invalid byte is found at once, in pieces of any size.

use std::str::from_utf8;

/// The first bytes of a character that a cut has divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Utf8 {
    begun: [u8; 4],
    length: u8,
}

impl Utf8 {
    pub(crate) const fn new() -> Self {
        Self { begun: [0; 4], length: 0 }
    }

    /// Whether all bytes so far are valid, or the beginning of a valid character.
    pub(crate) fn receive(&mut self, mut piece: &[u8]) -> bool {
        while self.length > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return true };
            piece = rest;
            self.begun[usize::from(self.length)] = byte;
            self.length += 1;
            match from_utf8(&self.begun[..usize::from(self.length)]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match from_utf8(piece) {
            Ok(_) => true,
            Err(error) if error.error_len().is_none() => {
                let begun = &piece[error.valid_up_to()..];
                self.begun[..begun.len()].copy_from_slice(begun);
                self.length = begun.len() as u8;
                true
            }
            Err(_) => false,
        }
    }

    /// Whether the last character is incomplete.
    pub(crate) const fn is_cut(self) -> bool {
        self.length > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes, and the number of them that are accepted before the fault is certain.
    const TABLE: &[(&[u8], Option<usize>)] = &[
        (b"", None),
        ("κόσμε".as_bytes(), None),
        ("\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}".as_bytes(), None),
        (b"ok\x80", Some(2)),
        (b"ok\xff", Some(2)),
        (b"\xc0\xaf", Some(0)),
        (b"\xc1", Some(0)),
        (b"\xf5", Some(0)),
        (b"\xe0\x80\xaf", Some(1)),
        (b"\xe0\x9f\xbf", Some(1)),
        (b"\xed\xa0\x80", Some(1)),
        (b"\xed\xbf\xbf", Some(1)),
        (b"\xf0\x80\x80\xaf", Some(1)),
        (b"\xf0\x8f\xbf\xbf", Some(1)),
        (b"\xf4\x90\x80\x80", Some(1)),
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80", Some(12)),
        (b"\xe2\x82\xe2", Some(2)),
        (b"\xf0\x9f\x98a", Some(3)),
    ];

    #[test]
    fn wrong_bytes_are_told_at_once_wherever_the_cut_is() {
        for (bytes, wrong) in TABLE {
            let good = wrong.unwrap_or(bytes.len());
            for cut in 0..=bytes.len() {
                let (first, second) = bytes.split_at(cut);
                let mut utf8 = Utf8::new();
                assert_eq!(utf8.receive(first), cut <= good, "{bytes:x?} up to {cut}");
                if cut <= good {
                    assert_eq!(utf8.receive(second), wrong.is_none(), "{bytes:x?} cut at {cut}");
                    assert!(wrong.is_some() || !utf8.is_cut());
                }
            }
        }
    }

    #[test]
    fn an_unfinished_character_is_remembered() {
        let mut utf8 = Utf8::new();
        for byte in &"😀".as_bytes()[..3] {
            assert!(utf8.receive(&[*byte]) && utf8.is_cut());
        }
        assert!(utf8.receive(b"\x80") && !utf8.is_cut());
    }
}
