//! The metrics of the server itself: names, labels and help. The table of docs/deploy/metrics.md is this one; a test compares them.

use super::labels::labels_text;
use super::series::{Combine, Definition, Kind};

/// A metric of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
}

impl Metric {
    const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, labels, help }
    }

    const fn seconds(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Nanoseconds, labels, help }
    }

    const fn gauge(name: &'static str, combine: Combine, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge(combine), labels, help }
    }

    const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind: Kind::Durations, labels, help }
    }

    /// The series with these values of its labels, in their order; an empty value: the series lacks this label.
    pub(crate) fn series(&self, values: &[&str]) -> Definition {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        let labels = self.labels.iter().copied().zip(values.iter().copied()).filter(|(_, value)| !value.is_empty());
        Definition::new(self.kind, self.name, self.help, labels_text(labels))
    }
}

pub(crate) const REQUEST_DURATION: Metric = Metric::histogram(
    "http_server_request_duration_seconds",
    &[
        "http_request_method",
        "http_response_status_code",
        "http_route",
        "network_protocol_version",
        "url_scheme",
        "error_type",
    ],
    "Duration of HTTP server requests.",
);
pub(crate) const ACTIVE_REQUESTS: Metric = Metric::gauge(
    "http_server_active_requests",
    Combine::Sum,
    &["http_request_method", "url_scheme"],
    "Requests that are being answered.",
);
pub(crate) const HANDLER_WAIT: Metric = Metric::histogram(
    "outside_handler_wait_seconds",
    &["http_route"],
    "Time from the complete head of a request, and its content, to the call of the handler.",
);
pub(crate) const HANDLER: Metric = Metric::histogram(
    "outside_handler_seconds",
    &["http_route"],
    "Time of the calls of a route's handler, without the server's own work around them.",
);
pub(crate) const CONNECTIONS: Metric = Metric::gauge(
    "outside_connections",
    Combine::Sum,
    &["state"],
    "Connections by their state; a stream of HTTP/2 with a task of its own counts too.",
);
pub(crate) const ACCEPTED: Metric =
    Metric::counter("outside_connections_total", &["listener", "protocol"], "Connections that were accepted.");
pub(crate) const REFUSED: Metric = Metric::counter(
    "outside_refused_total",
    &["limit", "status"],
    "Requests and connections that were refused, by the setting or the limit that refuses them.",
);
pub(crate) const WORKERS: Metric = Metric::gauge(
    "outside_workers",
    Combine::Sum,
    &["state"],
    "Worker processes by their states; a silent one has written nothing for three seconds.",
);
pub(crate) const WORKER_ENDS: Metric = Metric::counter(
    "outside_worker_ends_total",
    &["how"],
    "Worker processes that have ended: in order, with an error, or by a signal.",
);
pub(crate) const RELOADS: Metric = Metric::counter("outside_reloads_total", &["result"], "Reloads, by their result.");
pub(crate) const GENERATION: Metric = Metric::gauge(
    "outside_generation",
    Combine::Max,
    &[],
    "The number of the newest generation that serves: one more with each reload.",
);
pub(crate) const QUEUE: Metric =
    Metric::gauge("outside_queue", Combine::Sum, &["worker"], "Calls of handlers that wait for a thread.");
pub(crate) const POOL_THREADS: Metric = Metric::gauge(
    "outside_pool_threads",
    Combine::Sum,
    &["state", "worker"],
    "Handler threads: busy with a call beside the event loop, standing by, or given up.",
);
pub(crate) const HANDOVERS: Metric = Metric::counter(
    "outside_handovers_total",
    &["worker"],
    "How often the event loop was taken over from a handler that took long.",
);
pub(crate) const GIVEN_UP: Metric = Metric::counter(
    "outside_given_up_total",
    &["worker"],
    "Calls of handlers that did not end after their time was over, so that their threads were given up.",
);
pub(crate) const LOCK_WAIT: Metric = Metric::seconds(
    "outside_python_lock_wait_seconds_total",
    &["worker"],
    "Time for which threads have waited for Python's lock before a batch of calls.",
);
pub(crate) const WEBSOCKET_MESSAGES: Metric = Metric::counter(
    "outside_websocket_messages_total",
    &["way"],
    "Messages of WebSockets that were received, or queued to be sent.",
);
pub(crate) const PUBLISHED: Metric =
    Metric::counter("outside_topic_published_total", &[], "Messages that were published to topics.");
pub(crate) const TOPICS: Metric =
    Metric::gauge("outside_topics", Combine::Max, &[], "Topics with subscribers in one process: the most of any.");
pub(crate) const SUBSCRIBERS: Metric =
    Metric::gauge("outside_topic_subscribers", Combine::Sum, &[], "Connections that have subscribed to a topic.");
pub(crate) const BUS_CONNECTED: Metric = Metric::gauge(
    "outside_bus_connected",
    Combine::Min,
    &[],
    "Whether all processes have their connections to the broker: 1, or 0.",
);
pub(crate) const BUS_DISCONNECTS: Metric =
    Metric::counter("outside_bus_disconnects_total", &[], "Connections to the broker that were lost.");
pub(crate) const BUS_MESSAGES: Metric = Metric::counter(
    "outside_bus_messages_total",
    &["way"],
    "Messages to topics that a process has sent to others, and that have come from there, its own included.",
);
pub(crate) const BUS_DROPPED: Metric = Metric::counter(
    "outside_bus_dropped_total",
    &[],
    "Messages to topics that were dropped, because more was published than the hub or the broker took.",
);
pub(crate) const BUS_GAPS: Metric = Metric::counter(
    "outside_bus_gaps_total",
    &[],
    "How often the subscribers of a process were told that messages were lost.",
);
pub(crate) const BUS_QUEUE: Metric =
    Metric::gauge("outside_bus_queue_bytes", Combine::Sum, &[], "Bytes that wait to be sent to the hub or the broker.");
pub(crate) const TLS_HANDSHAKES: Metric = Metric::counter(
    "outside_tls_handshakes_total",
    &["result", "version", "resumed"],
    "TLS handshakes by their results.",
);
pub(crate) const CERTIFICATE_EXPIRY: Metric = Metric::gauge(
    "outside_certificate_expiry_timestamp_seconds",
    Combine::Last,
    &["name"],
    "The end of a certificate's validity, in seconds since 1970.",
);
pub(crate) const LINES_LOST: Metric = Metric::counter(
    "outside_log_lines_lost_total",
    &[],
    "Lines of the log that were dropped, because it was written too slowly.",
);
pub(crate) const CPU: Metric = Metric::seconds("process_cpu_seconds_total", &["worker"], "Processor time of a worker.");
pub(crate) const MEMORY: Metric =
    Metric::gauge("process_resident_memory_bytes", Combine::Sum, &["worker"], "Memory of a worker.");
pub(crate) const OPEN_FILES: Metric =
    Metric::gauge("process_open_fds", Combine::Sum, &["worker"], "Open files and sockets of a worker.");
pub(crate) const THREADS: Metric = Metric::gauge("process_threads", Combine::Sum, &["worker"], "Threads of a worker.");
pub(crate) const START_TIME: Metric = Metric::gauge(
    "process_start_time_seconds",
    Combine::Max,
    &["worker"],
    "When a worker began, in seconds since 1970.",
);
