"""The page about the routes of a server, and its document: `server.openapi("/docs")`."""

from __future__ import annotations

import base64
import hashlib
import html
import posixpath
import re
from pathlib import Path
from typing import Any

from .._handlers import json_text
from .._outside import Response
from .openapi import Entry, check, document


class Documentation:
    """The two routes of a server. The document is made when it is first asked for, and again when routes have changed."""

    def __init__(self, server: Any, page: str | None, address: str, title: str, version: str, description: str | None) -> None:
        for name, value in (("title", title), ("version", version)):
            if not isinstance(value, str) or not value:
                raise TypeError(
                    f"openapi() takes a {name}, a str such as {'1.0' if name == 'version' else 'Issues'!r}, not {value!r}"
                )
        self._server = server
        self._told = (title, version, description)
        self._made: tuple[int, str] | None = None
        # Those of the program, before the two below are added.
        for entry in self._entries():
            check(entry)
        server.get(address)(self._serve_document())
        if page is not None:
            server.get(page)(_serve_page(title, posixpath.relpath(address, posixpath.dirname(page) or "/")))

    def check(self, made: Any, pattern: str, record: Any) -> None:
        """Refuses a route that cannot be described."""
        check(_entry(made, pattern, record))

    def _entries(self) -> list[Entry]:
        return [_entry(*row) for row in self._server._table if not hasattr(row[2].handler, "__outside_hidden__")]

    def text(self) -> str:
        """The document as JSON."""
        count = hash(tuple((pattern, record.origin, tuple(record.methods)) for _, pattern, record in self._server._table))
        if self._made is None or self._made[0] != count:
            self._made = count, json_text.text(document(*self._told, self._entries()))
        return self._made[1]

    def _serve_document(self) -> Any:
        def openapi_document() -> Response:
            return Response(200, {"Content-Type": "application/json", "Cache-Control": "no-cache"}, self.text())

        openapi_document.__outside_hidden__ = True  # type: ignore[attr-defined]
        return openapi_document


def _entry(made: Any, pattern: str, record: Any) -> Entry:
    return Entry(made.plan if made is not None else None, pattern, record.methods, record.handler)


def _serve_page(title: str, address: str) -> Any:
    text = (Path(__file__).parent / "docs.html").read_text(encoding="utf-8")
    text = text.replace("TITLE", html.escape(title)).replace("ADDRESS", html.escape(address))
    [script] = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        # The page asks no other host for anything, and no other page can put a script into it.
        "Content-Security-Policy": f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    }

    def openapi_page() -> Response:
        return Response(200, headers, text)

    openapi_page.__outside_hidden__ = True  # type: ignore[attr-defined]
    return openapi_page
