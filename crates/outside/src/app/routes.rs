//! Routes of whole paths, with parameters, each for some methods.

use std::panic::Location;
use std::sync::Arc;

use super::OutsideHttp;
use crate::error::Error;
use crate::handler::{Function, Handler, IntoHandler};
use crate::route::PatternRoute;
use crate::site::ErrorHandler;

impl OutsideHttp {
    /// Adds a route that answers whole paths, for these methods.
    ///
    /// A segment of the pattern may be a parameter: `{name}` (or `<name>`) is one segment; `{name:int}`, `{name:float}`
    /// and `{name:uuid}` are one segment of that form; `{name:path}` is all segments up to the end, or up to the
    /// segments that follow in the pattern. The handler reads them with [`crate::Request::parameter`]. Where several
    /// routes match, the first segment in which they differ decides: a literal before int, uuid, float, str and path. A
    /// slash at the end counts.
    ///
    /// A route for GET also answers HEAD. Other methods of its paths get 405 with `Allow`, OPTIONS 204 with `Allow`. A
    /// plain route ([`OutsideHttp::set_route`]) with more literal segments at its beginning takes precedence.
    ///
    /// ```
    /// # let server = outside::OutsideHttp::new(("127.0.0.1", 0))?;
    /// use outside::Request;
    /// use outside::message::Parameter;
    /// server.route("/books/{isbn}", &["GET", "PUT"], |request: &Request| {
    ///     let isbn = request.parameter("isbn").and_then(Parameter::as_text).unwrap_or_default();
    ///     format!("{} {isbn}", request.method())
    /// })?;
    /// # Ok::<(), outside::Error>(())
    /// ```
    ///
    /// # Errors
    /// The pattern is invalid, or another route answers the same paths for one of the methods: the text names both,
    /// with file and line.
    #[track_caller]
    pub fn route<Kind>(&self, pattern: &str, methods: &[&str], handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        let (origin, name) = (Location::caller().to_string(), handler.route_name());
        self.add_route(pattern, methods, &origin, handler.into_handler()?)?;
        match name {
            Some(name) => self.name_route(&name, pattern),
            None => Ok(()),
        }
    }

    /// Adds a route for GET (and HEAD); see [`OutsideHttp::route`].
    ///
    /// # Errors
    /// As [`OutsideHttp::route`].
    #[track_caller]
    pub fn get<Kind>(&self, pattern: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        self.route(pattern, &["GET"], handler)
    }

    /// Adds a route for POST; see [`OutsideHttp::route`].
    ///
    /// # Errors
    /// As [`OutsideHttp::route`].
    #[track_caller]
    pub fn post<Kind>(&self, pattern: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        self.route(pattern, &["POST"], handler)
    }

    /// Adds a route for PUT; see [`OutsideHttp::route`].
    ///
    /// # Errors
    /// As [`OutsideHttp::route`].
    #[track_caller]
    pub fn put<Kind>(&self, pattern: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        self.route(pattern, &["PUT"], handler)
    }

    /// Adds a route for PATCH; see [`OutsideHttp::route`].
    ///
    /// # Errors
    /// As [`OutsideHttp::route`].
    #[track_caller]
    pub fn patch<Kind>(&self, pattern: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        self.route(pattern, &["PATCH"], handler)
    }

    /// Adds a route for DELETE; see [`OutsideHttp::route`].
    ///
    /// # Errors
    /// As [`OutsideHttp::route`].
    #[track_caller]
    pub fn delete<Kind>(&self, pattern: &str, handler: impl IntoHandler<Kind>) -> Result<(), Error> {
        self.route(pattern, &["DELETE"], handler)
    }

    /// The same for a ready [`Handler`], for bindings; `origin` is the place in the program where the route was set.
    ///
    /// # Errors
    /// As [`OutsideHttp::route`].
    pub fn add_route(&self, pattern: &str, methods: &[&str], origin: &str, handler: Handler) -> Result<(), Error> {
        self.site.edit(|site| site.routes.add_pattern(pattern, methods, origin.to_owned(), handler))
    }

    /// Removes the routes that were added with exactly this pattern. Returns whether there were any.
    pub fn remove_pattern(&self, pattern: &str) -> bool {
        self.site.edit(|site| Ok(site.routes.remove_pattern(pattern))).unwrap_or(false)
    }

    /// The routes with a pattern at this moment, sorted by it.
    pub fn patterns(&self) -> Vec<PatternRoute> {
        self.site.snapshot().routes.patterns()
    }

    /// A handler of another language that is asked for every code, before those of [`Self::set_foreign_errorhandler`].
    pub fn set_any_errorhandler(&self, handler: Option<Arc<dyn ErrorHandler>>) {
        let changed = self.site.edit(|site| {
            site.any_error_handler = handler;
            Ok(())
        });
        debug_assert!(changed.is_ok(), "setting a field cannot fail");
    }

    /// Sets or removes the gate, for bindings: a function that is called before an answer that no function makes
    /// (files, redirects, WebSockets, 404, 405), or with `websockets_only` before a WebSocket opens. It answers in their
    /// place, or returns [`crate::Response::pass`].
    pub fn set_gate(&self, gate: Option<Arc<Function>>, websockets_only: bool) {
        let changed = self.site.edit(|site| {
            site.gate = gate;
            site.gates_websockets_only = websockets_only;
            Ok(())
        });
        debug_assert!(changed.is_ok(), "setting a field cannot fail");
    }
}
