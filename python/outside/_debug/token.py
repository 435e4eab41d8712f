"""The token for pages about exceptions: printed at the start, shown once by a browser, and kept there in a cookie.

To be on this machine is not enough: a proxy in front of the server is too, and hands on requests of others. All processes of a
server, and the program when it is started again, have the same token.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

if TYPE_CHECKING:
    from .._outside import Request

# Where a browser shows the token: answered by the engine itself, past the functions that stand around handlers.
PATH = "/.outside/debug"
# Hands the token to the next generation.
NAME = "OUTSIDE_DEBUG_TOKEN"

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Content-Type": "text/html; charset=utf-8",
    # No page of another origin reads it, or shows it as its own.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_token: str | None = os.environ.pop(NAME, None)


def token() -> str:
    """The token of this server; made when it is first asked for."""
    global _token
    if _token is None:
        _token = os.urandom(18).hex()
    return _token


def for_next_generation() -> dict[str, str]:
    """The variables for the environment of the next one."""
    return {} if _token is None else {NAME: _token}


def announce(url: str) -> None:
    """Prints where a browser gets its cookie."""
    try:
        print(f"Pages about exceptions are for a browser that has opened {url}{PATH}?token={token()}", flush=True)
    except (OSError, ValueError):
        pass  # a closed standard output does not keep a server from serving


def is_shown(request: Request) -> bool:
    """Whether the client of this request has shown the token."""
    return _is_token(request.cookies.get(_cookie(request.host), ""))


def _is_token(given: str) -> bool:
    from hmac import compare_digest

    return compare_digest(given.encode("utf-8", "surrogateescape"), token().encode())


def _cookie(host: str) -> str:
    """A browser sends cookies to all ports of a host: each has a name of its own."""
    port = host.rpartition(":")[2]
    return f"outside-debug-{port}" if port.isdigit() else "outside-debug"


def enter(host: str, is_secure: bool, query: str, content: bytes) -> tuple[int, list[tuple[str, str]], str]:
    """The answer at `PATH` to a request with this query and form: status, fields, content."""
    fields = {name: values[0] for name, values in {**parse_qs(query), **parse_qs(content.decode("latin-1"))}.items()}
    if not _is_token(fields.get("token", "")):
        said = "<p class=wrong>That is not the token that was printed.</p>" if "token" in fields else ""
        return 403, list(_HEADERS.items()), _form("403 Forbidden", said, fields.get("to", "/"))
    cookie = f"{_cookie(host)}={token()}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if is_secure else ''}"
    return 303, [("Location", _own(fields.get("to", "/"))), ("Set-Cookie", cookie), *list(_HEADERS.items())], ""


def _own(target: str) -> str:
    """The path and query to go on to: nowhere else than on this server."""
    if not target.startswith("/") or target.startswith(("//", "/\\")) or any(not "!" <= letter <= "~" for letter in target):
        return "/"
    return target


def locked(request: Request) -> tuple[dict[str, str], str]:
    """The answer for a browser of this machine in place of the page, until it has shown the token: fields and content."""
    to = quote(request.url) + (f"?{request.query}" if request.query else "") if request.method == "GET" else "/"
    return dict(_HEADERS), _form("500 Internal Server Error", "", to)


def _form(title: str, said: str, to: str) -> str:
    # Its table of names is large, and most programs never show the form.
    from html import escape

    return _PAGE.format(title=title, said=said, path=PATH, to=escape(_own(to)))


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem}}
form{{display:flex;flex-wrap:wrap;gap:.5rem;align-items:end}}label{{flex:1 1 14rem}}input{{font:inherit;width:100%;box-sizing:border-box}}
button{{font:inherit}}.wrong{{color:#e5484d}}</style>
<h1>{title}</h1>{said}
<p>The exception stands in the log. To see its page here, show this browser once the token that was printed at the start.</p>
<form method=post action="{path}"><input type=hidden name=to value="{to}">
<label>Token <input name=token type=password autocomplete=off autofocus required></label><button>Show</button></form>
</html>
"""
