"""Models as kinds: dataclasses, TypedDicts and attrs classes by functions of our own, `msgspec.Struct` and pydantic models by
their packages, which a program that has such a model has imported already.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from .errors import Refused, Unusable
from .kinds import Components, Convert, Kind, Schema, wrong

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "missing"})()


class Field(NamedTuple):
    """One field of a model."""

    name: str
    # Its name in JSON and in forms.
    written: str
    kind: Kind
    is_required: bool
    default: Any = MISSING


class Model(Kind):
    """A class with fields. `written_fields` and `read` are there when the whole class has been looked at."""

    is_simple = False
    fields: list[Field]

    def __init__(self, cls: Any, name: str, documentation: str | None) -> None:
        self.cls, self.name, self.documentation = cls, name, documentation
        self.fields = []

    def gather(self, get_all: Callable[[str], list[Any]]) -> dict[str, Any]:
        """The values of a form or a query for the fields. An empty text counts as none where a text is not wanted."""
        values: dict[str, Any] = {}
        for field in self.fields:
            found = get_all(field.written)
            if field.kind.is_many:
                if found:
                    values[field.written] = found
            elif found and not (found[0] == "" and not field.kind.takes_text):
                values[field.written] = found[0]
        return values

    def decoder(self) -> Convert | None:
        """A function from the bytes of a JSON text to the model, if its package has one. It raises `Refused` or `Unusable`."""
        return None


class Plain(Model):
    """A dataclass, a TypedDict, an attrs class."""

    def __init__(self, cls: Any, name: str, documentation: str | None, is_dict: bool = False) -> None:
        super().__init__(cls, name, documentation)
        self.is_dict = is_dict

    def finish(self, fields: list[Field]) -> None:
        self.fields = fields
        self._strict = [(field.name, field.written, field.kind.strict, field.is_required) for field in fields]
        self._lax = [(field.name, field.written, field.kind.lax, field.is_required) for field in fields]

    def strict(self, value: Any) -> Any:
        return self._made(value, self._strict)

    def lax(self, value: Any) -> Any:
        return self._made(value, self._lax)

    def _made(self, value: Any, fields: Sequence[tuple[str, str, Convert, bool]]) -> Any:
        if type(value) is not dict:
            if not self.is_dict and isinstance(value, self.cls):
                return value
            raise wrong("object", value)
        made: dict[str, Any] = {}
        refused: Refused | None = None
        for name, written, convert, is_required in fields:
            given = value.get(written, MISSING)
            try:
                if given is not MISSING:
                    made[name] = convert(given)
                elif is_required:
                    raise Refused("Object missing required field", [])
            except Refused as fault:
                fault.below(written)
                if refused is None:
                    refused = fault
                else:
                    refused.faults += fault.faults
        if refused is not None:
            raise refused from None
        if self.is_dict:
            return made
        try:
            return self.cls(**made)
        except (ValueError, TypeError) as error:
            # Of `__post_init__` and validators: the program's own words.
            raise Refused(str(error)) from None

    def decoder(self) -> Convert | None:
        if not self.is_native_throughout():
            return None
        try:
            import msgspec

            return of_msgspec(msgspec.json.Decoder(self.cls))
        except (ImportError, TypeError, NameError, AttributeError):
            # Not installed, or the class has types that it does not know or find.
            return None

    def is_native_throughout(self, seen: set[int] | None = None) -> bool:
        """Whether msgspec understands every field, those of inner models too."""
        seen = set() if seen is None else seen
        return _is_native(self, seen)

    def schema(self, components: Components) -> Schema:
        return components.refer(self, self.name, lambda: object_schema(self, components))


def _is_native(kind: Any, seen: set[int]) -> bool:
    if id(kind) in seen:
        return True
    seen.add(id(kind))
    if isinstance(kind, Plain):
        return all(_is_native(field.kind, seen) for field in kind.fields)
    if not kind.is_native:
        return False
    inner = [getattr(kind, name) for name in ("item", "key", "value", "inner") if isinstance(getattr(kind, name, None), Kind)]
    inner += [*getattr(kind, "items", ()), *getattr(kind, "members", ())]
    return all(_is_native(one, seen) for one in inner)


def object_schema(model: Plain, components: Components) -> Schema:
    """The JSON schema of a class with fields."""
    properties: dict[str, Schema] = {}
    for field in model.fields:
        schema = field.kind.schema(components)
        if (default := plain_default(field.default)) is not MISSING:
            schema = {"allOf": [schema], "default": default} if "$ref" in schema else {**schema, "default": default}
        properties[field.written] = schema
    made: Schema = {"title": model.name, "type": "object", "properties": properties}
    required = [field.written for field in model.fields if field.is_required]
    if required:
        made["required"] = required
    if model.documentation:
        made["description"] = model.documentation
    return made


def plain_default(value: Any) -> Any:
    """A default as a schema can write it, or `MISSING`."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, enum.Enum):
        return plain_default(value.value)
    if isinstance(value, (list, tuple)) and all(plain_default(one) is not MISSING for one in value):
        return list(value)
    return MISSING


class Struct(Model):
    """A `msgspec.Struct`."""

    def __init__(self, cls: Any, name: str, documentation: str | None) -> None:
        super().__init__(cls, name, documentation)
        msgspec: Any = sys.modules["msgspec"]
        self._convert = msgspec.convert
        self._errors = msgspec.ValidationError

    def strict(self, value: Any) -> Any:
        return self._converted(value, True)

    def lax(self, value: Any) -> Any:
        return self._converted(value, False)

    def _converted(self, value: Any, strict: bool) -> Any:
        try:
            return self._convert(value, self.cls, strict=strict, dec_hook=_same)
        except self._errors as error:
            raise refused_by_msgspec(error) from None

    def decoder(self) -> Convert | None:
        return of_msgspec(sys.modules["msgspec"].json.Decoder(self.cls))

    def schema(self, components: Components) -> Schema:
        made = sys.modules["msgspec"].json.schema_components
        [reference], named = made([self.cls], ref_template="#/components/schemas/{name}")
        for name, schema in named.items():
            components.refer((self.cls, name), name, lambda schema=schema: schema)  # type: ignore[misc]
        result: Schema = reference
        return result


def _same(cls: Any, value: Any) -> Any:
    if isinstance(value, cls):
        return value
    raise TypeError(f"Expected `{cls.__name__}`, got `{type(value).__name__}`")


class Pydantic(Model):
    """A pydantic model, or a dataclass of pydantic's."""

    is_native = False

    def __init__(self, cls: Any, name: str, documentation: str | None) -> None:
        super().__init__(cls, name, documentation)
        self._validator = cls.__pydantic_validator__
        self._errors = sys.modules["pydantic"].ValidationError

    def strict(self, value: Any) -> Any:
        try:
            return self._validator.validate_python(value)
        except self._errors as error:
            raise refused_by_pydantic(error) from None

    def decoder(self) -> Convert | None:
        # Some models are complete only after the classes that they name.
        validator = self.cls.__pydantic_validator__
        validate, errors = validator.validate_json, self._errors

        def decode(content: bytes) -> Any:
            try:
                return validate(content)
            except errors as error:
                raise refused_by_pydantic(error) from None

        return decode

    def schema(self, components: Components) -> Schema:
        adapter = sys.modules["pydantic"].TypeAdapter(self.cls)
        schema: Schema = adapter.json_schema(ref_template="#/components/schemas/{model}")
        for name, inner in schema.pop("$defs", {}).items():
            components.refer((self.cls, name), name, lambda inner=inner: inner)  # type: ignore[misc]
        return components.refer(self, self.name, lambda: schema) if "$ref" not in schema else schema


def of_msgspec(decoder: Any) -> Convert:
    """The function of a decoder of msgspec, with faults as this sub-package has them."""
    msgspec: Any = sys.modules["msgspec"]
    decode, unfit, malformed = (
        decoder.decode,
        msgspec.ValidationError,
        (msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    )

    def decoded(content: bytes) -> Any:
        try:
            return decode(content)
        except unfit as error:
            raise refused_by_msgspec(error) from None
        except malformed as error:
            raise Unusable(400, f"the content is not JSON: {error}") from None

    return decoded


_PATH = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def refused_by_msgspec(error: Exception) -> Refused:
    """Its message ends with the path: ``Expected `str`, got `int` - at `$.labels[2]` ``."""
    message, found, path = str(error).rpartition(" - at `")
    if not found:
        message, path = str(error), ""
    # The keys of a dictionary stand there as `[...]`, a wrong key as "key in `$.x`".
    path = path.removeprefix("key in `").rstrip("`").removeprefix("$")
    at: list[Any] = [name or (int(index) if index.isdigit() else index) for name, index in _PATH.findall(path)]
    if missing := re.match(r"Object missing required field `(.*)`\Z", message):
        return Refused("Object missing required field", [*at, missing[1]])
    return Refused(message, at)


def refused_by_pydantic(error: Any) -> Refused:
    """All faults that pydantic has found."""
    told: Iterable[dict[str, Any]] = error.errors(include_url=False, include_context=False, include_input=False)
    faults = [(list(one["loc"]), str(one["msg"])) for one in told]
    if any(one["type"] == "json_invalid" for one in told):
        raise Unusable(400, f"the content is not JSON: {faults[0][1].removeprefix('Invalid JSON: ')}")
    refused = Refused(faults[0][1], faults[0][0])
    refused.faults += faults[1:]
    return refused
