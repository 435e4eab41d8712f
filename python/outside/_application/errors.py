"""Errors that the server answers itself (404, 405 and others), by the handlers of groups and those of every code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._handlers.around import Hooks
from .._handlers.signature import ErrorHandler
from .._outside import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .._handlers.routes import Registry

_PARAMETER = re.compile(r"<[^>]*>|\{[^}]*\}")
# The codes that a group answers for every path below its prefix.
_OF_PREFIX = (404, 405)


def is_needed(server: Any) -> bool:
    """Whether the server's own handlers of codes are not all that there is."""
    hooks: Hooks = server._hooks
    return hooks.of_any is not None or any(_owns(group._hooks) for group in list(server._all())[1:])


def _owns(hooks: Hooks) -> bool:
    return hooks.of_any is not None or any(code in hooks.by_code for code in _OF_PREFIX)


def answering(server: Any) -> Callable[[Request, int, str | None], Any]:
    """The function that answers an error of the engine; `None` from it is the built-in page."""
    groups = sorted(_groups(server, "", ()), key=lambda found: -found[0])

    def answer(request: Request, code: int, message: str | None) -> Any:
        if code in _OF_PREFIX:
            for _, below, every in groups:
                if below.match(request.path):
                    for hooks in reversed(every):
                        if handler := hooks.of_code(code):
                            return _called(handler, request, code, message)
                    break
        handler = server._hooks.of_code(code)
        return _called(handler, request, code, message) if handler else None

    return answer


def _groups(
    registry: Registry, prefix: str, above: tuple[Hooks, ...]
) -> Iterator[tuple[int, re.Pattern[str], tuple[Hooks, ...]]]:
    for own, routes in registry._mounted:
        whole = prefix + own + routes.prefix
        every = (*above, routes._hooks)
        if whole and any(map(_owns, every)):
            pattern = "[^/]+".join(map(re.escape, _PARAMETER.split(whole)))
            yield len(whole), re.compile(f"{pattern}(?:/|$)"), every
        yield from _groups(routes, whole, every)


def _called(handler: Any, request: Request, code: int, message: str | None) -> Any:
    return handler.answer(request, code, message, None) if isinstance(handler, ErrorHandler) else handler(request, message)
