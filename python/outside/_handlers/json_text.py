"""JSON as it goes out and comes in, by RFC 8259: without the NaN and Infinity that Python's own module writes and reads.

The engine's border calls `encode` and `decode`. A value that could not be encoded is looked through only then, for the place of
the fault.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

# Characters as they are, and nothing between the values.
encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def text(value: Any) -> str:
    """A value as JSON; one that JSON cannot hold is an error that says where it stands."""
    try:
        made = encode(value)
    except Exception as error:
        raise explained(value, error) from None
    if made.isascii():
        return made
    # Half of a surrogate pair has no form in UTF-8; in JSON it has one, which is also how Python writes it.
    return made.encode("utf-8", "backslashreplace").decode()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is too large")
    return value


decode = json.JSONDecoder(parse_constant=_refuse).decode
# The decoder for texts in which a number may be too large: slower.
decode_finite = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def explained(value: Any, error: Exception) -> Exception:
    """The error that says where in the value it is that JSON cannot hold; the given one if that cannot be found."""
    if not isinstance(error, (TypeError, ValueError, RecursionError)):
        return error
    found = _fault(value)
    if found is None:
        return error
    path, reason = found
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{_shown(path)} {reason}")


def _shown(path: list[Any]) -> str:
    """As it would be written behind the name of the value; a long one without its middle."""
    steps = [f"[{repr(key)[:80]}]" for key in (path if len(path) <= 2 * _ENOUGH else path[:_ENOUGH] + path[-_ENOUGH:])]
    if len(steps) < len(path):
        steps.insert(_ENOUGH, "…")
    return "".join(steps) or "the value"


_ENOUGH = 16


def _fault(value: Any) -> "tuple[list[Any], str] | None":
    """The path of the first value that is no JSON, and the reason. Without recursion: the value may be nested deeply."""
    path: list[Any] = []
    # The containers on the way, the innermost last.
    around: dict[int, None] = {}
    levels: list[Iterator[tuple[Any, Any]]] = [iter([(None, value)])]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            if levels:
                path.pop()
                around.popitem()
            continue
        key, inner = entry
        path.append(key)
        if reason := _reason(inner):
            return path[1:], reason
        if not isinstance(inner, (dict, list, tuple)):
            path.pop()
            continue
        if id(inner) in around:
            return path[1:], "holds itself"
        around[id(inner)] = None
        levels.append(iter(_entries(inner)))
    return None


def _entries(container: Any) -> Iterable[tuple[Any, Any]]:
    return container.items() if isinstance(container, dict) else enumerate(container)


def _reason(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {float(value)!r}: JSON has neither NaN nor infinities"
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, float) and not math.isfinite(key):
                return f"has the key {float(key)!r}: JSON has neither NaN nor infinities"
            if key is not None and not isinstance(key, (str, int, float)):
                return f"has a key of type {type(key).__name__}: in JSON a key is a str, int, float, bool or None"
    elif value is not None and not isinstance(value, (str, int, float, list, tuple)):
        return f"is of type {type(value).__name__}: JSON has str, int, float, bool, None, dict, list and tuple"
    return None
