//! Listening sockets.
//!
//! A listener is bound before any event loop exists, so that it can be handed to a worker process or to the next
//! generation.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::address::{Address, BindError, abstract_name};
use super::{MemoryListener, Stream, Tls};
use crate::error::Error;
use crate::message::NO_ADDRESS;
use crate::metrics::Cells;

/// The role of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListenerRole {
    /// The site.
    #[default]
    Serve,
    /// A redirect to the same host and path by TLS.
    RedirectToHttps,
    /// The numbers of the server: all processes accept from one queue, so that a stopped one keeps no client waiting.
    Metrics,
}

/// The treatment of connections that a listener accepts.
#[derive(Clone, Debug)]
pub(crate) struct ListenerOptions {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) role: ListenerRole,
    /// Counts the connections, if anything is counted.
    pub(crate) accepted: Option<Cells>,
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: ListeningSocket,
    address: Address,
    /// The file of a Unix socket, if this server or an earlier generation made it; not if a service manager did.
    file: Option<SocketFile>,
    /// The TLS configuration, if TLS is spoken on it.
    tls: Option<Arc<Tls>>,
    role: ListenerRole,
    /// The place of the configuration for which it was bound.
    place: Option<Box<str>>,
}

#[derive(Debug)]
enum ListeningSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Permissions of a Unix socket: its owner and group may connect.
const MODE: u32 = 0o660;
/// The same for the numbers of the server: its owner alone may connect.
const PRIVATE: u32 = 0o600;

impl Listener {
    /// Binds and listens. With `shares`, other listeners of the same user may share the port (SO_REUSEPORT).
    ///
    /// # Errors
    /// A [`BindError`], with the address in its text.
    pub fn bind(address: &Address, backlog: u32, shares: bool) -> Result<Self, Error> {
        Self::bind_as(address, backlog, shares, false)
    }

    /// The same; `only_v6` leaves the IPv4 addresses of `::` to another listener.
    fn bind_as(address: &Address, backlog: u32, shares: bool, only_v6: bool) -> Result<Self, Error> {
        Self::bind_with(address, backlog, shares, only_v6, MODE)
    }

    /// The same with these permissions of a Unix socket.
    fn bind_with(address: &Address, backlog: u32, shares: bool, only_v6: bool, mode: u32) -> Result<Self, Error> {
        let bound = match address {
            Address::Tcp(address) => bind_tcp(*address, backlog, shares, only_v6).map(ListeningSocket::Tcp),
            Address::Unix(path) => bind_unix(path, backlog, mode).map(ListeningSocket::Unix),
        };
        let fault = |error| Error::from(BindError { address: address.clone(), error });
        let socket = bound.map_err(fault)?;
        let address = match &socket {
            ListeningSocket::Tcp(listener) => Address::Tcp(listener.local_addr()?),
            ListeningSocket::Unix(_) => address.clone(),
        };
        let file = match &address {
            Address::Unix(path) if abstract_name(path).is_none() => Some(SocketFile(path.clone())),
            _ => None,
        };
        Ok(Self { file, ..Self::of(socket, address) })
    }

    fn of(socket: ListeningSocket, address: Address) -> Self {
        Self { socket, address, file: None, tls: None, role: ListenerRole::Serve, place: None }
    }

    /// Binds and listens for `count` processes or reactors. With TCP each has a socket with a queue of its own
    /// (SO_REUSEPORT): the kernel spreads clients over them and wakes no thread in vain. A Unix socket has one queue.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub fn bind_each(address: &Address, backlog: u32, count: usize) -> Result<Vec<Self>, Error> {
        Self::bind_each_as(address, backlog, count, false, ListenerRole::Serve)
    }

    /// The same; `only_v6` leaves the IPv4 addresses of `::` to another listener.
    pub(super) fn bind_each_as(
        address: &Address,
        backlog: u32,
        count: usize,
        only_v6: bool,
        role: ListenerRole,
    ) -> Result<Vec<Self>, Error> {
        if role == ListenerRole::Metrics {
            return Ok(Self::share(vec![Self::bind_with(address, backlog, false, only_v6, PRIVATE)?], count)?);
        }
        // Once without sharing the port: sharing would hide that the port is in use.
        let first = Self::bind_as(address, backlog, false, only_v6)?;
        if count < 2 || first.address.socket_addr().is_none() {
            return Ok(Self::share(vec![first], count)?);
        }
        let address = first.address.clone();
        drop(first);
        (0..count).map(|_| Self::bind_as(&address, backlog, true, only_v6)).collect()
    }

    /// Makes at least `count` handles. Sockets that were handed down cannot be multiplied, but handles can share their
    /// queues.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn share(mut listeners: Vec<Self>, count: usize) -> io::Result<Vec<Self>> {
        let sockets = listeners.len();
        while sockets > 0 && listeners.len() < count {
            listeners.push(listeners[listeners.len() % sockets].try_clone()?);
        }
        Ok(listeners)
    }

    /// The listeners that this process was started with, by the protocol of systemd's socket activation (LISTEN_PID,
    /// LISTEN_FDS); none if it was started without. The generation before describes each of them in OUTSIDE_LISTENERS.
    ///
    /// # Errors
    /// A descriptor is no listening socket.
    pub fn inherited() -> Result<Vec<Self>, Error> {
        let mut descriptors = listenfd::ListenFd::from_env();
        let legacies: Vec<(String, bool)> = std::env::var(LEGACIES)
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .map_or_else(Vec::new, |list| list.as_array().into_iter().flatten().filter_map(read_legacy).collect());
        let mut listeners = Vec::new();
        for index in 0..descriptors.len() {
            if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
                listener.set_nonblocking(true)?;
                let address = Address::Tcp(listener.local_addr()?);
                listeners.push(Self::of(ListeningSocket::Tcp(listener), address));
            } else if let Some(listener) = descriptors.take_unix_listener(index)? {
                listener.set_nonblocking(true)?;
                let path = path_of(&listener.local_addr()?);
                listeners.push(Self::of(ListeningSocket::Unix(listener), Address::Unix(path)));
            }
        }
        if legacies.len() == listeners.len() {
            for (listener, (place, owns_file)) in listeners.iter_mut().zip(legacies) {
                if let (Address::Unix(path), true) = (&listener.address, owns_file) {
                    listener.file = Some(SocketFile(path.clone()));
                }
                listener.place = Some(place.into());
            }
        }
        Ok(listeners)
    }

    /// The address; its port is the real one.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The same listener with this TLS configuration; `None`: without TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// The TLS configuration; `None` without TLS.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// The address as a URL.
    pub fn url(&self) -> String {
        self.address.url(self.tls.is_some())
    }

    /// Another handle of the same socket; both share one queue.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let socket = match &self.socket {
            ListeningSocket::Tcp(listener) => ListeningSocket::Tcp(listener.try_clone()?),
            ListeningSocket::Unix(listener) => ListeningSocket::Unix(listener.try_clone()?),
        };
        let (address, file, tls) = (self.address.clone(), self.file.clone(), self.tls.clone());
        Ok(Self { socket, address, file, tls, role: self.role, place: self.place.clone() })
    }

    /// Assigns the listener to a place, with its TLS configuration and role.
    pub(super) fn settle(&mut self, place: &str, tls: Option<Arc<Tls>>, role: ListenerRole) {
        (self.place, self.tls, self.role) = (Some(place.into()), tls, role);
    }

    /// The place for which it was bound, if known.
    pub(super) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The role of the listener.
    pub fn role(&self) -> ListenerRole {
        self.role
    }

    pub(crate) fn options(&self) -> ListenerOptions {
        ListenerOptions { tls: self.tls.clone(), role: self.role, accepted: None }
    }

    /// The description for the next generation, in JSON.
    pub(super) fn legacy(&self) -> String {
        serde_json::json!([self.place.as_deref().unwrap_or_default(), self.file.is_some()]).to_string()
    }

    /// The file to remove when no process listens any more: that of a Unix socket which was bound, not handed down by a
    /// service manager.
    pub fn file(&self) -> Option<SocketFile> {
        self.file.clone()
    }

    /// Registers the socket with the current event loop.
    pub(crate) fn accepting(self) -> io::Result<Accepting> {
        Ok(match self.socket {
            ListeningSocket::Tcp(listener) => Accepting::Tcp(Arc::new(tokio::net::TcpListener::from_std(listener)?)),
            ListeningSocket::Unix(listener) => Accepting::Unix(Arc::new(tokio::net::UnixListener::from_std(listener)?)),
        })
    }
}

/// The environment variable in which a generation describes the listeners that it hands down.
const LEGACIES: &str = "OUTSIDE_LISTENERS";

/// The place, and whether the file of its Unix socket is to be removed at the end.
fn read_legacy(value: &serde_json::Value) -> Option<(String, bool)> {
    let [place, owns_file] = value.as_array()?.as_slice() else { return None };
    Some((place.as_str()?.to_owned(), owns_file.as_bool()?))
}

/// The file of a Unix socket.
#[derive(Clone, Debug)]
pub struct SocketFile(PathBuf);

impl SocketFile {
    /// Removes the file; has no effect if it is gone already.
    pub fn remove(self) {
        drop(std::fs::remove_file(self.0));
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            ListeningSocket::Tcp(listener) => listener.as_fd(),
            ListeningSocket::Unix(listener) => listener.as_fd(),
        }
    }
}

/// The path of a Unix socket's address, with `@` before an abstract name.
fn path_of(address: &std::os::unix::net::SocketAddr) -> PathBuf {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return std::ffi::OsString::from_vec([b"@", name].concat()).into();
    }
    address.as_pathname().map(Path::to_path_buf).unwrap_or_default()
}

fn bind_tcp(address: SocketAddr, backlog: u32, shares: bool, only_v6: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shares)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Set in both cases, because the default is a setting of the system.
        socket.set_only_v6(only_v6)?;
    }
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A socket file without a listener is left over from a server that could not remove it; it is replaced.
fn bind_unix(path: &Path, backlog: u32, mode: u32) -> io::Result<UnixListener> {
    if let Some(name) = abstract_name(path) {
        return bind_abstract(name, backlog);
    }
    let left_over = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if left_over {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    // Before listening: no client can have connected with other permissions.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A name of the abstract namespace. The kernel frees it by itself; it has no permissions.
#[cfg(target_os = "linux")]
fn bind_abstract(name: &[u8], backlog: u32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // By unix(7): a NUL, then the name.
    let path = std::ffi::OsString::from_vec([b"\0", name].concat());
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(not(target_os = "linux"))]
fn bind_abstract(_: &[u8], _: u32) -> io::Result<UnixListener> {
    let text = "a name with @ is one of Linux's abstract namespace; a file of that name is ./@name";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// A listener within an event loop.
#[derive(Debug)]
pub(crate) enum Accepting {
    Tcp(Arc<tokio::net::TcpListener>),
    Unix(Arc<tokio::net::UnixListener>),
    Memory(MemoryListener),
}

/// The queue of a listener that accepts no new clients any more. The kernel has told the clients in it that they are
/// connected.
#[derive(Debug)]
pub(crate) enum AcceptQueue {
    Tcp(Arc<tokio::net::TcpListener>),
    Unix(Arc<tokio::net::UnixListener>),
}

impl AcceptQueue {
    /// The next waiting connection, if there is one, with the client's address; it belongs to the current event loop.
    /// Asks the system directly, because the listener's event loop may not have polled the network yet.
    pub(crate) fn next(&self) -> io::Result<Option<(Stream, SocketAddr)>> {
        let accepted = match self {
            Self::Tcp(listener) => SockRef::from(&**listener).accept(),
            Self::Unix(listener) => SockRef::from(&**listener).accept(),
        };
        let (socket, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        match self {
            Self::Tcp(_) => {
                let stream = tokio::net::TcpStream::from_std(socket.into())?;
                stream.set_nodelay(true).unwrap_or_default();
                Ok(Some((Stream::Tcp(stream), address.as_socket().unwrap_or(NO_ADDRESS))))
            }
            Self::Unix(_) => Ok(Some((Stream::Unix(tokio::net::UnixStream::from_std(socket.into())?), NO_ADDRESS))),
        }
    }
}

impl Accepting {
    /// Its queue, if it has one.
    pub(crate) fn queue(&self) -> Option<AcceptQueue> {
        match self {
            Self::Tcp(listener) => Some(AcceptQueue::Tcp(Arc::clone(listener))),
            Self::Unix(listener) => Some(AcceptQueue::Unix(Arc::clone(listener))),
            Self::Memory(_) => None,
        }
    }

    /// The next connection and the client's address.
    pub(crate) async fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written whole, so waiting for more bytes would only delay them. A socket that refuses the
                // option works without it.
                stream.set_nodelay(true).unwrap_or_default();
                Ok((Stream::Tcp(stream), address))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), NO_ADDRESS)),
            Self::Memory(handed) => handed.accept().await,
        }
    }
}
