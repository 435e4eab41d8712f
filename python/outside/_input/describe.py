"""From an annotation to its kind. A type that no kind stands for is refused in a sentence; the caller adds file and line."""

from __future__ import annotations

import base64
import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import sys
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from .._outside import FormFile
from .constraints import Notes, check_of, notes_of, schema_of
from .errors import Refused
from .kinds import (
    Anything,
    Choice,
    Components,
    Fraction,
    Kind,
    Nothing,
    OneOf,
    Row,
    Schema,
    Several,
    Table,
    Text,
    Truth,
    Whole,
    Written,
    wrong,
)
from .models import MISSING, Field, Model, Plain, Pydantic, Struct


class Undescribable(TypeError):
    """A type that cannot stand in the signature of a handler."""


class Bounded(Kind):
    """A kind whose values are checked further."""

    def __init__(self, inner: Kind, notes: Notes) -> None:
        self.inner, self.notes = inner, notes
        self.name = inner.name
        self.is_simple, self.is_many, self.takes_text = inner.is_simple, inner.is_many, inner.takes_text
        self.is_native = inner.is_native and notes.is_native
        self._check = check_of(notes, inner.name)

    def strict(self, value: Any) -> Any:
        made = self.inner.strict(value)
        return self._check(made) if self._check and made is not None else made

    def lax(self, value: Any) -> Any:
        made = self.inner.lax(value)
        return self._check(made) if self._check and made is not None else made

    def schema(self, components: Components) -> Schema:
        return schema_of(self.notes, self.inner.schema(components))


class Upload(Kind):
    """An uploaded file."""

    name = "file"
    is_native = False

    def strict(self, value: Any) -> Any:
        if isinstance(value, FormFile):
            return value
        raise wrong("file", value)

    def schema(self, components: Components) -> Schema:
        return {"type": "string", "format": "binary"}


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)


def _time(text: str) -> datetime.time:
    return datetime.time.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)


def _string(form: str) -> Schema:
    return {"type": "string", "format": form}


_SIMPLE: dict[Any, Callable[[], Kind]] = {
    str: Text,
    int: Whole,
    float: Fraction,
    bool: Truth,
    None: Nothing,
    type(None): Nothing,
    Any: Anything,
    object: Anything,
    FormFile: Upload,
    bytes: lambda: Written(
        bytes, lambda text: base64.b64decode(text, validate=True), {"type": "string", "contentEncoding": "base64"}
    ),
    datetime.datetime: lambda: Written(datetime.datetime, _moment, _string("date-time")),
    datetime.date: lambda: Written(datetime.date, datetime.date.fromisoformat, _string("date")),
    datetime.time: lambda: Written(datetime.time, _time, _string("time")),
    uuid.UUID: lambda: Written(uuid.UUID, uuid.UUID, _string("uuid")),
    decimal.Decimal: lambda: Written(decimal.Decimal, _decimal, _string("decimal"), from_number=True),
}
_MANY: dict[Any, Callable[[Any], Any]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
}
_TABLES = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_UNIONS = (Union, getattr(types, "UnionType", Union))


def _decimal(text: str) -> decimal.Decimal:
    number = decimal.Decimal(text)
    if not number.is_finite():
        raise ValueError(text)
    return number


class Describer:
    """Makes kinds; every class has one kind in it. `names` are those of the function in which a class was defined."""

    def __init__(self, names: Mapping[str, Any] | None = None) -> None:
        self._names = dict(names or {})
        self._models: dict[Any, Model] = {}

    def kind(self, annotation: Any) -> Kind:
        """The kind of this annotation."""
        if isinstance(annotation, typing.NewType):
            return self.kind(annotation.__supertype__)
        if hasattr(annotation, "__value__") and type(annotation).__name__ == "TypeAliasType":
            return self.kind(annotation.__value__)
        try:
            simple = _SIMPLE.get(annotation)
        except TypeError:  # one that cannot be a key
            simple = None
        if simple is not None:
            return simple()
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            notes = notes_of(arguments[1:])
            inner = self.kind(arguments[0])
            return Bounded(inner, notes) if notes.bounds or notes.predicates or notes.words else inner
        if origin in _UNIONS:
            return OneOf([self.kind(argument) for argument in arguments])
        if origin is Literal:
            return Choice(" | ".join(repr(value) for value in arguments), [(value, value) for value in arguments])
        if type(annotation).__name__ in ("Required", "NotRequired", "ReadOnly") or _is_qualifier(origin):
            return self.kind(arguments[0])
        return self._of_class(annotation, origin, arguments)

    def _of_class(self, annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> Kind:
        cls = origin or annotation
        if cls in _MANY:
            item = self.kind(arguments[0]) if arguments else Anything()
            make = _MANY[cls]
            return Several(make, item, is_unique=make in (set, frozenset))
        if cls is tuple:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return Several(tuple, self.kind(arguments[0]))
            return Row([self.kind(argument) for argument in arguments]) if arguments else Several(tuple, Anything())
        if cls in _TABLES:
            key, value = arguments or (str, Any)
            return Table(self.kind(key), self.kind(value))
        if isinstance(cls, type) and issubclass(cls, enum.Enum):
            return Choice(cls.__name__, [(member.value, member) for member in cls], cls)
        if (model := self._model(annotation, cls, arguments)) is not None:
            return model
        if isinstance(annotation, (str, typing.ForwardRef)):
            raise Undescribable(f"{annotation!r} is not defined where it can be found")
        raise Undescribable(f"{shown(annotation)} is neither a simple type nor a model")

    def _model(self, annotation: Any, cls: Any, arguments: tuple[Any, ...]) -> Model | None:
        if (known := self._models.get(annotation)) is not None:
            return known
        if not isinstance(cls, type):
            return None
        name = _name(annotation, cls, arguments)
        told = _documentation(cls)
        if hasattr(cls, "__pydantic_validator__") and "pydantic" in sys.modules:
            model: Model = Pydantic(annotation, name, told)
            self._models[annotation] = model
            model.fields = self._fields_of_pydantic(cls)
            return model
        if hasattr(cls, "__struct_fields__") and "msgspec" in sys.modules:
            model = Struct(annotation, name, told)
            self._models[annotation] = model
            model.fields = self._fields_of_struct(cls, arguments)
            return model
        is_dict = typing.is_typeddict(cls) or type(cls).__name__ == "_TypedDictMeta"
        if not (is_dict or dataclasses.is_dataclass(cls) or hasattr(cls, "__attrs_attrs__")):
            return None
        plain = Plain(annotation if is_dict else cls, name, told, is_dict)
        if arguments:
            plain.cls = annotation
        self._models[annotation] = plain
        hints = self._hints(cls, arguments)
        plain.finish(self._fields_of_dict(cls, hints) if is_dict else self._fields_of_class(cls, hints))
        return plain

    def _hints(self, cls: Any, arguments: tuple[Any, ...]) -> dict[str, Any]:
        try:
            hints = typing.get_type_hints(cls, localns={**self._names, cls.__name__: cls}, include_extras=True)
        except NameError as error:
            raise Undescribable(f"{cls.__name__}: {error}") from None
        parameters = getattr(cls, "__parameters__", ())
        if not parameters:
            return hints
        given = dict(zip(parameters, arguments, strict=False))
        return {name: _substituted(hint, given) for name, hint in hints.items()}

    def _fields_of_dict(self, cls: Any, hints: dict[str, Any]) -> list[Field]:
        required = cls.__required_keys__
        return [Field(name, name, self._field(cls, name, hint), name in required) for name, hint in hints.items()]

    def _fields_of_class(self, cls: Any, hints: dict[str, Any]) -> list[Field]:
        fields: list[Field] = []
        if dataclasses.is_dataclass(cls):
            for one in dataclasses.fields(cls):
                if one.init:
                    is_open = one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
                    default = MISSING if one.default is dataclasses.MISSING else one.default
                    if one.default_factory is list:
                        default = []
                    fields.append(Field(one.name, one.name, self._field(cls, one.name, hints[one.name]), is_open, default))
            return fields
        for attribute in cls.__attrs_attrs__:
            if attribute.init:
                is_open = type(attribute.default).__name__ == "_Nothing"
                default = MISSING if is_open or type(attribute.default).__name__ == "Factory" else attribute.default
                kind = self._field(cls, attribute.name, hints.get(attribute.name, attribute.type or Any))
                alias = getattr(attribute, "alias", None) or attribute.name
                fields.append(Field(alias, attribute.name, kind, is_open, default))
        return fields

    def _fields_of_struct(self, cls: Any, arguments: tuple[Any, ...]) -> list[Field]:
        fields = []
        for one in sys.modules["msgspec"].structs.fields(cls):
            given = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
            fields.append(Field(one.name, one.encode_name, self._outline(_substituted(one.type, given)), one.required))
        return fields

    def _fields_of_pydantic(self, cls: Any) -> list[Field]:
        fields = []
        known = getattr(cls, "__pydantic_fields__", None) or getattr(cls, "model_fields", {})
        for name, one in known.items():
            alias = one.validation_alias if isinstance(one.validation_alias, str) else one.alias
            fields.append(Field(name, alias or name, self._outline(one.annotation), one.is_required()))
        return fields

    def _outline(self, annotation: Any) -> Kind:
        """The kind of a field that another package converts: only for whether it takes several values, or a text."""
        try:
            return self.kind(annotation)
        except (Undescribable, RecursionError, TypeError):
            return Text()

    def _field(self, cls: Any, name: str, annotation: Any) -> Kind:
        try:
            return self.kind(annotation)
        except Undescribable as error:
            raise Undescribable(f"field {name!r} of {cls.__name__}: {error}") from None


def is_model(kind: Kind) -> bool:
    """Whether a parameter of this kind is the content of the request."""
    return not kind.is_simple and not isinstance(kind, Anything)


def _is_qualifier(origin: Any) -> bool:
    return getattr(origin, "_name", None) in ("Required", "NotRequired", "ReadOnly", "Final", "ClassVar")


def _substituted(hint: Any, given: Mapping[Any, Any]) -> Any:
    """An annotation with type variables replaced; one that stays open takes every value."""
    if isinstance(hint, TypeVar):
        return given.get(hint, getattr(hint, "__bound__", None) or Any)
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        return Annotated[(_substituted(inner, given), *notes)]
    parameters = getattr(hint, "__parameters__", ())
    if not parameters or isinstance(hint, type):
        return hint
    return hint[tuple(_substituted(parameter, given) for parameter in parameters)]


def _name(annotation: Any, cls: type, arguments: tuple[Any, ...]) -> str:
    if not arguments:
        return cls.__name__
    return "_".join([cls.__name__, *(getattr(argument, "__name__", "of") for argument in arguments)])


def _documentation(cls: type) -> str | None:
    """The docstring that a person has written: not the one that `dataclass` or pydantic makes."""
    text = cls.__dict__.get("__doc__")
    if not text or text.startswith(f"{cls.__name__}("):
        return None
    return inspect.cleandoc(text)


def shown(annotation: Any) -> str:
    """An annotation as a program writes it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


__all__ = ["Bounded", "Describer", "Refused", "Undescribable", "is_model", "shown"]
