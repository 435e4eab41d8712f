//! Noise on the length of an answer, against guesses that measure it (BREACH, RFC 9110 section 17.6).
//!
//! Where a page holds a secret and repeats what a stranger put into the request, the right guess compresses better by a
//! byte, and its length shows through TLS. A value of 1 to 32 bytes in a field beside it hides that byte. Its length
//! depends on the content and on a key that this process draws, so asking again for the same content tells nothing new.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// A field value for an answer whose content, as it is sent, is this.
pub(crate) fn jitter(content: &[u8]) -> &'static str {
    const NOISE: &str = "zq7wvx3jk9mhpfbtg2ydcn5rls8a6e4u";
    static KEY: OnceLock<RandomState> = OnceLock::new();
    let hash = KEY.get_or_init(RandomState::new).hash_one(content);
    &NOISE[..1 + hash as usize % NOISE.len()]
}
