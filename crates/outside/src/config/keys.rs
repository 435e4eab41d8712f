//! The table of configuration keys: name, default, allowed values, and the field that each one sets.
//!
//! A key has one row here; docs/reference/configuration.md is made from them by `make docs-pages`, in this order.

use std::time::Duration;

use super::bus::BusAddress;
use super::domains::{domains, eab, text_or_none};
use super::history::read_history;
use super::metrics::{read_allowed, read_place};
use super::value::*;
use super::{AccessLog, Config, MOST_REACTORS, Secrets, Symlinks};

const SECONDS: &str = "seconds, more than 0";
const PATH: &str = "a path that begins with '/', or None";

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The name, as in Python's `config` dictionary.
    pub name: &'static str,
    /// Its effect, with the unit of the value and the answer beyond a limit, in Markdown: the text of the documentation.
    pub meaning: &'static str,
    /// The default value.
    pub default: Value,
    /// The allowed values, for the message that refuses others.
    pub allowed: &'static str,
    /// Applies a value. Returns whether it is allowed.
    pub(super) apply: fn(&mut Config, &Value) -> bool,
}

/// Every key, in the order in which documents list them.
pub static KEYS: &[Key] = &[
    Key {
        name: "host",
        meaning: "where to listen: `(ip, port)`, a host name in the place of the IP address for all its addresses, \
                  or `\"unix:PATH\"` for a Unix socket (mode 0660); `\"unix:@NAME\"` is an abstract one, to which \
                  every program of the machine may connect",
        default: Value::None,
        allowed: "(ip, port) or 'unix:PATH'; by default the constructor's address",
        apply: |_, value| match value {
            Value::None | Value::Address(..) => true,
            Value::Owned(text) => text.len() > 5 && text.starts_with("unix:"),
            _ => false,
        },
    },
    Key {
        name: "backlog_length",
        meaning: "connections that wait to be accepted",
        default: Value::Integer(1024),
        allowed: "a whole number from 1 to 65535",
        apply: |config, value| whole(value, 1, 65_535, |n| config.backlog_length = n as u32),
    },
    Key {
        name: "max_workers",
        meaning: "handler threads of one process (for processes see `processes`): handlers that wait or are late at \
                  one moment, each on a thread of its own",
        default: Value::Integer(150),
        allowed: "a whole number from 1 to 10000",
        apply: |config, value| whole(value, 1, 10_000, |n| config.max_workers = n as usize),
    },
    Key {
        name: "max_waiting_requests",
        meaning: "requests that wait for one of the `max_workers` threads, in one process; more get 503. `None`: four \
                  for each thread (`outside run` sets 2048 for an application that it hosts)",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: 4 for each thread",
        apply: |config, value| whole_or_none(value, &mut config.max_waiting_requests),
    },
    Key {
        name: "waiting_timeout",
        meaning: "seconds for which a request waits for a thread, then 503 (`outside run` sets 30 for an application \
                  that it hosts)",
        default: Value::Integer(5),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.waiting_timeout),
    },
    Key {
        name: "max_websockets",
        meaning: "threads for blocking WebSocket handlers, one for each connection; more connections get 503",
        default: Value::Integer(2048),
        allowed: "a whole number from 1 to 1000000",
        apply: |config, value| whole(value, 1, 1_000_000, |n| config.max_websockets = n as usize),
    },
    Key {
        name: "max_topics",
        meaning: "topics of one WebSocket connection, a name of 256 bytes or more counting several times; with more \
                  it ends with 1008",
        default: Value::Integer(1024),
        allowed: "a whole number from 1 to 1000000",
        apply: |config, value| whole(value, 1, 1_000_000, |n| config.max_topics = n as usize),
    },
    Key {
        name: "max_published_mb",
        meaning: "memory for published messages that wait to be handed out; WebSocket clients that publish are read \
                  more slowly before, and beyond it messages are dropped and counted in the log",
        default: Value::Integer(16),
        allowed: "a number of MiB above 0, at most 4095",
        apply: |config, value| number(value, 1e-6, 4095.0, |n| config.max_published = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "history",
        meaning: "the last messages of topics that are kept for clients that come back, by topic or by the beginning of \
                  topics: a number of messages, or bytes of each topic; all together take 64 MiB at most, then the \
                  topics go whose last message is the oldest",
        default: Value::None,
        allowed: "a table such as {'news': 100, 'room:*': '64k'}: messages from 1 on, or bytes up to '64m'; '*' alone needs bytes",
        apply: |config, value| read_history(value).map(|rules| config.history = rules).is_some(),
    },
    Key {
        name: "max_shared_mb",
        meaning: "memory for the values of `server.shared`, in all processes together; beyond it values that have expired go, \
                  then `set`, `add` and `incr` raise `RuntimeError`",
        default: Value::Integer(64),
        allowed: "a number of MiB above 0, at most 4095",
        apply: |config, value| number(value, 1e-6, 4095.0, |n| config.max_shared = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "bus",
        meaning: "the broker by which topics reach other machines, a Redis (6 or newer) or Valkey: `\"redis://host\"`, \
                  `\"redis://user:password@host:6379/0?prefix=shop\"`, `\"rediss://…\"` with TLS (`?ca=FILE` for a private \
                  authority), `\"redis+unix:///path\"`. While it is away, topics stay on this machine",
        default: Value::None,
        allowed: "a URL: 'redis://host', 'redis://user:password@host:6379/0?prefix=shop', 'rediss://host?ca=FILE', \
                  'redis+unix:///path'; or None: topics stay on this machine",
        apply: |config, value| BusAddress::read(value, &mut config.bus),
    },
    Key {
        name: "process_timeout",
        meaning: "a handler's time, in seconds, until it has answered or yielded a piece (it has nothing to do with \
                  processes); then the client gets 504 and a plain function gets `HandlerTimeout`; one that has not \
                  ended `termination_timeout` later is given up",
        default: Value::Integer(60),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.process_timeout),
    },
    Key {
        name: "termination_timeout",
        meaning: "seconds between asking the server to stop and cutting what is left",
        default: Value::Integer(30),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.termination_timeout = Duration::from_secs_f64(n)),
    },
    Key {
        name: "cancel_on_disconnect",
        meaning: "whether an `async def` handler is cancelled, and a streamed answer ended, when its client resets \
                  the connection or closes its side of it; routes may say otherwise: `set_route(..., \
                  cancel_on_disconnect=True)`",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.cancel_on_disconnect),
    },
    Key {
        name: "drain_delay",
        meaning: "seconds after SIGTERM in which everything is served as before, while `ready_route` says 503: load \
                  balancers look elsewhere before the server stops accepting; a second signal cuts",
        default: Value::Integer(0),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.drain_delay = Duration::from_secs_f64(n)),
    },
    Key {
        name: "drain_idle",
        meaning: "seconds in which, after a reload, idle connections to the old generation may send one more request",
        default: Value::Integer(30),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.drain_idle = Duration::from_secs_f64(n)),
    },
    Key {
        name: "processes",
        meaning: "worker processes, the same as `--workers` of the command; `\"auto\"`: one for each core",
        default: Value::Integer(1),
        allowed: "a whole number from 1 to 1024, or 'auto': one for each core",
        apply: |_, value| matches!(value, Value::Owned(text) if text == "auto") || whole(value, 1, 1024, |_| ()),
    },
    Key {
        name: "reactors",
        meaning: "event loops of one process, for Rust and for Python without a GIL (where `\"auto\"` is the default of one \
                  process); `\"auto\"`: one for each core; `max_workers` holds for each of them",
        default: Value::Integer(1),
        allowed: "a whole number from 1 to 64, or 'auto': one for each core",
        apply: |config, value| match value {
            Value::Owned(text) if text == "auto" => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                config.reactors = cores.min(MOST_REACTORS);
                true
            }
            value => whole(value, 1, MOST_REACTORS as i64, |n| config.reactors = n as usize),
        },
    },
    Key {
        name: "max_requests",
        meaning: "requests after which another worker process takes the place of one; it serves before the old one stops \
                  accepting, and that finishes what it has begun; with one process too, which then has a supervisor",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: no bound",
        apply: |config, value| match value {
            Value::None => {
                config.max_requests = None;
                true
            }
            value => whole(value, 1, i64::MAX, |n| config.max_requests = Some(n as u64)),
        },
    },
    Key {
        name: "max_requests_jitter",
        meaning: "up to so many requests more, drawn by each worker, so that they do not all end at once",
        default: Value::Integer(0),
        allowed: "a whole number from 0 to 1000000000",
        apply: |_, value| whole(value, 0, 1_000_000_000, |_| ()),
    },
    Key {
        name: "max_worker_memory_mb",
        meaning: "memory of a worker process (resident, as `ps` shows it) beyond which another one takes its place, as for \
                  `max_requests`: one worker of a server at a time, the new one first",
        default: Value::None,
        allowed: "a number of MiB from 1 to 1048576, or None: no bound",
        apply: |config, value| match value {
            Value::None => {
                config.max_worker_memory = None;
                true
            }
            value => number(value, 1.0, 1_048_576.0, |n| config.max_worker_memory = Some((n * 1_048_576.0) as u64)),
        },
    },
    Key {
        name: "on_worker_start",
        meaning: "`callback(slot)` in each worker process before it serves",
        default: Value::None,
        allowed: "a function of (slot), or None",
        apply: callable,
    },
    Key {
        name: "on_worker_stop",
        meaning: "`callback(slot)` in each worker process after it has served",
        default: Value::None,
        allowed: "a function of (slot), or None",
        apply: callable,
    },
    Key {
        name: "health_route",
        meaning: "another name of `ready_route`; both may be set",
        default: Value::None,
        allowed: PATH,
        apply: |config, value| path_or_none(value, &mut config.health_route),
    },
    Key {
        name: "ready_route",
        meaning: "a path that the engine answers itself, for any host: 200 while the server takes new clients, 503 from the \
                  moment when it is told to end",
        default: Value::None,
        allowed: PATH,
        apply: |config, value| path_or_none(value, &mut config.ready_route),
    },
    Key {
        name: "live_route",
        meaning: "a path that the engine answers itself, for any host: 200 as long as its event loop turns, while it drains too",
        default: Value::None,
        allowed: PATH,
        apply: |config, value| path_or_none(value, &mut config.live_route),
    },
    Key {
        name: "metrics",
        meaning: "where Prometheus reads the numbers of this server, at `/metrics`, over all its processes: \
                  `(ip, port)`, or `\"unix:PATH\"` for a Unix socket that its owner alone may open (mode 0600). A \
                  listener of its own, which serves nothing else; an address that other machines reach needs \
                  `metrics_allow`. `None`: nothing is counted",
        default: Value::None,
        allowed: "(ip, port), 'unix:PATH' or None",
        apply: |config, value| read_place(value).map(|place| config.metrics = place).is_some(),
    },
    Key {
        name: "metrics_allow",
        meaning: "the networks whose clients may read the metrics, beside this machine; they never see the status page",
        default: Value::Texts(&[]),
        allowed: "a list of networks, such as '10.0.0.0/8'",
        apply: |config, value| read_allowed(value).map(|networks| config.metrics_allow = networks).is_some(),
    },
    Key {
        name: "status_page",
        meaning: "whether the listener of `metrics` has the live status page too, at `/status`, for clients of this \
                  machine alone",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.status_page),
    },
    Key {
        name: "recv_size",
        meaning: "bytes of a receive buffer",
        default: Value::Integer(16_384),
        allowed: "a whole number of bytes from 1024 to 16777216",
        apply: |config, value| whole(value, 1024, 16 << 20, |n| config.recv_size = n as usize),
    },
    Key {
        name: "send_size",
        meaning: "bytes of a send buffer",
        default: Value::Integer(65_536),
        allowed: "a whole number of bytes from 1024 to 16777216",
        apply: |config, value| whole(value, 1024, 16 << 20, |n| config.send_size = n as usize),
    },
    Key {
        name: "keep_alive",
        meaning: "whether a connection may carry several requests",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.keep_alive),
    },
    Key {
        name: "max_socket_reuse",
        meaning: "requests on one connection",
        default: Value::Integer(10_000),
        allowed: "a whole number from 1 on",
        apply: |config, value| whole(value, 1, i64::MAX, |n| config.max_socket_reuse = n as u64),
    },
    Key {
        name: "accept_timeout",
        meaning: "kept for old scripts; has no effect",
        default: Value::Integer(1),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "max_body_size_mb",
        meaning: "a larger body is answered with 413; applications of WSGI and ASGI have this bound only if it is set",
        default: Value::Integer(16),
        allowed: "a number of MiB above 0, at most 4095",
        apply: |config, value| number(value, 1e-6, 4095.0, |n| config.max_body_size = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "spool_above_mb",
        meaning: "a larger body waits in a temporary file, not in memory",
        default: Value::Integer(1),
        allowed: "a number of MiB from 0 on, at most 4095",
        apply: |config, value| number(value, 0.0, 4095.0, |n| config.spool_above = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "spool_max_mb",
        meaning: "disk that all bodies in temporary files take together, in one process; beyond it the slowest \
                  upload is answered with 503",
        default: Value::Integer(1024),
        allowed: "a number of MiB above 0, at most 1048576",
        apply: |config, value| number(value, 1e-6, 1_048_576.0, |n| config.spool_max = (n * 1_048_576.0) as u64),
    },
    Key {
        name: "max_body_memory_mb",
        meaning: "memory that all bodies take together while they come in, in one process; beyond it the slowest \
                  upload is answered with 503; `None`: a quarter of the memory of the machine or container",
        default: Value::None,
        allowed: "a number of MiB from 1 to 1048576, or None: a quarter of the memory of the machine or container",
        apply: |config, value| mebibytes(value, &mut config.max_body_memory),
    },
    Key {
        name: "max_form_fields",
        meaning: "fields of a form; more are answered with 413, as with the two below",
        default: Value::Integer(1000),
        allowed: "a whole number from 0 to 1000000",
        apply: |config, value| whole(value, 0, 1_000_000, |n| config.form_limits.fields = n as usize),
    },
    Key {
        name: "max_form_field_size",
        meaning: "bytes of a form's field that is no file",
        default: Value::Integer(500_000),
        allowed: "a whole number of bytes from 0 to 1073741824",
        apply: |config, value| whole(value, 0, 1 << 30, |n| config.form_limits.field_size = n as usize),
    },
    Key {
        name: "max_form_files",
        meaning: "files of a form",
        default: Value::Integer(100),
        allowed: "a whole number from 0 to 1000000",
        apply: |config, value| whole(value, 0, 1_000_000, |n| config.form_limits.files = n as usize),
    },
    Key {
        name: "cors",
        meaning: "pages of other origins that may read answers: `\"https://app.example.com\"`, a list, `\"*\"`, or a \
                  dictionary of `origins`, `methods`, `headers`, `expose`, `credentials`, `max_age`; preflights are \
                  answered by the engine",
        default: Value::None,
        allowed: "an origin such as 'https://example.com', '*', a list of origins, or a table of origins, methods, headers, \
                  expose, credentials and max_age; credentials are for listed origins, not for '*'",
        apply: |config, value| read_cors(value).map(|cors| config.cors = cors).is_some(),
    },
    Key {
        name: "security_headers",
        meaning: "fields on every answer: `\"basic\"` (nosniff and Referrer-Policy), `\"strict\"` (those, and a page \
                  of its own origin alone, in no frame), or a dictionary",
        default: Value::None,
        allowed: "'basic' (the same as True), 'strict', a table of names and values, or None",
        apply: |config, value| read_security(value).map(|headers| config.security_headers = headers).is_some(),
    },
    Key {
        name: "allow_range_from_mb",
        meaning: "ranges are offered for files from this size on; `-1`: never",
        default: Value::Integer(0),
        allowed: "a number of MiB from 0 on, or -1: never",
        apply: |config, value| match value {
            Value::Integer(-1) => {
                config.allow_range_from = None;
                true
            }
            value => number(value, 0.0, 1e9, |n| config.allow_range_from = Some((n * 1_048_576.0) as u64)),
        },
    },
    Key {
        name: "symlinks",
        meaning: "links within a served folder: followed while they stay in it; or `\"never\"`, or `\"anywhere\"`",
        default: Value::Text("inside"),
        allowed: "'inside' (followed while they stay within the folder), 'never' or 'anywhere'",
        apply: |config, value| {
            let names = [("inside", Symlinks::Inside), ("never", Symlinks::Never), ("anywhere", Symlinks::Anywhere)];
            one_of(value, names, &mut config.symlinks)
        },
    },
    Key {
        name: "file_cache_mb",
        meaning: "memory for small files and their compressed forms; `0`: none is kept",
        default: Value::Integer(64),
        allowed: "a number of MiB from 0 (no cache) to 1048576",
        apply: |config, value| number(value, 0.0, 1_048_576.0, |n| config.file_cache = (n * 1_048_576.0) as u64),
    },
    Key {
        name: "compression",
        meaning: "whether text, JSON and the like are sent in zstd, br or gzip to clients that accept it, from 512 \
                  bytes on; from 128 KiB on in pieces, as the client takes them",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.compression),
    },
    Key {
        name: "allowed_hosts",
        meaning: "names of this server, `\"*.example.com\"` for all below one; requests for other hosts get 421; \
                  empty: any",
        default: Value::Texts(&[]),
        allowed: "a list of host names such as 'example.com' or '*.example.com'; empty: any",
        apply: |config, value| each(value, &mut config.allowed_hosts),
    },
    Key {
        name: "trusted_proxies",
        meaning: "networks (`\"10.0.0.0/8\"`, `\"::1\"`, `\"unix\"`) whose word about client, scheme and host is \
                  taken",
        default: Value::Texts(&[]),
        allowed: "a list of networks such as '10.0.0.0/8', '::1' or 'unix'",
        apply: |config, value| each(value, &mut config.trusted_proxies),
    },
    Key {
        name: "proxy_fields",
        meaning: "the fields in which such a proxy is believed: also `\"x-forwarded-proto\"`, `\"x-forwarded-host\"` \
                  and `\"forwarded\"`, if the proxy sets or removes them on every request",
        default: Value::Texts(&["x-forwarded-for"]),
        allowed: "a list of 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host' and 'forwarded'",
        apply: |config, value| each(value, &mut config.proxy_fields),
    },
    Key {
        name: "ssl_enabled",
        meaning: "whether TLS is spoken (1.2 and 1.3)",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.ssl_enabled),
    },
    Key {
        name: "ssl_certfile",
        meaning: "PEM file of the certificate, with its chain behind it; when it or the key changes, the new one is \
                  taken over",
        default: Value::Text(""),
        allowed: "the path of a PEM file",
        apply: |config, value| path(value, &mut config.ssl_certfile),
    },
    Key {
        name: "ssl_keyfile",
        meaning: "PEM file of its key (PKCS#8, PKCS#1 or SEC1); `\"\"`: the key stands in `ssl_certfile`",
        default: Value::Text(""),
        allowed: "the path of a PEM file; '': the key stands in ssl_certfile",
        apply: |config, value| path(value, &mut config.ssl_keyfile),
    },
    Key {
        name: "ssl_certificates",
        meaning: "more of them, for other names: a list of `{\"certfile\": …, \"keyfile\": …}`; each client is shown \
                  the one for the name it asks for; one that cannot be used is left out until it can, and named in \
                  the log once a day",
        default: Value::None,
        allowed: "a list of {'certfile': path, 'keyfile': path}, or None",
        apply: |config, value| match value {
            Value::None => {
                config.ssl_certificates.clear();
                true
            }
            Value::List(list) => list.iter().map(certificate_files).collect::<Option<_>>().is_some_and(|files| {
                config.ssl_certificates = files;
                true
            }),
            _ => false,
        },
    },
    Key {
        name: "tls_handshake_timeout",
        meaning: "seconds from the first byte of a connection to the end of the handshake",
        default: Value::Integer(10),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.tls_handshake_timeout),
    },
    Key {
        name: "https_redirect",
        meaning: "a port, or `(ip, port)`, where plain HTTP is answered with a redirect to the same place by TLS, \
                  for the server's own hosts alone; with `domains`, `None` is port 80 and `False` is none",
        default: Value::None,
        allowed: "a port, (ip, port), None, or False: none, even with domains",
        apply: |config, value| {
            config.no_plain_http = matches!(value, Value::Bool(false));
            config.https_redirect = match value {
                Value::Bool(false) => None,
                Value::None => None,
                Value::Integer(port) => match u16::try_from(*port) {
                    Ok(port) => Some((None, port)),
                    Err(_) => return false,
                },
                Value::Address(ip, port) => match ip.parse() {
                    Ok(ip) => Some((Some(ip), *port)),
                    Err(_) => return false,
                },
                _ => return false,
            };
            true
        },
    },
    Key {
        name: "domains",
        meaning: "names of this server for which certificates are obtained and renewed by themselves (ACME), each \
                  with one of its own; names in a tuple, or with `+` between them, share one. TLS is spoken at the \
                  constructor's place, port 80 redirects to it (`https_redirect`), and `allowed_hosts` are these \
                  names. Setting it agrees to the terms of the certificate authority",
        default: Value::Texts(&[]),
        allowed: "a list of names such as 'example.com' or '*.example.com', of IP addresses, and of tuples of up to 100 of \
                  them, each name once; 'bücher.example' is written as 'xn--bcher-kva.example'",
        apply: |config, value| domains(value, &mut config.domains),
    },
    Key {
        name: "acme_directory",
        meaning: "the authority: `\"letsencrypt\"`, `\"letsencrypt-staging\"` for trials, the URL of another one's \
                  directory, or a list, whose later ones are for when the first fails for a day",
        default: Value::Text("letsencrypt"),
        allowed: "'letsencrypt', 'letsencrypt-staging', an https URL, or a list of them",
        apply: |config, value| {
            let mut list = Vec::<String>::new();
            let is_allowed = each(value, &mut list) && !list.is_empty() && list.iter().all(|one| is_directory(one));
            if is_allowed {
                config.acme.directories = list;
            }
            is_allowed
        },
    },
    Key {
        name: "acme_email",
        meaning: "an address that the authority may write to",
        default: Value::None,
        allowed: "an address such as 'admin@example.com', or None",
        apply: |config, value| {
            text_or_none(value, &mut config.acme.email)
                && config.acme.email.as_ref().is_none_or(|email| {
                    email.contains('@') && email.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
                })
        },
    },
    Key {
        name: "acme_eab",
        meaning: "`(identifier, key)` of an account that the authority has given out otherwise (external account \
                  binding), the key in base64url; `\"identifier:key\"` is the same",
        default: Value::None,
        allowed: "(identifier, key) or 'identifier:key' with the key in base64url, or None",
        apply: |config, value| eab(value, &mut config.acme.eab),
    },
    Key {
        name: "acme_profile",
        meaning: "the kind of certificate, by the authority's name for it: Let's Encrypt has `\"classic\"`, \
                  `\"tlsserver\"` and `\"shortlived\"`, which alone has IP addresses",
        default: Value::None,
        allowed: "a name such as 'shortlived', or None",
        apply: |config, value| text_or_none(value, &mut config.acme.profile),
    },
    Key {
        name: "acme_storage",
        meaning: "the folder of certificates and their keys, which has to outlive the program; `\"\"`: \
                  `$STATE_DIRECTORY` (systemd), else `$XDG_STATE_HOME/outside`, else `~/.local/state/outside`",
        default: Value::Text(""),
        allowed: "the path of a folder; '': that of the system",
        apply: |config, value| path(value, &mut config.acme.storage),
    },
    Key {
        name: "acme_roots",
        meaning: "PEM file of the root certificates of a private authority; `\"\"`: the roots of the system",
        default: Value::Text(""),
        allowed: "the path of a PEM file; '': the roots of the system",
        apply: |config, value| path(value, &mut config.acme.roots),
    },
    Key {
        name: "acme_challenges",
        meaning: "how the names are proved, best first: `\"tls-alpn-01\"` (port 443), `\"http-01\"` (port 80), \
                  `\"dns-01\"` (needs `acme_dns`); each attempt takes the next one. Empty: all that are possible",
        default: Value::Texts(&[]),
        allowed: "a list of 'tls-alpn-01', 'http-01' and 'dns-01'; empty: all that are possible",
        apply: |config, value| each(value, &mut config.acme.challenges),
    },
    Key {
        name: "acme_dns",
        meaning: "`callback(name, value)`, which sets a TXT record in the DNS and returns when it can be read, with a \
                  function that removes it, or `None`: for `\"dns-01\"`, without which there are no wildcards",
        default: Value::None,
        allowed: "a function of (name, value), or None",
        apply: |config, value| {
            config.acme.has_dns = matches!(value, Value::Callable);
            matches!(value, Value::None | Value::Callable)
        },
    },
    Key {
        name: "on_certificate",
        meaning: "`callback(names, path)` in the process that has obtained a certificate, when it is in its file",
        default: Value::None,
        allowed: "a function of (names, path), or None",
        apply: callable,
    },
    Key {
        name: "hsts",
        meaning: "`\"30d\"` or seconds for which browsers that came by TLS never come without \
                  (Strict-Transport-Security); begin with little, since nothing takes it back",
        default: Value::None,
        allowed: "a time such as '30d' or '1y', a whole number of seconds, or None",
        apply: |config, value| {
            config.hsts = match value {
                Value::None => None,
                Value::Integer(seconds) => match u64::try_from(*seconds) {
                    Ok(seconds) => Some(Duration::from_secs(seconds)),
                    Err(_) => return false,
                },
                value => match text(value).and_then(span_of_time) {
                    Some(time) => Some(time),
                    None => return false,
                },
            };
            true
        },
    },
    Key {
        name: "big_definition_mb",
        meaning: "kept for old scripts; has no effect",
        default: Value::Integer(50),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "big_send_limit_mb",
        meaning: "kept for old scripts; has no effect",
        default: Value::Integer(100),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "post_callback",
        meaning: "`callback(request, response)` after the last byte went out",
        default: Value::None,
        allowed: "a function of (request, response), or None",
        apply: callable,
    },
    Key {
        name: "pre_send",
        meaning: "`callback(response)` just before the head is written; may change the response",
        default: Value::None,
        allowed: "a function of (response), or None",
        apply: callable,
    },
    Key {
        name: "json_default",
        meaning: "`function(value)` for values that JSON does not know: returns one that it knows, or raises `TypeError`",
        default: Value::None,
        allowed: "a function of (value), or None",
        apply: callable,
    },
    Key {
        name: "server_cleanup",
        meaning: "`callback()` once, after everything has stopped",
        default: Value::None,
        allowed: "a function without arguments, or None",
        apply: callable,
    },
    Key {
        name: "access_log",
        meaning: "`\"common\"`, `\"combined\"`, `\"json\"` or `\"off\"`; `\"auto\"` is a short coloured line on a \
                  terminal (without colours if `NO_COLOR` is set) and JSON elsewhere",
        default: Value::Text("auto"),
        allowed: "'auto', 'off', 'common', 'combined' or 'json'",
        apply: |config, value| {
            let names = [
                ("auto", AccessLog::Auto),
                ("off", AccessLog::Off),
                ("common", AccessLog::Common),
                ("combined", AccessLog::Combined),
                ("json", AccessLog::Json),
            ];
            one_of(value, names, &mut config.access_log)
        },
    },
    Key {
        name: "access_log_fields",
        meaning: "the fields of a line of the access log in JSON, in this order, instead of the usual ones, and further \
                  attributes of its records; `header:NAME` is a field of the request. With an id among them each request has one",
        default: Value::Texts(&[]),
        allowed: "a list of 'time', 'client', 'peer', 'method', 'target', 'path', 'query', 'version', 'status', 'bytes', \
                  'microseconds', 'host', 'scheme', 'referer', 'agent', 'route', 'request_id', 'trace_id', 'span_id', 'end', \
                  'worker' and 'header:NAME'; empty: the usual ones. Fields with secrets, such as Authorization, Cookie and \
                  Set-Cookie, have no name here",
        apply: |config, value| each(value, &mut config.access_log_fields),
    },
    Key {
        name: "request_ids",
        meaning: "whether every request has an id, on its answer (`X-Request-ID`) and in its line of the access log; else those \
                  have one whose id a trusted proxy has sent, or a handler or a record of the log has used",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.request_ids),
    },
    Key {
        name: "header_timeout",
        meaning: "seconds from the first byte of a head to its last, however slowly it comes",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.header_timeout),
    },
    Key {
        name: "first_byte_timeout",
        meaning: "seconds a fresh connection may stay silent",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.first_byte_timeout),
    },
    Key {
        name: "keep_alive_idle",
        meaning: "seconds a connection may rest between two requests",
        default: Value::Integer(75),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.keep_alive_idle),
    },
    Key {
        name: "body_stall_timeout",
        meaning: "seconds without a byte of a body that is being received",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.body_stall_timeout),
    },
    Key {
        name: "write_stall_timeout",
        meaning: "seconds without a byte taken by a client that is being answered, or closed; then it is reset",
        default: Value::Integer(60),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.write_stall_timeout),
    },
    Key {
        name: "min_rate",
        meaning: "bytes per second that a client must keep up after the first 5 seconds of a body or an answer",
        default: Value::Integer(240),
        allowed: "a whole number of bytes a second from 0 on",
        apply: |config, value| whole(value, 0, i64::MAX, |n| config.min_rate = n as u64),
    },
    Key {
        name: "max_unsent_mb",
        meaning: "memory for answers that clients have not taken, and for messages of WebSockets that wait, of all \
                  connections of a process together; beyond it the slowest client is cut; `None`: a quarter of the \
                  memory of the machine or container",
        default: Value::None,
        allowed: "a number of MiB from 1 to 1048576, or None: a quarter of the memory of the machine or container",
        apply: |config, value| mebibytes(value, &mut config.max_unsent),
    },
    Key {
        name: "max_unsent_per_connection_mb",
        meaning: "the same for the answers of one connection, which may hold two beyond it; beyond it no handler begins for \
                  the connection, and an answer that comes back all the same is made again later, or is a 503 if the \
                  method is not safe; `None`: 4, or `max_unsent_mb` if that is less",
        default: Value::None,
        allowed: "a number of MiB from 1 to 1048576, or None: 4, or max_unsent_mb if that is less",
        apply: |config, value| mebibytes(value, &mut config.max_unsent_per_connection),
    },
    Key {
        name: "max_request_line",
        meaning: "bytes; a longer one is answered with 414",
        default: Value::Integer(8192),
        allowed: "a whole number of bytes from 64 to 1048576",
        apply: |config, value| whole(value, 64, 1 << 20, |n| config.max_request_line = n as usize),
    },
    Key {
        name: "max_header_fields",
        meaning: "header fields of a request; more are answered with 431",
        default: Value::Integer(100),
        allowed: "a whole number from 1 to 1000",
        apply: |config, value| whole(value, 1, 1000, |n| config.max_header_fields = n as usize),
    },
    Key {
        name: "max_header_size",
        meaning: "bytes of all header fields together, the same over HTTP/2; more are answered with 431",
        default: Value::Integer(32_768),
        allowed: "a whole number of bytes from 64 to 1048576",
        apply: |config, value| whole(value, 64, 1 << 20, |n| config.max_header_size = n as usize),
    },
    Key {
        name: "h2c",
        meaning: "whether HTTP/2 is spoken without TLS to clients that begin with it (\"prior knowledge\")",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.h2c),
    },
    Key {
        name: "h2_ping",
        meaning: "seconds of silence after which an HTTP/2 client is asked whether it is still there; it has two \
                  thirds of that to answer",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.h2_ping),
    },
    Key {
        name: "max_query_parameters",
        meaning: "parameters of a query",
        default: Value::Integer(1000),
        allowed: "a whole number from 1 to 100000",
        apply: |config, value| whole(value, 1, 100_000, |n| config.max_query_parameters = n as usize),
    },
    Key {
        name: "max_cookies",
        meaning: "cookies of a request",
        default: Value::Integer(150),
        allowed: "a whole number from 1 to 100000",
        apply: |config, value| whole(value, 1, 100_000, |n| config.max_cookies = n as usize),
    },
    Key {
        name: "max_connections",
        meaning: "connections at one moment; `None`: 80 % of the descriptor limit, at most 50000. When it is \
                  reached, connections that have not sent a complete head give way first, the oldest of them at \
                  once, then the one that has rested longest. The soft limit of descriptors is raised to the hard \
                  one at the start",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: 80 % of the descriptor limit, at most 50000",
        apply: |config, value| whole_or_none(value, &mut config.max_connections),
    },
    Key {
        name: "max_connections_per_ip",
        meaning: "connections of one address (IPv6: of its first 64 bits) to all processes; `None`: an eighth of \
                  `max_connections`, at least 256. Loopback, private networks, `trusted_proxies` and Unix sockets are not counted",
        default: Value::None,
        allowed: "a whole number from 1 on, at most max_connections, or None: an eighth of it, at least 256",
        apply: |config, value| whole_or_none(value, &mut config.max_connections_per_ip),
    },
    Key {
        name: "max_websocket_connections",
        meaning: "WebSockets of all kinds; more get 503. `None`: half of `max_connections`",
        default: Value::None,
        allowed: "a whole number from 1 on, at most max_connections, or None: half of it",
        apply: |config, value| whole_or_none(value, &mut config.max_websocket_connections),
    },
    Key {
        name: "debug",
        meaning: "whether a page with the traceback, source and variables of an exception is shown to clients of \
                  this machine that have shown the token printed at the start; refused on other addresses",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.debug),
    },
    Key {
        name: "secret",
        meaning: "what signs sessions: a `str` of at least 32 bytes, or a list of such, of which the first signs and all \
                  are accepted; `python -c \"import secrets; print(secrets.token_urlsafe(32))\"` makes one. With it, \
                  requests that change something are checked for forgery",
        default: Value::None,
        allowed: "a str of at least 32 bytes, as secrets.token_urlsafe(32) makes it, or a list of such: the first one \
                  signs, all are accepted; or None: there are no sessions",
        apply: |config, value| Secrets::read(value, &mut config.secret),
    },
    Key {
        name: "session_days",
        meaning: "days after which a session that was not changed ends",
        default: Value::Integer(14),
        allowed: "a number of days above 0, at most 400",
        apply: |config, value| {
            number(value, 1e-6, 400.0, |days| config.session_life = Duration::from_secs_f64(days * 86_400.0))
        },
    },
    Key {
        name: "errors",
        meaning: "`\"page\"`, or `\"problem\"`: RFC 9457 (`application/problem+json`) for clients that accept JSON before \
                  HTML",
        default: Value::Text("page"),
        allowed: "'page' or 'problem'",
        apply: |config, value| one_of(value, [("page", false), ("problem", true)], &mut config.problem_errors),
    },
    Key {
        name: "redirect_slashes",
        meaning: "whether a path that has a decorated route only with, or only without, a slash at its end is redirected there",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.redirect_slashes),
    },
    Key {
        name: "max_background",
        meaning: "background functions that run at one moment; 1,000 more wait, the next is an error",
        default: Value::Integer(32),
        allowed: "a whole number from 1 to 1000",
        apply: |config, value| whole(value, 1, 1000, |n| config.max_background = n as usize),
    },
];

fn any_number(_: &mut Config, value: &Value) -> bool {
    number(value, f64::MIN, f64::MAX, |_| ())
}

fn callable(_: &mut Config, value: &Value) -> bool {
    matches!(value, Value::None | Value::Callable)
}

/// Whether this names a certificate authority. Without TLS only an authority on this machine is believed.
fn is_directory(text: &str) -> bool {
    let is_local = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.contains('@') && crate::message::is_loopback(host)
    };
    matches!(text, "letsencrypt" | "letsencrypt-staging")
        || text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        || text.strip_prefix("http://").is_some_and(is_local)
}
