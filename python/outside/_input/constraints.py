"""Bounds of values: those of `msgspec.Meta`, of `annotated_types`, of a marker such as `Query(ge=1)`, which share their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from .errors import Refused
from .markers import CONSTRAINTS, Marker

_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_SCHEMA = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum", "multiple_of": "multipleOf"}


class Notes(NamedTuple):
    """Everything that the metadata of one `Annotated[…]` says about a value."""

    bounds: dict[str, Any]
    # Functions of `annotated_types.Predicate`.
    predicates: list[Callable[[Any], Any]]
    # Titles, descriptions, examples: for OpenAPI.
    words: dict[str, Any]
    # Whether msgspec would see all of it.
    is_native: bool


def notes_of(metadata: Iterable[Any]) -> Notes:
    """Reads metadata by the names of its attributes, so that no package has to be imported for it."""
    notes = Notes({}, [], {}, True)
    for item in _flat(metadata):
        is_msgspec = type(item).__module__.partition(".")[0] == "msgspec"
        found = {name: value for name in CONSTRAINTS if (value := getattr(item, name, None)) is not None}
        if isinstance(item, slice):
            found = {
                name: value for name, value in (("min_length", item.start), ("max_length", item.stop)) if value is not None
            }
        if found.get("min_length") == 0:
            del found["min_length"]
        notes.bounds.update(found)
        predicate = getattr(item, "func", None) if type(item).__name__ == "Predicate" else None
        if callable(predicate):
            notes.predicates.append(predicate)
        for name in ("title", "description", "examples", "deprecated"):
            if value := getattr(item, name, None):
                notes.words[name] = value
        if not is_msgspec and (found or predicate):
            notes = notes._replace(is_native=False)
        extra = getattr(item, "extra_json_schema", None)
        if isinstance(extra, dict):
            notes.words.update(extra)
    return notes


def _flat(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        inner = getattr(item, "metadata", None)
        if isinstance(item, type):
            continue
        yield item
        # pydantic's `Field(ge=1)` keeps its constraints one level deeper.
        if isinstance(inner, (list, tuple)) and not isinstance(item, Marker):
            yield from inner


def check_of(notes: Notes, name: str) -> Callable[[Any], Any] | None:
    """A function that returns the value or refuses it; `None` if there is nothing to check. `name` is that of the type."""
    checks: list[tuple[Callable[[Any], bool], str]] = []
    bounds = notes.bounds
    for bound, sign in _SIGNS.items():
        if bound in bounds:
            checks.append((_comparison(bound, bounds[bound]), f"Expected `{name}` {sign} {bounds[bound]}"))
    if (step := bounds.get("multiple_of")) is not None:
        checks.append((lambda value: value % step == 0, f"Expected `{name}` that's a multiple of {step}"))
    if (least := bounds.get("min_length")) is not None:
        checks.append((lambda value: len(value) >= least, f"Expected `{name}` of length >= {least}"))
    if (most := bounds.get("max_length")) is not None:
        checks.append((lambda value: len(value) <= most, f"Expected `{name}` of length <= {most}"))
    if (pattern := bounds.get("pattern")) is not None:
        search = re.compile(pattern).search
        checks.append((lambda value: search(value) is not None, f"Expected `{name}` matching regex {str(pattern)!r}"))
    for predicate in notes.predicates:
        what = getattr(predicate, "__name__", "")
        named = f" for which {what}() holds" if what.isidentifier() else " that passes the check of this value"
        checks.append((lambda value, predicate=predicate: bool(predicate(value)), f"Expected `{name}`{named}"))  # type: ignore[misc]
    if not checks:
        return None

    def check(value: Any) -> Any:
        for holds, message in checks:
            if not holds(value):
                raise Refused(message)
        return value

    return check


def _comparison(bound: str, limit: Any) -> Callable[[Any], bool]:
    return {
        "gt": lambda value: value > limit,
        "ge": lambda value: value >= limit,
        "lt": lambda value: value < limit,
        "le": lambda value: value <= limit,
    }[bound]


def schema_of(notes: Notes, schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a value with these notes."""
    if "$ref" in schema and notes.words:
        schema = {"allOf": [schema]}
    made = dict(schema)
    kind = made.get("type")
    for name, value in notes.bounds.items():
        if name in _SCHEMA:
            if isinstance(value, (int, float)):
                made[_SCHEMA[name]] = value
        elif name == "pattern":
            made["pattern"] = str(value)
        else:
            suffix = {"array": "Items", "object": "Properties"}.get(str(kind), "Length")
            made[name.partition("_")[0] + suffix] = value
    made.update(notes.words)
    return made
