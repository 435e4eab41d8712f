//! The state that all connections of a reactor share: the site, the log, limits, the clock, the executor, and the stage
//! of the server's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::clock::Clock;
use super::connection_limit::ConnectionLimit;
use super::executor::Executor;
use super::handshakes::Handshakes;
use super::memory_bound::MemoryBound;
use super::registry::ConnectionRegistry;
use super::request_count::RequestCount;
use crate::budget::Budget;
use crate::compression::Press;
use crate::config::Config;
use crate::content::Spools;
use crate::files::FileContent;
use crate::log::{Level, Log};
use crate::protocol::http1::HeadLimits;
use crate::protocol::websocket::DeflatePool;
use crate::site::{Front, Site};
use crate::websocket::Room;

/// The state that the connections of a reactor share.
pub(crate) struct Service {
    pub(crate) executor: Arc<Executor>,
    pub(crate) site: Arc<Site>,
    pub(crate) config: Config,
    /// Whether requests that carry a session of the Rust face are checked for forgery.
    pub(crate) checks_forgery: bool,
    pub(crate) front: Arc<Front>,
    pub(crate) log: Arc<Log>,
    pub(crate) registry: ConnectionRegistry,
    pub(crate) clock: Arc<Clock>,
    /// The connections of all reactors, counted.
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    /// The stage of the server's end: 0, [`LEAVING`], [`RETIRING`] or [`DRAINING`].
    pub(crate) stage: Arc<AtomicU8>,
    /// The subscribers among the WebSockets of this reactor.
    pub(crate) room: Arc<Room>,
    pub(crate) deflate: Arc<DeflatePool>,
    /// The memory that the answers of all connections may take.
    pub(crate) budget: Arc<Budget>,
    pub(crate) press: Arc<Press>,
    pub(crate) handshakes: Handshakes,
    /// The temporary files of request content, of all reactors.
    pub(crate) spools: Arc<Spools>,
    /// Counts the requests of all reactors, if `max_requests` bounds them.
    pub(crate) requests: Option<Arc<RequestCount>>,
    /// Looks at the memory of the process, if `max_worker_memory_mb` bounds it.
    pub(crate) memory: Option<Arc<MemoryBound>>,
}

/// The stage before the end: everything is served as before, while health checks say that the server is about to end.
pub(crate) const LEAVING: u8 = 1;
/// The stage in which a new generation serves: idle connections may send one more request.
pub(crate) const RETIRING: u8 = 2;
/// The stage in which requests in flight are answered, and no others.
pub(crate) const DRAINING: u8 = 3;

impl Service {
    /// Whether new clients should ask another server.
    pub(crate) fn is_leaving(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= LEAVING
    }

    /// Whether connections end after their current request.
    pub(crate) fn is_ending(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= RETIRING
    }

    pub(crate) fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            request_line: self.config.max_request_line,
            fields: self.config.max_header_fields,
            section: self.config.max_header_size,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.stage.load(Ordering::Relaxed) >= DRAINING
    }

    /// Writes into the log that a client takes its answer too slowly. `by_rate`: whether it was slower than the minimum
    /// rate, rather than silent.
    pub(crate) fn complain_of_slow_reader(&self, by_rate: bool) {
        let key = if by_rate { "min_rate" } else { "write_stall_timeout" };
        self.log.complain(key, "a client that takes its answer too slowly");
    }

    /// Writes into the log why a file could not be sent whole: the message is cut, since its head states its length.
    pub(crate) fn cannot_finish(&self, content: &FileContent, reason: &str) {
        self.log.event(Level::Error, format!("{:?} could not be sent whole: {reason}", content.path));
    }
}
