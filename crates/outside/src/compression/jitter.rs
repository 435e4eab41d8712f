//! Noise on the length of an answer, against attacks that guess secrets from lengths (BREACH, RFC 9110 section 17.6).
//!
//! If a page holds a secret and repeats text of an attacker's request, a right guess compresses better by a byte, and
//! the length shows through TLS. A field value of 1 to 32 bytes beside it hides that byte for thousands of tries,
//! though not for millions. Its length depends on the content and on a random key of this process, so repeating a
//! request reveals nothing new.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// A field value for an answer with this content, as it is sent.
pub(crate) fn jitter(content: &[u8]) -> &'static str {
    const NOISE: &str = "zq7wvx3jk9mhpfbtg2ydcn5rls8a6e4u";
    static KEY: OnceLock<RandomState> = OnceLock::new();
    let hash = KEY.get_or_init(RandomState::new).hash_one(content);
    &NOISE[..1 + hash as usize % NOISE.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_noise_and_all_lengths_occur() {
        let mut seen = [0; 33];
        for number in 0..10_000 {
            let content = format!("page {number}");
            let noise = jitter(content.as_bytes());
            assert_eq!(noise, jitter(content.as_bytes()));
            seen[noise.len()] += 1;
        }
        assert_eq!(seen[0], 0);
        // 312 of each are expected, give or take 17.
        assert!(seen[1..].iter().all(|count| (150..500).contains(count)), "{seen:?}");
    }

    /// An attacker tries 16 digits, 1,000 times each, with other words around each time; the right digit saves a byte.
    /// Without noise the shortest mean is right each time, by chance it is one time in 16.
    #[test]
    fn a_guess_that_saves_a_byte_is_not_seen_in_a_thousand_tries() {
        let found = (0..100).filter(|&secret| {
            let mean = |digit: usize| -> usize {
                let right = digit == secret % 16;
                let length =
                    |of: usize| 5000 - usize::from(right) + jitter(format!("{secret} {digit} {of}").as_bytes()).len();
                (0..62).map(length).sum()
            };
            (0..16).min_by_key(|&digit| mean(digit)) == Some(secret % 16)
        });
        let found = found.count();
        assert!(found < 45, "{found} of 100 secrets were found");
    }
}
