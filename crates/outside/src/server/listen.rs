//! Accepting, and what happens when there are too many.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::reactors::Reactors;
use crate::connection::{Connection, Service};
use crate::log::Level;
use crate::transport::{Accepting, Entrance, Stream};

/// Accepts until aborted. Never more connections than allowed: the one that has been idle longest makes room; if none
/// is idle, one stands at the door of each listener, and the others wait in the backlog.
pub(super) async fn accept(
    mut listener: Accepting,
    entrance: Entrance,
    reactors: Arc<Reactors>,
    service: Arc<Service>,
) {
    let most = service.config.max_connections.unwrap_or_else(default_most);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // From here on it is served by a task of its own, or a server that ends would leave it unanswered.
                if let Some(admission) = receive(stream, address, &entrance, most, &reactors, &service) {
                    drop(admission.await);
                }
            }
            // The client gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors or memory: make room and look again soon, without spinning.
                service.log.complain("max_connections", &format!("cannot accept: {error}"));
                if reactors.shed_one() {
                    drop(tokio::time::timeout(PAUSE, service.crowd.shrunk()).await);
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(50);

/// Starts a connection on the reactor where it belongs. If there is no room yet, it begins when there is, or when the
/// server ends; then the receiver wakes up.
fn receive(
    stream: Stream,
    address: SocketAddr,
    entrance: &Entrance,
    most: usize,
    reactors: &Arc<Reactors>,
    service: &Arc<Service>,
) -> Option<oneshot::Receiver<()>> {
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
    let connection = Connection::new(stream, address, entrance.door, Arc::clone(home));
    if service.crowd.admit(most) {
        drop(runtime.spawn(connection.run()));
        return None;
    }
    let (tell, admission) = oneshot::channel();
    let (reactors, service) = (Arc::clone(reactors), Arc::clone(service));
    drop(runtime.spawn(async move {
        while !service.crowd.admit(if service.is_ending() { usize::MAX } else { most }) {
            service.log.complain("max_connections", "too many connections");
            reactors.shed_one();
            // If all are busy now, one of them may be idle soon.
            drop(tokio::time::timeout(PAUSE, service.crowd.shrunk()).await);
        }
        drop(tell);
        connection.run().await;
    }));
    Some(admission)
}

/// Four fifths of the descriptors that this process may open, at most 50,000.
fn default_most() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(50_000, |limit| usize::try_from(limit / 5 * 4).unwrap_or(usize::MAX).min(50_000)).max(1)
}
