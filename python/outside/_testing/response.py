"""What a test client gets: status, header fields, content; streamed where the test asks for that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from email.message import Message
from http.client import HTTPResponse
from typing import Any

from .._handlers.headers import Headers
from .cookies import parsed

_PIECE = 65536


class TestResponse:
    """An answer of the server.

    `headers` ignore case and have `get_all`. `cookies` are those that this answer sets, `exception` is what the handler raised,
    `history` the redirects that led here.
    """

    __test__ = False  # for pytest, which looks at names

    status_code: int
    reason: str
    headers: Headers
    cookies: dict[str, str]
    exception: BaseException | None
    history: list[TestResponse]

    def __init__(self, answer: HTTPResponse, method: str, target: str, release: Callable[[], None]) -> None:
        self.method = method
        self.url = target
        self.status_code = answer.status
        self.reason = answer.reason
        self.version = {10: "HTTP/1.0", 11: "HTTP/1.1"}.get(answer.version, str(answer.version))
        self.headers = Headers(answer.getheaders())
        self.cookies = {name: value for name, value, _ in map(parsed, self.headers.get_all("Set-Cookie"))}
        self.exception = None
        self.history = []
        self._answer = answer
        self._release = release
        self._owned: Any = None
        self._content: bytes | None = None

    @property
    def content(self) -> bytes:
        """The content. `http.client.IncompleteRead` if the server has broken off."""
        if self._content is None:
            self._content = b"".join(self.iter_content())
        return self._content

    @property
    def text(self) -> str:
        """The content as text, by the charset of its media type, else UTF-8."""
        message = Message()
        message["Content-Type"] = self.headers.get("Content-Type", "text/plain")
        charset = message.get_content_charset("utf-8")
        return self.content.decode(charset, "replace")

    def json(self) -> Any:
        """The content as JSON; `ValueError` if it is none."""
        return json.loads(self.content)

    def iter_content(self, size: int = _PIECE) -> Iterator[bytes]:
        """The content as it comes, in pieces of at most `size` bytes."""
        while piece := self._answer.read1(size):
            yield piece
        if self._answer.length:
            self._answer.read()  # raises: less came than was said
        self.close(broken=False)

    def iter_lines(self) -> Iterator[str]:
        """The content as it comes, line by line, without the line ends: for server-sent events, JSON lines and the like."""
        rest = b""
        for piece in self.iter_content():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r").decode("utf-8", "replace")
        if rest:
            yield rest.decode("utf-8", "replace")

    def close(self, broken: bool = True) -> None:
        """Ends a streamed answer: the server sees its client go."""
        if self._owned is not None:
            self._answer.close()
            self._owned.close()
            self._owned = None
        elif not broken:
            self._release()

    def __enter__(self) -> TestResponse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TestResponse {self.status_code} {self.reason} of {self.method} {self.url}>"
