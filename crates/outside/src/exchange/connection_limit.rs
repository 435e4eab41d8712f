//! The number of connections of all reactors together, and the number that one client or one use may have.
//!
//! There are three bounds: for all connections, for those of one address, and for those that last, as WebSockets do. No
//! client and no kind of client may hold most of the places (docs/security.md S26). With several processes the hub counts
//! those of an address too (`address_count`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::address_count::{AddressCount, AddressVerdict};
use crate::config::Config;
use crate::hub::SeatStore;

/// The connections of all reactors, counted.
pub(crate) struct ConnectionLimit {
    bounds: ConnectionBounds,
    size: AtomicUsize,
    /// Notified when a connection has ended.
    shrunk: Notify,
    /// Connections that have become WebSockets.
    websockets: AtomicUsize,
    /// WebSockets with a thread of their own.
    threads: AtomicUsize,
    /// Connections of each counted address. Clients choose them, so the hash is a keyed one (docs/security.md S33).
    by_address: Mutex<HashMap<AddressKey, usize>>,
    /// Whether the log has a warning that an address holds all connections that it may have.
    has_warned: AtomicBool,
    /// The seat at the hub, which counts the connections of an address in all processes.
    seat: OnceLock<Arc<SeatStore>>,
}

/// The most connections that there may be at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConnectionBounds {
    connections: usize,
    /// Connections of one address.
    of_address: usize,
    websockets: usize,
    websocket_threads: usize,
}

impl ConnectionBounds {
    /// `descriptors` is the number of descriptors that this process may open.
    fn new(config: &Config, descriptors: usize) -> Self {
        // The other descriptors are for files, for content on its way to a temporary file, and for the program's own.
        let connections = config.max_connections.unwrap_or((descriptors / 5 * 4).clamp(1, MOST_BY_DEFAULT));
        Self {
            connections,
            of_address: config.max_connections_per_ip.unwrap_or((connections / 8).max(LEAST_OF_ADDRESS)),
            websockets: config.max_websocket_connections.unwrap_or((connections / 2).max(1)),
            websocket_threads: config.max_websockets,
        }
    }
}

/// Connections at most, unless the configuration names a number.
const MOST_BY_DEFAULT: usize = 50_000;
/// Connections of one address that are allowed in any case: a browser opens six, and many may stand behind one address.
const LEAST_OF_ADDRESS: usize = 256;

/// One client as connections are counted: an IPv4 address, or the first 64 bits of an IPv6 address, which one customer
/// of a network provider usually has (RFC 6177 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AddressKey(NonZeroU64);

impl AddressKey {
    /// The key of an address whose connections are counted; `None` for this machine and private networks, where one
    /// address may stand for a proxy or a whole office.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        let (is_near, bits) = match address.to_canonical() {
            IpAddr::V4(address) => {
                let is_near = address.is_loopback() || address.is_private() || address.is_link_local();
                (is_near, u64::from(address.to_bits()))
            }
            IpAddr::V6(address) => {
                let is_near = address.is_unique_local() || address.is_unicast_link_local();
                // All of ::/64, which has the loopback address, is zero, and not counted.
                (is_near, (address.to_bits() >> 64) as u64)
            }
        };
        NonZeroU64::new(bits).filter(|_| !is_near).map(Self)
    }
}

/// A place among the connections of an address, given back when this is dropped.
pub(crate) struct AddressGuard {
    connection_limit: Arc<ConnectionLimit>,
    key: AddressKey,
    /// The place among those of all processes.
    everywhere: Option<AddressCount>,
}

impl AddressGuard {
    /// Asks for a place among the connections of all processes; `None` if this process is alone.
    pub(crate) fn ask_everywhere(&mut self) -> Option<AddressVerdict> {
        let seat = self.connection_limit.seat.get()?;
        let (count, verdict) = AddressCount::ask(seat, self.key.0.get(), self.connection_limit.bounds.of_address);
        self.everywhere = Some(count);
        Some(verdict)
    }
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        if let (Some(count), Some(seat)) = (&self.everywhere, self.connection_limit.seat.get()) {
            count.end(seat, self.key.0.get());
        }
        let mut by_address = self.connection_limit.addresses();
        if let Some(count) = by_address.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.key);
            }
        }
    }
}

impl ConnectionLimit {
    pub(crate) fn new(config: &Config) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self::bounded(ConnectionBounds::new(config, descriptors))
    }

    fn bounded(bounds: ConnectionBounds) -> Self {
        Self {
            bounds,
            size: AtomicUsize::new(0),
            shrunk: Notify::new(),
            websockets: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            by_address: Mutex::default(),
            has_warned: AtomicBool::new(false),
            seat: OnceLock::new(),
        }
    }

    /// Has the hub behind this seat count the connections of addresses.
    pub(crate) fn count_at(&self, seat: &Arc<SeatStore>) {
        // A process takes one seat.
        let _ = self.seat.set(Arc::clone(seat));
    }

    /// Counts one more connection, if there is room.
    pub(crate) fn admit(&self) -> bool {
        take_place(&self.size, self.bounds.connections)
    }

    /// Counts one more connection, even if there is no room.
    pub(crate) fn admit_always(&self) {
        self.size.fetch_add(1, Ordering::Relaxed);
    }

    /// A place for one more connection of this address, if the address may have one more.
    pub(crate) fn admit_address(self: &Arc<Self>, key: AddressKey) -> Option<AddressGuard> {
        let mut by_address = self.addresses();
        let count = by_address.entry(key).or_default();
        if *count >= self.bounds.of_address {
            return None;
        }
        *count += 1;
        Some(AddressGuard { connection_limit: Arc::clone(self), key, everywhere: None })
    }

    /// Whether an address holds all connections that it may have, for the first time: then a warning is due.
    pub(crate) fn is_first_full(&self, guard: &AddressGuard) -> bool {
        let is_full = self.addresses().get(&guard.key).is_some_and(|count| *count >= self.bounds.of_address);
        is_full && self.is_first_warning()
    }

    /// Whether no warning about the connections of an address was written yet; then one is due.
    pub(crate) fn is_first_warning(&self) -> bool {
        !self.has_warned.swap(true, Ordering::Relaxed)
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<AddressKey, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more WebSocket, if there may be one more.
    pub(crate) fn admit_websocket(&self) -> bool {
        take_place(&self.websockets, self.bounds.websockets)
    }

    /// Counts one WebSocket less, because it has ended.
    pub(crate) fn leave_websocket(&self) {
        self.websockets.fetch_sub(1, Ordering::Relaxed);
    }

    /// A place for one more WebSocket with a thread of its own, if there may be one more.
    pub(crate) fn admit_thread(self: &Arc<Self>) -> Option<ThreadPermit> {
        take_place(&self.threads, self.bounds.websocket_threads).then(|| ThreadPermit(Arc::clone(self)))
    }

    /// Counts one connection less, because it has ended: there may be room for another.
    pub(crate) fn leave(&self) {
        self.size.fetch_sub(1, Ordering::Relaxed);
        self.shrunk.notify_one();
    }

    /// Waits until a connection has ended.
    pub(crate) async fn shrunk(&self) {
        self.shrunk.notified().await;
    }
}

fn take_place(taken: &AtomicUsize, most: usize) -> bool {
    let more = |count| (count < most).then_some(count + 1);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// A place among the WebSockets with a thread of their own, given back when this is dropped.
pub(crate) struct ThreadPermit(Arc<ConnectionLimit>);

impl Drop for ThreadPermit {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> Option<AddressKey> {
        AddressKey::of(address.parse().unwrap())
    }

    #[test]
    fn prefixes_that_count_as_one_address() {
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.9",
            "::ffff:192.168.0.9",
            "169.254.1.1",
            "fd00::1",
            "fe80::1",
            "0.0.0.0",
            "::",
            "::2",
        ] {
            assert_eq!(key(near), None, "{near}");
        }
        for (one, other, are_one) in [
            ("203.0.113.5", "203.0.113.5", true),
            ("203.0.113.5", "::ffff:203.0.113.5", true),
            ("203.0.113.5", "203.0.113.6", false),
            ("172.32.0.1", "172.33.0.1", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert!(key(one).is_some() && key(other).is_some(), "{one}, {other}");
            assert_eq!(key(one) == key(other), are_one, "{one}, {other}");
        }
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let bounds = ConnectionBounds { connections: 9, of_address: 2, websockets: 1, websocket_threads: 1 };
        let connection_limit = Arc::new(ConnectionLimit::bounded(bounds));
        let (one, other) = (key("203.0.113.5").unwrap(), key("203.0.113.6").unwrap());
        let first = connection_limit.admit_address(one).unwrap();
        assert!(!connection_limit.is_first_full(&first));
        let second = connection_limit.admit_address(one).unwrap();
        assert!(connection_limit.is_first_full(&second));
        assert!(!connection_limit.is_first_full(&second), "said once");
        assert!(connection_limit.admit_address(one).is_none());
        let third = connection_limit.admit_address(other).unwrap();
        drop(first);
        let fourth = connection_limit.admit_address(one).unwrap();
        assert!(connection_limit.admit_address(one).is_none());
        drop((second, third, fourth));
        assert!(connection_limit.addresses().is_empty(), "an address without connections is not remembered");
    }

    #[test]
    fn bounds_follow_from_descriptors() {
        let bounds = |descriptors, edit: fn(&mut Config)| {
            let mut config = Config::default();
            edit(&mut config);
            let bounds = ConnectionBounds::new(&config, descriptors);
            (bounds.connections, bounds.of_address, bounds.websockets)
        };
        assert_eq!(bounds(1024, |_| ()), (816, 256, 408));
        assert_eq!(bounds(1 << 20, |_| ()), (50_000, 6250, 25_000));
        assert_eq!(bounds(0, |_| ()), (1, 256, 1));
        assert_eq!(bounds(1024, |config| config.max_connections = Some(10_000)), (10_000, 1250, 5000));
        assert_eq!(bounds(1024, |config| config.max_connections_per_ip = Some(7)), (816, 7, 408));
        assert_eq!(bounds(1024, |config| config.max_websocket_connections = Some(700)), (816, 256, 700));
    }
}
