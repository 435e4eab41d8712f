//! The head of a response in the form that `h2` takes (RFC 9113 section 8.3.2).
//!
//! As in HTTP/1.1 the server owns the fields that frame a message. Fields of the connection are left out, even if a
//! handler has set them (section 8.2.2).

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use crate::message::{Headers, KnownHeader, Trailers};

/// A head with these fields; `content_type` is added if they have none.
pub(crate) fn response_head(
    status: u16,
    headers: &Headers,
    content_type: Option<&'static str>,
    length: Option<HeaderValue>,
    date: &HeaderValue,
) -> Response<()> {
    let mut response = Response::new(());
    // Only statuses from 100 to 999 reach this point.
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = response.headers_mut();
    fields.reserve(headers.len() + 3);
    let mut has_type = false;
    for ((known, value), (name, _)) in headers.known_fields().zip(headers.iter()) {
        has_type |= known == KnownHeader::ContentType;
        // The list holds only valid names and values.
        if let Some(name) = name_of(known, name)
            && let Ok(mut value) = value_of(known, value)
        {
            value.set_sensitive(known == KnownHeader::SetCookie);
            fields.append(name, value);
        }
    }
    if let (false, Some(content_type)) = (has_type, content_type) {
        fields.append(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(length) = length {
        fields.append(header::CONTENT_LENGTH, length);
    }
    fields.append(header::DATE, date.clone());
    response
}

/// An informational answer with these fields (103 Early Hints, RFC 8297).
pub(crate) fn hints_head(fields: &Headers) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::EARLY_HINTS;
    for ((known, value), (name, _)) in fields.known_fields().zip(fields.iter()) {
        if let (Some(name), Ok(value)) = (name_of(known, name), value_of(known, value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The fields behind the content.
pub(crate) fn trailer_fields(trailers: &Trailers) -> HeaderMap {
    let valid = trailers.iter().filter_map(|(name, value)| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
    });
    let mut fields = HeaderMap::new();
    for (name, value) in valid {
        fields.append(name, value);
    }
    fields
}

/// The name as sent; `None` if the field is left out.
fn name_of(known: KnownHeader, name: &str) -> Option<HeaderName> {
    Some(match known {
        KnownHeader::Connection | KnownHeader::KeepAlive | KnownHeader::TransferEncoding | KnownHeader::Upgrade => {
            return None;
        }
        KnownHeader::ContentLength | KnownHeader::Date => return None,
        KnownHeader::AcceptRanges => header::ACCEPT_RANGES,
        KnownHeader::CacheControl => header::CACHE_CONTROL,
        KnownHeader::ContentEncoding => header::CONTENT_ENCODING,
        KnownHeader::ContentRange => header::CONTENT_RANGE,
        KnownHeader::ContentType => header::CONTENT_TYPE,
        KnownHeader::ETag => header::ETAG,
        KnownHeader::LastModified => header::LAST_MODIFIED,
        KnownHeader::Server => header::SERVER,
        KnownHeader::SetCookie => header::SET_COOKIE,
        KnownHeader::Vary => header::VARY,
        _ if name.eq_ignore_ascii_case("proxy-connection") => return None,
        _ => HeaderName::from_bytes(name.as_bytes()).ok()?,
    })
}

/// The commonest values are not copied.
fn value_of(known: KnownHeader, value: &[u8]) -> Result<HeaderValue, header::InvalidHeaderValue> {
    const COMMON: [&str; 5] = [
        "text/plain; charset=utf-8",
        "text/html; charset=utf-8",
        "application/json",
        "text/plain",
        "application/octet-stream",
    ];
    let common = COMMON.iter().find(|text| known == KnownHeader::ContentType && text.as_bytes() == value);
    match common {
        Some(text) => Ok(HeaderValue::from_static(text)),
        None => HeaderValue::from_bytes(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_connection_stay_away() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("X-A", "1"),
            ("Set-Cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("Connection", "close"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "websocket"),
            ("Content-Length", "99"),
            ("Date", "now"),
        ] {
            headers.append(name, value).unwrap();
        }
        let date = HeaderValue::from_static("Sun, 22 Nov 2026 07:30:00 GMT");
        let head = response_head(404, &headers, Some("a/b"), Some(7_u64.into()), &date);
        let fields: Vec<_> =
            head.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(head.status(), 404);
        assert_eq!(
            fields,
            [
                "x-a: 1",
                "set-cookie: a=1",
                "set-cookie: b=2",
                "content-type: a/b",
                "content-length: 7",
                "date: Sun, 22 Nov 2026 07:30:00 GMT"
            ]
        );
    }
}
