//! Files on routes: found in memory within the turn, else opened on a thread that may wait for a disk.

use std::sync::Arc;

use super::control::Stop;
use super::dispatch::Dispatcher;
use super::state::{Exchange, Work};
use crate::files::{
    CONTENT_SECURITY_POLICY, FileAnswer, Files, Located, NO_DESCRIPTOR, Patience, StoredFile, Unopened, answer,
};
use crate::log::Level;
use crate::message::{Body, FileSlice, Headers, KnownHeader, Request, Response};
use crate::protocol::negotiation::prefers_html;

/// The error of a lookup for which the process has no free descriptor.
struct NoDescriptor;

/// The methods that a route of files answers (RFC 9110 section 9.1).
const METHODS: &[u8] = b"GET, HEAD, OPTIONS";

impl Dispatcher {
    /// Answers with a file of this route. `below` is the offset in the path of the part below the route.
    pub(crate) async fn answer_with_file(
        &self,
        files: &Arc<Files>,
        below: usize,
        exchange: &mut Exchange,
    ) -> Result<(), Stop> {
        let Some(request) = exchange.request.clone() else { return Ok(()) };
        match request.method() {
            "GET" | "HEAD" => {}
            "OPTIONS" => {
                let response = Response::new(204).with_header("Allow", METHODS);
                self.respond(exchange, Ok(response));
                return Ok(());
            }
            _ => {
                exchange.extra.get_or_insert_default().push_checked(b"Allow", METHODS);
                self.respond_with_status(exchange, 405);
                return Ok(());
            }
        }
        let path = request.route();
        let (route, rest) = path.split_at(below);
        let found = match request.octets() {
            // No file has an encoded slash in its name, and an encoded slash never separates names.
            _ if path != request.url() => Ok(None),
            None => self.find_file(files, route, rest.as_bytes()).await?,
            Some(octets) => match octets.strip_prefix(route.as_bytes()) {
                Some(rest) => self.find_file(files, route, rest).await?,
                None => Ok(None),
            },
        };
        let found = match (found, files.fallback()) {
            (Ok(None), Some(page)) if is_navigation(&request) => self.find_file(files, route, page.as_bytes()).await?,
            (found, _) => found,
        };
        let Ok(found) = found else {
            self.service.log.complain("max_connections", NO_DESCRIPTOR);
            self.respond_with_status(exchange, 503);
            return Ok(());
        };
        match found {
            Some(Located::File(entry)) => self.answer_with_entry(entry, exchange).await?,
            Some(Located::Redirect) => self.respond(exchange, Ok(with_slash(&request))),
            Some(Located::Listing(page)) => {
                let response = Response::html(page)
                    .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
                    .with_header("Cache-Control", "no-cache")
                    .with_header("X-Content-Type-Options", "nosniff");
                self.respond(exchange, Ok(response));
            }
            Some(Located::Fallback) | None => self.respond_with_status(exchange, 404),
        }
        Ok(())
    }

    /// The file, redirect or listing at this path, unless the process has no free descriptor for the lookup.
    async fn find_file(
        &self,
        files: &Arc<Files>,
        route: &str,
        path: &[u8],
    ) -> Result<Result<Option<Located>, NoDescriptor>, Stop> {
        let site = Arc::clone(&self.site.1);
        if let Some(entry) = files.find(&site.store, path) {
            return Ok(Ok(Some(Located::File(entry))));
        }
        let located = match files.locate(&site.store, route, path, Patience::Now) {
            Err(Unopened::Later) => {
                let (files, route, path) = (Arc::clone(files), route.to_owned(), path.to_owned());
                self.spawn_blocking(move || files.locate(&site.store, &route, &path, Patience::Any)).await?
            }
            located => located,
        };
        Ok(Ok(match located {
            Ok(Located::Fallback) | Err(Unopened::Missing | Unopened::Later) => None,
            Ok(located) => Some(located),
            Err(Unopened::Exhausted) => return Ok(Err(NoDescriptor)),
            Err(Unopened::Refused(reason)) => {
                // 404: a client that may not see the file is not told that it exists.
                let path = String::from_utf8_lossy(path);
                let text = format!("{route}{path} below {}: {reason}", files.path().display());
                self.service.log.event(Level::Warning, text.escape_debug().to_string());
                None
            }
        }))
    }

    async fn answer_with_entry(&self, entry: Arc<StoredFile>, exchange: &mut Exchange) -> Result<(), Stop> {
        let site = Arc::clone(&self.site.1);
        let mut response = Response::new(200);
        response.body = Body::File(FileSlice::whole(Arc::clone(entry.path())));
        if site.finishes(exchange.request.as_deref()) {
            exchange.file = Some(entry);
            exchange.work = Work::Settle(Ok(response));
            return Ok(());
        }
        exchange.is_encoded = true;
        let request = exchange.request.clone();
        if request.as_deref().is_some_and(|request| entry.wants_digest(request.query())) {
            let hashing = Arc::clone(&entry);
            self.press(move || hashing.digest().is_some()).await?;
        }
        let answered = match answer(request.as_deref(), response, &entry, &site.store, Patience::Now) {
            Ok(FileAnswer::ToMake(response, coding)) => {
                let (making, store) = (Arc::clone(&entry), Arc::clone(&site.store));
                self.press(move || {
                    making.make(coding);
                    store.keep(&making);
                })
                .await?;
                answer(request.as_deref(), response, &entry, &site.store, Patience::Now)
            }
            answered => answered,
        };
        match answered {
            Ok(FileAnswer::Ready(response, content)) => {
                exchange.content = content;
                exchange.work = Work::Answered(response);
            }
            // A variant that was just made does not have to be made again.
            Ok(FileAnswer::ToMake(..)) => self.respond_with_status(exchange, 500),
            Err(excluded) => {
                let code = exchange.exclude(excluded).code();
                self.respond_with_status(exchange, code);
            }
        }
        Ok(())
    }
}

/// Redirects to the path with a slash behind it. With two slashes at its start, a client would take a name for a host.
fn with_slash(request: &Request) -> Response {
    let query = if request.query().is_empty() { "" } else { "?" };
    let path = request.raw_path().trim_start_matches('/');
    let location = format!("/{path}/{query}{}", request.query());
    Response::redirect(&location, if request.is_head() || request.method() == "GET" { 301 } else { 308 })
}

/// Whether a browser goes to a page, rather than fetching a part of one. Browsers say so (Fetch Metadata, sections 2.1
/// and 2.2); for other clients, the media types that they prefer decide.
fn is_navigation(request: &Request) -> bool {
    let headers: &Headers = request.headers();
    let last = request.url().rsplit('/').next().unwrap_or_default();
    if last.starts_with('.') {
        return false;
    }
    match (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")) {
        (None, None) => prefers_html(headers.all_known(KnownHeader::Accept)),
        (mode, destination) => mode == Some("navigate") || destination == Some("document"),
    }
}
