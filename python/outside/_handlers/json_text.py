"""JSON as text, by RFC 8259: without the NaN and Infinity that Python's own module writes and reads.

The engine's border has the encoder and the parser. The words about a value that cannot be written are here, and the decoder for
texts with half a surrogate pair, which the parser does not know.
"""

import json
import math
from typing import Any, NoReturn

from .._outside import _json_text as text

__all__ = ["decode", "fault", "text"]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"{number} is too large")
    return value


decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def fault(path: list[Any], reason: str, kind: str, cause: BaseException | None) -> Exception:
    """The error about a value at this path that JSON cannot hold."""
    made = (TypeError if kind == "TypeError" else ValueError)(f"{_shown(path)} {reason}")
    made.__cause__ = cause
    return made


def _shown(path: list[Any]) -> str:
    """As it would be written behind the name of the value; a long one without its middle."""
    steps = [f"[{repr(key)[:80]}]" for key in (path if len(path) <= 2 * _ENOUGH else path[:_ENOUGH] + path[-_ENOUGH:])]
    if len(steps) < len(path):
        steps.insert(_ENOUGH, "…")
    return "".join(steps) or "the value"


_ENOUGH = 16
