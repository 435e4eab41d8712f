//! What it means: an order to a server that is ready to run, and what to say about it.

use outside::{Address, BindError, Config, Error, FilePath, OutsideHttp, OutsideHttpRedirect};

use crate::arguments::{FolderOrder, Order, Place, What};
use crate::{NOT_STARTED, USAGE};

/// Why there is no server: exit status and reason.
pub(crate) type Fault = (u8, String);

/// What a server serves, for the line that says that it does.
pub(crate) enum Subject {
    Folder {
        path: String,
        /// Nothing but a 404 answers the folder itself.
        is_blank: bool,
    },
    Redirect(String),
}

/// Makes the server; nothing is bound yet.
pub(crate) fn make(order: &Order) -> Result<(OutsideHttp, Subject), Fault> {
    let address = resolved(&order.place)?;
    let (mut server, subject) = match &order.what {
        What::Folder(folder) => folder_server(address, folder)?,
        What::Redirect(url) => {
            let redirect = OutsideHttpRedirect::at(address, url).map_err(|error| (USAGE, error.to_string()))?;
            (redirect.server, Subject::Redirect(url.clone()))
        }
    };
    server.config = Config { access_log: order.log, ..server.config };
    Ok((server, subject))
}

fn folder_server(address: Address, order: &FolderOrder) -> Result<(OutsideHttp, Subject), Fault> {
    let path = &order.path;
    let metadata =
        std::fs::metadata(path).map_err(|error| (NOT_STARTED, format!("{path:?} cannot be served: {error}")))?;
    if !metadata.is_dir() {
        return Err((NOT_STARTED, format!("{path:?} is no folder")));
    }
    let server = OutsideHttp::at(address);
    server
        .set_route("/", FilePath(path.to_string_lossy().into_owned()))
        .map_err(|error| (NOT_STARTED, error.to_string()))?;
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let is_blank = !order.listing && order.spa.is_none() && !path.join("index.html").exists();
    Ok((server, Subject::Folder { path: format!("{:?}", whole), is_blank }))
}

fn resolved(place: &Place) -> Result<Address, Fault> {
    match place {
        Place::Unix(text) => Address::parse_unix(text).ok_or_else(|| (USAGE, format!("{text:?} is no Unix socket"))),
        Place::Tcp { host, port } => {
            let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
            Address::resolve((bare, *port)).map_err(|error| {
                let fault = match host.parse::<std::net::SocketAddr>() {
                    Ok(both) => format!("--host {host} holds a port: --host {} --port {}", both.ip(), both.port()),
                    Err(_) => format!("--host {host:?} is neither an IP address nor a name that is known ({error})"),
                };
                (NOT_STARTED, fault)
            })
        }
    }
}

/// Why a server that was made could not run, and what would help.
pub(crate) fn explained(error: &Error) -> String {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let Some(bind) = error.source_as::<BindError>() else { return error.to_string() };
    let advice = match (bind.error.kind(), &bind.address) {
        (AddrInUse, Address::Tcp(_)) => "another program listens there; --port takes another port, --port 0 a free one",
        (AddrInUse, Address::Unix(_)) => {
            "another server listens there, or it is no socket; --host unix:PATH takes another path"
        }
        (AddrNotAvailable, _) => "this machine has no such address; --host takes another",
        (PermissionDenied, Address::Tcp(address)) if address.port() < 1024 => {
            "ports below 1024 need a privilege; --port 8080 does not"
        }
        _ => return error.to_string(),
    };
    match &bind.address {
        Address::Tcp(address) => format!("cannot listen on {address}: {advice}"),
        Address::Unix(path) => format!("cannot listen on {}: {advice}", path.display()),
    }
}

impl Subject {
    /// What is printed when it serves.
    pub(crate) fn greeting(&self, address: &Address) -> String {
        match self {
            Self::Redirect(url) => format!("outside is redirecting {address} to {url} (Ctrl+C stops it)\n"),
            Self::Folder { path, is_blank } => {
                let note = match is_blank {
                    true => {
                        "There is no index.html in it, and it is not listed: start with --listing to see its files.\n"
                    }
                    false => "",
                };
                format!("outside is serving {path} on {address} (Ctrl+C stops it)\n{note}")
            }
        }
    }
}
