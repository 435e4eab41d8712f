//! All places where a server listens, each with one socket for every process or reactor that accepts.
//!
//! Sockets may come from the generation before, which names the place of each, or from a service manager, which names
//! none: then the address decides, and sockets that match no place go to the first.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::{Address, BindError, Listener, ListenerRole, SocketFile, Tls};
use crate::error::Error;

/// A place where a server is to listen.
#[derive(Clone, Debug)]
pub struct BindSpec {
    /// The address.
    pub address: Address,
    /// The TLS configuration; `None` without TLS.
    pub tls: Option<Arc<Tls>>,
    /// The service for its clients.
    pub role: ListenerRole,
    /// Whether it is a further address of the host of the place before it. Then it has the same port, and is left out
    /// if this machine has no such address.
    pub follows: bool,
}

/// An address where a server listens, and whether with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; the port is the real one.
    pub address: Address,
    /// Whether TLS is spoken there.
    pub is_secure: bool,
}

/// The sockets of a server, place by place.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Vec<Listener>>);

impl Listeners {
    /// Binds all places, or takes over sockets that were handed down. Each place gets at least `count` handles; more if
    /// more sockets were handed down, because each socket needs a process that accepts from it.
    ///
    /// # Errors
    /// As [`Listener::bind_each`] and [`Listener::inherited`].
    pub fn open(places: &[BindSpec], backlog: u32, count: usize) -> Result<Self, Error> {
        let names = names(places);
        let mut sockets: Vec<Vec<Listener>> = places.iter().map(|_| Vec::new()).collect();
        for listener in Listener::inherited()? {
            if let Some(index) = home(&listener, places, &names) {
                sockets[index].push(listener);
            }
        }
        let mut made: Vec<SocketFile> = Vec::new();
        let mut start = 0;
        for group in places.chunk_by(|_, next| next.follows) {
            let own = &mut sockets[start..start + group.len()];
            start += group.len();
            let only_v6 = |place: &BindSpec| leaves_ipv4(place, places);
            // If one place cannot be bound, the files of the others are removed.
            bind_group(group, own, backlog, count, only_v6)
                .inspect_err(|_| made.drain(..).for_each(SocketFile::remove))?;
            made.extend(own.iter().filter_map(|own| own.first().and_then(Listener::file)));
        }
        for ((place, name), own) in places.iter().zip(&names).zip(&mut sockets) {
            for listener in own {
                listener.settle(name, place.tls.clone(), place.role);
            }
        }
        sockets.retain(|own| !own.is_empty());
        let count = sockets.iter().map(Vec::len).max().unwrap_or(0).max(count);
        Ok(Self(sockets.into_iter().map(|own| Listener::share(own, count)).collect::<Result<_, _>>()?))
    }

    /// The number of handles at each place.
    pub fn slots(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// Another handle of one socket of each place.
    ///
    /// # Errors
    /// There is no such slot, or the process is out of descriptors.
    pub fn slot(&self, slot: usize) -> Result<Self, Error> {
        let handle = |place: &Vec<Listener>| match place.get(slot) {
            Some(listener) => Ok(vec![listener.try_clone()?]),
            None => Err(Error::new(format!("there is no slot {slot}"))),
        };
        Ok(Self(self.0.iter().map(handle).collect::<Result<_, _>>()?))
    }

    /// The endpoints of the site, place by place.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.endpoints_of(|role| role != ListenerRole::Metrics)
    }

    /// Where the server tells its numbers.
    pub fn metrics(&self) -> Option<Endpoint> {
        self.endpoints_of(|role| role == ListenerRole::Metrics).pop()
    }

    fn endpoints_of(&self, is_wanted: impl Fn(ListenerRole) -> bool) -> Vec<Endpoint> {
        let first = self.0.iter().filter_map(|place| place.first()).filter(|listener| is_wanted(listener.role()));
        let of =
            |listener: &Listener| Endpoint { address: listener.address().clone(), is_secure: listener.tls().is_some() };
        first.map(of).collect()
    }

    /// Every descriptor with its slot and its description for the next generation: an element of the JSON list in
    /// `OUTSIDE_LISTENERS`, which has the order of the descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>, String)> {
        let numbered = self.0.iter().flat_map(|place| place.iter().enumerate());
        numbered.map(|(slot, listener)| (slot, listener.as_fd(), listener.legacy()))
    }

    /// The files to remove when no process listens any more.
    pub fn files(&self) -> Vec<SocketFile> {
        self.0.iter().filter_map(|place| place.first().and_then(Listener::file)).collect()
    }

    /// The TLS configurations, each once.
    pub(crate) fn certificates(&self) -> Vec<Arc<Tls>> {
        let mut certificates = Vec::<Arc<Tls>>::new();
        for own in self.iter().filter_map(Listener::tls) {
            if !certificates.iter().any(|known| Arc::ptr_eq(known, own)) {
                certificates.push(Arc::clone(own));
            }
        }
        certificates
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.0.iter().flatten()
    }

    pub(crate) fn into_places(self) -> Vec<Vec<Listener>> {
        self.0
    }
}

/// Binds the addresses of one host that have no socket yet: all that this machine has, on one port.
fn bind_group(
    group: &[BindSpec],
    sockets: &mut [Vec<Listener>],
    backlog: u32,
    count: usize,
    only_v6: impl Fn(&BindSpec) -> bool,
) -> Result<(), Error> {
    let is_missing: Vec<bool> = sockets.iter().map(Vec::is_empty).collect();
    let mut tries = 1;
    loop {
        let mut absent = None;
        let mut failed = None;
        for (index, place) in group.iter().enumerate().filter(|(index, _)| is_missing[*index]) {
            let port = sockets
                .iter()
                .flatten()
                .find_map(|listener| listener.address().socket_addr())
                .map(|found| found.port());
            let address = with_port(&place.address, port);
            match Listener::bind_each_as(&address, backlog, count, only_v6(place), place.role) {
                Ok(bound) => sockets[index] = bound,
                Err(error) if group.len() > 1 && is_absent(&error) => absent = absent.or(Some(error)),
                Err(error) => {
                    failed = Some((error, address != place.address));
                    break;
                }
            }
        }
        match failed {
            None if sockets.iter().all(Vec::is_empty) => return absent.map_or(Ok(()), Err),
            None => return Ok(()),
            // The port that the system chose for one address is in use at another: another port is tried.
            Some((error, true))
                if tries < MOST_TRIES && is_missing.iter().all(|missing| *missing) && is_in_use(&error) =>
            {
                tries += 1;
                sockets.iter_mut().for_each(Vec::clear);
            }
            Some((error, _)) => return Err(error),
        }
    }
}

/// Attempts to find a port that is free at all addresses.
const MOST_TRIES: usize = 16;

/// The address with this port, if it was given without one.
fn with_port(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Tcp(asked), Some(port)) if asked.port() == 0 => Address::Tcp(SocketAddr::new(asked.ip(), port)),
        _ => address.clone(),
    }
}

/// Whether this machine has no such address.
fn is_absent(error: &Error) -> bool {
    error.source_as::<BindError>().is_some_and(|bind| {
        let no_family = Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
        bind.error.kind() == io::ErrorKind::AddrNotAvailable || bind.error.raw_os_error() == no_family
    })
}

fn is_in_use(error: &Error) -> bool {
    error.source_as::<BindError>().is_some_and(|bind| bind.error.kind() == io::ErrorKind::AddrInUse)
}

/// Whether another place asks for the IPv4 addresses of this one, `::`, on the same port. Otherwise `::` covers both
/// kinds.
fn leaves_ipv4(place: &BindSpec, places: &[BindSpec]) -> bool {
    let Address::Tcp(SocketAddr::V6(v6)) = place.address else { return false };
    let takes_them =
        |other: &BindSpec| matches!(other.address, Address::Tcp(SocketAddr::V4(v4)) if v4.port() == v6.port());
    v6.ip().is_unspecified() && v6.port() != 0 && places.iter().any(takes_them)
}

/// The sockets of one place.
impl From<Vec<Listener>> for Listeners {
    fn from(listeners: Vec<Listener>) -> Self {
        Self(vec![listeners])
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address.url(self.is_secure))
    }
}

/// The names of places for the next generation: the configured address, since the real port may differ. Several places
/// with one address get different names.
fn names(places: &[BindSpec]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for place in places {
        let address = place.address.to_string();
        let same = places[..names.len()].iter().filter(|other| other.address == place.address).count();
        names.push(if same == 0 { address } else { format!("{address}#{same}") });
    }
    names
}

/// The place of a socket that was handed down; `None` if the configuration has no such place any more.
fn home(listener: &Listener, places: &[BindSpec], names: &[String]) -> Option<usize> {
    match listener.place() {
        Some(name) => names.iter().position(|other| other == name),
        None => Some(places.iter().position(|place| place.address == *listener.address()).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> BindSpec {
        let address = Address::parse_unix(address).unwrap_or_else(|| Address::Tcp(address.parse().unwrap()));
        BindSpec { address, tls: None, role: ListenerRole::Serve, follows: false }
    }

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let places = ["127.0.0.1:0", "127.0.0.1:80", "unix:a", "127.0.0.1:0", "127.0.0.1:0"].map(place);
        let expected = [
            "http://127.0.0.1:0",
            "http://127.0.0.1:80",
            "http+unix:a",
            "http://127.0.0.1:0#1",
            "http://127.0.0.1:0#2",
        ];
        assert_eq!(names(&places), expected);
    }

    #[test]
    fn sockets_find_their_place() {
        let (a, b) = (Address::Tcp("127.0.0.1:0".parse().unwrap()), Address::Tcp("[::1]:0".parse().unwrap()));
        let bound = Listener::bind(&a, 1, false).unwrap();
        let places =
            [place("127.0.0.1:1"), BindSpec { address: bound.address().clone(), ..place("[::1]:1") }, place("[::1]:0")];
        let names = names(&places);
        assert_eq!(home(&bound, &places, &names), Some(1), "by its address");
        let mut other = Listener::bind(&b, 1, false).unwrap();
        assert_eq!(home(&other, &places, &names), Some(0), "unknown");
        other.settle("http://[::1]:0", None, ListenerRole::Serve);
        assert_eq!(home(&other, &places, &names), Some(2), "by name");
        other.settle("http://[::1]:8080", None, ListenerRole::Serve);
        assert_eq!(home(&other, &places, &names), None, "not wanted any more");
    }

    #[test]
    fn as_many_handles_as_accept() {
        let places = [place("127.0.0.1:0"), place("127.0.0.1:0")];
        let listeners = Listeners::open(&places, 16, 3).unwrap();
        assert_eq!(listeners.slots(), 3);
        let endpoints = listeners.endpoints();
        assert!(endpoints.len() == 2 && endpoints[0] != endpoints[1]);
        assert_eq!(listeners.slot(2).unwrap().endpoints(), endpoints);
        assert!(listeners.slot(3).is_err());
        let slots: Vec<usize> = listeners.descriptors().map(|(slot, ..)| slot).collect();
        assert_eq!(slots, [0, 1, 2, 0, 1, 2]);
    }

    fn host(addresses: &[&str]) -> Vec<BindSpec> {
        let places = addresses.iter().enumerate();
        places.map(|(index, address)| BindSpec { follows: index > 0, ..place(address) }).collect()
    }

    fn open(places: &[BindSpec]) -> Result<Vec<String>, Error> {
        let listeners = Listeners::open(places, 16, 2)?;
        assert_eq!(listeners.slots(), 2);
        assert!(listeners.slot(1).is_ok());
        Ok(listeners.endpoints().iter().map(Endpoint::to_string).collect())
    }

    #[test]
    fn all_addresses_of_a_host_on_one_port() {
        let two = open(&host(&["127.0.0.1:0", "127.0.0.2:0"])).unwrap();
        let port = |url: &str| url.rsplit(':').next().map(str::to_owned);
        assert!(two.len() == 2 && port(&two[0]) == port(&two[1]), "{two:?}");
        // Addresses that this machine lacks are left out at any position; documentation addresses (RFC 5737) belong to
        // no machine.
        for addresses in [["203.0.113.1:0", "127.0.0.1:0"], ["127.0.0.1:0", "203.0.113.1:0"]] {
            let one = open(&host(&addresses)).unwrap();
            assert!(one.len() == 1 && one[0].starts_with("http://127.0.0.1:"), "{one:?}");
        }
        for addresses in [&["203.0.113.1:0"][..], &["203.0.113.1:0", "203.0.113.2:0"]] {
            let error = open(&host(addresses)).unwrap_err().to_string();
            assert!(error.contains("cannot listen on 203.0.113.1:0"), "{error}");
        }
    }

    #[test]
    fn a_port_that_is_taken_at_one_address_of_a_host() {
        let taken = Listener::bind(&Address::Tcp("127.0.0.2:0".parse().unwrap()), 1, false).unwrap();
        let port = taken.address().socket_addr().unwrap().port();
        let error = open(&host(&[&format!("127.0.0.1:{port}"), &format!("127.0.0.2:{port}")])).unwrap_err();
        assert!(error.to_string().contains(&format!("cannot listen on 127.0.0.2:{port}")), "{error}");
    }

    #[test]
    fn ipv4_on_the_port_of_ipv6() {
        for (places, expected) in [
            (&["[::]:80"][..], false),
            (&["[::]:80", "0.0.0.0:80"], true),
            (&["[::]:80", "127.0.0.1:80"], true),
            (&["[::]:80", "0.0.0.0:81"], false),
            (&["[::]:80", "[::1]:80"], false),
            (&["[::1]:80", "0.0.0.0:80"], false),
            (&["[::]:0", "0.0.0.0:0"], false),
            (&["0.0.0.0:80", "[::]:80"], false),
        ] {
            let places: Vec<_> = places.iter().copied().map(place).collect();
            assert_eq!(leaves_ipv4(&places[0], &places), expected, "{places:?}");
        }
    }
}
