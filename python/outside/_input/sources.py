"""One value of a request for one parameter: found, converted, checked, by a function that is made when a handler is registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _outside
from .._outside import ContentError, FormFile, Request
from .describe import Upload
from .errors import Refused, Unusable
from .kinds import Anything, Components, Kind, Schema, Several, Text
from .markers import Marker
from .models import MISSING, Model

Read = Callable[[Any], Any]
MISSED = "required, but missing"


class Source:
    """Where one value comes from. `read` takes the request (of a parameter of the path its value) and raises `Refused` or
    `Unusable`."""

    def __init__(self, place: str, written: str, kind: Kind, default: Any, read: Read, marker: Marker | None = None) -> None:
        self.place, self.written, self.kind, self.default = place, written, kind, default
        self.read = read
        self.marker = marker
        # Of a body: whether a form may stand for it, whether it is bytes as they are.
        self.takes_form = self.is_raw = False

    def schema(self, components: Components) -> Schema:
        return self.kind.schema(components)


def default_of(default: Any) -> Callable[[], Any]:
    """A function that gives the default; a list that handlers change is a new one each time."""
    if isinstance(default, (list, dict, set)):
        return default.copy
    return lambda: default


def _of_texts(
    place: str,
    written: str,
    kind: Kind,
    default: Any,
    first: Callable[[Request], str | None],
    every: Callable[[Request], list[str]],
    marker: Marker | None,
) -> Source:
    """A value that stands in a request as text, or as several."""
    convert, instead, is_open = kind.lax, default_of(default), default is MISSING
    # An empty field of a form is none, where no text is wanted.
    skips_empty = not kind.takes_text

    def missing() -> Any:
        if is_open:
            raise Refused(MISSED, [written])
        return instead()

    def read_many(request: Request) -> Any:
        texts = every(request)
        if not texts:
            return missing()
        try:
            return convert(texts)
        except Refused as refused:
            raise refused.below(written) from None

    def read_one(request: Request) -> Any:
        text = first(request)
        if text is None or (skips_empty and text == ""):
            return missing()
        try:
            return convert(text)
        except Refused as refused:
            raise refused.below(written) from None

    def read_text(request: Request) -> Any:
        text = first(request)
        return missing() if text is None else text

    read = read_many if kind.is_many else read_text if type(kind) in (Text, Anything) else read_one
    return Source(place, written, kind, default, read, marker)


def of_query(written: str, kind: Kind, default: Any, marker: Marker | None = None) -> Source:
    if isinstance(kind, Model):
        return _of_model("query", kind, default, lambda request: request.args.get_all, marker)
    first = lambda request: request.params.get(written)
    return _of_texts("query", written, kind, default, first, lambda request: request.args.get_all(written), marker)


def of_header(written: str, kind: Kind, default: Any, marker: Marker | None = None) -> Source:
    first = lambda request: _outside._field(request, written)
    return _of_texts("header", written, kind, default, first, lambda request: request.headers.get_all(written), marker)


def of_cookie(written: str, kind: Kind, default: Any, marker: Marker | None = None) -> Source:
    first = lambda request: request.cookies.get(written)
    every = lambda request: [text] if (text := request.cookies.get(written)) is not None else []
    return _of_texts("cookie", written, kind, default, first, every, marker)


def of_path(written: str, kind: Kind, marker: Marker | None = None) -> Source:
    convert = kind.lax

    def read(value: Any) -> Any:
        try:
            return convert(value)
        except Refused as refused:
            raise refused.below(written) from None

    return Source("path", written, kind, MISSING, read, marker)


def of_form(written: str, kind: Kind, default: Any, marker: Marker | None = None) -> Source:
    if isinstance(kind, Model):
        return _of_model("form", kind, default, _fields_of, marker)
    first = lambda request: _form(request).get(written)
    return _of_texts("form", written, kind, default, first, lambda request: _form(request).get_all(written), marker)


def of_file(written: str, kind: Kind, default: Any, marker: Marker | None = None) -> Source:
    """An uploaded file, or several, or the bytes of one. An input of a form in which none was chosen is missing."""
    has_bytes = not isinstance(kind, Upload) and "file" not in kind.name and not isinstance(kind, Several)
    instead, is_open = default_of(default), default is MISSING

    def read(request: Request) -> Any:
        _form(request)
        files: list[FormFile] = [file for file in request.files.get_all(written) if file]
        if not files:
            if is_open:
                raise Refused(MISSED, [written])
            return instead()
        if kind.is_many:
            return files
        return files[0].content if has_bytes else files[0]

    return Source("file", written, kind, default, read, marker)


def of_content(default: Any, kind: Kind, marker: Marker | None = None) -> Source:
    """The content as it is."""
    source = Source("body", "", kind, default, lambda request: request.content, marker)
    source.is_raw = True
    return source


def _of_model(place: str, kind: Model, default: Any, get_all: Callable[[Request], Any], marker: Marker | None) -> Source:
    convert, instead, is_open = kind.lax, default_of(default), default is MISSING

    def read(request: Request) -> Any:
        found = kind.gather(get_all(request))
        return convert(found) if found or is_open else instead()

    return Source(place, "", kind, default, read, marker)


def of_body(kind: Kind, default: Any, marker: Marker | None = None, takes_form: bool = True) -> Source:
    """A whole model: of JSON, or of a form if the model is a class with fields."""
    decode = kind.decoder() if isinstance(kind, Model) else None
    convert, instead, is_open = kind.strict, default_of(default), default is MISSING
    model = _model_of(kind) if takes_form else None
    content_of = _outside._json_content

    def read(request: Request) -> Any:
        content = content_of(request)
        if content is None:
            return otherwise(request)
        try:
            return decode(content) if decode is not None else convert(parsed(request))
        except Unusable:
            if content or is_open:
                raise
            return instead()

    def otherwise(request: Request) -> Any:
        media_type = _outside._media_type(request)
        if media_type == "" and not request.content:
            if is_open:
                raise Refused(MISSED)
            return instead()
        if model is not None and media_type in _FORMS:
            return model.lax(model.gather(_fields_of(request)))
        said = f"content of the type {media_type}" if media_type else "content without a Content-Type"
        raise Unusable(415, f"{said} is not taken here: send {'JSON or a form' if model is not None else 'application/json'}")

    source = Source("body", "", kind, default, read, marker)
    source.takes_form = model is not None
    return source


_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def _model_of(kind: Kind) -> Model | None:
    """The class with fields that a form can fill: itself, or the only one of a union with `None`."""
    members = [member for member in getattr(kind, "members", [kind]) if member.name != "null"]
    return members[0] if len(members) == 1 and isinstance(members[0], Model) else None


def parsed(request: Request) -> Any:
    """The value of the content, by way of JSON's own values; `Unusable` if it is no JSON."""
    value, reason = request._json_or_reason()
    if reason is not None:
        raise Unusable(400, f"the content is not JSON: {reason}")
    return value


def _form(request: Request) -> Any:
    """The fields of a form. Content of another type is not taken for an empty one."""
    if (media_type := _outside._media_type(request)) not in _FORMS and request.content:
        said = f"content of the type {media_type}" if media_type else "content without a Content-Type"
        raise Unusable(415, f"{said} is not taken here: send a form")
    try:
        return request.form
    except ContentError as error:
        if error.limit is not None:
            # A limit of the configuration, which the log names.
            raise
        raise Unusable(error.code, str(error)) from None


def _fields_of(request: Request) -> Callable[[str], list[Any]]:
    """Every value of a name in a form: its fields, and its files in which something was chosen."""
    form, files = _form(request), request.files
    return lambda name: form.get_all(name) or [file for file in files.get_all(name) if file]
