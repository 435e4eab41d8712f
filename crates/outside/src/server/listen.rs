//! Accepting, and what happens when there are too many connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::reactors::Reactors;
use crate::connection::Connection;
use crate::exchange::{AddressKey, Service};
use crate::log::Level;
use crate::transport::{Accepting, Entrance, Queue, Stream};

/// Accepts until aborted. Never more connections than allowed: those that have not sent a complete head make room, by age, then
/// the one that has been idle longest; if there is none, one connection waits at each listener, and the others in the backlog.
pub(super) async fn accept(
    mut listener: Accepting,
    entrance: Entrance,
    reactors: Arc<Reactors>,
    service: Arc<Service>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // From here on it is served by a task of its own, or a server that ends would leave it unanswered.
                if let Some(admission) = receive(stream, address, &entrance, &reactors, &service) {
                    drop(admission.await);
                }
            }
            // The client gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors or memory: make room and look again soon, without spinning.
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

/// Accepts those who wait in a queue when the server ends, whatever their number: they are answered, and no more come. `false` if some wait
/// still, for want of descriptors.
pub(super) fn empty(queue: &Queue, entrance: &Entrance, reactors: &Arc<Reactors>, service: &Arc<Service>) -> bool {
    let _inside = service.executor.runtime.enter();
    // A queue holds one more than its length; clients that go on coming are not waited for.
    for _ in 0..=service.config.backlog_length {
        match queue.next() {
            Ok(Some((stream, address))) => drop(receive(stream, address, entrance, reactors, service)),
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

/// Starts a connection on the reactor where it belongs. If there is no room yet, it begins when there is, or when the
/// server ends; then the receiver wakes up.
fn receive(
    stream: Stream,
    address: SocketAddr,
    entrance: &Entrance,
    reactors: &Arc<Reactors>,
    service: &Arc<Service>,
) -> Option<oneshot::Receiver<()>> {
    let of_address = match Some(address.ip()).filter(|ip| !service.front.trusts(*ip)).and_then(AddressKey::of) {
        None => None,
        Some(key) => match service.connection_limit.admit_address(key) {
            None => {
                // The client hears nothing: an answer to each would cost more than its connections do.
                service.log.complain("max_connections_per_ip", "too many connections of one address");
                return None;
            }
            Some(seat) => Some(seat),
        },
    };
    if of_address.as_ref().is_some_and(|seat| service.connection_limit.is_first_full(seat)) {
        let text = format!(
            "{} has as many connections as one address may have; config[\"max_connections_per_ip\"] sets this limit, and \
             a proxy belongs into config[\"trusted_proxies\"]",
            address.ip().to_canonical()
        );
        service.log.event(Level::Warning, text);
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
    let stream = match match &entrance.tls {
        Some(tls) => tls.accept(stream),
        None => Ok(stream),
    } {
        Ok(stream) => stream,
        Err(error) => {
            service.log.event(Level::Error, format!("TLS cannot begin: {error}"));
            return None;
        }
    };
    let connection = Connection::new(stream, address, of_address, entrance.door, Arc::clone(home));
    if service.connection_limit.admit() {
        drop(runtime.spawn(connection.run()));
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
            reactors.shed();
            // If all are busy now, one of them may be idle soon.
            drop(tokio::time::timeout(PAUSE, service.connection_limit.shrunk()).await);
        }
        drop(tell);
        connection.run().await;
    }));
    Some(admission)
}
