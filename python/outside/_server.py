"""`OutsideHTTP` as programs have it: the engine's server with decorators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import _outside
from ._handlers import loop as _loop
from ._handlers.around import Hooks, Scope
from ._handlers.current import SERVERS, Wishes
from ._handlers.routes import _C, Installation, Record, Registry, Routes, check_prefix, is_async, is_function
from ._handlers.signature import ErrorHandler, adapt, has_annotations, plan, where
from ._hosting import mount as _hosting

if TYPE_CHECKING:
    from ._application.session import Signer
    from ._application.shared import Shared
    from ._input.docs import Documentation
    from .testing import TestClient


class _ServerHooks(Hooks):
    """Those of a server: the error handlers of codes are the engine's, which needs them for answers of its own."""

    def __init__(self, server: OutsideHTTP) -> None:
        super().__init__()
        self.server = server

    def of_code(self, code: int) -> Callable[..., Any] | None:
        found: Callable[..., Any] | None = self.server._error_routes.get(code)
        return found or self.of_any

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
    # The functions of routes: the plan of the input, if there is one, the whole pattern, the route as it was set.
    _table: list[tuple[Any, str, Record]]
    # Set by `openapi()`.
    _documentation: Documentation | None
    _scope: Scope
    # What signs sessions, while the configuration has a secret.
    _signer: Signer | None
    # Changes with the routes.
    _version = 0

    def __new__(cls, *arguments: Any, **named: Any) -> OutsideHTTP:
        # Not in `__init__`, which a subclass may replace.
        self = super().__new__(cls, *arguments, **named)
        self._begin(_ServerHooks(self))
        self._startup, self._shutdown = [], []
        self._scopes = {}
        self._table, self._documentation = [], None
        self._signer = None
        SERVERS.add(self)
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

    def on_message(self, topic: str) -> Callable[[_C], _C]:
        """A decorator: called in each process, for each message that is published to this topic from now on, with the message:
        `bytes` with `id`, `topic`, `is_text` and `text`. Its messages come one after another, beside requests.
        """
        if not isinstance(topic, str):
            raise TypeError(f"a topic is a str, not {topic!r}; use @server.on_message('news')")

        def register(function: _C) -> _C:
            from ._handlers.topics import Listeners

            listeners = self.__dict__.get("_listeners")
            if listeners is None:
                listeners = self.__dict__["_listeners"] = Listeners()
            listeners.add(self, topic, adapt(function, "message"))
            return function

        return register

    @property
    def shared(self) -> Shared:
        """Small values and locks that all processes of this server share: `get`, `set`, `add`, `incr`, `delete`, `lock`; for
        `async def` functions the same names in `shared.aio`."""
        shared: Shared | None = self.__dict__.get("_shared")
        if shared is None:
            from ._application.shared import Shared

            shared = self.__dict__.setdefault("_shared", Shared(self))
        return shared

    def every(self, period: str | float, *, name: str | None = None) -> Callable[[_C], _C]:
        """A decorator: called once per period, such as `"30s"`, `"5m"` or `"1d"`, in one process of the server, while it serves.

        The first call comes one period after the start. A call that is still running when the next one is due has no other beside
        it. `name` is that of the schedule, by default the function's. A function with a parameter gets the number of the tick.
        """
        from ._application.every import Schedules, seconds_of
        from ._handlers.limits import here

        seconds = seconds_of(period, here())

        def register(function: _C) -> _C:
            schedules = self.__dict__.get("_schedules")
            if schedules is None:
                schedules = self.__dict__["_schedules"] = Schedules()
            schedules.add(function, seconds, name)
            self._arrange(function)
            return function

        return register

    def background(self, function: Callable[..., Any], /, *arguments: Any) -> None:
        """Calls a function, plain or `async def`, beside requests, in a pool of its own: `config["max_background"]` run at one moment.

        Its exceptions are logged. When the server ends, it is waited for, at most `termination_timeout`, then cancelled.
        """
        from ._application import background

        background.add(self, function, arguments)

    def terminate(self, signum: Any = None, stackframe: Any = None) -> None:
        """Stops accepting, answers requests in flight, cuts those that are left after `termination_timeout`. Usable as a signal
        handler; a second call with a `signum` cuts at once."""
        # A supervisor hears it in the engine's place: of those too that have got hold of this method before.
        ends: Callable[..., None] = self.__dict__.get("terminate", super().terminate)
        ends(signum, stackframe)

    def _retire(self) -> None:
        # The ticks belong to the version of the program that takes over.
        if schedules := self.__dict__.get("_schedules"):
            schedules.stop()
        super()._retire()  # type: ignore[misc]

    def remove_route(self, route: str, host: str | None = None) -> None:
        """Takes effect for the next request. An unknown route is a `KeyError`."""
        try:
            super().remove_route(route, host)
        except KeyError:
            if host is not None or not _outside._remove_pattern(self, route):
                raise
            self._version += 1
            self._records = [record for record in self._records if record.path != route]
            self._table = [entry for entry in self._table if entry[1] != route]

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
        pattern, scope = place.prefix + record.path, Scope(*place.hooks, checks_origin=record.csrf)
        self._version += 1
        by_place: list[int] = []
        by_name: list[tuple[str, int]] = []
        handler, names = record.handler, _outside._route_parameters(pattern)
        if is_function(handler):
            made = has_annotations(handler) and self._input_of(handler, pattern, names, streaming=record.streaming)
            if made:
                handler, by_place = made.call, list(range(-1, len(names)))
            else:
                by_place, by_name = plan(handler, pattern, names)
        try:
            _outside._add_route(
                self,
                pattern,
                list(record.methods),
                record.origin,
                handler,
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
            return
        made = None if handler is record.handler else handler.__outside_input__
        self._table.append((made, pattern, record))
        if self._documentation is not None:
            self._documentation.check(made, pattern, record)
        if made is not None and made.needs_loop:
            self._arrange(_wants_loop)

    def _set_errorhandler(self, what: int | type[Exception], function: Callable[..., Any]) -> None:
        if isinstance(what, int) and not isinstance(what, bool):
            handler = ErrorHandler(function, what)
            self.set_errorhandler(what, function if handler.is_plain() else handler)
            self._arrange(function)
        else:
            super()._set_errorhandler(what, function)

    def _arrange(self, *functions: Any) -> None:
        """Tells the engine which kinds of functions stand around handlers."""
        every = [registry._hooks for registry in self._all()]
        if any(hooks.of_any or hooks.by_code for hooks in every):
            from ._application import errors

            _outside._set_any_errorhandler(self, errors.answering(self) if errors.is_needed(self) else None)
        _outside._set_around(
            self,
            self._scope,
            around=Wishes.current_request or any(every),
            gate=any(hooks.before for hooks in every),
            after=any(hooks.after for hooks in every),
            asynchronous=any(is_async(function) for function in functions),
            finishing=bool(self._hooks.finishers) or any(hooks.adds_fields for hooks in every),
        )

    def openapi(
        self,
        docs: str | None = "/docs",
        *,
        title: str = "API",
        version: str = "1.0",
        description: str | None = None,
        document: str = "/openapi.json",
    ) -> None:
        """Serves the document of OpenAPI 3.1 about all decorated routes, and a page in which to read and try them.

        `docs` is the path of the page (`None`: no page), `document` that of the document. Both ask no other host for anything.
        """
        from ._input.docs import Documentation

        self._documentation = Documentation(self, docs, document, title, version, description)

    def _inputs(self) -> Iterator[Any]:
        """The handlers that take validated input."""
        for made, *_ in self._table:
            if made is not None:
                yield made
        for registry in self._all():
            for record in registry._records:
                function = getattr(record.handler, "connection_handler", None)
                if (made := getattr(function, "__outside_input__", None)) is not None:
                    yield made

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
        if self.config.get("secret") or self._signer:
            from ._application import sessions

            sessions.begin(self)
        elif Wishes.current_request:
            self._arrange()
        if listeners := self.__dict__.get("_listeners"):
            listeners.begin(self)
        for function in self._startup:
            self._run(function)
        if schedules := self.__dict__.get("_schedules"):
            schedules.begin(self)

    def _run_shutdown(self) -> None:
        if schedules := self.__dict__.get("_schedules"):
            schedules.end(self.config["termination_timeout"])
        if background := self.__dict__.pop("_background", None):
            background.end(self.config["termination_timeout"])
        for function in reversed(self._shutdown):
            try:
                self._run(function)
            except Exception as error:
                _loop.logger.error("%s: on_shutdown failed", where(function), exc_info=error)
        if listeners := self.__dict__.get("_listeners"):
            listeners.end(self)
        if streams := self.__dict__.pop("_topic_streams", None):
            streams.end()

    def _run(self, function: Callable[[], Any]) -> None:
        value = function()
        if hasattr(value, "__await__"):
            _loop.wait_for(value)


def _input_of(registry: Registry, handler: Any, pattern: str, names: list[str], **told: Any) -> Any:
    # Imported by the first handler that has annotations.
    from ._input.compile import input_of

    return input_of(handler, pattern, names, **told)


async def _wants_loop() -> None:
    """In the place of asynchronous functions of `Depends`, for the engine, which starts the loop if there is any."""


Registry._input_of = _input_of
OutsideHTTP.__module__ = "outside"
