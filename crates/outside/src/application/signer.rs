//! Contents that are signed under the name of a cookie: `content.time.signature`.
//!
//! The content is in base64 for addresses, the time in hexadecimal seconds since 1970, the signature is the HMAC-SHA256 over the
//! cookie's name, the time and the content. Both faces write and read the same.

use std::time::Duration;

use aws_lc_rs::hmac;

use super::base64::{decode, encode};
use crate::config::Secrets;

/// Bytes of name and value of a cookie that browsers take (RFC 6265 section 6.1).
pub(super) const MOST_BYTES: usize = 4096;
/// Seconds that the clock of another machine may be ahead.
const AHEAD: u64 = 60;

/// Signs contents under names, and checks signatures: those of session cookies, and of texts that a client is to give back
/// unchanged, such as an invitation in a link. Clients can read the content.
///
/// ```
/// use std::time::Duration;
/// use outside::application::Signer;
///
/// let secret = "a secret of at least thirty-two bytes";
/// let signer = Signer::new(&[secret].into(), Duration::from_secs(86_400)).expect("there is a secret");
/// let signed = signer.sign("invitation", b"ada", 1_700_000_000);
/// assert_eq!(signer.verify("invitation", &signed, 1_700_000_060), Some(b"ada".to_vec()));
/// assert_eq!(signer.verify("password", &signed, 1_700_000_060), None);
/// ```
#[derive(Debug)]
pub struct Signer {
    /// The first one signs, all are accepted.
    keys: Vec<hmac::Key>,
    pub(super) life: Duration,
}

impl Signer {
    /// Signatures by these secrets, which expire after `life`; `None` without a secret, or if one has fewer bytes than
    /// [`Secrets::SHORTEST`].
    pub fn new(secrets: &Secrets, life: Duration) -> Option<Self> {
        if secrets.iter().any(|secret| secret.len() < Secrets::SHORTEST) {
            return None;
        }
        let keys: Vec<hmac::Key> =
            secrets.iter().map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())).collect();
        (!keys.is_empty()).then_some(Self { keys, life })
    }

    /// The content with the time, in seconds since 1970, and the signature by the first secret.
    pub fn sign(&self, name: &str, content: &[u8], now: u64) -> String {
        let (text, time) = (encode(content), format!("{now:x}"));
        let tag = self.keys.first().map(|key| hmac::sign(key, &signed(name, &time, &text)));
        let signature = encode(tag.as_ref().map_or(&[], |tag| tag.as_ref()));
        format!("{text}.{time}.{signature}")
    }

    /// The content, if one of the secrets has signed it under this name and it has not expired.
    pub fn verify(&self, name: &str, value: &str, now: u64) -> Option<Vec<u8>> {
        if value.len() > MOST_BYTES {
            return None;
        }
        let mut parts = value.split('.');
        let (text, time, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let (tag, signed) = (decode(signature)?, signed(name, time, text));
        // All secrets are tried, so that the time does not tell which one it was.
        let matches = self.keys.iter().filter(|key| hmac::verify(key, &signed, &tag).is_ok()).count();
        if matches == 0 {
            return None;
        }
        let issued = u64::from_str_radix(time, 16).ok()?;
        let is_current = now.saturating_add(AHEAD) >= issued && now.saturating_sub(issued) < self.life.as_secs();
        is_current.then(|| decode(text)).flatten()
    }
}

/// The bytes under a signature. None of the three can hold a NUL, which stands between them.
fn signed(name: &str, time: &str, text: &str) -> Vec<u8> {
    [name, time, text].join("\0").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the old secret of at least thirty-two bytes";
    const NEW: &str = "the new secret of at least thirty-two bytes";
    const DAY: Duration = Duration::from_secs(86_400);

    fn signer<const N: usize>(secrets: [&str; N]) -> Signer {
        Signer::new(&secrets.into(), DAY).unwrap()
    }

    #[test]
    fn the_cookie_is_that_of_the_python_face() {
        // Made by outside._application.session.Signer(OLD, 1).sign("session", b'{"user":"ada"}', 1_700_000_000).
        let value = signer([OLD]).sign("session", br#"{"user":"ada"}"#, 1_700_000_000);
        assert_eq!(value, PYTHON);
    }

    const PYTHON: &str = "eyJ1c2VyIjoiYWRhIn0.6553f100.ENn7mhWSG-mpjmkKeQMBt1BAP2_hnSWCjxgLcjG79Ms";

    #[test]
    fn what_was_not_signed_here_is_not_accepted() {
        let (ours, now) = (signer([NEW, OLD]), 1_700_000_000);
        let value = ours.sign("session", b"{}", now);
        assert_eq!(ours.verify("session", &value, now).as_deref(), Some(&b"{}"[..]));
        assert_eq!(signer([OLD]).verify("session", &value, now), None, "signed by the new secret");
        let old = signer([OLD]).sign("session", b"{}", now);
        assert_eq!(ours.verify("session", &old, now).as_deref(), Some(&b"{}"[..]), "the old one is accepted");
        assert_eq!(ours.verify("other", &value, now), None, "another cookie");
        for bit in 0..value.len() * 8 {
            let mut bytes = value.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert_eq!(ours.verify("session", &changed, now), None, "bit {bit}: {changed}");
        }
        for text in ["", ".", "..", "...", "a.b", &format!("{value}."), &"a".repeat(5000)] {
            assert_eq!(ours.verify("session", text, now), None, "{text}");
        }
    }

    #[test]
    fn a_short_secret_makes_no_signer() {
        let short = "x".repeat(Secrets::SHORTEST - 1);
        for secrets in [vec![], vec![&*short], vec![NEW, &*short]] {
            assert!(Signer::new(&secrets.iter().collect(), DAY).is_none(), "{} secrets", secrets.len());
        }
    }

    #[test]
    fn it_expires_and_comes_from_no_future() {
        let (ours, now) = (signer([NEW]), 1_700_000_000);
        let value = ours.sign("session", b"{}", now);
        for (at, is_accepted) in
            [(now + 86_399, true), (now + 86_400, false), (now - 60, true), (now - 61, false), (0, false)]
        {
            assert_eq!(ours.verify("session", &value, at).is_some(), is_accepted, "{at}");
        }
    }
}
