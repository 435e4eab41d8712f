//! The page about an error while `config.debug` is on: the chain of causes, the frames of the program with their source,
//! the request.
//!
//! Only a client of this machine gets it that has shown the token ([`token`]), and only when it asked for this machine by
//! name: a page of another origin does not, whether its name leads here for a moment (DNS rebinding) or not, nor does a request
//! that a proxy hands on. Everything that is shown is escaped; nothing on it runs.

mod escape;
mod frames;
mod panics;
mod token;

use std::sync::Arc;

use escape::escape;
pub(crate) use panics::{Panicked, take_panic};
pub(crate) use token::{DEBUG_PATH, make_token};

use crate::error::{Error, capture_backtraces};
use crate::message::{Request, Response, is_loopback, normalised_origin, shown_target};

/// Fields that a proxy adds.
const FORWARDED: [&str; 4] = ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"];

/// The fields of all pages here. For this origin alone: so the engine adds no permission for others (`config.cors`).
const FIELDS: [(&str, &str); 5] = [
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

/// The pages about errors of one server.
#[derive(Clone, Debug)]
pub(crate) struct DebugPages {
    token: Arc<str>,
}

impl DebugPages {
    /// Pages for clients that have shown this token. From here on errors know where they were made.
    pub(crate) fn new(token: Arc<str>) -> Self {
        capture_backtraces();
        panics::note();
        Self { token }
    }

    /// The answer to a request whose handler failed; `None` if its client is not to see it.
    pub(crate) fn page(&self, request: &Request, error: &Error) -> Option<Response> {
        let panicked = error.source_as::<Panicked>();
        if !(error.is_internal() || panicked.is_some()) || !is_ours(request) {
            return None;
        }
        let is_browser = request.headers().get("Accept").is_some_and(|accept| accept.contains("text/html"));
        if !self.is_shown(request) {
            return is_browser.then(|| self.locked(request));
        }
        let backtrace = match panicked {
            Some(panicked) => Some(panicked.backtrace.to_string()),
            None => error.backtrace().map(ToString::to_string),
        };
        let backtrace = backtrace.unwrap_or_default();
        let chain = error.chain();
        let response = match is_browser {
            true => Response::html(html(request, &chain, &backtrace)),
            false => Response::text(format!("{}\n\n{backtrace}", chain.join("\ncaused by: "))),
        };
        Some(with_fields(response).with_status(500))
    }
}

fn with_fields(response: Response) -> Response {
    FIELDS.iter().fold(response, |response, (name, value)| response.with_header(name, value))
}

/// Whether the request comes from this machine, without a proxy in between, and from no page of another origin.
fn is_ours(request: &Request) -> bool {
    let headers = request.headers();
    let is_local = request.address().ip().to_canonical().is_loopback() && is_loopback(request.host());
    if !is_local || FORWARDED.iter().any(|name| headers.contains(name)) {
        return false;
    }
    if !matches!(headers.get_bytes("Sec-Fetch-Site"), None | Some(b"same-origin" | b"none")) {
        return false;
    }
    // Browsers that are too old for the field above send this one.
    let own = format!("{}://{}", request.scheme(), request.host());
    headers.get_bytes("Origin").is_none_or(|origin| normalised_origin(origin) == normalised_origin(own.as_bytes()))
}

fn html(request: &Request, chain: &[String], backtrace: &str) -> String {
    let title = chain.first().map_or("an error", String::as_str);
    let asked = format!("{} {}", request.method(), request.url());
    let mut body = String::new();
    for cause in chain.iter().skip(1) {
        body.push_str(&format!("<h2>Caused by</h2><pre class=text>{}</pre>", escape(cause)));
    }
    body.push_str(&frames::html(backtrace));
    body.push_str(&format!(
        "<h2>The request</h2><p><code>{} {}</code></p><table>",
        escape(request.method()),
        escape(&shown_target(request.target()))
    ));
    for (name, value) in request.headers().iter() {
        let shown = if is_secret(name) {
            "•••••• (hidden because of its name)".into()
        } else {
            String::from_utf8_lossy(value)
        };
        body.push_str(&format!("<tr><th>{}<td>{}", escape(name), escape(&shown)));
    }
    body.push_str("</table>");
    if !backtrace.is_empty() {
        body.push_str(&format!(
            "<details><summary>All frames</summary><pre class=text>{}</pre></details>",
            escape(backtrace)
        ));
    }
    PAGE.replace("{title}", &escape(title)).replace("{asked}", &escape(&asked)).replace("{body}", &body)
}

/// Whether a field of this name may hold a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["passw", "secret", "token", "key", "credential", "authorization", "cookie", "session"]
        .iter()
        .any(|part| name.contains(part))
}

const PAGE: &str = "<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title>
<style>
:root{color-scheme:light dark;--line:#8884;--mark:#e5484d;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1.5rem}
header{border-left:.35rem solid var(--mark);padding-left:1rem;margin-bottom:1.5rem}
header p{margin:0;opacity:.75} h1{font-size:1.5rem;margin:.1rem 0;overflow-wrap:anywhere;white-space:pre-wrap}
h2{font-size:1.1rem;margin:2rem 0 .5rem}
details{border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;overflow:hidden}
summary{padding:.5rem .8rem;cursor:pointer;background:var(--soft);overflow-wrap:anywhere} summary span{opacity:.75}
code,pre,ol,table{font:13px/1.55 ui-monospace,monospace}
ol{margin:0;padding:.4rem 0 .4rem 4rem;overflow-x:auto;white-space:pre} li{padding-left:.6rem} li::marker{color:#888}
li.here{background:color-mix(in srgb,var(--mark) 18%,transparent);font-weight:600}
table{width:100%;border-collapse:collapse;table-layout:fixed} th{width:min(12rem,32%);text-align:left;font-weight:600}
th,td{padding:.2rem .8rem;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere;white-space:pre-wrap}
pre.text{border:1px solid var(--line);border-radius:.5rem;padding:.8rem;overflow-x:auto}
footer{margin-top:2rem;opacity:.65;font-size:.85rem}
</style>
<header><p>{asked}</p><h1>{title}</h1></header>
{body}
<footer>Shown because <code>config.debug</code> is on, to this machine only, and to browsers that have shown the token. Elsewhere this is a plain 500.</footer>
</html>
";
