"""The error about input that does not fit, and its answer as a problem of RFC 9457."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._outside import HTTPException, Response, get_description


class InputError(HTTPException):
    """A request whose input does not fit: 422, 400 for content that is no JSON, 415 for content of another type.

    `errors` is a list of `{"in": "body", "at": ["labels", 2], "message": "…"}`. If no error handler takes it, the client gets
    it as `application/problem+json`.
    """

    errors: list[dict[str, Any]]

    def __init__(self, code: int, message: str, errors: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(code, message)
        self.errors = list(errors)

    def _response(self) -> Response:
        """The answer, unless an error handler has another one."""
        # Imported by the first mistake of a client.
        from .._handlers import json_text

        problem: dict[str, Any] = {"type": "about:blank", "title": get_description(self.code), "status": self.code}
        if self.message:
            problem["detail"] = self.message
        if self.errors:
            problem["errors"] = self.errors
        return Response(self.code, {"Content-Type": "application/problem+json"}, json_text.text(problem))


InputError.__module__ = "outside"


class Refused(Exception):
    """A value that does not fit: the faults, each a path inside of the value and a sentence. Never leaves this sub-package."""

    def __init__(self, message: str, at: Iterable[Any] = ()) -> None:
        self.faults: list[tuple[list[Any], str]] = [(list(at), message)]

    def below(self, key: Any) -> Refused:
        """The same fault, seen from one step above."""
        for at, _ in self.faults:
            at.insert(0, key)
        return self


class Unusable(Exception):
    """Content as a whole that cannot be read: the status, and the sentence for the client."""

    def __init__(self, code: int, message: str) -> None:
        self.code, self.message = code, message


def refusal(faults: Iterable[tuple[str, list[Any], str]]) -> InputError:
    """The error for faults: the place in the request, the path, and the sentence."""
    errors = [{"in": place, "at": at, "message": message} for place, at, message in faults]
    first = errors[0]
    path = shown([first["in"], *first["at"]])
    more = len(errors) - 1
    rest = f" (and {more} more)" if more else ""
    return InputError(422, f"{path}: {first['message']}{rest}", errors)


def shown(path: list[Any]) -> str:
    """A path as a person would write it: `body.labels[2]`."""
    text = str(path[0])
    for step in path[1:]:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text
