//! Session tickets whose keys all worker processes share and change alike, without messages (RFC 8446 section 4.6.1).
//!
//! The keys come from a chain of secrets, one link for each epoch. HMAC derives a link from the one before, and cannot
//! be reversed; links older than the previous epoch are forgotten. So processes that start with the same link derive
//! the same keys from the clock alone, and a link that leaks opens no tickets from before its epoch. The supervisor
//! makes the first link before it forks, and hands the current one to the next generation.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use rustls::server::ProducesTickets;

/// Time for which a key makes new tickets; it opens them for as long again.
const EPOCH: Duration = Duration::from_secs(6 * 60 * 60);
const SECRET: usize = 32;
const NAME: usize = 16;
/// Epochs that are derived one by one at most: if the clock is set right after years, a new chain begins.
const FARTHEST: u64 = 1 << 17;

/// The secret behind the session tickets of a server. Clones and forked processes share it.
#[derive(Clone, Default)]
pub struct TicketKeys(Arc<Mutex<Option<Link>>>);

/// The chain's secret for the epoch before the current one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link {
    epoch: u64,
    secret: [u8; SECRET],
}

impl TicketKeys {
    /// The secret as given by [`TicketKeys::to_bytes`]; `None` for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, secret) = bytes.split_first_chunk()?;
        let link = Link { epoch: u64::from_be_bytes(*epoch), secret: secret.try_into().ok()? };
        Some(Self(Arc::new(Mutex::new(Some(link)))))
    }

    /// The secret for the next generation of the program: 40 bytes, to be kept secret. Empty if the system gives no
    /// random bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |link: Link| [&link.epoch.to_be_bytes(), &link.secret[..]].concat();
        self.at(now()).map(bytes).unwrap_or_default()
    }

    /// The link for the epoch before this one; older links are forgotten.
    fn at(&self, epoch: u64) -> Option<Link> {
        let mut held = self.lock();
        let wanted = epoch.saturating_sub(1);
        let mut link = match *held {
            // After the clock was set back the current link stays: old keys cannot be derived again.
            Some(link) if wanted <= link.epoch.saturating_add(FARTHEST) => link,
            _ => Link { epoch: wanted, secret: random()? },
        };
        while link.epoch < wanted {
            link = link.next();
        }
        *held = Some(link);
        Some(link)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does not show the secret.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

impl Link {
    fn next(self) -> Self {
        Self { epoch: self.epoch.saturating_add(1), secret: derive(&self.secret, &[b"next"]) }
    }
}

/// A secret for the beginning of a chain.
fn random() -> Option<[u8; SECRET]> {
    let mut secret = [0; SECRET];
    aws_lc_rs::rand::fill(&mut secret).ok()?;
    Some(secret)
}

fn derive(secret: &[u8], label: &[&[u8]]) -> [u8; SECRET] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    label.iter().for_each(|part| context.update(part));
    let mut derived = [0; SECRET];
    derived.copy_from_slice(context.sign().as_ref());
    derived
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / EPOCH.as_secs()
}

/// Seals and opens the tickets of one listener. Tickets of listeners with other certificates do not open.
pub(super) struct Tickets {
    keys: TicketKeys,
    purpose: Vec<u8>,
    in_use: RwLock<Arc<InUse>>,
}

/// The keys of one epoch and of the one before; without keys there are no tickets.
struct InUse {
    epoch: u64,
    current: Option<TicketKey>,
    previous: Option<TicketKey>,
}

struct TicketKey {
    name: [u8; NAME],
    key: RandomizedNonceKey,
}

impl Tickets {
    /// `purpose` distinguishes its certificates from those of other listeners.
    pub(super) fn new(keys: &TicketKeys, purpose: &[u8]) -> Self {
        let in_use = RwLock::new(Arc::new(InUse::derive(keys, purpose, now())));
        Self { keys: keys.clone(), purpose: purpose.to_vec(), in_use }
    }

    fn at(&self, epoch: u64) -> Arc<InUse> {
        let in_use = Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner));
        if in_use.epoch >= epoch {
            return in_use;
        }
        let new = Arc::new(InUse::derive(&self.keys, &self.purpose, epoch));
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        new
    }

    fn seal(&self, plain: &[u8], epoch: u64) -> Option<Vec<u8>> {
        let in_use = self.at(epoch);
        let mut sealed = plain.to_vec();
        let TicketKey { name, key } = in_use.current.as_ref()?;
        let nonce = key.seal_in_place_append_tag(Aad::from(name), &mut sealed).ok()?;
        Some([name, &nonce.as_ref()[..], &sealed].concat())
    }

    fn open(&self, ticket: &[u8], epoch: u64) -> Option<Vec<u8>> {
        let in_use = self.at(epoch);
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = [&in_use.current, &in_use.previous];
        let TicketKey { key, .. } = keys.into_iter().flatten().find(|key| key.name == *name)?;
        let mut opened = sealed.to_vec();
        let length = key.open_in_place(Nonce::from(nonce), Aad::from(name), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl InUse {
    fn derive(keys: &TicketKeys, purpose: &[u8], epoch: u64) -> Self {
        let previous = keys.at(epoch);
        let key = |link: Link| TicketKey::derive(link, purpose);
        Self { epoch, current: previous.map(Link::next).and_then(key), previous: previous.and_then(key) }
    }
}

impl TicketKey {
    fn derive(link: Link, purpose: &[u8]) -> Option<Self> {
        let mut name = [0; NAME];
        name.copy_from_slice(&derive(&link.secret, &[b"name", purpose])[..NAME]);
        let key = derive(&link.secret, &[b"ticket", purpose]);
        Some(Self { name, key: RandomizedNonceKey::new(&AES_256_GCM, &key).ok()? })
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        EPOCH.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_lives_for_one_epoch_and_the_next() {
        let tickets = Tickets::new(&TicketKeys::default(), b"a");
        let first = now();
        let ticket = tickets.seal(b"session", first).unwrap();
        assert_eq!(tickets.open(&ticket, first).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets.open(&ticket, first + 1).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets.open(&ticket, first + 2), None);
        assert_eq!(tickets.open(&ticket, first), None, "forgotten keys do not come back");
    }

    #[test]
    fn processes_with_the_same_secret_rotate_alike() {
        let keys = TicketKeys::default();
        let first = now();
        let handed_down = TicketKeys::from_bytes(&keys.to_bytes()).unwrap();
        let (one, other) = (Tickets::new(&keys, b"a"), Tickets::new(&handed_down, b"a"));
        for epoch in [first, first + 1, first + 5] {
            let ticket = one.seal(b"session", epoch).unwrap();
            assert_eq!(other.open(&ticket, epoch).as_deref(), Some(&b"session"[..]), "epoch {epoch}");
        }
    }

    #[test]
    fn no_other_server_opens_it() {
        let keys = TicketKeys::default();
        let (one, other) = (Tickets::new(&keys, b"a"), Tickets::new(&keys, b"b"));
        let stranger = Tickets::new(&TicketKeys::default(), b"a");
        let ticket = one.seal(b"session", now()).unwrap();
        assert_eq!(other.open(&ticket, now()), None);
        assert_eq!(stranger.open(&ticket, now()), None);
        for place in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert_eq!(one.open(&changed, now()), None, "byte {place}");
            assert_eq!(one.open(&ticket[..place], now()), None, "{place} bytes");
        }
        assert_ne!(one.seal(b"session", now()), one.seal(b"session", now()));
    }

    #[test]
    fn a_clock_that_is_set_leaves_no_gap() {
        let keys = TicketKeys::default();
        let tickets = Tickets::new(&keys, b"a");
        for epoch in [now() + 2 * FARTHEST, 0, u64::MAX / 2] {
            let ticket = tickets.seal(b"session", epoch).unwrap();
            assert_eq!(tickets.open(&ticket, epoch).as_deref(), Some(&b"session"[..]), "epoch {epoch}");
        }
        assert!(TicketKeys::from_bytes(b"short").is_none());
    }
}
