//! The bytes of a JSON text as it is written: texts in quotes, numbers, escapes.
//!
//! Memory is reserved and then written without a check for each byte, and never set to zero before. A short piece is copied as two
//! words that may overlap, which costs less than a call of `memcpy`. Each value is written with the comma behind it, of which the
//! end of the container makes a bracket.

use std::mem::MaybeUninit;

use crate::escapes::{self, CHUNK};
use crate::float::{is_without_exponent, with_exponent};

/// Bytes that are written one after another.
pub struct Output {
    bytes: Vec<u8>,
}

/// A piece that was written, of at most `SHORT` bytes.
#[derive(Clone, Copy)]
pub(crate) struct ShortPiece {
    begin: usize,
    length: usize,
}

const SHORT: usize = 32;

/// Bytes up to which the memory becomes four times as large when it is full, and twice as large beyond.
const FAST_GROWTH: usize = 256 * 1024;

impl Output {
    /// No bytes, and memory for this many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    /// The bytes of one value, without the comma behind it.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.bytes.pop();
        self.bytes
    }

    /// Memory for `count` more bytes, right behind those that are written.
    #[inline(always)]
    fn room(&mut self, count: usize) -> *mut u8 {
        if self.bytes.capacity() - self.bytes.len() < count {
            self.grow(count);
        }
        self.bytes.spare_capacity_mut().as_mut_ptr().cast()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, count: usize) {
        // What is written moves at most a few times; memory beyond it is not touched.
        let more = if self.bytes.len() < FAST_GROWTH { self.bytes.len() * 3 } else { 0 };
        self.bytes.reserve(count.max(more));
    }

    /// Counts bytes as written.
    ///
    /// # Safety
    /// The last `room` had at least `count` bytes, and the first `count` of them have been written.
    #[inline(always)]
    unsafe fn advance(&mut self, count: usize) {
        let length = self.bytes.len() + count;
        // SAFETY: by the contract they lie in the memory of the vector, and are written.
        unsafe { self.bytes.set_len(length) }
    }

    /// Adds bytes, as they are.
    #[inline(always)]
    pub fn add<const N: usize>(&mut self, piece: &[u8; N]) {
        let room = self.room(N).cast();
        // SAFETY: the room has `N` bytes, all of which are written; an array of bytes lies anywhere.
        unsafe {
            *room = *piece;
            self.advance(N);
        }
    }

    /// Adds a piece of any length.
    pub fn add_all(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    /// The place of the next byte.
    pub(crate) fn place(&self) -> usize {
        self.bytes.len()
    }

    /// The piece that begins at a place and ends here, if it is short.
    pub(crate) fn short_piece(&self, begin: usize) -> Option<ShortPiece> {
        let length = self.bytes.len().checked_sub(begin)?;
        (length <= SHORT).then_some(ShortPiece { begin, length })
    }

    /// Adds a piece once more.
    #[inline(always)]
    pub(crate) fn repeat(&mut self, piece: ShortPiece) {
        let ShortPiece { begin, length } = piece;
        assert!(begin + length <= self.bytes.len() && length <= SHORT);
        let room = self.room(SHORT).cast::<[MaybeUninit<u8>; SHORT]>();
        // SAFETY: with `SHORT` bytes behind the last one there are as many behind the piece, and the first `length` of them are
        // written. Both arrays are in the memory of the vector, and the first is read wholly before the second is written.
        unsafe {
            let copy = *self.bytes.as_ptr().add(begin).cast::<[MaybeUninit<u8>; SHORT]>();
            *room = copy;
            self.advance(length);
        }
    }

    /// Ends a container: puts its bracket in place of the last comma, or behind the opening bracket if it is empty.
    #[inline]
    pub fn end(&mut self, bracket: u8, is_empty: bool) {
        if !is_empty {
            self.bytes.pop();
        }
        self.add(&[bracket, b',']);
    }

    /// Puts another byte in place of the last one.
    pub fn replace_last(&mut self, byte: u8) {
        if let Some(last) = self.bytes.last_mut() {
            *last = byte;
        }
    }

    /// Adds an integer and a comma.
    #[inline]
    pub fn integer(&mut self, number: i64) {
        let size = number.unsigned_abs();
        if size >= 100_000_000 {
            self.add_all(itoa::Buffer::new().format(number).as_bytes());
            return self.add(b",");
        }
        let digits = eight_digits(size);
        // A zero has one digit.
        let zeros = (digits.trailing_zeros() as usize / 8).min(7);
        let text = (digits | 0x3030_3030_3030_3030) >> (zeros * 8);
        let (sign, count) = (usize::from(number < 0), 8 - zeros);
        let room = self.room(10);
        // SAFETY: the sign, eight bytes that begin with the digits, and the comma are within ten bytes, and those that are
        // counted are written.
        unsafe {
            *room = b'-';
            *room.add(sign).cast() = text.to_le_bytes();
            *room.add(sign + count) = b',';
            self.advance(sign + count + 1);
        }
    }

    /// Adds a finite float and a comma, as `float.__repr__` has it. There is one call of `zmij`, into which its code is compiled.
    #[inline(never)]
    pub fn float(&mut self, number: f64) {
        const { assert!(align_of::<zmij::Buffer>() == 1) };
        let room = self.room(size_of::<zmij::Buffer>() + 1);
        // SAFETY: the room has the size of the buffer, which lies anywhere, and a byte more. The text is part of the buffer, so
        // its bytes are written; that they begin the room is looked at. It is used up before anything else is written.
        let text = unsafe {
            room.cast::<zmij::Buffer>().write(zmij::Buffer::new());
            let text = (*room.cast::<zmij::Buffer>()).format_finite(number);
            assert!(text.as_ptr() == room.cast_const());
            if is_without_exponent(number) {
                let length = text.len();
                *room.add(length) = b',';
                return self.advance(length + 1);
            }
            with_exponent(text)
        };
        self.add_all(text.as_bytes());
        self.add(b",");
    }

    /// Adds a text in quotes, and a byte behind it. Most texts have no byte that needs an escape: they are copied as they are.
    #[inline]
    pub fn text(&mut self, text: &[u8], behind: u8) {
        let length = text.len();
        let room = self.room(length + 3);
        // SAFETY: the room has three bytes more than the text. `copy_plain` writes as many bytes as it tells, no more than the
        // text has; the quotation mark before them is written here, and the two bytes behind them if they are counted.
        unsafe {
            *room = b'"';
            let copied = copy_plain(text, room.add(1));
            if copied == length {
                *room.add(length + 1).cast() = [b'"', behind];
                return self.advance(length + 3);
            }
            self.advance(copied + 1);
            self.escaped(&text[copied..]);
        }
        self.add(&[b'"', behind]);
    }

    /// Adds the content of a text with escapes. Eight bytes are copied and compared at once.
    #[inline(never)]
    pub fn escaped(&mut self, mut text: &[u8]) {
        while let Some((word, rest)) = text.split_first_chunk::<8>() {
            let room = self.room(16);
            let found = escapes::in_word(word);
            let at = found.trailing_zeros() as usize / 8;
            // SAFETY: the room has eight bytes for the word, and eight more for an escape at any place in it. Without one, `at`
            // is eight; else the bytes before it are written, and the escape.
            unsafe {
                *room.cast() = *word;
                if found == 0 {
                    self.advance(8);
                    text = rest;
                } else {
                    let (escape, length) = escapes::escape(word[at]);
                    *room.add(at).cast() = *escape;
                    self.advance(at + length.min(8));
                    text = &text[at + 1..];
                }
            }
        }
        for &byte in text {
            match escapes::is_escaped(byte) {
                true => {
                    let (escape, length) = escapes::escape(byte);
                    self.add_all(&escape[..length.min(8)]);
                }
                false => self.add(&[byte]),
            }
        }
    }
}

/// Copies a text, up to a byte that is escaped: the number of bytes that are copied and have none, all of them or fewer.
///
/// # Safety
/// There is memory for the whole text.
#[inline(always)]
unsafe fn copy_plain(text: &[u8], to: *mut u8) -> usize {
    let length = text.len();
    // SAFETY: each word is written to the place that it has in the text, so within its length.
    unsafe {
        if let Some(last) = text.last_chunk::<CHUNK>() {
            let mut copied = 0;
            // The last chunk is copied behind the others, and may overlap them.
            for chunk in text[..length - 1].as_chunks::<CHUNK>().0 {
                if escapes::is_in_chunk(chunk) {
                    return copied;
                }
                *to.add(copied).cast() = *chunk;
                copied += CHUNK;
            }
            if escapes::is_in_chunk(last) {
                return copied;
            }
            *to.add(length - CHUNK).cast() = *last;
        } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            if (escapes::in_word(first) | escapes::in_word(last)) != 0 {
                return 0;
            }
            *to.cast() = *first;
            *to.add(length - 8).cast() = *last;
        } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            let both = [first[0], first[1], first[2], first[3], last[0], last[1], last[2], last[3]];
            if escapes::in_word(&both) != 0 {
                return 0;
            }
            *to.cast() = *first;
            *to.add(length - 4).cast() = *last;
        } else {
            for (at, &byte) in text.iter().enumerate() {
                if escapes::is_escaped(byte) {
                    return at;
                }
                *to.add(at) = byte;
            }
        }
    }
    length
}

/// The eight digits of a number below 10^8, from 0 to 9, the first one in the lowest byte.
#[inline(always)]
fn eight_digits(number: u64) -> u64 {
    // Halves of four digits, then pairs of two, then digits: each step divides all parts at once.
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x7f_0000_007f;
    let pairs = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x0f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}
