//! Answers that need no handler, and the ways in which an exchange gets its answer.

use std::sync::Arc;

use super::dispatch::{Awaited, Dispatcher};
use super::state::{Exchange, Work};
use crate::error::{Error, Refusal};
use crate::handler::Handler;
use crate::message::{Body, Request, Response};
use crate::route::RouteChoice;
use crate::site::{Probe, error_page, redirect};
use crate::transport::ListenerRole;
use crate::websocket::Acceptance;

impl Dispatcher {
    /// The answer at the configured paths of probes: whether the process lives, and whether it takes new clients.
    pub(super) fn health(&self, request: &Request) -> Option<Response> {
        let probe = self.service.front.probe(request)?;
        let response = match probe == Probe::Ready && self.service.is_leaving() {
            true => Response::text("draining\n").with_status(503),
            false => Response::text("ok\n"),
        };
        Some(response.with_header("Cache-Control", "no-store"))
    }

    /// The redirect to HTTPS for a client of a listener that does nothing else; `None` at other listeners, and for a
    /// client that used TLS to a trusted proxy.
    pub(super) fn to_https(&self, request: &Request) -> Option<Result<Response, Refusal>> {
        (self.role == ListenerRole::RedirectToHttps && request.scheme() != "https")
            .then(|| self.service.front.to_https(request))
    }

    /// The answer to a preflight request of CORS, if the site has a policy for it.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        self.site.1.policy.as_ref()?.preflight(request)
    }

    /// Answers with a redirect, or returns a handler that is neither a redirect nor a function.
    pub(super) fn without_function(&self, handler: &Handler, below: usize, exchange: &mut Exchange) -> Option<Awaited> {
        match handler {
            Handler::Files(files) => Some(Awaited::Files(Arc::clone(files), below)),
            Handler::WebSocket(websocket) => Some(Awaited::WebSocket(Arc::clone(websocket))),
            Handler::Redirect(destination) => {
                let response = redirect(destination, exchange.request.as_deref()?);
                self.respond(exchange, Ok(response));
                None
            }
            Handler::Sync(_) | Handler::Async(_) => None,
        }
    }

    /// Answers with this response, or with the page of a refusal.
    pub(super) fn respond_or_refuse(&self, exchange: &mut Exchange, answer: Result<Response, Refusal>) {
        match answer {
            Ok(response) => self.respond(exchange, Ok(response)),
            Err(refusal) => {
                self.refuse(exchange, &refusal);
                self.respond_with_page(exchange);
            }
        }
    }

    /// Answers a request without a handler. If only its method has none, OPTIONS gets the methods that have one (RFC
    /// 9110 section 9.3.7), and any other gets 405, which names them too (section 15.5.6).
    pub(super) fn respond_unrouted(&self, exchange: &mut Exchange, choice: &RouteChoice<'_>) {
        let RouteChoice::Methods(methods) = choice else {
            return match self.to_other_slash(exchange.request.as_deref()) {
                Some(redirect) => self.respond(exchange, Ok(redirect)),
                None => self.respond_not_found(exchange),
            };
        };
        let methods = methods.join(", ");
        if exchange.request.as_ref().is_some_and(|request| request.method() == "OPTIONS") {
            return self.respond(exchange, Ok(Response::new(204).with_header("Allow", methods)));
        }
        exchange.extra.get_or_insert_default().push_checked(b"Allow", methods.as_bytes());
        self.respond_with_status(exchange, 405);
    }

    /// Answers with 404, which names the nearest routes in debug mode.
    fn respond_not_found(&self, exchange: &mut Exchange) {
        let request = exchange.request.as_deref().filter(|_| self.service.config.debug);
        let nearest =
            request.map(|request| self.site.1.routes.nearest(request.url())).filter(|nearest| !nearest.is_empty());
        let message = nearest.map(|nearest| format!("no route answers this path; the nearest: {}", nearest.join(", ")));
        exchange.work = Work::Status(404, message);
        self.respond_with_page(exchange);
    }

    /// The redirect to the path that has a route with, or without, a slash at its end.
    fn to_other_slash(&self, request: Option<&Request>) -> Option<Response> {
        let request = request.filter(|_| self.service.config.redirect_slashes)?;
        let mut location = self.site.1.routes.other_slash(request)?;
        if !request.query().is_empty() {
            location.push('?');
            location.push_str(request.query());
        }
        // 308 keeps the method and the content (RFC 9110 section 15.4.9).
        let code = if matches!(request.method(), "GET" | "HEAD") { 301 } else { 308 };
        Some(Response::new(code).with_header("Location", location))
    }

    /// Adds the fields that the site's policy gives to every answer.
    pub(crate) fn add_policy_headers(&self, exchange: &mut Exchange) {
        if let Some(policy) = &self.site.1.policy
            && let Work::Answered(response) = &mut exchange.work
        {
            policy.add_headers(response, exchange.request.as_deref());
        }
    }

    /// Answers with 504, because the handler was late.
    pub(crate) fn respond_late(&self, exchange: &mut Exchange) {
        if let Some(request) = &exchange.request {
            self.note_late(request);
        }
        self.respond_with_status(exchange, 504);
    }

    /// Answers a status with the built-in page, unless user code takes part in the answer.
    pub(crate) fn respond_with_page(&self, exchange: &mut Exchange) {
        if let Work::Status(code, message) = &exchange.work
            && !self.site.1.involves_user(*code)
            && !self.site.1.finishes(exchange.request.as_deref())
        {
            let page = error_page(exchange.request.as_deref(), *code, message.as_deref());
            exchange.work = Work::Answered(exchange.with_extra(page));
        }
    }

    /// Answers with this status.
    pub(crate) fn respond_with_status(&self, exchange: &mut Exchange, code: u16) {
        exchange.work = Work::Status(code, None);
        self.respond_with_page(exchange);
    }

    /// The same; an answer that accepts a WebSocket is left for the wire to open.
    pub(crate) fn respond_or_open(&self, exchange: &mut Exchange, answer: Result<Response, Error>) {
        let mut answer = answer;
        match answer.as_mut().ok().and_then(Acceptance::take_from) {
            Some(acceptance) => exchange.work = Work::Open(acceptance),
            None => self.respond(exchange, answer),
        }
    }

    /// Takes an answer that needed no executor; leaves it to the executor if user code takes part in it after all.
    pub(crate) fn respond(&self, exchange: &mut Exchange, answer: Result<Response, Error>) {
        let hooked = self.site.1.finishes(exchange.request.as_deref());
        exchange.work = match answer {
            // The executor opens files, because that may wait for a disk.
            Ok(mut response)
                if !hooked
                    && response.problem().is_none()
                    && !matches!(response.body, Body::File(_))
                    && !exchange.has_yet_to_begin(&response) =>
            {
                exchange.take_open(&mut response);
                Work::Answered(response)
            }
            answer => Work::Settle(answer),
        };
        self.respond_with_page(exchange);
    }
}
