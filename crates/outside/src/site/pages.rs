//! The built-in error pages: HTML for browsers, JSON for clients that ask for it, else a line of text.

use crate::message::{KnownHeader, Request, Response, reason_phrase};

/// The built-in page for a status code. It shows the message; the cause of an error never reaches this function.
pub fn error_page(request: Option<&Request>, code: u16, message: Option<&str>) -> Response {
    let phrase = reason_phrase(code);
    let accept = request.and_then(|request| request.headers().known(KnownHeader::Accept)).unwrap_or_default();
    // A client that tells the id of a failure has its request found in the log.
    let known = request.filter(|request| code >= 500 || request.known_ids().is_some());
    let ids = || known.map(|request| (request.id(), request.trace_id()));
    let response = if request.is_some_and(|request| request.wants_problems) && prefers_json(accept) {
        let page = serde_json::json!({ "type": "about:blank", "title": phrase, "status": code, "detail": message });
        Response::json(&with_ids(page, ids())).with_header("Content-Type", "application/problem+json")
    } else if names(accept, b"text/html") {
        let detail = message.map(|text| format!("<p>{}</p>", escape(text))).unwrap_or_default();
        // The id of a request is that of its trace, unless a proxy has given it one of its own.
        let of_trace = |id: &str, trace: &str| if id == trace { String::new() } else { format!("<br>Trace {trace}") };
        let shown = ids().map(|(id, trace)| format!("<p><small>Request {id}{}</small></p>", of_trace(id, trace)));
        let detail = detail + &way_on(code) + &shown.unwrap_or_default();
        Response::html(format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>{code} {phrase}</title><style>body{{font:1.1rem system-ui,sans-serif;margin:15vh auto;\
             max-width:32rem;padding:0 1rem;color-scheme:light dark}}</style><h1>{code} {phrase}</h1>{detail}</html>\n"
        ))
    } else if names(accept, b"application/json") {
        let page = serde_json::json!({ "status": code, "error": phrase, "message": message });
        Response::json(&with_ids(page, ids()))
    } else {
        Response::text(match message {
            Some(text) => format!("{code} {phrase}: {text}\n"),
            None => format!("{code} {phrase}\n"),
        })
    };
    // RFC 9110 section 10.2.3: the seconds after which the client may try again.
    let response = if code == 503 { response.with_header("Retry-After", "1") } else { response };
    response.with_status(code)
}

fn with_ids(mut page: serde_json::Value, ids: Option<(&str, &str)>) -> serde_json::Value {
    if let Some((id, trace)) = ids {
        page["request_id"] = id.into();
        if id != trace {
            page["trace_id"] = trace.into();
        }
    }
    page
}

/// A sentence on what happened, and a way on, for readers of the page.
fn way_on(code: u16) -> String {
    let (happened, way) = match code {
        400 => ("The request could not be understood.", Some("Go back and try again")),
        401 => ("This page is for visitors who have signed in.", None),
        403 => ("This page is not open to you.", Some("Go to the start page")),
        404 | 410 => ("There is no page at this address.", Some("Go to the start page")),
        405 => ("This page does not take what was sent to it.", Some("Go to the start page")),
        408 => ("The request took too long to arrive.", Some("Go back and try again")),
        413 => ("What was sent is larger than this site takes.", Some("Go back and send less")),
        429 => ("There were too many requests in a short time.", Some("Wait a little and try again")),
        500 => ("The server has made a mistake, which its log has noted.", Some("Go to the start page")),
        502..=504 => ("The server is busy.", Some("Wait a little and try again")),
        _ => return String::new(),
    };
    let way = way.map(|way| format!(" <a href=\"{}\">{way}</a>.", if way.starts_with("Go to") { "/" } else { "" }));
    format!("<p>{happened}{}</p>", way.unwrap_or_default())
}

/// Whether JSON comes before HTML in an Accept field: with a greater weight (RFC 9110 section 12.4.2), or earlier.
fn prefers_json(accept: &[u8]) -> bool {
    let accept = String::from_utf8_lossy(accept);
    let weight = |is_meant: fn(&str) -> bool| {
        let of = |member: &str| {
            let mut parts = member.split(';').map(str::trim);
            let media_type = parts.next()?.to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            is_meant(&media_type).then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
        };
        let members = accept.split(',').enumerate().filter_map(|(at, member)| Some((of(member)?, usize::MAX - at)));
        members
            .filter(|(weight, _)| *weight > 0.0)
            .max_by(|one, other| f32::total_cmp(&one.0, &other.0).then(one.1.cmp(&other.1)))
    };
    let json = weight(|media_type| {
        media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
    });
    let html = weight(|media_type| media_type == "text/html");
    match (json, html) {
        (Some(json), Some(html)) => json > html,
        (json, _) => json.is_some(),
    }
}

fn names(accept: &[u8], media_type: &[u8]) -> bool {
    memchr::memmem::find(accept, media_type).is_some()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
