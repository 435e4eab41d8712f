//! The word by itself, on the threads of this machine; the model has the rest.

use super::sync::AtomicU64;
use super::word::{CALL_MASK, Call, RUNNING, Term, Word};

#[test]
fn exactly_one_side_wins() {
    let word = Word::new();
    let call = word.begin(Term::FIRST).unwrap();
    assert_eq!(Call::in_word(word.snapshot()), Some(call));
    let term = word.take_over(call).unwrap();
    assert!(!word.end(call), "the late thread has lost");
    assert!(word.begin(Term::FIRST).is_none(), "and leads no more");
    let call = word.begin(term).unwrap();
    assert!(word.end(call));
    assert!(word.take_over(call).is_none(), "a call that has ended cannot be taken over");
}

#[test]
fn call_numbers_wrap_within_their_term() {
    let word = Word(AtomicU64::new(CALL_MASK & !RUNNING));
    let call = word.begin(Term::FIRST).unwrap();
    assert!(word.end(call));
    assert!(word.begin(Term::FIRST).is_some());
}
