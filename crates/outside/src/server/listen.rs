//! Accepting, and what happens when there are too many.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::{Connection, Service};
use crate::transport::Accepting;

/// Accepts until aborted. Never more connections than allowed: the one that has been idle longest makes room; if none
/// is idle, new ones wait in the backlog.
pub(super) async fn accept(listener: Accepting, service: Arc<Service>) {
    let most = service.config.max_connections.unwrap_or_else(default_most);
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                while service.handles.len() >= most {
                    service.log.complain("max_connections", "too many connections");
                    service.handles.shed_one(&service.clock);
                    // If all are busy now, one of them may be idle soon.
                    drop(tokio::time::timeout(PAUSE, service.ended.notified()).await);
                }
                let connection = Connection::new(stream, address, Arc::clone(&service));
                tokio::spawn(connection.run());
            }
            // The client gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // Out of descriptors or memory: make room and look again soon, without spinning.
                service.log.complain("max_connections", &format!("cannot accept: {error}"));
                if service.handles.shed_one(&service.clock) {
                    drop(tokio::time::timeout(PAUSE, service.ended.notified()).await);
                } else {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(50);

/// Four fifths of the descriptors that this process may open, at most 50,000.
fn default_most() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(50_000, |limit| usize::try_from(limit / 5 * 4).unwrap_or(usize::MAX).min(50_000)).max(1)
}
