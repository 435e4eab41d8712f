//! Memory of the header fields of answers that have left, for the next answers of this thread: each answer has two vectors,
//! and asking the allocator for both costs more than all that is written into them.

use std::cell::RefCell;

use super::field::Field;

/// The text of fields, and the fields; both empty.
pub(super) type SpareFields = (Vec<u8>, Vec<Field>);

/// Answers whose memory each thread keeps: as many as 64 connections have under way that pipeline 16 requests each.
const MOST: usize = 1024;
/// Bytes of the largest text, and the most fields, whose memory is kept.
const LARGEST_TEXT: usize = 1 << 10;
const MOST_FIELDS: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<SpareFields>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn take() -> Option<SpareFields> {
    SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten()
}

pub(super) fn keep(mut text: Vec<u8>, mut fields: Vec<Field>) {
    if text.capacity() > LARGEST_TEXT || !(1..=MOST_FIELDS).contains(&fields.capacity()) {
        return;
    }
    text.clear();
    fields.clear();
    // A thread that ends keeps nothing.
    let _is_kept = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < MOST {
            spare.push((text, fields));
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::message::Headers;

    #[test]
    fn the_next_fields_get_the_memory_and_nothing_else() {
        let mut first = Headers::new();
        first.append("X-Secret", "one").unwrap();
        let at = first.wire().as_ptr();
        first.give_back();
        let mut second = Headers::new();
        assert!(second.get("X-Secret").is_none());
        second.append("X-Other", "two").unwrap();
        assert_eq!((second.wire().as_ptr(), second.wire()), (at, &b"X-Other: two\r\n"[..]));
        assert_eq!(second.len(), 1);
    }

    #[test]
    fn memory_that_has_grown_is_freed() {
        let mut large = Headers::new();
        large.append("X-Large", "x".repeat(2000)).unwrap();
        let mut many = Headers::new();
        (0..100).for_each(|_| many.append("X", "y").unwrap());
        for headers in [large, many, Headers::new()] {
            headers.give_back();
            assert!(super::take().is_none());
        }
    }
}
