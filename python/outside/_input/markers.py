"""The words for `Annotated[…]` that say where a parameter of a handler comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

# The keywords of a marker that bound its values, as `msgspec.Meta` and `annotated_types` spell them.
CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern")


class Marker:
    """The common part of all markers. Each can stand in `Annotated[…]` as it is, or called with constraints."""

    _is_marker = True
    # Where the value stands in a request, in the words of errors and of OpenAPI.
    place = ""

    def __init__(
        self,
        default: Any = ...,
        *,
        alias: str | None = None,
        gt: Any = None,
        ge: Any = None,
        lt: Any = None,
        le: Any = None,
        multiple_of: Any = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
        title: str | None = None,
        description: str | None = None,
        examples: Iterable[Any] | None = None,
        deprecated: bool = False,
    ) -> None:
        self.default = default
        self.alias = alias
        self.gt, self.ge, self.lt, self.le = gt, ge, lt, le
        self.multiple_of = multiple_of
        self.min_length, self.max_length = min_length, max_length
        self.pattern = pattern
        self.title, self.description = title, description
        self.examples = None if examples is None else list(examples)
        self.deprecated = deprecated

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in vars(self).items() if value not in (None, ..., False)]
        return f"{type(self).__name__}({', '.join(given)})"


class Query(Marker):
    """A value of the query: `page: Annotated[int, Query(ge=1)] = 1`. A list takes every value of its name."""

    place = "query"


class Header(Marker):
    """A header field; underscores in the name of the parameter stand for hyphens: `x_token: Annotated[str, Header]`."""

    place = "header"


class Cookie(Marker):
    """A cookie that the client has sent. A cookie to set is a `ResponseCookie`."""

    place = "cookie"


class Path(Marker):
    """A parameter of the path, with constraints: `number: Annotated[int, Path(ge=1)]`."""

    place = "path"


class Form(Marker):
    """A field of an HTML form, or a whole form if the type is a model."""

    place = "form"


class File(Marker):
    """An uploaded file: `Annotated[FormFile, File]`, which `FormFile` alone means too, or its `bytes`."""

    place = "file"


class Body(Marker):
    """The whole content: JSON of this type, or as it is if the type is `bytes`."""

    place = "body"


class Depends:
    """The value of a function, which is called once for each request with parameters of the same kinds:
    `user: Annotated[User, Depends(signed_in)]`.

    The function may be plain, `async def`, or a generator of either kind: what stands behind its `yield` runs when the answer is
    made, before it is sent; of a stream or a WebSocket after the last piece. Without a function the type itself is called.
    """

    _is_marker = True

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"Depends() takes a function, not {function!r}")
        self.function = function

    def __repr__(self) -> str:
        return f"Depends({getattr(self.function, '__name__', self.function) if self.function else ''})"
