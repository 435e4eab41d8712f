"""The document of OpenAPI 3.1 about the routes of a server, made from the plans that serve them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from .._handlers.signature import name_of
from .._outside import Response, get_description
from .describe import Describer, Undescribable
from .hints import Unresolved, mistake, names_around, returned_by
from .kinds import Kind, Schema
from .models import MISSING, Model, plain_default
from .plan import Plan
from .sources import Source

_REFERENCE = "#/components/schemas/"
_CONVERTED: dict[str, Schema] = {
    "int": {"type": "integer", "minimum": 0},
    "float": {"type": "number", "minimum": 0},
    "uuid": {"type": "string", "format": "uuid"},
}
_PROBLEM: Schema = {
    "title": "Problem",
    "description": "Input that does not fit, as RFC 9457 has it.",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "in": {"type": "string"},
                    "at": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "message": {"type": "string"},
                },
                "required": ["in", "at", "message"],
            },
        },
    },
    "required": ["type", "title", "status"],
}


class Entry(NamedTuple):
    """One route."""

    plan: Plan | None
    pattern: str
    methods: Iterable[str]
    function: Any


class Named:
    """The schemas of the document that have a name. Two classes of one name have two."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def refer(self, kind: Any, name: str, make: Callable[[], Schema]) -> Schema:
        key = getattr(kind, "cls", kind)
        known = self._names.get(key)
        if known is None:
            known = re.sub(r"[^A-Za-z0-9._-]", "_", name)
            if known in self.schemas and isinstance(key, tuple) and self.schemas[known] == make():
                return {"$ref": _REFERENCE + known}
            number = 2
            while known in self.schemas:
                known, number = f"{name}{number}", number + 1
            self._names[key] = known
            # A model may hold itself.
            self.schemas[known] = {}
            self.schemas[known] = make()
        return {"$ref": _REFERENCE + known}


def document(title: str, version: str, description: str | None, entries: Iterable[Entry]) -> Schema:
    """The whole document."""
    named = Named()
    named.schemas["Problem"] = _PROBLEM
    paths: dict[str, dict[str, Any]] = {}
    taken: dict[str, int] = {}
    for entry in entries:
        path = re.sub(r"<(?:\w+:)?(\w+)>|\{(\w+)(?::\w+)?\}", lambda found: f"{{{found[1] or found[2]}}}", entry.pattern)
        for method in entry.methods:
            if method.lower() in ("get", "put", "post", "delete", "options", "head", "patch", "trace"):
                made = operation(entry, named)
                name = name_of(entry.function)
                taken[name] = taken.get(name, 0) + 1
                made["operationId"] = name if taken[name] == 1 else f"{name}_{taken[name]}"
                paths.setdefault(path, {})[method.lower()] = made
    info = {"title": title, "version": version, **({"description": description} if description else {})}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": dict(sorted(named.schemas.items()))}}


def check(entry: Entry) -> None:
    """Refuses a route that the document could not describe, with file and line."""
    try:
        operation(entry, Named())
    except Exception as error:
        if isinstance(error, TypeError) and ".py:" in str(error).partition(" ")[0]:
            raise
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise mistake(entry.function, f"{name_of(entry.function)}() cannot be described for OpenAPI: {text}") from error


def operation(entry: Entry, named: Named) -> dict[str, Any]:
    """One method of one path."""
    made: dict[str, Any] = {}
    text = inspect.getdoc(inspect.unwrap(entry.function))
    summary, _, rest = (text or "").partition("\n")
    made["summary"] = summary or name_of(entry.function).replace("_", " ").strip().capitalize()
    if rest.strip():
        made["description"] = rest.strip()
    sources = entry.plan.sources if entry.plan else []
    parameters = [*_of_path(entry, sources, named)]
    for source in sources:
        if source.place in ("query", "header", "cookie"):
            parameters += _parameters(source, named)
    if parameters:
        made["parameters"] = parameters
    content = _content(sources, named)
    if content is not None:
        made["requestBody"] = content
    made["responses"] = _responses(entry, sources, named)
    return made


def _of_path(entry: Entry, sources: list[Source], named: Named) -> Iterable[dict[str, Any]]:
    by_name = {source.written: source for source in sources if source.place == "path"}
    for converter, name, other, also in re.findall(r"<(?:(\w+):)?(\w+)>|\{(\w+)(?::(\w+))?\}", entry.pattern):
        parameter = name or other
        source = by_name.get(parameter)
        schema = dict(_CONVERTED.get(converter or also, {"type": "string"}))
        if source is not None:
            schema.update(source.schema(named))
        yield {"name": parameter, "in": "path", "required": True, "schema": schema}


def _parameters(source: Source, named: Named) -> Iterable[dict[str, Any]]:
    if isinstance(source.kind, Model):
        for field in source.kind.fields:
            schema = field.kind.schema(named)
            yield {
                "name": field.written,
                "in": source.place,
                "required": field.is_required and source.default is MISSING,
                "schema": schema,
            }
        return
    schema = _with_default(source.schema(named), source.default)
    made: dict[str, Any] = {"name": source.written, "in": source.place, "required": source.default is MISSING, "schema": schema}
    if source.marker is not None and source.marker.description:
        made["description"] = source.marker.description
    if source.marker is not None and source.marker.deprecated:
        made["deprecated"] = True
    yield made


def _with_default(schema: Schema, default: Any) -> Schema:
    # That a value is none says `required` already.
    if default is None or (plain := plain_default(default)) is MISSING:
        return schema
    return {"allOf": [schema], "default": plain} if "$ref" in schema else {**schema, "default": plain}


def _content(sources: list[Source], named: Named) -> dict[str, Any] | None:
    fields = [
        source
        for source in sources
        if source.place in ("form", "file") and source.written and not isinstance(source.kind, Model)
    ]
    whole = [source for source in sources if source.place in ("body", "form") and source not in fields]
    if whole:
        [source] = whole
        schema = source.schema(named)
        types = ["application/json"] if source.place == "body" else []
        if source.is_raw:
            return {"required": source.default is MISSING, "content": {"application/octet-stream": {"schema": {}}}}
        if source.place == "form" or source.takes_form:
            types += _form_types(source.kind)
        return {"required": source.default is MISSING, "content": {media_type: {"schema": schema} for media_type in types}}
    if not fields:
        return None
    properties: dict[str, Schema] = {}
    for source in fields:
        is_file = source.place == "file"
        file: Schema = {"type": "string", "format": "binary"}
        schema = ({"type": "array", "items": file} if source.kind.is_many else file) if is_file else source.schema(named)
        properties[source.written] = schema if is_file else _with_default(schema, source.default)
    required = [source.written for source in fields if source.default is MISSING]
    schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    has_files = any(source.place == "file" for source in fields)
    types = ["multipart/form-data"] if has_files else ["application/x-www-form-urlencoded"]
    return {"required": bool(required), "content": {media_type: {"schema": schema} for media_type in types}}


def _form_types(kind: Kind) -> list[str]:
    models = [member for member in getattr(kind, "members", [kind]) if isinstance(member, Model)]
    has_files = any("file" in field.kind.name for model in models for field in model.fields)
    # A form without files is taken in both types; a client need know one.
    return ["multipart/form-data"] if has_files else ["application/x-www-form-urlencoded"]


def _responses(entry: Entry, sources: list[Source], named: Named) -> dict[str, Any]:
    answer = entry.plan.answer if entry.plan else returned_by(entry.function, names_around())
    describer = entry.plan.describer if entry.plan else Describer(names_around())
    responses: dict[str, Any] = {}
    for code, annotation in _answers(answer):
        described = {"description": _description(code)}
        content = _answer_content(annotation, describer, named)
        if content is not None:
            described["content"] = content  # type: ignore[assignment]
        responses.setdefault(code, described)
    if not any(code[0] in "23" for code in responses):
        responses["200"] = {"description": "OK"}
    problem = {"application/problem+json": {"schema": {"$ref": f"{_REFERENCE}Problem"}}}
    if any(source.place in ("body", "form", "file") and not source.is_raw for source in sources):
        responses.setdefault("400", {"description": "Content that is malformed", "content": problem})
    if any(source.place in ("body", "form", "file") and not source.is_raw for source in sources):
        responses.setdefault("415", {"description": get_description(415), "content": problem})
    if sources:
        responses.setdefault("422", {"description": "Input that does not fit", "content": problem})
    return dict(sorted(responses.items()))


def _description(code: str) -> str:
    return get_description(int(code)) if code.isdigit() else "The answer"


def _answers(annotation: Any) -> Iterable[tuple[str, Any]]:
    """The statuses and types that an annotation of a return value stands for."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, Unresolved):
        return
    if annotation in (None, type(None)):
        yield "204", None
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        for argument in arguments:
            yield from _answers(argument)
    elif origin is Annotated:
        yield from _answers(arguments[0])
    elif origin is tuple and len(arguments) >= 2:
        if arguments[0] is int or get_origin(arguments[0]) is Literal:
            codes = get_args(arguments[0]) if arguments[0] is not int else ()
            for code in codes:
                # The page of an error, in the form that the client prefers.
                yield str(code), None
        elif get_origin(arguments[1]) is Literal:
            for code in get_args(arguments[1]):
                yield str(code), arguments[0]
        elif arguments[1] is int:
            yield "2XX", arguments[0]
    elif isinstance(annotation, type) and issubclass(annotation, Response):
        yield "200", Any
    else:
        yield "200", annotation


def _answer_content(annotation: Any, describer: Describer, named: Named) -> dict[str, Any] | None:
    if annotation in (None, Any, type(None)):
        return None
    if annotation is str:
        return {"text/plain": {"schema": {"type": "string"}}}
    if annotation is bytes:
        return {"application/octet-stream": {"schema": {}}}
    try:
        return {"application/json": {"schema": describer.kind(annotation).schema(named)}}
    except Undescribable:
        # Classes that `json_default` makes JSON of, and those that no route may return: the answer says it then.
        return None
