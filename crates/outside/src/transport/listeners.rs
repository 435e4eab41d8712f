//! All places where a server listens, each with as many sockets as there are who accept: processes or reactors.
//!
//! Sockets may come from the generation before, which says for which place each was bound, or from a service manager,
//! which says nothing: then the address tells, and what fits nowhere is for the first place.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::{Address, Door, Listener, SocketFile, Tls};
use crate::error::Error;

/// A place where a server is to listen.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where.
    pub address: Address,
    /// How TLS is spoken there, if it is.
    pub tls: Option<Arc<Tls>>,
    /// What those who come there get.
    pub door: Door,
}

/// Where a server listens, as in a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The address; the port is the real one.
    pub address: Address,
    /// Is TLS spoken there?
    pub is_secure: bool,
}

/// The sockets of a server, place by place.
#[derive(Debug, Default)]
pub struct Listeners(Vec<Vec<Listener>>);

impl Listeners {
    /// Binds all places, or takes over what was handed down; for each at least so many handles. There are more if more
    /// sockets were handed down: each needs somebody who accepts.
    ///
    /// # Errors
    /// As [`Listener::bind_each`] and [`Listener::inherited`].
    pub fn open(places: &[Place], backlog: u32, count: usize) -> Result<Self, Error> {
        let names = names(places);
        let mut sockets: Vec<Vec<Listener>> = places.iter().map(|_| Vec::new()).collect();
        for listener in Listener::inherited()? {
            if let Some(index) = home(&listener, places, &names) {
                sockets[index].push(listener);
            }
        }
        let mut made: Vec<SocketFile> = Vec::new();
        for ((place, name), own) in places.iter().zip(&names).zip(&mut sockets) {
            if own.is_empty() {
                let bound = Listener::bind_each(&place.address, backlog, count);
                // Where one place cannot be had, nothing is left of the others.
                *own = bound.inspect_err(|_| made.drain(..).for_each(SocketFile::remove))?;
                made.extend(own.first().and_then(Listener::file));
            }
            for listener in own {
                listener.settle(name, place.tls.clone(), place.door);
            }
        }
        let count = sockets.iter().map(Vec::len).max().unwrap_or(0).max(count);
        Ok(Self(sockets.into_iter().map(|own| Listener::share(own, count)).collect::<Result<_, _>>()?))
    }

    /// How many accept at each place.
    pub fn slots(&self) -> usize {
        self.0.first().map_or(0, Vec::len)
    }

    /// Another handle of one socket of each place.
    ///
    /// # Errors
    /// There is no such slot, or the system is out of descriptors.
    pub fn slot(&self, slot: usize) -> Result<Self, Error> {
        let handle = |place: &Vec<Listener>| match place.get(slot) {
            Some(listener) => Ok(vec![listener.try_clone()?]),
            None => Err(Error::new(format!("there is no slot {slot}"))),
        };
        Ok(Self(self.0.iter().map(handle).collect::<Result<_, _>>()?))
    }

    /// Where they listen, place by place.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let first = self.0.iter().filter_map(|place| place.first());
        let of =
            |listener: &Listener| Endpoint { address: listener.address().clone(), is_secure: listener.tls().is_some() };
        first.map(of).collect()
    }

    /// Every descriptor with its slot, and what the next generation needs to know of it: a text for `OUTSIDE_LISTENERS`, which
    /// holds a JSON list of them in the order of the descriptors.
    pub fn descriptors(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>, String)> {
        let numbered = self.0.iter().flat_map(|place| place.iter().enumerate());
        numbered.map(|(slot, listener)| (slot, listener.as_fd(), listener.legacy()))
    }

    /// The files to be removed when nobody will listen any more.
    pub fn files(&self) -> Vec<SocketFile> {
        self.0.iter().filter_map(|place| place.first().and_then(Listener::file)).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.0.iter().flatten()
    }

    pub(crate) fn into_places(self) -> Vec<Vec<Listener>> {
        self.0
    }
}

/// The sockets of one place.
    /// How TLS is spoken here, each way once.
    pub(crate) fn certificates(&self) -> Vec<Arc<Tls>> {
        let mut certificates = Vec::<Arc<Tls>>::new();
        for own in self.iter().filter_map(Listener::tls) {
            if !certificates.iter().any(|known| Arc::ptr_eq(known, own)) {
                certificates.push(Arc::clone(own));
            }
        }
        certificates
    }

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

/// What places are called between generations: by the address that was asked for, since the real port may be another one.
/// Of several that ask for the same each has a name of its own.
fn names(places: &[Place]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for place in places {
        let address = place.address.to_string();
        let same = places[..names.len()].iter().filter(|other| other.address == place.address).count();
        names.push(if same == 0 { address } else { format!("{address}#{same}") });
    }
    names
}

/// The place of a socket that was handed down; `None` if the program does not want it any more.
fn home(listener: &Listener, places: &[Place], names: &[String]) -> Option<usize> {
    match listener.place() {
        Some(name) => names.iter().position(|other| other == name),
        None => Some(places.iter().position(|place| place.address == *listener.address()).unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Place {
        let address = Address::parse_unix(address).unwrap_or_else(|| Address::Tcp(address.parse().unwrap()));
        Place { address, tls: None, door: Door::Site }
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
            [place("127.0.0.1:1"), Place { address: bound.address().clone(), ..place("[::1]:1") }, place("[::1]:0")];
        let names = names(&places);
        assert_eq!(home(&bound, &places, &names), Some(1), "by its address");
        let mut other = Listener::bind(&b, 1, false).unwrap();
        assert_eq!(home(&other, &places, &names), Some(0), "nobody's");
        other.settle("http://[::1]:0", None, Door::Site);
        assert_eq!(home(&other, &places, &names), Some(2), "by name");
        other.settle("http://[::1]:8080", None, Door::Site);
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
}
