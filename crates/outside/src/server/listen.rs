//! Accepting connections, and making room when there are too many.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::reactors::Reactors;
use crate::connection::Connection;
use crate::exchange::{AddressGuard, AddressKey, AddressVerdict, Service};
use crate::log::Level;
use crate::transport::{AcceptQueue, Accepting, ListenerOptions, Stream};

/// Accepts until aborted, never more connections than allowed. Connections that have not sent a complete head make
/// room, by age, then the one that has been idle longest. If no connection can give way, one waits at each listener,
/// and the others in the backlog.
pub(super) async fn accept(
    mut listener: Accepting,
    options: ListenerOptions,
    reactors: Arc<Reactors>,
    service: Arc<Service>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // From here on the connection has a task, so that a server that ends still answers it.
                if let Some(admission) = receive(stream, address, &options, &reactors, &service) {
                    drop(admission.await);
                }
            }
            // The client closed the connection before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors or memory: make room, and try again soon without spinning.
                service.log.complain("max_connections", &format!("cannot accept: {error}"));
                if reactors.shed() {
                    drop(tokio::time::timeout(PAUSE, service.connection_limit.shrunk()).await);
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(50);

/// Accepts the connections that wait in a queue when the server ends, so that they are answered. Returns `false` if
/// some still wait because descriptors are short.
pub(super) fn empty(
    queue: &AcceptQueue,
    options: &ListenerOptions,
    reactors: &Arc<Reactors>,
    service: &Arc<Service>,
) -> bool {
    let _inside = service.executor.runtime.enter();
    // A queue holds one connection more than its length. Connections that arrive later are not accepted.
    for _ in 0..=service.config.backlog_length {
        match queue.next() {
            Ok(Some((stream, address))) => drop(receive(stream, address, options, reactors, service)),
            Ok(None) => return true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                service.log.complain("max_connections", &format!("cannot accept: {error}"));
                reactors.shed();
                return false;
            }
        }
    }
    true
}

/// Starts a connection on its reactor. If there is no room, it starts later, when there is room or when the server
/// ends; then the receiver wakes up.
fn receive(
    stream: Stream,
    address: SocketAddr,
    options: &ListenerOptions,
    reactors: &Arc<Reactors>,
    service: &Arc<Service>,
) -> Option<oneshot::Receiver<()>> {
    if let Some(accepted) = &options.accepted {
        accepted[0].fetch_add(1, Ordering::Relaxed);
    }
    let of_address = match Some(address.ip()).filter(|ip| !service.front.trusts(*ip)).and_then(AddressKey::of) {
        None => None,
        Some(key) => match service.connection_limit.admit_address(key) {
            None => {
                // No response is sent: one for each refused connection would cost more than the connections themselves.
                complain_of_address(service);
                return None;
            }
            Some(seat) => Some(seat),
        },
    };
    if of_address.as_ref().is_some_and(|seat| service.connection_limit.is_first_full(seat)) {
        warn_of_address(service, address);
    }
    let home = reactors.home(service);
    let runtime = &home.executor.runtime;
    let stream = if Arc::ptr_eq(home, service) {
        stream
    } else {
        let _inside = runtime.enter();
        match stream.detach().and_then(|stream| stream.attach()) {
            Ok(stream) => stream,
            Err(error) => {
                service.log.complain("max_connections", &format!("cannot accept: {error}"));
                return None;
            }
        }
    };
    let stream = match match &options.tls {
        Some(tls) => tls.accept(stream),
        None => Ok(stream),
    } {
        Ok(stream) => stream,
        Err(error) => {
            service.log.event(Level::Error, format!("TLS cannot begin: {error}"));
            return None;
        }
    };
    let mut of_address = of_address;
    let verdict = of_address.as_mut().and_then(AddressGuard::ask_everywhere);
    let connection = Connection::new(stream, address, of_address, options.role, Arc::clone(home));
    if service.connection_limit.admit() {
        match verdict {
            None => drop(runtime.spawn(connection.run())),
            Some(verdict) => drop(runtime.spawn(run_if_admitted(connection, verdict, Arc::clone(service), address))),
        }
        return None;
    }
    let (tell, admission) = oneshot::channel();
    let (reactors, service) = (Arc::clone(reactors), Arc::clone(service));
    drop(runtime.spawn(async move {
        while !service.connection_limit.admit() {
            if service.is_ending() {
                service.connection_limit.admit_always();
                break;
            }
            service.log.complain("max_connections", "too many connections");
            service.count_refusal("max_connections", "");
            reactors.shed();
            // All connections are busy now; one of them may become idle soon.
            drop(tokio::time::timeout(PAUSE, service.connection_limit.shrunk()).await);
        }
        drop(tell);
        match verdict {
            None => connection.run().await,
            Some(verdict) => run_if_admitted(connection, verdict, service, address).await,
        }
    }));
    Some(admission)
}

/// Serves a connection if the hub says that its address has fewer connections than it may have, in all processes.
async fn run_if_admitted(connection: Connection, verdict: AddressVerdict, service: Arc<Service>, address: SocketAddr) {
    if verdict.wait().await {
        return connection.run().await;
    }
    complain_of_address(&service);
    if service.connection_limit.is_first_warning() {
        warn_of_address(&service, address);
    }
}

fn complain_of_address(service: &Service) {
    service.log.complain("max_connections_per_ip", "too many connections of one address");
    service.count_refusal("max_connections_per_ip", "");
}

fn warn_of_address(service: &Service, address: SocketAddr) {
    let text = format!(
        "{} has as many connections as one address may have; config[\"max_connections_per_ip\"] sets this limit, and \
         a proxy belongs into config[\"trusted_proxies\"]",
        address.ip().to_canonical()
    );
    service.log.event(Level::Warning, text);
}
