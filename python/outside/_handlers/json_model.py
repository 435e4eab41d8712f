"""`request.json(strict=True)` and `request.json(Model)`: content that does not fit has an answer of its own."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .._outside import Request


def taken(request: "Request", model: Any) -> Any:
    """The content as JSON, as an instance of the model if there is one; 415, 400 and 422 for what is none."""
    from .._outside import abort

    convert = None if model is None else _converter(model)
    media_type = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if not (media_type == "application/json" or media_type.endswith("+json")):
        abort(415, f"the content has to be application/json, not {media_type or 'without a Content-Type'}")
    value, reason = request._json_or_reason()
    if reason is not None:
        abort(400, f"the content is no JSON: {reason}")
    if convert is None:
        return value
    try:
        return convert(value, request.content)
    except ValueError as error:
        # The errors of both libraries are of this class.
        abort(422, str(error))


def _converter(model: Any) -> Callable[[Any, bytes], Any]:
    if hasattr(model, "__pydantic_validator__"):
        # From the text, as pydantic reads JSON: a date is a text there, and a tuple a list.
        return lambda value, content: model.__pydantic_validator__.validate_json(content)
    try:
        import msgspec
    except ImportError:
        raise ImportError(
            f"request.json({getattr(model, '__name__', model)}) needs msgspec: pip install msgspec"
            if dataclasses.is_dataclass(model)
            else f"request.json takes a dataclass, a msgspec.Struct or a pydantic model, not {model!r}"
        ) from None
    return lambda value, content: msgspec.convert(value, model)
