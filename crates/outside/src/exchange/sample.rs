//! A finished exchange as the metrics count it.

use std::sync::atomic::Ordering;

use super::state::Exchange;
use crate::message::Version;
use crate::metrics::Sample;

/// The facts of an exchange that count; `None` if no answer was sent.
pub(crate) fn sample(exchange: &Exchange) -> Option<Sample<'_>> {
    let request = exchange.request.as_deref().or(exchange.fragment.as_deref());
    (exchange.status > 0).then(|| Sample {
        route: request.map_or(0, |request| request.route_number.load(Ordering::Relaxed)),
        method: request.map_or("", |request| request.method()),
        status: exchange.status,
        version: request.map_or("1.1", |request| match request.version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }),
        is_secure: request.is_some_and(|request| request.is_secure),
        began: exchange.began,
    })
}
