"""The log's words about a value that no handler may return: the handler, the value, and the code to write instead."""

import os
from typing import Any

from .signature import name_of, where

_ALLOWED = (
    "a handler returns a Response, (code, message), (body, code), (body, code, headers), a dataclass or another model, "
    "str, bytes, dict, list or None"
)


def wrong(value: Any) -> TypeError:
    """The error about such a value."""
    instead = _instead(value)
    return TypeError(f"{_ALLOWED}, not {_shown(value)}{f'; {instead}' if instead else ''}")


def located(function: Any, error: Exception) -> Exception:
    """The same error for an answer that cannot be sent, with the place of the function that gave it."""
    if not isinstance(error, (TypeError, ValueError, RecursionError)):
        return error
    kind = TypeError if isinstance(error, TypeError) else ValueError
    made = kind(f"{where(function)}: the answer of {name_of(function)}() cannot be sent: {error}")
    if error.__traceback__ is not None:
        made.__cause__ = error
    return made


def _shown(value: Any, most: int = 100) -> str:
    kind = type(value).__name__
    try:
        text = repr(value)
    except Exception:
        return f"a {kind} that has no repr"
    text = text if len(text) <= most else text[:most] + "…"
    return text if kind in text else f"{text} ({kind})"


def _instead(value: Any) -> str | None:
    """Advice, as far as the value shows the intention."""
    if isinstance(value, tuple):
        return _instead_of_tuple(value)
    if isinstance(value, type) and issubclass(value, Exception):
        return f"raise it: raise {value.__name__}(…)"
    if isinstance(value, (bytearray, memoryview)):
        return "return bytes(…)"
    if isinstance(value, (set, frozenset)):
        return "return list(…)"
    if isinstance(value, (int, float)):
        return f"return str({value!r}), or json_response({value!r})"
    if isinstance(value, os.PathLike) or type(value).__name__ == "FilePath":
        return "return send_file(…)"
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        return "to stream it, return Response(content=…)"
    return None


def _instead_of_tuple(value: tuple[Any, ...]) -> str:
    codes = [one for one in value if isinstance(one, int) and not isinstance(one, bool) and 100 <= one <= 599]
    others = [one for one in value if one not in codes]
    if type(value) is tuple and len(value) == 2 and len(codes) == 1:
        [code], [body] = codes, others
        code = int(code)
        shown = _shown_alone(body)
        if 300 <= code <= 399 and isinstance(body, str):
            return f"write return redirect({shown}, {code})"
        if isinstance(body, (int, float)):
            return f"write return json_response({shown}, {code})"
        return f"write return Response({code}, content={shown})"
    if type(value) is tuple and len(value) == 2 and isinstance(value[1], dict):
        return f"the code comes before the headers: write return {_shown_alone(value[0])}, 200, {_shown_alone(value[1])}"
    if type(value) is tuple and len(value) == 3 and len(codes) == 1 and value[1] not in codes:
        return f"the body comes first: write return body, {int(codes[0])}, headers"
    return "for a JSON array, write return list(…)"


def _shown_alone(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        return "…"
    return text if len(text) <= 60 else "…"
