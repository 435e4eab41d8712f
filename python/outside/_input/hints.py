"""The annotations of a function as objects, as far as they can be resolved: names of the module, and of the function around it."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

from .._handlers.signature import where
from .markers import Depends, Marker


class Unresolved:
    """An annotation whose name is not there when the program runs, such as one imported under `TYPE_CHECKING`."""

    def __init__(self, text: str, error: Exception) -> None:
        self.text, self.error = text, error


def parameters_of(function: Callable[..., Any], names: Mapping[str, Any]) -> list[inspect.Parameter]:
    """The parameters with resolved annotations; `names` are those of the function that registers this one."""
    signature = _signature(function)
    code = _code_of(function)
    known = {**getattr(code, "__globals__", {})}
    return [
        parameter.replace(annotation=_resolved(parameter.annotation, known, names))
        for parameter in signature.parameters.values()
    ]


def returned_by(function: Callable[..., Any], names: Mapping[str, Any]) -> Any:
    """The annotation of its return value; `inspect.Parameter.empty` without one."""
    try:
        annotation = _signature(function).return_annotation
    except (TypeError, ValueError):
        return inspect.Parameter.empty
    return _resolved(annotation, getattr(_code_of(function), "__globals__", {}), names)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _code_of(function: Any) -> Any:
    """The function in Python that has the names of the module in which the annotations stand."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type):
        return vars(function).get("__init__", function.__init__)  # type: ignore[misc]
    return function if hasattr(function, "__globals__") else getattr(type(function), "__call__", function)


def _resolved(annotation: Any, known: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
    if annotation is inspect.Parameter.empty:
        return annotation
    # Given as a class, because `get_type_hints` reads those of any Python alike.
    holder = type("Holder", (), {"__annotations__": {"one": annotation}})
    try:
        return typing.get_type_hints(holder, dict(known), dict(names), include_extras=True)["one"]
    except Exception as error:
        return Unresolved(annotation if isinstance(annotation, str) else str(annotation), error)


def names_around() -> dict[str, Any]:
    """The local names of the function of the program that is registering a handler."""
    frame = sys._getframe(1)
    package = __name__.partition(".")[0]
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None or frame.f_locals is frame.f_globals:
        return {}
    return {name: value for name, value in frame.f_locals.items() if _may_be_named(value)}


def _may_be_named(value: Any) -> bool:
    """Whether an annotation may name it: the rest, servers and clients among it, is not kept alive."""
    return (
        callable(value)
        or isinstance(value, (str, int, float, Marker, Depends))
        or type(value).__module__ in ("types", "typing")
    )


def mistake(function: Any, text: str) -> TypeError:
    """The error about a function that cannot be registered, with its file and line."""
    return TypeError(f"{where(function)}: {text}")
