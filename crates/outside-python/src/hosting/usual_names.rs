//! Names of header fields as applications get them: the keys of `environ`, and names in lower case of a scope. Those of usual
//! names are made once.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

/// Names that clients, browsers and proxies send, in their usual spelling; HTTP/2 has them in lower case.
const USUAL: [&str; 62] = [
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "DNT",
    "Date",
    "Device-Memory",
    "Expect",
    "Forwarded",
    "From",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Last-Event-ID",
    "Origin",
    "Pragma",
    "Priority",
    "Range",
    "Referer",
    "Save-Data",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-GPC",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "TE",
    "Traceparent",
    "Tracestate",
    "Transfer-Encoding",
    "Upgrade",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Via",
    "X-CSRFToken",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Real-IP",
    "X-Request-ID",
    "X-Requested-With",
];
/// Places of the table, over four for each spelling, so that most names are found at once.
const PLACES: usize = 512;

/// A usual name.
pub(super) struct UsualName {
    name: Box<[u8]>,
    /// The key of `environ`.
    pub(super) key: Py<PyString>,
    /// The name in lower case.
    pub(super) lower: Py<PyBytes>,
    /// Identifies the name in all its spellings.
    pub(super) number: u32,
}

/// The usual names by their spelling.
pub(super) struct UsualNames(Vec<Option<UsualName>>);

impl UsualNames {
    /// The table, made when it is first asked for.
    pub(super) fn get(py: Python<'_>) -> &'static Self {
        static NAMES: PyOnceLock<UsualNames> = PyOnceLock::new();
        NAMES.get_or_init(py, || {
            let mut table = Self((0..PLACES).map(|_| None).collect());
            for (number, usual) in (0..).zip(USUAL) {
                let key = PyString::intern(py, &key_of(usual));
                let lower = usual.to_ascii_lowercase();
                let titled = titled(&lower);
                let octets = PyBytes::new(py, lower.as_bytes());
                for name in [usual, &lower, &titled] {
                    let (key, lower) = (key.clone().unbind(), octets.clone().unbind());
                    table.add(UsualName { name: name.as_bytes().into(), key, lower, number });
                }
            }
            table
        })
    }

    fn add(&mut self, entry: UsualName) {
        let mut place = place_of(&entry.name);
        while let Some(other) = &self.0[place] {
            if other.name == entry.name {
                return;
            }
            place = (place + 1) % PLACES;
        }
        self.0[place] = Some(entry);
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<&UsualName> {
        let mut place = place_of(name);
        while let Some(entry) = &self.0[place] {
            if *entry.name == *name {
                return Some(entry);
            }
            place = (place + 1) % PLACES;
        }
        None
    }
}

fn place_of(name: &[u8]) -> usize {
    let byte = |at: usize| usize::from(name.get(at).copied().unwrap_or(0));
    let length = name.len();
    let (first, middle, last) = (byte(0), byte(length / 2), byte(length.saturating_sub(1)));
    (length * 67 + first * 31 + middle * 131 + last * 7 + byte(length.saturating_sub(3)) * 17) % PLACES
}

/// A name with capitals where words begin, as some clients write every name.
fn titled(lower: &str) -> String {
    let mut starts = true;
    let letters = lower.chars().map(|letter| {
        let letter = if starts { letter.to_ascii_uppercase() } else { letter };
        starts = letter == '-';
        letter
    });
    letters.collect()
}

/// The key of a field: `HTTP_` and the name, but for the two that CGI knows by themselves.
pub(super) fn key_of(name: &str) -> String {
    let upper: String = name.chars().map(|it| if it == '-' { '_' } else { it.to_ascii_uppercase() }).collect();
    match upper.as_str() {
        "CONTENT_TYPE" | "CONTENT_LENGTH" => upper,
        _ => format!("HTTP_{upper}"),
    }
}
