"""Functions before a handler that are called before the content of a request has come in.

A client may wait for 100 Continue before it sends content (RFC 9110 section 10.1.1). It gets 100 when the functions before the
handler have let its request pass, so that a refusal comes instead of it. A function that looks at the content is called when the
content is there, and so are those behind it. Most of these functions show in their code. Another one is found when it asks for
content that is not there: it ends with `ContentWanted`, is called again with the content, and is known from then on.
"""

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

# The attributes of a request that give its content.
_CONTENT = frozenset(("content", "content_file", "iter_body", "text", "form", "files", "json", "_json_or_reason"))
# Functions within functions that are looked through.
_LARGEST_DEPTH = 3


class ContentWanted(BaseException):
    """Raised by a request whose content has not come in. No `except Exception` of a program stops it."""


def looks_at_content(function: Callable[..., Any]) -> bool:
    """Whether a function, or one that it calls by its name, has an attribute of the request's content in its code."""
    return _looks(function, _LARGEST_DEPTH, set())


def _looks(function: Any, depth: int, seen: set[int]) -> bool:
    while isinstance(function, MethodType) or hasattr(function, "__wrapped__"):
        function = function.__func__ if isinstance(function, MethodType) else function.__wrapped__
    if not isinstance(function, FunctionType):
        function = getattr(type(function), "__call__", None)
    if not isinstance(function, FunctionType) or id(function) in seen:
        return False
    seen.add(id(function))
    names = set(_names(function.__code__))
    if not names.isdisjoint(_CONTENT):
        return True
    called = [function.__globals__.get(name) for name in names]
    called += [_value(cell) for cell in function.__closure__ or ()]
    return depth > 0 and any(isinstance(other, FunctionType) and _looks(other, depth - 1, seen) for other in called)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str) and constant in _CONTENT:
            yield constant  # of getattr


def _value(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # not set yet
