//! The token for pages about errors: printed at the start, shown once by a browser, and kept there in a cookie.
//!
//! To be on this machine is not enough: a proxy in front of the server is too, and hands on requests of others.

use std::fmt::Write as _;
use std::sync::Arc;

use super::escape::escape;
use super::{DebugPages, with_fields};
use crate::message::{Request, Response, ResponseCookie, SameSite, parse_query};

/// Where a browser shows the token: answered by the engine itself.
pub(crate) const DEBUG_PATH: &str = "/.outside/debug";

/// A new token; `None` if the system has no random bytes.
pub(crate) fn make_token() -> Option<Arc<str>> {
    let mut bytes = [0; 18];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let mut token = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(token, "{byte:02x}").unwrap_or_default();
    }
    Some(token.into())
}

impl DebugPages {
    /// The answer at [`DEBUG_PATH`]: the cookie for the token in the query, or the form that asks for it.
    pub(crate) fn enter(&self, request: &Request) -> Response {
        let fields = parse_query(request.query().as_bytes(), 10);
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
        let to = own(field("to"));
        if !self.is_token(field("token").as_bytes()) {
            let said = if field("token").is_empty() {
                ""
            } else {
                "<p class=wrong>That is not the token that was printed.</p>"
            };
            return form("403 Forbidden", said, to).with_status(403);
        }
        let cookie = ResponseCookie {
            path: Some("/".to_owned()),
            http_only: true,
            same_site: Some(SameSite::Strict),
            secure: request.scheme() == "https",
            ..ResponseCookie::new(&*self.token)
        };
        with_fields(Response::redirect(to, 303)).with_cookie(&cookie_name(request.host()), &cookie)
    }

    /// Whether the client of this request has shown the token.
    pub(super) fn is_shown(&self, request: &Request) -> bool {
        request.cookies().get(&cookie_name(request.host())).is_some_and(|given| self.is_token(given))
    }

    /// The answer for a browser of this machine in place of the page, until it has shown the token.
    pub(super) fn locked(&self, request: &Request) -> Response {
        let to = if request.method() == "GET" { request.target() } else { "/" };
        form("500 Internal Server Error", "", own(to)).with_status(500)
    }

    fn is_token(&self, given: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(given, self.token.as_bytes()).is_ok()
    }
}

/// A browser sends cookies to all ports of a host: each has a name of its own.
fn cookie_name(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("outside-debug-{port}")
        }
        _ => "outside-debug".to_owned(),
    }
}

/// The path and query to go on to: nowhere else than on this server.
fn own(target: &str) -> &str {
    let leads_away = !target.starts_with('/') || target.starts_with("//") || target.starts_with("/\\");
    if leads_away || !target.bytes().all(|byte| byte.is_ascii_graphic()) { "/" } else { target }
}

fn form(title: &str, said: &str, to: &str) -> Response {
    let page = PAGE.replace("{title}", title).replace("{said}", said).replace("{path}", DEBUG_PATH);
    with_fields(Response::html(page.replace("{to}", &escape(to))))
}

const PAGE: &str = "<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title>
<style>:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem}
form{display:flex;flex-wrap:wrap;gap:.5rem;align-items:end}label{flex:1 1 14rem}input{font:inherit;width:100%;box-sizing:border-box}
button{font:inherit}.wrong{color:#e5484d}</style>
<h1>{title}</h1>{said}
<p>The error stands in the log. To see its page here, show this browser once the token that was printed at the start.</p>
<form action=\"{path}\"><input type=hidden name=to value=\"{to}\">
<label>Token <input name=token type=password autocomplete=off autofocus required></label><button>Show</button></form>
</html>
";
