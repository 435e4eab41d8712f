//! Certificates and keys on their way to other machines, sealed with `secret`, so that a reader of the broker does not have them.
//!
//! The secret of the configuration seals, and any of the list opens. What was written without a secret is not taken by a
//! machine that has one: others may have written it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;

use crate::config::Secrets;

/// The first byte of content that is not sealed, and of sealed content.
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
/// Separates the key from others that are made of the same secret.
const PURPOSE: &[u8] = b"outside: certificates of several machines";

/// The keys of a configuration; without a secret nothing is sealed.
pub(super) struct Seal {
    keys: Vec<RandomizedNonceKey>,
}

impl Seal {
    pub(super) fn new(secrets: &Secrets) -> Self {
        let key = |secret: &str| {
            let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), PURPOSE);
            RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).ok()
        };
        Self { keys: secrets.iter().filter_map(key).collect() }
    }

    /// The content as it is stored under this name; `None` if the system has no random numbers.
    pub(super) fn close(&self, name: &str, content: &[u8]) -> Option<Vec<u8>> {
        let Some(key) = self.keys.first() else { return Some([&[PLAIN], content].concat()) };
        let mut sealed = content.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed).ok()?;
        Some([&[SEALED], &nonce.as_ref()[..], &sealed].concat())
    }

    /// The content of what is stored under this name; `None` if it was not stored with one of these secrets.
    pub(super) fn open(&self, name: &str, stored: &[u8]) -> Option<Vec<u8>> {
        match stored.split_first()? {
            (&PLAIN, content) if self.keys.is_empty() => Some(content.to_vec()),
            (&SEALED, rest) => {
                let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
                self.keys.iter().find_map(|key| {
                    let mut opened = sealed.to_vec();
                    let name = Aad::from(name.as_bytes());
                    let length = key.open_in_place(Nonce::from(nonce), name, &mut opened).ok()?.len();
                    opened.truncate(length);
                    Some(opened)
                })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the old secret of at least thirty-two bytes";
    const NEW: &str = "the new secret of at least thirty-two bytes";

    #[test]
    fn only_a_machine_with_the_secret_opens() {
        let [none, old, new, both] =
            [Secrets::default(), [OLD].into(), [NEW].into(), [NEW, OLD].into()].map(|secrets| Seal::new(&secrets));
        let stored = |seal: &Seal| seal.close("name", b"content").unwrap();
        let opens = |seal: &Seal, stored: &[u8]| seal.open("name", stored).as_deref() == Some(b"content");
        let cases = [
            (&none, [true, false, false, false]),
            (&old, [false, true, false, true]),
            (&new, [false, false, true, true]),
        ];
        for (by, expected) in cases {
            assert_eq!([&none, &old, &new, &both].map(|seal| opens(seal, &stored(by))), expected);
        }
        assert!(!stored(&new).windows(7).any(|piece| piece == b"content"));
        assert_ne!(stored(&new), stored(&new));
        assert_eq!(new.open("other", &stored(&new)), None, "of another certificate");
        let sealed = stored(&new);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(new.open("name", &changed), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(new.open("name", &sealed[..length]), None, "{length} bytes");
        }
    }
}
