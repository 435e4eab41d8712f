"""Values that JSON does not know, as values that it knows: dataclasses, models, dates, `UUID`, `Decimal`, `Enum`, sets.

The encoder asks `plain` for each value that is none of its own types. The way to write a class is found once.
"""

import dataclasses
import datetime
import decimal
import enum
import sys
import uuid
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

_Way = Callable[[Any], Any]

# The function of config["json_default"] for each server that serves, the latest last.
_defaults: list[_Way] = []


def plain(value: Any) -> Any:
    """The value as one that the encoder knows, or as another that it asks for again; `NotImplemented` if there is none."""
    kind = type(value)
    way = _ways.get(kind)
    if way is None:
        way = _ways[kind] = _way(kind)
    made = way(value)
    if made is NotImplemented and _defaults:
        return _defaults[-1](value)
    return made


def is_model(value: Any) -> bool:
    """Whether a handler may return the value as it is: an instance of a dataclass, a `msgspec.Struct`, attrs or pydantic class."""
    return _is_model_class(type(value))


def use_default(function: _Way) -> Callable[[], None]:
    """Sets the function for all other values; what is returned takes it back."""
    _defaults.append(function)
    return lambda: _defaults.remove(function)


def _is_model_class(kind: type) -> bool:
    return any(hasattr(kind, mark) for mark in ("__dataclass_fields__", "__struct_fields__", "__pydantic_serializer__", _ATTRS))


_ATTRS = "__attrs_attrs__"


def _way(kind: Any) -> _Way:
    """How the values of a class are written."""
    if issubclass(kind, enum.Enum):
        return lambda value: value.value
    for known, way in _KNOWN.items():
        if issubclass(kind, known):
            return way
    if hasattr(kind, "__pydantic_serializer__"):
        return _of_pydantic
    if hasattr(kind, "__struct_fields__") and "msgspec" in sys.modules:
        return _of_msgspec
    if hasattr(kind, "__dataclass_fields__"):
        return _by_attributes(tuple(field.name for field in dataclasses.fields(kind)))
    if hasattr(kind, _ATTRS):
        return _by_attributes(tuple(field.name for field in getattr(kind, _ATTRS)))
    return lambda value: NotImplemented


def _by_attributes(names: tuple[str, ...]) -> _Way:
    return lambda value: {name: getattr(value, name) for name in names}


def _of_datetime(value: datetime.datetime) -> str:
    offset = value.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        # RFC 3339 has offsets of whole minutes: the same moment with another one.
        value = value.astimezone(datetime.timezone.utc)
    return value.isoformat()


def _of_time(value: datetime.time) -> str:
    offset = value.utcoffset()
    if offset is not None and offset.total_seconds() % 60:
        raise ValueError(f"the offset of {value} is no whole number of minutes, as RFC 3339 asks")
    return value.isoformat()


def _of_decimal(value: decimal.Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"{value} is no number that JSON has")
    return str(value)


def _of_pydantic(value: Any) -> Any:
    return type(value).__pydantic_serializer__.to_python(value, mode="json", by_alias=True)


def _of_msgspec(value: Any) -> Any:
    import msgspec

    # Names, tags and defaults that are left out are msgspec's; types that are written here already are left as they are.
    return msgspec.to_builtins(value, builtin_types=_LEFT, enc_hook=_hook)


def _hook(value: Any) -> Any:
    made = plain(value)
    if made is NotImplemented:
        raise TypeError(f"is of type {type(value).__name__}")
    return made


_LEFT = (datetime.datetime, datetime.date, datetime.time, decimal.Decimal, uuid.UUID)

_KNOWN: dict[type, _Way] = {
    datetime.datetime: _of_datetime,
    datetime.date: datetime.date.isoformat,
    datetime.time: _of_time,
    uuid.UUID: str,
    decimal.Decimal: _of_decimal,
    set: list,
    frozenset: list,
}

_ways: "WeakKeyDictionary[type, _Way]" = WeakKeyDictionary()
