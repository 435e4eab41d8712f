"""The functions around a handler: those before and after it, and the handlers of its exceptions.

`_steps` has the order of the calls, for plain and `async def` functions alike: it yields each return value, and is sent the
result of a coroutine or the value itself. `call` and `admit` run it on the engine's threads, where a coroutine is waited for,
`call_async` on the asyncio loop. The engine calls these functions only if a handler has any function around itself.
"""

from collections.abc import Callable, Generator, Iterator
from contextvars import Context
from types import CoroutineType
from typing import Any, TypeVar

from .. import _outside
from .._outside import Request, Response
from . import loop as _loop
from .current import CURRENT
from .early import ContentWanted, looks_at_content
from .extra import Added, add_to
from .signature import ErrorHandler

_Steps = Generator[Any, Any, Response]
_Handler = Callable[..., Any]
_R = TypeVar("_R")


class Hooks:
    """The functions that one group of routes, or the server itself, has put around its handlers."""

    # The server, in its own hooks; `None` in those of a group.
    server: Any = None

    def __init__(self) -> None:
        self.before: list[_Handler] = []
        self.after: list[_Handler] = []
        self.by_code: dict[int, _Handler] = {}
        self.by_class: dict[type[Exception], _Handler] = {}
        # The handler of all codes that have none of their own.
        self.of_any: _Handler | None = None
        # Those of the application layer: called before all others with the request and the scope of its route, and after all others
        # with the request and the response.
        self.guards: list[_Handler] = []
        self.finishers: list[_Handler] = []
        # Whether a function of `before` looks at the content of requests, by its id, once that is known.
        self.looks: dict[int, bool] = {}
        # Whether answers get fields that a part of the application layer has left with the request: of a limit, or a sign-in.
        self.adds_fields = False

    def of_code(self, code: int) -> _Handler | None:
        return self.by_code.get(code) or self.of_any

    def looks_at_content(self, function: _Handler) -> bool:
        known = self.looks.get(id(function))
        if known is None:
            known = self.looks[id(function)] = looks_at_content(function)
        return known

    def __bool__(self) -> bool:
        functions = self.before or self.after or self.by_code or self.by_class or self.of_any or self.guards or self.finishers
        return bool(functions) or self.adds_fields


class Scope:
    """The hooks around a handler, from those of the server itself to those of the innermost group."""

    def __init__(
        self, *hooks: Hooks, of_pattern: "Callable[[str | None], Scope | None] | None" = None, checks_origin: bool = True
    ) -> None:
        self.hooks = hooks
        self.of_pattern = of_pattern
        # Whether requests that carry a session must prove that they are no forgery of another site.
        self.checks_origin = checks_origin

    @property
    def server(self) -> Any:
        """The server that all of these hooks belong to."""
        return self.hooks[0].server

    def at(self, request: Request) -> "Scope":
        """The scope of the route that answers this request, if its handler is no function."""
        return (self.of_pattern(request.route) if self.of_pattern else None) or self

    def before(self) -> list[_Handler]:
        return [function for hooks in self.hooks for function in hooks.before]

    def after(self) -> list[_Handler]:
        return [function for hooks in reversed(self.hooks) for function in reversed(hooks.after)]

    def of_code(self, code: int) -> _Handler | None:
        return next((found for hooks in reversed(self.hooks) if (found := hooks.of_code(code))), None)

    def finishers(self) -> list[_Handler]:
        return self.hooks[0].finishers

    def of_class(self, error: Exception) -> _Handler | None:
        """The handler of the most derived class, in the innermost group that has one."""
        for hooks in reversed(self.hooks):
            for kind in type(error).__mro__:
                if found := hooks.by_class.get(kind):
                    return found
        return None


class Unfinished:
    """An answer for which no `after` function was called yet: a stream, which has yet to begin, and may fail."""

    __slots__ = ("response",)

    def __init__(self, response: Response) -> None:
        self.response = response


def call(
    context: Context,
    scope: Scope,
    function: _Handler,
    request: Request,
    by_place: tuple[Any, ...],
    by_name: dict[str, Any] | None,
    done: int = 0,
) -> Response | Unfinished:
    """Calls a plain handler with everything around it, in this context, without the functions that `admit_early` has called."""
    return _drive(context, _steps(scope, request, lambda: function(*by_place, **(by_name or {})), function, done))


async def call_async(
    _: None,
    scope: Scope,
    function: _Handler,
    request: Request,
    by_place: tuple[Any, ...],
    by_name: dict[str, Any] | None,
    done: int = 0,
) -> Response | Unfinished:
    """The same for an `async def` handler, in the context of its task."""
    return await _drive_async(_steps(scope, request, lambda: function(*by_place, **(by_name or {})), function, done))


def admit_early(
    context: Context, scope: Scope, request: Request, is_gate: bool, is_async: bool
) -> Response | Unfinished | tuple[int, bool]:
    """Calls the functions before a handler for a request whose content has not come in: on the loop, if the handler is an
    `async def` function.

    The result is their answer; or the number of functions that have let the request pass, and whether these are all.
    """
    steps = _early(scope.at(request) if is_gate else scope, request, is_gate)
    if not is_async:
        return _drive(context, steps)
    answer: Response | Unfinished | tuple[int, bool] = _loop.wait_for(_drive_async(steps), context)
    return answer


def begin(scope: Scope | None, request: Request) -> None:
    """Makes the request the one of this context, and tells it its server."""
    CURRENT.set(request)
    if scope is not None:
        request._begin(scope.server)


def admit(context: Context, scope: Scope, request: Request, done: int) -> Response | None:
    """Calls the `before` functions, behind the first ones that are done, for a request that no function answers; `None` lets it
    pass."""
    return _drive(context, _admission(scope.at(request), request, done))


def finish(context: Context, scope: Scope, request: Request, response: Response) -> Response:
    """Calls the `after` functions for an answer that no handler has made, or that of a stream which has begun."""
    return _drive(context, _ending(scope.at(request), request, response))


def rescue(context: Context, scope: Scope, request: Request, error: Exception) -> Response:
    """The answer in place of a stream that has failed before its first piece."""
    return _drive(context, _rescued(scope, request, error))


async def rescue_async(scope: Scope, request: Request, error: Exception) -> Response:
    """The same for a stream that the asyncio loop makes."""
    return await _drive_async(_rescued(scope, request, error))


def _drive(context: Context, steps: Generator[Any, Any, _R]) -> _R:
    given: Any = None
    error: BaseException | None = None
    while True:
        is_over, value = context.run(_until_coroutine, steps, given, error)
        if is_over:
            result: _R = value
            return result
        given, error = None, None
        try:
            # Outside of the context, so that the coroutine can be inside of it meanwhile.
            given = _loop.wait_for(value, context)
        except BaseException as raised:
            error = raised


def _until_coroutine(steps: Generator[Any, Any, Any], given: Any, error: BaseException | None) -> tuple[bool, Any]:
    """Whether the steps are over, with their result, or the coroutine that one of them has returned.

    A context is entered once for all steps up to there: entering it costs as much as a step.
    """
    try:
        value = steps.throw(error) if error is not None else steps.send(given)
        while type(value) is not CoroutineType:
            value = steps.send(value)
        return False, value
    except StopIteration as end:
        return True, end.value


async def _drive_async(steps: Generator[Any, Any, _R]) -> _R:
    given: Any = None
    error: BaseException | None = None
    while True:
        try:
            value = steps.throw(error) if error is not None else steps.send(given)
        except StopIteration as end:
            result: _R = end.value
            return result
        error = None
        try:
            given = await value if type(value) is CoroutineType else value
        except BaseException as raised:
            error = raised


def _steps(
    scope: Scope, request: Request, handler: Callable[[], Any], function: _Handler, done: int
) -> Generator[Any, Any, Response | Unfinished]:
    """The calls around a handler: functions before it, the handler, functions after it."""
    response: Any
    begin(scope, request)
    try:
        answer = None
        guards, befores = scope.hooks[0].guards, scope.before()
        if done:
            guards, befores = guards[done:], befores[max(0, done - len(guards)) :]
        for guard in guards:
            answer = guard(request, scope)
            if answer is not None:
                break
        else:
            for before in befores:
                answer = yield before(request)
                if answer is not None:
                    function = before
                    break
            else:
                answer = yield handler()
        response = _outside._settle(answer, 200, function)
        if type(response) is tuple:
            response = yield from _failed(scope, request, *response)
    except Exception as error:
        response = yield from _rescued(scope, request, error)
    if response._is_stream():
        return Unfinished(response)
    return (yield from _ending(scope, request, response))


def _early(scope: Scope, request: Request, is_gate: bool) -> Generator[Any, Any, Response | Unfinished | tuple[int, bool]]:
    """The calls before a handler, up to the first function that looks at the content."""
    response: Any
    done = 0
    begin(scope, request)
    try:
        answer = None
        for hooks, function in _before(scope, is_gate):
            if hooks is not None and hooks.looks_at_content(function):
                return done, False
            try:
                # A guard that asks for content has no other effect: it may be called again each time.
                answer = function(request, scope) if hooks is None else (yield function(request))
            except ContentWanted:
                pass
            except Exception:
                if not _outside._wants_content(request):
                    raise
            if _outside._wants_content(request):
                if hooks is not None:
                    hooks.looks[id(function)] = True
                return done, False
            if answer is not None:
                break
            done += 1
        else:
            return done, True
        _outside._forgo_content(request)
        response = _outside._settle(answer, 200, function)
        if type(response) is tuple:
            response = yield from _failed(scope, request, *response)
    except Exception as error:
        # No other function asks for content that does not come: it is empty.
        _outside._forgo_content(request)
        response = yield from _rescued(scope, request, error)
    if is_gate:
        answered: Response = response
        return answered
    if response._is_stream():
        return Unfinished(response)
    return (yield from _ending(scope, request, response))


def _before(scope: Scope, is_gate: bool) -> Iterator[tuple[Hooks | None, _Handler]]:
    """The functions before a handler with their hooks; guards have none."""
    if not is_gate:
        yield from ((None, guard) for guard in scope.hooks[0].guards)
    for hooks in scope.hooks:
        yield from ((hooks, before) for before in hooks.before)


def _admission(scope: Scope, request: Request, done: int) -> Generator[Any, Any, Response | None]:
    begin(scope, request)
    try:
        for before in scope.before()[done:]:
            answer = yield before(request)
            if answer is not None:
                return (yield from _settled(scope, request, answer, 200, before))
    except Exception as error:
        return (yield from _rescued(scope, request, error))
    return None


def _ending(scope: Scope, request: Request, response: Response) -> _Steps:
    try:
        for after in scope.after():
            response._show_type()
            changed = yield after(request, response)
            if changed is not None:
                response = _outside._settle_response(changed, response.status_code, after)
    except Exception as error:
        _outside._log_failure(request, "a function after a request failed", error)
        response = _outside._error_page(request, 500, None)
    return _finished(scope, request, response)


def _finished(scope: Scope, request: Request, response: Response) -> Response:
    try:
        for finisher in scope.finishers():
            finisher(request, response)
        if Added.is_any:
            add_to(request, response)
    except Exception as error:
        _outside._log_failure(request, "the answer could not be finished", error)
        return _outside._error_page(request, 500, None)
    return response


def _settled(scope: Scope, request: Request, answer: Any, status: int, function: _Handler) -> _Steps:
    """The response that a return value means."""
    settled = _outside._settle(answer, status, function)
    return (yield from _failed(scope, request, *settled)) if isinstance(settled, tuple) else settled


def _rescued(scope: Scope, request: Request, error: Exception) -> _Steps:
    """The response to an exception: by the handler of its class, otherwise by the handler of its status."""
    status = _outside._status_of(scope.server, error)
    code, message = status or (500, None)
    handler = scope.of_code(code) if status else None
    if handler is None and (by_class := scope.of_class(error)):
        try:
            answer = yield _called(by_class, request, code, message, error)
            return (yield from _settled(scope, request, answer, 500, by_class))
        except Exception as another:
            _outside._log_failure(request, f"the handler of {type(error).__name__} failed", another)
            return _outside._error_page(request, 500, None)
    page = _outside._report(scope.server, request, error)
    return page or (yield from _failed(scope, request, code, message, error))


def _failed(scope: Scope, request: Request, code: int, message: str | None, error: Exception | None = None) -> _Steps:
    """The response to a status: by its error handler, otherwise the built-in page."""
    handler = scope.of_code(code)
    if handler is not None:
        try:
            answer = yield _called(handler, request, code, message, error)
            settled = _outside._settle(answer, code, handler)
            if not isinstance(settled, tuple):
                return settled
            # The built-in page: another error handler would have no end.
            code, message = settled
        except Exception as another:
            _outside._log_failure(request, f"the error handler of {code} failed", another)
    if handler is None and error is not None and (own := getattr(error, "_response", None)):
        answered: Response = own()
        return answered
    return _outside._error_page(request, code, message)


def _called(handler: _Handler, request: Request, code: int, message: str | None, error: Exception | None) -> Any:
    """Calls an error handler: of a decorator with the values that it names, of `set_errorhandler` with request and message."""
    return handler.answer(request, code, message, error) if isinstance(handler, ErrorHandler) else handler(request, message)
