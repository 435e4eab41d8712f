"""`request.json(Model)` and `request.json(strict=True)`: the same reading as of a parameter, inside of a handler."""

from __future__ import annotations

import sys
from typing import Any

from .describe import Describer, Undescribable
from .errors import InputError, Refused, Unusable, refusal
from .models import MISSING
from .sources import Source, of_body

# The source of each model that was asked for.
_sources: dict[Any, Source] = {}


def read_json(request: Any, model: Any) -> Any:
    """The content as this model, or as any JSON; an `InputError` says why it is none."""
    source = _sources.get(model)
    if source is None:
        names = sys._getframe(1).f_locals
        try:
            kind = Describer(names if isinstance(names, dict) else dict(names)).kind(Any if model is None else model)
        except Undescribable as error:
            raise TypeError(
                f"request.json() takes a model (a dataclass, a TypedDict, a msgspec.Struct, an attrs class or a pydantic model) or "
                f"another type that JSON can hold: {error}"
            ) from None
        source = _sources[model] = of_body(kind, MISSING, takes_form=False)
    try:
        return source.read(request)
    except Refused as refused:
        raise refusal(("body", at, message) for at, message in refused.faults) from None
    except Unusable as unusable:
        raise InputError(unusable.code, unusable.message) from None
