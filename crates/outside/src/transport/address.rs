//! Addresses: IP addresses with a port, and Unix sockets by a path or an abstract name.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// An address at which a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket. A path that begins with `@` is a name in the abstract namespace of Linux: there is no
    /// file, and every process of this network namespace may connect. A file of such a name is `./@name`.
    Unix(PathBuf),
}

impl Address {
    /// Host name or IP address, and port; of several addresses the first.
    ///
    /// # Errors
    /// There is no such address.
    pub fn resolve(host: impl ToSocketAddrs) -> Result<Self, Error> {
        Ok(Self::resolve_all(host)?.swap_remove(0))
    }

    /// All addresses of a host, at least one.
    ///
    /// # Errors
    /// There is no such address.
    pub fn resolve_all(host: impl ToSocketAddrs) -> Result<Vec<Self>, Error> {
        let mut addresses = Vec::new();
        for address in host.to_socket_addrs()?.map(Self::Tcp) {
            // Some hosts files name an address twice.
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(Error::new("the host has no address")) } else { Ok(addresses) }
    }

    /// The IP address and port; `None` for a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// As a URL: `https://127.0.0.1:8443`; `http` without TLS.
    pub fn url(&self, is_secure: bool) -> String {
        let scheme = if is_secure { "https" } else { "http" };
        match self {
            Self::Tcp(address) => format!("{scheme}://{address}"),
            Self::Unix(path) => format!("{scheme}+unix:{}", path.display()),
        }
    }

    /// Checks whether a server at this address may show error details to its clients.
    ///
    /// # Errors
    /// Clients that are not users of this machine could connect.
    pub fn check_debug(&self) -> Result<(), Error> {
        match self {
            Self::Tcp(address) if address.ip().to_canonical().is_loopback() => Ok(()),
            _ => Err(Error::new(format!(
                "config[\"debug\"] shows source lines and variables to clients, so it needs an address that only this machine \
                 reaches, such as 127.0.0.1; this server listens on {self}"
            ))),
        }
    }

    /// `unix:PATH` or `unix:@NAME`; `None` for anything else.
    pub fn parse_unix(text: &str) -> Option<Self> {
        text.strip_prefix("unix:").filter(|path| !matches!(*path, "" | "@")).map(|path| Self::Unix(path.into()))
    }
}

/// The abstract name that a path stands for, if it does.
pub(super) fn abstract_name(path: &Path) -> Option<&[u8]> {
    path.as_os_str().as_bytes().strip_prefix(b"@")
}

/// One place with one address.
impl From<Address> for Vec<Address> {
    fn from(address: Address) -> Self {
        vec![address]
    }
}

/// As a URL: `http://127.0.0.1:8080`, `http+unix:app.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url(false))
    }
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: Address,
    /// The system's error.
    pub error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp(address) => write!(f, "cannot listen on {address}: {}", self.error),
            Address::Unix(path) => write!(f, "cannot listen on {}: {}", path.display(), self.error),
        }
    }
}

impl std::error::Error for BindError {}
