//! The state that all connections of a reactor share: the site, the log, limits, the clock, the executor, and the stage
//! of the server's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::connection_limit::ConnectionLimit;
use super::control::ConnectionControl;
use super::executor::Executor;
use super::freed_memory::FreedMemory;
use super::handshakes::Handshakes;
use super::loop_share::LoopShare;
use super::memory_bound::MemoryBound;
use super::registry::ConnectionRegistry;
use super::request_count::RequestCount;
use super::turn_times::TurnTimes;
use crate::budget::Budget;
use crate::compression::Press;
use crate::config::Config;
use crate::content::Spools;
use crate::files::FileContent;
use crate::log::{Level, Log};
use crate::message::Request;
use crate::metrics::names::TLS_HANDSHAKES;
use crate::metrics::{Monotonic, RequestKind, RequestMeter, Sample};
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
    pub(crate) times: TurnTimes,
    /// The connections of all reactors, counted.
    pub(crate) connection_limit: Arc<ConnectionLimit>,
    /// The stage of the server's end: 0, [`LEAVING`], [`RETIRING`] or [`DRAINING`].
    pub(crate) stage: Arc<AtomicU8>,
    /// The subscribers among the WebSockets of this reactor.
    pub(crate) room: Arc<Room>,
    /// The bytes that sessions of WebSockets read between two looks at the network.
    pub(crate) session_share: LoopShare,
    pub(crate) deflate: Arc<DeflatePool>,
    /// The memory that the answers of all connections may take.
    pub(crate) budget: Arc<Budget>,
    pub(crate) press: Arc<Press>,
    pub(crate) handshakes: Handshakes,
    /// The temporary files of request content, of all reactors.
    pub(crate) spools: Arc<Spools>,
    /// Request content that comes in to memory, of all reactors.
    pub(crate) bodies: Arc<Spools>,
    pub(crate) freed_memory: Arc<FreedMemory>,
    /// Counts the requests of all reactors, if `max_requests` bounds them.
    pub(crate) requests: Option<Arc<RequestCount>>,
    /// Looks at the memory of the process, if `max_worker_memory_mb` bounds it.
    pub(crate) memory: Option<Arc<MemoryBound>>,
    /// Counts the exchanges of this reactor, if `metrics` is set.
    pub(crate) meter: Option<RequestMeter>,
    /// Whether exchanges note when they begin: for the log, or for the metrics.
    pub(crate) is_timed: bool,
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

    /// The time at which a request has come: that of this turn of the event loop; `None` if nothing asks for it.
    pub(crate) fn began(&self) -> Option<Monotonic> {
        self.is_timed.then(|| self.times.time(self.executor.turn()))
    }

    /// Counts exchanges whose answers were sent.
    pub(crate) fn measure(&self, samples: impl Iterator<Item = Sample>) {
        if let Some(meter) = &self.meter {
            meter.record(samples, self.times.end(self.executor.turn()));
        }
    }

    /// Counts a call of an asynchronous handler, from the moment when its event loop got it.
    pub(crate) fn count_handler(&self, request: &Request, lasted: Duration) {
        if let Some(meter) = &self.meter {
            let number = request.route_number.load(Ordering::Relaxed);
            meter.count_handler(number, lasted);
        }
    }

    /// Counts a refusal by a limit; `status` is empty where no answer is sent.
    pub(crate) fn count_refusal(&self, limit: &str, status: &str) {
        if let Some(meter) = &self.meter {
            meter.meter.count_refusal(limit, status);
        }
    }

    /// Notes the request that a connection answers from now on, for the number of those by method and scheme. Returns these two,
    /// where requests are counted.
    pub(crate) fn note_active(&self, control: &ConnectionControl, request: &Request) -> Option<RequestKind> {
        self.meter.as_ref()?;
        let kind = RequestKind::of(request.method(), request.is_secure);
        control.set_kind(kind);
        Some(kind)
    }

    /// Counts a TLS handshake with its result; `terms` are the version and whether a session was resumed.
    pub(crate) fn count_handshake(&self, result: &str, terms: Option<(&str, bool)>) {
        let Some(meter) = &self.meter else { return };
        let (version, resumed) = match terms {
            Some((version, is_resumed)) => (version, if is_resumed { "true" } else { "false" }),
            None => ("", ""),
        };
        meter.meter.count(TLS_HANDSHAKES.series(&[result, version, resumed]));
    }

    /// Writes into the log that a client takes its answer too slowly. `by_rate`: whether it was slower than the minimum
    /// rate, rather than silent.
    pub(crate) fn complain_of_slow_reader(&self, by_rate: bool) {
        let key = if by_rate { "min_rate" } else { "write_stall_timeout" };
        self.log.complain(key, "a client that takes its answer too slowly");
        self.count_refusal(key, "");
    }

    /// Writes into the log why a file could not be sent whole: the message is cut, since its head states its length.
    pub(crate) fn cannot_finish(&self, content: &FileContent, reason: &str) {
        self.log.event(Level::Error, format!("{:?} could not be sent whole: {reason}", content.path));
    }
}
