"""`OutsideHTTP` as programs have it: the engine's server with decorators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _outside
from ._handlers import loop as _loop
from ._handlers.around import Hooks, Scope
from ._handlers.routes import _C, Installation, Record, Registry, Routes, check_prefix, is_async, is_function
from ._handlers.signature import ErrorHandler, adapt, plan, where
from ._hosting import mount as _hosting

if TYPE_CHECKING:
    from .testing import TestClient


class _ServerHooks(Hooks):
    """Those of a server: the error handlers of codes are the engine's, which needs them for answers of its own."""

    def __init__(self, server: OutsideHTTP) -> None:
        super().__init__()
        self.server = server

    def of_code(self, code: int) -> Callable[..., Any] | None:
        found: Callable[..., Any] | None = self.server._error_routes.get(code)
        return found

    def __bool__(self) -> bool:
        # Functions that the engine calls are not told of the exception.
        handlers = self.server._error_routes.values()
        return super().__bool__() or any(isinstance(handler, ErrorHandler) and handler.wants_error() for handler in handlers)


class OutsideHTTP(Registry, _outside.OutsideHTTP):
    """An HTTP server with routes, error handlers and a configuration. Nothing is bound before `run()`.

    `config` is a dictionary, changed before `run()`, which refuses unknown keys and wrong types.
    """

    _startup: list[Callable[[], Any]]
    _shutdown: list[Callable[[], Any]]
    # The functions around a route that no function answers.
    _scopes: dict[str, Scope]
    _scope: Scope

    def __new__(cls, *arguments: Any, **named: Any) -> OutsideHTTP:
        # Not in `__init__`, which a subclass may replace.
        self = super().__new__(cls, *arguments, **named)
        self._begin(_ServerHooks(self))
        self._startup, self._shutdown = [], []
        self._scopes = {}
        self._scope = Scope(self._hooks, of_pattern=lambda pattern: self._scopes.get(pattern or ""))
        return self

    def on_startup(self, function: _C) -> _C:
        """A decorator: called once in each worker before it serves. An exception keeps the server from starting."""
        self._startup.append(adapt(function))
        self._arrange(function)
        return function

    def on_shutdown(self, function: _C) -> _C:
        """A decorator: called once in each worker after its last request. The last one that was set is called first."""
        self._shutdown.append(adapt(function))
        self._arrange(function)
        return function

    def terminate(self, signum: Any = None, stackframe: Any = None) -> None:
        """Stops accepting, answers requests in flight, cuts those that are left after `termination_timeout`. Usable as a signal
        handler; a second call with a `signum` cuts at once."""
        # A supervisor hears it in the engine's place: of those too that have got hold of this method before.
        ends: Callable[..., None] = self.__dict__.get("terminate", super().terminate)
        ends(signum, stackframe)

    def remove_route(self, route: str, host: str | None = None) -> None:
        """Takes effect for the next request. An unknown route is a `KeyError`."""
        try:
            super().remove_route(route, host)
        except KeyError:
            if host is not None or not _outside._remove_pattern(self, route):
                raise
            self._records = [record for record in self._records if record.path != route]

    def mount(self, routes: Any, prefix: Any = "") -> None:
        """Serves a group of routes, or a WSGI or ASGI application: `mount(group)`, `mount("/api", app)`."""
        if isinstance(routes, str):
            routes, prefix = prefix, routes
        if isinstance(routes, Routes):
            return super().mount(routes, prefix)
        check_prefix("" if prefix == "/" else prefix)
        _hosting.mount(self, prefix, routes)

    def _installations(self) -> Iterator[Installation]:
        yield Installation(self, "", (self._hooks,))

    def _add(self, place: Installation, record: Record) -> None:
        pattern, scope = place.prefix + record.path, Scope(*place.hooks)
        by_place: list[int] = []
        by_name: list[tuple[str, int]] = []
        if is_function(record.handler):
            by_place, by_name = plan(record.handler, pattern, _outside._route_parameters(pattern))
        try:
            _outside._add_route(
                self,
                pattern,
                list(record.methods),
                record.origin,
                record.handler,
                by_place,
                by_name,
                scope,
                record.blocking,
                record.streaming,
                record.cancel_on_disconnect,
            )
        except ValueError as error:
            raise ValueError(f"{record.origin}: {error}") from None
        if not is_function(record.handler):
            self._scopes[pattern] = scope

    def _set_errorhandler(self, what: int | type[Exception], function: Callable[..., Any]) -> None:
        if isinstance(what, int):
            handler = ErrorHandler(function, what)
            self.set_errorhandler(what, function if handler.is_plain() else handler)
            self._arrange(function)
        else:
            super()._set_errorhandler(what, function)

    def _arrange(self, *functions: Any) -> None:
        """Tells the engine which kinds of functions stand around handlers."""
        every = [registry._hooks for registry in self._all()]
        _outside._set_around(
            self,
            self._scope,
            around=any(every),
            gate=any(hooks.before for hooks in every),
            after=any(hooks.after for hooks in every),
            asynchronous=any(is_async(function) for function in functions),
        )

    def test_client(
        self,
        *,
        follow_redirects: bool = False,
        raise_exceptions: bool = False,
        headers: Mapping[str, str] | None = None,
        address: str = "127.0.0.1",
        host: str = "localhost",
        timeout: float = 30.0,
    ) -> TestClient:
        """A client for tests, which needs no port: `client.get("/path")`. For the options see `TestClient`."""
        from .testing import TestClient

        return TestClient(
            self,
            follow_redirects=follow_redirects,
            raise_exceptions=raise_exceptions,
            headers=headers,
            address=address,
            host=host,
            timeout=timeout,
        )

    def _run_startup(self) -> None:
        for function in self._startup:
            self._run(function)

    def _run_shutdown(self) -> None:
        for function in reversed(self._shutdown):
            try:
                self._run(function)
            except Exception as error:
                _loop.logger.error("%s: on_shutdown failed", where(function), exc_info=error)

    def _run(self, function: Callable[[], Any]) -> None:
        value = function()
        if hasattr(value, "__await__"):
            _loop.wait_for(value)


OutsideHTTP.__module__ = "outside"
