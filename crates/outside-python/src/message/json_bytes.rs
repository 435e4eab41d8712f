//! The bytes of a JSON text as it is written: texts in quotes, numbers, escapes.
//!
//! The memory is there before it is written, so that a short piece is copied as two words that may overlap: that costs less
//! than a call of `memcpy` for each piece. Each value is written with the comma behind it, of which the end of the container
//! makes a bracket.

/// Bytes that are written one after another.
pub(super) struct JsonBytes {
    /// The first `length` bytes are written, the others are zeros or left over.
    bytes: Vec<u8>,
    length: usize,
}

/// A piece that was written, of at most `SHORT` bytes.
#[derive(Clone, Copy)]
pub(super) struct ShortPiece {
    begin: usize,
    length: usize,
}

const SHORT: usize = 32;

/// Bytes that are set to zero before they are written.
const STEP: usize = 8192;

impl JsonBytes {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], length: 0 }
    }

    /// The bytes of one value, without the comma behind it.
    pub(super) fn into_vec(mut self) -> Vec<u8> {
        self.bytes.truncate(self.length.saturating_sub(1));
        self.bytes
    }

    /// The next bytes, `N` of them: those that are written are counted by `advance`.
    #[inline(always)]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        if self.bytes.len() < self.length + N {
            self.grow(N);
        }
        // The compiler does not know that `grow` has made room.
        match self.bytes[self.length..].first_chunk_mut() {
            Some(room) => room,
            None => unreachable!("there is room"),
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        // Memory is reserved by twice as much; zeros are written a piece at a time, while it is near the processor.
        self.bytes.resize(self.length + more + STEP, 0);
    }

    #[inline(always)]
    fn advance(&mut self, count: usize) {
        self.length += count;
    }

    /// Adds bytes, as they are.
    #[inline(always)]
    pub(super) fn add<const N: usize>(&mut self, piece: &[u8; N]) {
        *self.room() = *piece;
        self.advance(N);
    }

    /// The place of the next byte.
    pub(super) fn place(&self) -> usize {
        self.length
    }

    /// The piece that begins at a place and ends here, if it is short.
    pub(super) fn short_piece(&self, begin: usize) -> Option<ShortPiece> {
        let length = self.length - begin;
        (length <= SHORT).then_some(ShortPiece { begin, length })
    }

    /// Adds a piece once more.
    #[inline(always)]
    pub(super) fn repeat(&mut self, piece: ShortPiece) {
        // With room behind the last byte there is as much behind the piece.
        if self.bytes.len() < self.length + SHORT {
            self.grow(SHORT);
        }
        self.bytes.copy_within(piece.begin..piece.begin + SHORT, self.length);
        self.advance(piece.length);
    }

    /// Puts the closing bracket in place of the last comma, or behind the opening one.
    pub(super) fn end(&mut self, bracket: u8) {
        match self.bytes[..self.length].last_mut() {
            Some(comma @ b',') => *comma = bracket,
            _ => self.add(&[bracket]),
        }
        self.add(b",");
    }

    /// Puts another byte in place of the last one.
    pub(super) fn replace_last(&mut self, byte: u8) {
        if let Some(last) = self.bytes[..self.length].last_mut() {
            *last = byte;
        }
    }

    /// Adds a piece of any length.
    pub(super) fn add_all(&mut self, piece: &[u8]) {
        if self.bytes.len() < self.length + piece.len() {
            self.grow(piece.len());
        }
        self.bytes[self.length..][..piece.len()].copy_from_slice(piece);
        self.advance(piece.len());
    }

    /// Adds a piece of at most 32 bytes, and a byte behind it.
    #[inline(always)]
    pub(super) fn add_short(&mut self, piece: &[u8], behind: u8) {
        let room = self.room::<40>();
        put_short(room, 0, piece);
        room[piece.len().min(32)] = behind;
        self.advance(piece.len() + 1);
    }

    /// Adds an integer and a comma.
    #[inline]
    pub(super) fn integer(&mut self, number: i64) {
        match u8::try_from(number) {
            Ok(digit @ 0..10) => self.add(&[b'0' + digit, b',']),
            _ => self.add_short(itoa::Buffer::new().format(number).as_bytes(), b','),
        }
    }

    /// Adds a text in quotes, and a byte behind it. Most texts have no byte that needs an escape: they are copied as they are.
    #[inline]
    pub(super) fn text(&mut self, text: &[u8], behind: u8) {
        let length = text.len();
        if length > 16 {
            return match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
                (Some(first), Some(last)) if length <= 32 => self.middle_text(text, first, last, behind),
                _ => self.long_text(text, behind),
            };
        }
        if has_escape(text) {
            self.add(b"\"");
            self.escaped(text);
            return self.add(&[b'"', behind]);
        }
        let room = self.room::<24>();
        room[0] = b'"';
        put_short(room, 1, text);
        room[length + 1] = b'"';
        room[length + 2] = behind;
        self.advance(length + 3);
    }

    /// A text of 17 to 32 bytes, with its first and last words.
    #[inline(always)]
    fn middle_text(&mut self, text: &[u8], first: &[u8; 16], last: &[u8; 16], behind: u8) {
        if has_escape_in_chunk(first) | has_escape_in_chunk(last) {
            return self.long_text(text, behind);
        }
        let length = text.len().min(32);
        let room = self.room::<40>();
        room[0] = b'"';
        put(room, 1, first);
        put(room, length - 15, last);
        room[length + 1] = b'"';
        room[length + 2] = behind;
        self.advance(length + 3);
    }

    #[inline(never)]
    fn long_text(&mut self, text: &[u8], behind: u8) {
        if self.bytes.len() < self.length + text.len() + 1 {
            self.grow(text.len() + 1);
        }
        self.add(b"\"");
        let (chunks, _) = text.as_chunks::<16>();
        let mut copied = 0;
        for (chunk, room) in chunks.iter().zip(self.bytes[self.length..].as_chunks_mut::<16>().0) {
            if has_escape_in_chunk(chunk) {
                break;
            }
            *room = *chunk;
            copied += 16;
        }
        let last = text.last_chunk::<16>();
        match last.filter(|last| text.len() - copied < 16 && !has_escape_in_chunk(last)) {
            Some(last) => {
                self.advance(text.len() - 16);
                self.add(last);
            }
            None => {
                self.advance(copied);
                self.escaped(&text[copied..]);
            }
        }
        self.add(&[b'"', behind]);
    }

    /// Adds the content of a text with escapes. Eight bytes are copied and compared at once.
    pub(super) fn escaped(&mut self, mut text: &[u8]) {
        while let Some((word, rest)) = text.split_first_chunk::<8>() {
            let found = escapes(word);
            *self.room() = *word;
            if found == 0 {
                self.advance(8);
                text = rest;
            } else {
                let at = found.trailing_zeros() as usize / 8;
                self.advance(at);
                self.escape(word[at]);
                text = &text[at + 1..];
            }
        }
        for &byte in text {
            match is_escaped(byte) {
                true => self.escape(byte),
                false => self.add(&[byte]),
            }
        }
    }

    #[inline]
    fn escape(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            control => {
                let digits = [DIGITS[usize::from(control >> 4)], DIGITS[usize::from(control & 15)]];
                return self.add(&[b'\\', b'u', b'0', b'0', digits[0], digits[1]]);
            }
        };
        self.add(&[b'\\', letter]);
    }
}

/// Copies a piece of at most 32 bytes to a place.
#[inline(always)]
fn put_short(room: &mut [u8], at: usize, piece: &[u8]) {
    let end = at + piece.len();
    if let (Some(first), Some(last)) = (piece.first_chunk::<16>(), piece.last_chunk::<16>()) {
        put(room, at, first);
        put(room, end - 16, last);
    } else if let (Some(first), Some(last)) = (piece.first_chunk::<8>(), piece.last_chunk::<8>()) {
        put(room, at, first);
        put(room, end - 8, last);
    } else if let (Some(first), Some(last)) = (piece.first_chunk::<4>(), piece.last_chunk::<4>()) {
        put(room, at, first);
        put(room, end - 4, last);
    } else if let (Some(first), Some(last)) = (piece.first_chunk::<2>(), piece.last_chunk::<2>()) {
        put(room, at, first);
        put(room, end - 2, last);
    } else if let Some(&byte) = piece.first() {
        room[at] = byte;
    }
}

#[inline(always)]
fn put<const N: usize>(room: &mut [u8], at: usize, word: &[u8; N]) {
    room[at..at + N].copy_from_slice(word);
}

/// Whether a byte of a text of at most 16 bytes stands there only as an escape: it is compared as two words that may overlap.
#[inline(always)]
fn has_escape(text: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        return (escapes(first) | escapes(last)) != 0;
    }
    if let (Some(&first), Some(&last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let both = u64::from(u32::from_le_bytes(first)) << 32 | u64::from(u32::from_le_bytes(last));
        return escapes(&both.to_le_bytes()) != 0;
    }
    text.iter().any(|&byte| is_escaped(byte))
}

#[inline(always)]
fn has_escape_in_chunk(chunk: &[u8; 16]) -> bool {
    chunk.iter().fold(false, |found, &byte| found | is_escaped(byte))
}

#[inline(always)]
fn is_escaped(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// For each byte that stands in a text only as an escape, its highest bit, which is set in a difference then and not otherwise.
/// Above the lowest of them it may be set for other bytes too.
#[inline(always)]
pub(super) const fn escapes(word: &[u8; 8]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let bytes = u64::from_le_bytes(*word);
    // With this bit turned, the quotation mark stands right behind the control characters.
    let low = (bytes ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
    let backslash = (bytes ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (low | backslash) & !bytes & (ONES << 7)
}
