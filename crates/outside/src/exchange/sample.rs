//! A finished exchange as the metrics count it.

use std::sync::atomic::Ordering;

use super::state::Exchange;
use crate::message::Version;
use crate::metrics::{RequestKind, Sample};

/// The facts of an exchange that count; `None` if no answer was sent.
pub(crate) fn sample(exchange: &Exchange) -> Option<Sample> {
    let request = exchange.request.as_deref().or(exchange.fragment.as_deref());
    (exchange.status > 0).then(|| Sample {
        route: request.map_or(0, |request| request.route_number.load(Ordering::Relaxed)),
        kind: exchange.kind.unwrap_or_else(|| {
            request.map_or(RequestKind::UNKNOWN, |request| RequestKind::of(request.method(), request.is_secure))
        }),
        status: exchange.status,
        version: request.map_or(Version::Http11, |request| request.version),
        began: exchange.began,
    })
}
