"""Decorators: routes of whole paths, functions around their handlers, and groups of them.

`Registry` is the common part of a server and a group of routes. A group remembers its routes and functions and hands them to
every server that it is mounted on, before or afterwards.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypedDict, TypeVar

from .. import _outside
from .._outside import FilePath, Folder, WebSocket
from .around import Hooks
from .signature import ErrorHandler, adapt, has_annotations, plan, where

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .._outside import Request, _Answer
    from .._server import OutsideHTTP
    from .limits import Limit

# A function whose return value is an answer: a handler, or a function around handlers.
_F = TypeVar("_F", bound="Callable[..., _Answer | Awaitable[_Answer]]")
_H = TypeVar("_H", bound="Callable[..., _Answer | Awaitable[_Answer]] | WebSocket | FilePath | Folder")
_W = TypeVar("_W", bound="Callable[..., object] | WebSocket")
_C = TypeVar("_C", bound=Callable[..., "Awaitable[None] | None"])


# Every code of 400 and above that has no handler of its own.
EVERY: Any = object()


class _Options(TypedDict, total=False):
    """How `route` has a handler called."""

    blocking: bool | None
    cancel_on_disconnect: bool | None
    name: str | None
    csrf: bool


class _ContentOptions(_Options, total=False):
    """The same, for methods whose requests have content."""

    streaming: bool


class Record(NamedTuple):
    """One route as it was set."""

    path: str
    methods: tuple[str, ...]
    handler: Any
    # File and line of the handler.
    origin: str
    blocking: bool | None = None
    streaming: bool = False
    cancel_on_disconnect: bool | None = None
    # For `url_for`, in place of the function's own name.
    name: str | None = None
    # Whether requests that carry a session must prove that they are no forgery.
    csrf: bool = True
    # The function of a WebSocket.
    function: Any = None


class Installation(NamedTuple):
    """A place where the routes of a registry are served."""

    server: OutsideHTTP
    prefix: str
    hooks: tuple[Hooks, ...]


class Registry:
    """Routes with parameters, functions around their handlers, and groups that are mounted below."""

    _hooks: Hooks
    _records: list[Record]
    _mounted: list[tuple[str, Routes]]
    # Set by `_server`, since the sub-package `_input` stands above this one: the handler with its plan, or `None`.
    _input_of: ClassVar[Callable[..., Any]]
    # Its name in `url_for`.
    name: str | None = None

    def _begin(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._records = []
        self._mounted = []

    def route(
        self,
        path: str,
        methods: Iterable[str] = ("GET",),
        *,
        blocking: bool | None = None,
        streaming: bool = False,
        cancel_on_disconnect: bool | None = None,
        name: str | None = None,
        csrf: bool = True,
    ) -> Callable[[_H], _H]:
        """A decorator: the handler answers this whole path, for these methods.

        `<name>` (or `{name}`) stands for one segment, `<int:name>` (or `{name:int}`), `float` and `uuid` for such a one alone,
        `path` for all that follow; text may stand around it, as in `/{name}.json`. The handler gets each under its name, and the
        request if it has a parameter called `request` or a first one that is no parameter of the path. GET answers HEAD too.
        `blocking`, `streaming` and `cancel_on_disconnect` are those of `set_route`. `url_for` finds the route by `name`, else by
        the name of the function.
        `csrf=False` is for routes whose requests are proved otherwise, such as by a token in Authorization.
        """
        if not isinstance(path, str):
            raise TypeError(f'a path is a str, as in @server.get("/path"), not {path!r}')
        if isinstance(methods, str):
            raise TypeError(f"methods is a list such as [{methods!r}], not a str")
        wanted = tuple(methods)

        def register(handler: _H) -> _H:
            self._register(Record(path, wanted, handler, where(handler), blocking, streaming, cancel_on_disconnect, name, csrf))
            return handler

        return register

    def get(self, path: str, **options: Unpack[_Options]) -> Callable[[_H], _H]:
        """`route` for GET (and HEAD)."""
        return self.route(path, ("GET",), streaming=False, **options)

    def post(self, path: str, **options: Unpack[_ContentOptions]) -> Callable[[_H], _H]:
        """`route` for POST."""
        return self.route(path, ("POST",), **options)

    def put(self, path: str, **options: Unpack[_ContentOptions]) -> Callable[[_H], _H]:
        """`route` for PUT."""
        return self.route(path, ("PUT",), **options)

    def patch(self, path: str, **options: Unpack[_ContentOptions]) -> Callable[[_H], _H]:
        """`route` for PATCH."""
        return self.route(path, ("PATCH",), **options)

    def delete(self, path: str, **options: Unpack[_Options]) -> Callable[[_H], _H]:
        """`route` for DELETE."""
        return self.route(path, ("DELETE",), streaming=False, **options)

    def websocket(self, path: str, **options: Any) -> Callable[[_W], _W]:
        """A decorator: the function has each WebSocket connection to this whole path, with the parameters of the path by name.

        The options are those of `WebSocket`. A `WebSocket` of your own can stand in place of the function.
        """

        def register(handler: _W) -> _W:
            made = handler if isinstance(handler, WebSocket) else self._connected(path, handler, options)
            self._register(Record(path, ("GET",), made, where(handler), function=handler))
            return handler

        return register

    def limit(
        self,
        rate: str,
        burst: int | None = None,
        by: Callable[[Request], object] | None = None,
        *,
        name: str | None = None,
        fields: bool = True,
        dry_run: bool = False,
    ) -> Limit:
        """A decorator below that of a route: each client may send this many requests, such as `"20/s"`, `"5/m"` or `"100/10s"`, to all
        processes together; others get 429 with Retry-After.

        `burst` is how many may come at once (the number in the rate). `by` is a function of (request) that gives the key that is
        counted, in place of the client's address, or `None` for requests that are not counted. Limits of one `name` count
        together. `fields`: whether answers say the state of the limit, in `RateLimit` and `RateLimit-Policy`. `dry_run`: whether
        the log tells of requests in place of refusing them.
        """
        from .limits import Limit, here

        made = Limit(rate, burst, by, name=name, fields=fields, dry_run=dry_run, origin=here())
        self._add_fields()
        return made

    def _add_fields(self) -> None:
        """Has answers get the fields that a limit or a sign-in leaves with the request."""
        if not self._hooks.adds_fields:
            self._hooks.adds_fields = True
            self._changed()

    def errorhandler(self, what: int | type[Exception] = EVERY) -> Callable[[_F], _F]:
        """A decorator: the function answers in place of an error page, or of an exception of this class; without an argument in
        place of every error of 400 and above that no closer handler takes.

        Its parameters get values by their names: `request`, `code`, `message` (that of `abort` or `(code, message)`, or `None`)
        and `error` (the exception; without one an `HTTPException` of code and message). Of several classes the most derived one
        counts, of several groups the innermost one.
        """

        def register(function: _F) -> _F:
            self._set_errorhandler(what, function)
            return function

        return register

    def before_request(self, function: _F) -> _F:
        """A decorator: called before every request, with it or with nothing. Its return value, if not `None`, is the answer."""
        self._hooks.before.append(adapt(function, "request"))
        if getattr(function, "_adds_fields", False):
            self._add_fields()
        self._changed(function)
        return function

    def after_request(self, function: _F) -> _F:
        """A decorator: called after every request, with the response, or the request and the response.

        It may change the response, or return another one. The last one that was set is called first.
        """
        self._hooks.after.append(adapt(function, "request", "response"))
        self._changed(function)
        return function

    def mount(self, routes: Routes, prefix: str = "") -> None:
        """Serves the routes of a group, with the functions around them; `prefix` comes before their own."""
        if not isinstance(routes, Routes):
            raise TypeError(f"mount() takes a group of routes, Routes(...), not {routes!r}")
        if self in routes._all():
            raise ValueError("a group of routes cannot be mounted below itself")
        if any(own == prefix and other is routes for own, other in self._mounted):
            raise ValueError(f"{routes!r} is mounted already" + (f" at {prefix!r}" if prefix else ""))
        check_prefix(prefix)
        for place in self._installations():
            routes._install(Installation(place.server, place.prefix + prefix + routes.prefix, (*place.hooks, routes._hooks)))
        self._mounted.append((prefix, routes))
        routes._parents.append((self, prefix))
        self._changed()

    def _installations(self) -> Iterator[Installation]:
        raise NotImplementedError

    def _prefix(self) -> str:
        return ""

    def _all(self) -> Iterator[Registry]:
        """This registry and all groups below it."""
        yield self
        for _, routes in self._mounted:
            yield from routes._all()

    def _register(self, record: Record) -> None:
        handler, pattern = record.handler, self._prefix() + record.path
        try:
            names = _outside._route_parameters(pattern)
        except ValueError as error:
            raise ValueError(f"{record.origin}: {error}") from None
        if is_function(handler) and not (
            has_annotations(handler) and self._input_of(handler, pattern, names, whole=False, streaming=record.streaming)
        ):
            plan(handler, pattern, names, whole=False)
        for place in self._installations():
            place.server._add(place, record)
        self._records.append(record)

    def _install(self, place: Installation) -> None:
        for record in self._records:
            place.server._add(place, record)
        for prefix, routes in self._mounted:
            routes._install(Installation(place.server, place.prefix + prefix + routes.prefix, (*place.hooks, routes._hooks)))

    def _connected(self, path: str, handler: Any, options: dict[str, Any]) -> WebSocket:
        if not callable(handler):
            raise TypeError(f"a WebSocket's handler is a function of the connection, not {handler!r}")
        websocket, pattern = WebSocket(**options), self._prefix() + path
        names = _outside._route_parameters(pattern)
        if has_annotations(handler) and (made := self._input_of(handler, pattern, names, of_websocket=True)):
            websocket.on_connection(made.call)
            return websocket
        plan(handler, pattern, names, whole=not self._prefix())
        if not names and not self._prefix():
            websocket.on_connection(handler)
        elif is_async(handler):

            async def with_parameters(connection: Any) -> None:
                await handler(connection, **connection.request.path_params)

            websocket.on_connection(with_parameters)
        else:
            websocket.on_connection(lambda connection: handler(connection, **connection.request.path_params))
        return websocket

    def _set_errorhandler(self, what: int | type[Exception], function: Callable[..., Any]) -> None:
        if what is EVERY:
            self._hooks.of_any = ErrorHandler(function, 0)
        elif isinstance(what, type) and issubclass(what, Exception):
            self._hooks.by_class[what] = ErrorHandler(function, None)
        elif isinstance(what, int) and not isinstance(what, bool) and 400 <= what <= 599:
            self._hooks.by_code[what] = ErrorHandler(function, what)
        else:
            raise TypeError(
                f"{where(function)}: an error handler is for a code of 400 to 599, a class of exceptions, or of all without an argument, not {what!r}"
            )
        self._changed(function)

    def _changed(self, *functions: Any) -> None:
        """Tells the servers of this registry that functions around handlers have changed."""
        for server in {id(place.server): place.server for place in self._installations()}.values():
            server._arrange(*functions)


class Routes(Registry):
    """A group of routes under a prefix, with functions and error handlers of its own; `server.mount(group)` serves it.

    `cors` says which pages of other origins may read its answers, as `config["cors"]`, which it replaces there. `name` is its
    name in `url_for`, `limit` the rate of requests of each client, such as `"100/m"`; see `limit` of the server.
    """

    def __init__(self, prefix: str = "", cors: Any = None, *, name: str | None = None, limit: Any = None) -> None:
        check_prefix(prefix)
        if name is not None and (not isinstance(name, str) or not name or "." in name):
            raise ValueError(f"the name of a group is a str without a dot, such as 'admin', not {name!r}")
        self.prefix = prefix
        self.name = name
        self.cors = cors
        if cors is not None:
            _outside._check_cors(cors)
        self._parents: list[tuple[Registry, str]] = []
        self._begin(Hooks())
        if limit is not None:
            from .limits import Limit, here

            self._add_fields()
            self.before_request((limit if isinstance(limit, Limit) else Limit(limit, origin=here())).guard)

    def _prefix(self) -> str:
        return self.prefix

    def _install(self, place: Installation) -> None:
        if self.cors is not None:
            if _outside._route_parameters(place.prefix or "/"):
                raise ValueError(f"{self!r}: cors is for a prefix without parameters")
            place.server.set_cors(place.prefix or "/", self.cors)
        super()._install(place)

    def _installations(self) -> Iterator[Installation]:
        for parent, prefix in self._parents:
            for place in parent._installations():
                yield Installation(place.server, place.prefix + prefix + self.prefix, (*place.hooks, self._hooks))

    def __repr__(self) -> str:
        routes = sum(len(registry._records) for registry in self._all())
        return f"<Routes {self.prefix!r}, {routes} {'route' if routes == 1 else 'routes'}>"


def check_prefix(prefix: str) -> None:
    if not isinstance(prefix, str):
        raise TypeError(f"a prefix is a str, not {prefix!r}")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"a prefix starts with '/' and does not end with it, such as '/api', not {prefix!r}")
    _outside._route_parameters(prefix or "/")


def is_function(handler: Any) -> bool:
    return not isinstance(handler, (WebSocket, FilePath, Folder))


def is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(type(function), "__call__", None))
