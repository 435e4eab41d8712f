//! The table of configuration keys: name, default, allowed values, and the field that each one sets.
//!
//! A key has one row here and one in the README; nothing else lists them. The order is that of the documents.

use std::time::Duration;

use super::value::*;
use super::{AccessLog, Config, MOST_REACTORS, Symlinks};

const SECONDS: &str = "seconds, more than 0";

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// The name, as in Python's `config` dictionary.
    pub name: &'static str,
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
        default: Value::Integer(1024),
        allowed: "a whole number from 1 to 65535",
        apply: |config, value| whole(value, 1, 65_535, |n| config.backlog_length = n as u32),
    },
    Key {
        name: "max_workers",
        default: Value::Integer(150),
        allowed: "a whole number from 1 to 10000",
        apply: |config, value| whole(value, 1, 10_000, |n| config.max_workers = n as usize),
    },
    Key {
        name: "max_websockets",
        default: Value::Integer(2048),
        allowed: "a whole number from 1 to 1000000",
        apply: |config, value| whole(value, 1, 1_000_000, |n| config.max_websockets = n as usize),
    },
    Key {
        name: "max_topics",
        default: Value::Integer(1024),
        allowed: "a whole number from 1 to 1000000",
        apply: |config, value| whole(value, 1, 1_000_000, |n| config.max_topics = n as usize),
    },
    Key {
        name: "max_published_mb",
        default: Value::Integer(16),
        allowed: "a number of MiB above 0, at most 4095",
        apply: |config, value| number(value, 1e-6, 4095.0, |n| config.max_published = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "process_timeout",
        default: Value::Integer(60),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.process_timeout),
    },
    Key {
        name: "termination_timeout",
        default: Value::Integer(30),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.termination_timeout = Duration::from_secs_f64(n)),
    },
    Key {
        name: "cancel_on_disconnect",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.cancel_on_disconnect),
    },
    Key {
        name: "drain_idle",
        default: Value::Integer(30),
        allowed: "seconds, 0 or more",
        apply: |config, value| number(value, 0.0, 1e6, |n| config.drain_idle = Duration::from_secs_f64(n)),
    },
    Key {
        name: "processes",
        default: Value::Integer(1),
        allowed: "a whole number from 1 to 1024, or 'auto': one for each core",
        apply: |_, value| matches!(value, Value::Owned(text) if text == "auto") || whole(value, 1, 1024, |_| ()),
    },
    Key {
        name: "reactors",
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
    Key { name: "on_worker_start", default: Value::None, allowed: "a function of (slot), or None", apply: callable },
    Key { name: "on_worker_stop", default: Value::None, allowed: "a function of (slot), or None", apply: callable },
    Key {
        name: "health_route",
        default: Value::None,
        allowed: "a path that begins with '/', or None",
        apply: |config, value| match value {
            Value::None => {
                config.health_route = None;
                true
            }
            Value::Owned(path) if path.starts_with('/') => {
                config.health_route = Some(path.clone());
                true
            }
            _ => false,
        },
    },
    Key {
        name: "recv_size",
        default: Value::Integer(16_384),
        allowed: "a whole number of bytes from 1024 to 16777216",
        apply: |config, value| whole(value, 1024, 16 << 20, |n| config.recv_size = n as usize),
    },
    Key {
        name: "send_size",
        default: Value::Integer(65_536),
        allowed: "a whole number of bytes from 1024 to 16777216",
        apply: |config, value| whole(value, 1024, 16 << 20, |n| config.send_size = n as usize),
    },
    Key {
        name: "keep_alive",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.keep_alive),
    },
    Key {
        name: "max_socket_reuse",
        default: Value::Integer(10_000),
        allowed: "a whole number from 1 on",
        apply: |config, value| whole(value, 1, i64::MAX, |n| config.max_socket_reuse = n as u64),
    },
    Key {
        name: "accept_timeout",
        default: Value::Integer(1),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "max_body_size_mb",
        default: Value::Integer(16),
        allowed: "a number of MiB above 0, at most 4095",
        apply: |config, value| number(value, 1e-6, 4095.0, |n| config.max_body_size = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "spool_above_mb",
        default: Value::Integer(1),
        allowed: "a number of MiB from 0 on, at most 4095",
        apply: |config, value| number(value, 0.0, 4095.0, |n| config.spool_above = (n * 1_048_576.0) as usize),
    },
    Key {
        name: "spool_max_mb",
        default: Value::Integer(1024),
        allowed: "a number of MiB above 0, at most 1048576",
        apply: |config, value| number(value, 1e-6, 1_048_576.0, |n| config.spool_max = (n * 1_048_576.0) as u64),
    },
    Key {
        name: "max_form_fields",
        default: Value::Integer(1000),
        allowed: "a whole number from 0 to 1000000",
        apply: |config, value| whole(value, 0, 1_000_000, |n| config.form_limits.fields = n as usize),
    },
    Key {
        name: "max_form_field_size",
        default: Value::Integer(500_000),
        allowed: "a whole number of bytes from 0 to 1073741824",
        apply: |config, value| whole(value, 0, 1 << 30, |n| config.form_limits.field_size = n as usize),
    },
    Key {
        name: "max_form_files",
        default: Value::Integer(100),
        allowed: "a whole number from 0 to 1000000",
        apply: |config, value| whole(value, 0, 1_000_000, |n| config.form_limits.files = n as usize),
    },
    Key {
        name: "cors",
        default: Value::None,
        allowed: "an origin such as 'https://example.com', '*', a list of origins, or a table of origins, methods, headers, \
                  expose, credentials and max_age; credentials are for listed origins, not for '*'",
        apply: |config, value| read_cors(value).map(|cors| config.cors = cors).is_some(),
    },
    Key {
        name: "security_headers",
        default: Value::None,
        allowed: "'basic' (the same as True), 'strict', a table of names and values, or None",
        apply: |config, value| read_security(value).map(|headers| config.security_headers = headers).is_some(),
    },
    Key {
        name: "allow_range_from_mb",
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
        default: Value::Text("inside"),
        allowed: "'inside' (followed while they stay within the folder), 'never' or 'anywhere'",
        apply: |config, value| {
            let names = [("inside", Symlinks::Inside), ("never", Symlinks::Never), ("anywhere", Symlinks::Anywhere)];
            one_of(value, names, &mut config.symlinks)
        },
    },
    Key {
        name: "file_cache_mb",
        default: Value::Integer(64),
        allowed: "a number of MiB from 0 (no cache) to 1048576",
        apply: |config, value| number(value, 0.0, 1_048_576.0, |n| config.file_cache = (n * 1_048_576.0) as u64),
    },
    Key {
        name: "compression",
        default: Value::Bool(true),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.compression),
    },
    Key {
        name: "allowed_hosts",
        default: Value::Texts(&[]),
        allowed: "a list of host names such as 'example.com' or '*.example.com'; empty: any",
        apply: |config, value| each(value, &mut config.allowed_hosts),
    },
    Key {
        name: "trusted_proxies",
        default: Value::Texts(&[]),
        allowed: "a list of networks such as '10.0.0.0/8', '::1' or 'unix'",
        apply: |config, value| each(value, &mut config.trusted_proxies),
    },
    Key {
        name: "proxy_fields",
        default: Value::Texts(&["x-forwarded-for"]),
        allowed: "a list of 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host' and 'forwarded'",
        apply: |config, value| each(value, &mut config.proxy_fields),
    },
    Key {
        name: "ssl_enabled",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.ssl_enabled),
    },
    Key {
        name: "ssl_certfile",
        default: Value::Text(""),
        allowed: "the path of a PEM file",
        apply: |config, value| path(value, &mut config.ssl_certfile),
    },
    Key {
        name: "ssl_keyfile",
        default: Value::Text(""),
        allowed: "the path of a PEM file; '': the key stands in ssl_certfile",
        apply: |config, value| path(value, &mut config.ssl_keyfile),
    },
    Key {
        name: "ssl_certificates",
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
        default: Value::Integer(10),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.tls_handshake_timeout),
    },
    Key {
        name: "https_redirect",
        default: Value::None,
        allowed: "a port, (ip, port), or None",
        apply: |config, value| {
            config.https_redirect = match value {
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
        name: "hsts",
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
        default: Value::Integer(50),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "big_send_limit_mb",
        default: Value::Integer(100),
        allowed: "a number (it has no effect)",
        apply: any_number,
    },
    Key {
        name: "post_callback",
        default: Value::None,
        allowed: "a function of (request, response), or None",
        apply: callable,
    },
    Key { name: "pre_send", default: Value::None, allowed: "a function of (response), or None", apply: callable },
    Key {
        name: "server_cleanup",
        default: Value::None,
        allowed: "a function without arguments, or None",
        apply: callable,
    },
    Key {
        name: "access_log",
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
        name: "header_timeout",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.header_timeout),
    },
    Key {
        name: "first_byte_timeout",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.first_byte_timeout),
    },
    Key {
        name: "keep_alive_idle",
        default: Value::Integer(75),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.keep_alive_idle),
    },
    Key {
        name: "body_stall_timeout",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.body_stall_timeout),
    },
    Key {
        name: "write_stall_timeout",
        default: Value::Integer(60),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.write_stall_timeout),
    },
    Key {
        name: "min_rate",
        default: Value::Integer(240),
        allowed: "a whole number of bytes a second from 0 on",
        apply: |config, value| whole(value, 0, i64::MAX, |n| config.min_rate = n as u64),
    },
    Key {
        name: "max_unsent_mb",
        default: Value::None,
        allowed: "a number of MiB from 1 to 1048576, or None: a quarter of the memory of the machine or container",
        apply: |config, value| mebibytes(value, &mut config.max_unsent),
    },
    Key {
        name: "max_unsent_per_connection_mb",
        default: Value::None,
        allowed: "a number of MiB from 1 to 1048576, or None: 4, or max_unsent_mb if that is less",
        apply: |config, value| mebibytes(value, &mut config.max_unsent_per_connection),
    },
    Key {
        name: "max_request_line",
        default: Value::Integer(8192),
        allowed: "a whole number of bytes from 64 to 1048576",
        apply: |config, value| whole(value, 64, 1 << 20, |n| config.max_request_line = n as usize),
    },
    Key {
        name: "max_header_fields",
        default: Value::Integer(100),
        allowed: "a whole number from 1 to 1000",
        apply: |config, value| whole(value, 1, 1000, |n| config.max_header_fields = n as usize),
    },
    Key {
        name: "max_header_size",
        default: Value::Integer(32_768),
        allowed: "a whole number of bytes from 64 to 1048576",
        apply: |config, value| whole(value, 64, 1 << 20, |n| config.max_header_size = n as usize),
    },
    Key {
        name: "h2c",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.h2c),
    },
    Key {
        name: "h2_ping",
        default: Value::Integer(30),
        allowed: SECONDS,
        apply: |config, value| seconds(value, &mut config.h2_ping),
    },
    Key {
        name: "max_query_parameters",
        default: Value::Integer(1000),
        allowed: "a whole number from 1 to 100000",
        apply: |config, value| whole(value, 1, 100_000, |n| config.max_query_parameters = n as usize),
    },
    Key {
        name: "max_cookies",
        default: Value::Integer(150),
        allowed: "a whole number from 1 to 100000",
        apply: |config, value| whole(value, 1, 100_000, |n| config.max_cookies = n as usize),
    },
    Key {
        name: "max_connections",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: 80 % of the descriptor limit, at most 50000",
        apply: |config, value| whole_or_none(value, &mut config.max_connections),
    },
    Key {
        name: "max_connections_per_ip",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: an eighth of max_connections, at least 256",
        apply: |config, value| whole_or_none(value, &mut config.max_connections_per_ip),
    },
    Key {
        name: "max_websocket_connections",
        default: Value::None,
        allowed: "a whole number from 1 on, or None: half of max_connections",
        apply: |config, value| whole_or_none(value, &mut config.max_websocket_connections),
    },
    Key {
        name: "debug",
        default: Value::Bool(false),
        allowed: "True or False",
        apply: |config, value| flag(value, &mut config.debug),
    },
];
