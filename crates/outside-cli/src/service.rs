//! An order becomes a server that is ready to run, and the lines to print about it.

use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, NotADirectory, NotFound, PermissionDenied};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use outside::listen::{Address, BindError};
use outside::message::HostPattern;
use outside::{Error, Folder, OutsideHttp, OutsideHttpRedirect};

use crate::arguments::{FolderOrder, HOST, Order, PORT, PUBLIC_HOST, PUBLIC_PORT, Place, What, nearest_command};
use crate::managed;
use crate::{NOT_STARTED, USAGE};

/// The failure to make a server: exit status and reason.
pub(crate) type Fault = (u8, String);

/// The folder or the destination of a server, for the line that is printed when it serves.
pub(crate) enum Subject {
    Folder { path: PathBuf, note: Option<String> },
    Redirect(String),
}

/// Makes the server; nothing is bound yet.
pub(crate) fn make(order: &Order) -> Result<(OutsideHttp, Subject), Fault> {
    let managed = managed::config(&order.domains, order.storage.clone())?;
    let is_usual = order.place == Place::Tcp { host: HOST.to_owned(), port: PORT };
    let addresses = match is_usual && !managed.domains.is_empty() {
        // OUTSIDE_DOMAINS has the same effect as --domain.
        true => resolved(&Place::Tcp { host: PUBLIC_HOST.to_owned(), port: PUBLIC_PORT })?,
        false => resolved(&order.place)?,
    };
    let is_loopback =
        |address: &Address| matches!(address, Address::Tcp(address) if address.ip().to_canonical().is_loopback());
    let allowed_hosts = order.allowed_hosts(addresses.iter().all(is_loopback))?;
    let (mut server, subject) = match &order.what {
        What::Folder(folder) => folder_server(addresses, folder)?,
        What::Redirect(url) => {
            let redirect = OutsideHttpRedirect::at(addresses, url).map_err(|error| (USAGE, error.to_string()))?;
            (redirect.server, Subject::Redirect(url.clone()))
        }
    };
    server.config.access_log = order.log;
    server.config.loopback_hosts_only = true;
    server.config.allowed_hosts = allowed_hosts;
    server.config.domains = managed.domains;
    server.config.acme = managed.acme;
    if let Some(files) = &order.tls {
        server.config.ssl_enabled = true;
        server.config.ssl_certfile.clone_from(&files.certfile);
        server.config.ssl_keyfile.clone_from(&files.keyfile);
    }
    Ok((server, subject))
}

fn folder_server(addresses: Vec<Address>, order: &FolderOrder) -> Result<(OutsideHttp, Subject), Fault> {
    let path = &order.path;
    // The engine checks the folder as well, but its message does not help a user at a prompt.
    let looked = std::fs::read_dir(path).map_err(|error| match error.kind() {
        NotFound => format!("there is no folder {path:?}{}", command_meant(path)),
        NotADirectory => format!("{path:?} is no folder"),
        PermissionDenied => format!("no permission to read the folder {path:?}"),
        _ => format!("the folder {path:?} cannot be read: {error}"),
    });
    looked.map_err(|fault| (NOT_STARTED, fault))?;
    let failed = |error: Error| (NOT_STARTED, error.to_string());
    let mut folder = Folder::new(path).map_err(failed)?.with_listing(order.listing);
    if let Some(name) = &order.spa {
        folder = folder.with_spa(name);
    }
    for (pattern, value) in &order.cache_control {
        folder = folder.with_cache_control(pattern, value);
    }
    let mut server = OutsideHttp::at(addresses);
    server.config.compression = !order.no_compression;
    server.set_route("/", folder).map_err(failed)?;
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    Ok((server, Subject::Folder { path: whole, note: note(order) }))
}

/// The hint that a missing folder was probably meant as a command.
fn command_meant(path: &Path) -> String {
    match (nearest_command(path.as_os_str()), path.to_str()) {
        (Some(command), _) => format!("; did you mean outside {command}?"),
        (None, Some(text)) if text.contains(':') => format!("; a program's server is run by outside run {text}"),
        _ => String::new(),
    }
}

impl Order {
    /// The hosts of the options; without any, the names of this machine and of the listener, if no other machine
    /// reaches it.
    fn allowed_hosts(&self, is_local: bool) -> Result<Vec<HostPattern>, Fault> {
        let parsed =
            |name: &str| name.parse::<HostPattern>().map_err(|error| (USAGE, format!("--allowed-host: {error}")));
        if !self.allowed_hosts.is_empty() {
            return self.allowed_hosts.iter().map(|name| parsed(name)).collect();
        }
        match &self.place {
            Place::Tcp { host, .. } if is_local && host != "localhost" && is_name(host) => {
                [host, "localhost", "*.localhost", "127.0.0.1", "::1"].into_iter().map(parsed).collect()
            }
            _ => Ok(Vec::new()),
        }
    }
}

fn is_name(host: &str) -> bool {
    !host.starts_with('[') && host.parse::<IpAddr>().is_err()
}

/// A hint for a user who would be surprised by the first page.
fn note(order: &FolderOrder) -> Option<String> {
    let lacks = |name: &str| !order.path.join(name).exists();
    match &order.spa {
        Some(name) if lacks(name) => Some(format!("there is no {name:?} in it yet, which --spa is to answer with")),
        None if !order.listing && lacks("index.html") => {
            Some("there is no index.html in it, so / is a 404; --listing shows what there is".to_owned())
        }
        _ => None,
    }
}

fn resolved(place: &Place) -> Result<Vec<Address>, Fault> {
    match place {
        Place::Unix(text) => match Address::parse_unix(text) {
            Some(address) => Ok(vec![address]),
            None => Err((USAGE, format!("{text:?} is no Unix socket"))),
        },
        Place::Tcp { host, port } => {
            let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
            Address::resolve_all((bare, *port)).map_err(|error| {
                let fault = match host.parse::<std::net::SocketAddr>() {
                    Ok(both) => format!("--host {host} holds a port: --host {} --port {}", both.ip(), both.port()),
                    Err(_) => format!("--host {host:?} is neither an IP address nor a name that is known ({error})"),
                };
                (NOT_STARTED, fault)
            })
        }
    }
}

/// The reason for which a server could not run, with an advice.
pub(crate) fn explained(error: &Error) -> String {
    let Some(bind) = error.source_as::<BindError>() else { return error.to_string() };
    let advice = match (bind.error.kind(), &bind.address) {
        (AddrInUse, Address::Tcp(_)) => "another program listens there; --port takes another port, --port 0 a free one",
        (AddrInUse, Address::Unix(_)) => {
            "another server listens there, or it is no socket; --host unix:PATH takes another path"
        }
        (AddrNotAvailable, _) => "this machine has no such address; --host takes another",
        (PermissionDenied, Address::Tcp(address)) if address.port() < 1024 => {
            "ports below 1024 need a privilege (AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd, or \
             sysctl net.ipv4.ip_unprivileged_port_start=80); --port 8080 does not"
        }
        _ => return error.to_string(),
    };
    match &bind.address {
        Address::Tcp(address) => format!("cannot listen on {address}: {advice}"),
        Address::Unix(path) => format!("cannot listen on {}: {advice}", path.display()),
    }
}

impl Subject {
    /// The line that is printed when it serves.
    pub(crate) fn greeting(&self, address: &str) -> String {
        match self {
            Self::Redirect(url) => format!("outside is redirecting {address} to {url} (Ctrl+C stops it)\n"),
            Self::Folder { path, note } => {
                let note = note.as_ref().map_or_else(String::new, |note| format!("Note: {note}\n"));
                format!("outside is serving {path:?} on {address} (Ctrl+C stops it)\n{note}")
            }
        }
    }
}
