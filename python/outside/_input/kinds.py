"""Types as values are converted to them: each kind has a function for JSON's values, one for texts, and a JSON schema.

`strict` takes values as JSON has them; `lax` takes texts too, as queries, headers and forms have them. Both raise `Refused`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from .errors import Refused

Convert = Callable[[Any], Any]
Schema = dict[str, Any]


class Components(Protocol):
    """The schemas that have a name in the document that is being made."""

    def refer(self, kind: Any, name: str, make: Callable[[], Schema]) -> Schema: ...


class Kind:
    """One type."""

    # As messages write it.
    name = ""
    # Whether texts can stand for it in a query: else it is a body.
    is_simple = True
    # Whether it takes every value of a name.
    is_many = False
    # Whether an empty text is a value of it.
    takes_text = False
    # Whether msgspec converts it as this sub-package does.
    is_native = True

    def strict(self, value: Any) -> Any:
        raise NotImplementedError

    def lax(self, value: Any) -> Any:
        return self.strict(value)

    def schema(self, components: Components) -> Schema:
        raise NotImplementedError


_JSON_NAMES = {str: "str", int: "int", float: "float", bool: "bool", dict: "object", list: "array", type(None): "null"}


def wrong(name: str, value: Any) -> Refused:
    """The fault of a value of another type, in the words of msgspec."""
    return Refused(f"Expected `{name}`, got `{_JSON_NAMES.get(type(value), type(value).__name__)}`")


class Anything(Kind):
    name = "any"
    is_simple = False
    takes_text = True

    def strict(self, value: Any) -> Any:
        return value

    def schema(self, components: Components) -> Schema:
        return {}


class Text(Kind):
    name = "str"
    takes_text = True

    def strict(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        raise wrong("str", value)

    def schema(self, components: Components) -> Schema:
        return {"type": "string"}


class Whole(Kind):
    name = "int"

    def strict(self, value: Any) -> Any:
        if type(value) is int:
            return value
        if type(value) is float and value.is_integer():
            return int(value)
        raise wrong("int", value)

    def lax(self, value: Any) -> Any:
        if type(value) is str:
            # Python would take underscores, spaces and digits of other scripts too.
            if _WHOLE(value) and len(value) <= _MOST_DIGITS:
                return int(value)
            raise Refused(f"Expected `int`, got {_quoted(value)}")
        return self.strict(value)

    def schema(self, components: Components) -> Schema:
        return {"type": "integer"}


_WHOLE = re.compile(r"[+-]?[0-9]+\Z").match
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\Z").match
# Python refuses to convert longer texts, and the time of converting grows with their square.
_MOST_DIGITS = 4300


class Fraction(Kind):
    name = "float"

    def strict(self, value: Any) -> Any:
        if type(value) is float:
            return value
        if type(value) is int:
            try:
                return float(value)
            except OverflowError:
                raise Refused("Number out of range") from None
        raise wrong("float", value)

    def lax(self, value: Any) -> Any:
        if type(value) is str:
            if _NUMBER(value) and math.isfinite(number := float(value)):
                return number
            raise Refused(f"Expected `float`, got {_quoted(value)}")
        return self.strict(value)

    def schema(self, components: Components) -> Schema:
        return {"type": "number"}


class Truth(Kind):
    name = "bool"
    words: ClassVar[dict[str, bool]] = {
        **dict.fromkeys(("true", "1", "yes", "on"), True),
        **dict.fromkeys(("false", "0", "no", "off"), False),
    }

    def strict(self, value: Any) -> Any:
        if type(value) is bool:
            return value
        raise wrong("bool", value)

    def lax(self, value: Any) -> Any:
        if type(value) is str:
            found = self.words.get(value.lower())
            if found is None:
                raise Refused(f"Expected `bool` (true or false), got {_quoted(value)}")
            return found
        return self.strict(value)

    def schema(self, components: Components) -> Schema:
        return {"type": "boolean"}


class Nothing(Kind):
    name = "null"

    def strict(self, value: Any) -> Any:
        if value is None:
            return None
        raise wrong("null", value)

    def lax(self, value: Any) -> Any:
        if value is None or value == "":
            return None
        raise wrong("null", value)

    def schema(self, components: Components) -> Schema:
        return {"type": "null"}


class Written(Kind):
    """A value that JSON has as a text of a known form: dates, UUIDs, decimals, bytes."""

    def __init__(self, cls: type, read: Callable[[str], Any], schema: Schema, from_number: bool = False) -> None:
        self.cls, self.read, self._schema = cls, read, schema
        self.name = cls.__name__
        self.from_number = from_number

    def strict(self, value: Any) -> Any:
        if type(value) is self.cls:
            return value
        if self.from_number and type(value) in (int, float):
            value = str(value)
        if type(value) is not str:
            raise wrong("str", value)
        try:
            return self.read(value)
        except (ValueError, ArithmeticError):
            raise Refused(f"Invalid {_NAMES.get(self.name, self.name)}: {_quoted(value)}") from None

    def schema(self, components: Components) -> Schema:
        return dict(self._schema)


_NAMES = {
    "datetime": "RFC 3339 date and time",
    "date": "RFC 3339 date",
    "time": "RFC 3339 time",
    "bytes": "base64",
    "Decimal": "decimal",
}


class Choice(Kind):
    """One of some values: an `Enum`, or a `Literal`."""

    def __init__(self, name: str, values: list[tuple[Any, Any]], cls: Any = None) -> None:
        self.name = name
        # The class of an enumeration, whose schema has its name.
        self.cls = cls
        self.values = values
        # `True == 1` and `1.0 == 1`: a value is found with its type.
        self._found = {(type(written), written): value for written, value in values}
        self._texts = {_plain(written): value for written, value in values}
        self._message = "Invalid value {}: expected one of " + ", ".join(repr(written) for written, _ in values)

    def strict(self, value: Any) -> Any:
        try:
            return self._found[type(value), value]
        except (KeyError, TypeError):
            raise Refused(self._message.format(_quoted(value))) from None

    def lax(self, value: Any) -> Any:
        if type(value) is str and value in self._texts:
            return self._texts[value]
        return self.strict(value)

    def schema(self, components: Components) -> Schema:
        written = [value for value, _ in self.values]
        types = {type(value) for value in written}
        schema: Schema = {"enum": written}
        if len(types) == 1 and (name := {str: "string", int: "integer"}.get(types.pop())):
            schema["type"] = name
        return components.refer(self, self.name, lambda: schema) if self.cls is not None else schema


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


class Several(Kind):
    """A list, set or tuple of values of one kind."""

    is_many = True

    def __init__(self, make: Callable[[Any], Any], item: Kind, is_unique: bool = False) -> None:
        self.make, self.item, self.is_unique = make, item, is_unique
        self.name = "array"
        self.is_simple = item.is_simple and not item.is_many
        self.is_native = item.is_native

    def strict(self, value: Any) -> Any:
        if type(value) not in (list, tuple):
            raise wrong("array", value)
        return self._made(value, self.item.strict)

    def lax(self, value: Any) -> Any:
        return self._made(value if type(value) in (list, tuple) else [value], self.item.lax)

    def _made(self, values: Any, convert: Convert) -> Any:
        made = []
        for value in values:
            try:
                made.append(convert(value))
            except Refused as refused:
                raise refused.below(len(made)) from None
        if self.make is list:
            return made
        try:
            return self.make(made)
        except TypeError as error:
            raise Refused(str(error)) from None

    def schema(self, components: Components) -> Schema:
        schema: Schema = {"type": "array", "items": self.item.schema(components)}
        return {**schema, "uniqueItems": True} if self.is_unique else schema


class Row(Kind):
    """A tuple whose values have kinds of their own."""

    name = "array"
    is_many = True
    is_simple = False

    def __init__(self, items: list[Kind]) -> None:
        self.items = items
        self.is_native = all(item.is_native for item in items)

    def strict(self, value: Any) -> Any:
        if type(value) not in (list, tuple):
            raise wrong("array", value)
        if len(value) != len(self.items):
            raise Refused(f"Expected `array` of length {len(self.items)}, got {len(value)}")
        made = []
        for item, one in zip(self.items, value):  # noqa: B905 - of equal length
            try:
                made.append(item.strict(one))
            except Refused as refused:
                raise refused.below(len(made)) from None
        return tuple(made)

    def schema(self, components: Components) -> Schema:
        count = len(self.items)
        items = [item.schema(components) for item in self.items]
        return {"type": "array", "prefixItems": items, "minItems": count, "maxItems": count}


class Table(Kind):
    """A dictionary."""

    name = "object"
    is_simple = False

    def __init__(self, key: Kind, value: Kind) -> None:
        self.key, self.value = key, value
        self.is_native = key.is_native and value.is_native

    def strict(self, value: Any) -> Any:
        if type(value) is not dict:
            raise wrong("object", value)
        made = {}
        for key, one in value.items():
            try:
                # JSON has texts as keys, of numbers too.
                made[self.key.lax(key)] = self.value.strict(one)
            except Refused as refused:
                raise refused.below(key) from None
        return made

    def schema(self, components: Components) -> Schema:
        return {"type": "object", "additionalProperties": self.value.schema(components)}


class OneOf(Kind):
    """A union."""

    def __init__(self, members: list[Kind]) -> None:
        # A text is anything in a query: it comes last.
        self.members = sorted(members, key=lambda member: isinstance(member, Text))
        self.name = " | ".join(member.name for member in members)
        self.is_nullable = any(isinstance(member, Nothing) for member in members)
        self._others = [member for member in self.members if not isinstance(member, Nothing)]
        self.is_simple = all(member.is_simple for member in self.members)
        self.is_many = any(member.is_many for member in self.members)
        self.takes_text = any(member.takes_text for member in members)
        self.is_native = all(member.is_native for member in self.members)

    def strict(self, value: Any) -> Any:
        return self._first(value, [member.strict for member in self._others])

    def lax(self, value: Any) -> Any:
        return self._first(value, [member.lax for member in self._others])

    def _first(self, value: Any, converters: list[Convert]) -> Any:
        if value is None and self.is_nullable:
            return None
        deepest: Refused | None = None
        for convert in converters:
            try:
                return convert(value)
            except Refused as refused:
                if deepest is None or len(refused.faults[0][0]) > len(deepest.faults[0][0]):
                    deepest = refused
        if deepest is not None and (len(converters) == 1 or deepest.faults[0][0]):
            raise deepest
        raise wrong(self.name, value)

    def schema(self, components: Components) -> Schema:
        in_order = sorted(self.members, key=lambda member: isinstance(member, Nothing))
        schemas = [member.schema(components) for member in in_order]
        simple = [schema["type"] for schema in schemas if set(schema) == {"type"} and isinstance(schema["type"], str)]
        return {"type": simple} if len(simple) == len(schemas) else {"anyOf": schemas}


def _quoted(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
