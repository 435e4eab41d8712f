"""The page about an exception while `config["debug"]` is on: traceback, source lines and variables, for this machine's own
user.

Only a client of this machine gets it that has shown the token of `token.py`, and only when it asked for this machine by name: a
page of another origin does not, whether its name leads here for a moment (DNS rebinding) or not, nor does a request that a
proxy hands on. Everything that is shown is escaped; nothing on it runs.
"""

from __future__ import annotations

import builtins
import importlib
import ipaddress
import linecache
import os
import re
import sys
import traceback
from html import escape
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from . import token as _debug_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._outside import Request, Response

# Lines of source before and after the one that counts; characters of a value; values of a frame; frames of a traceback.
_AROUND = 4
_LONGEST = 400
_MOST_LOCALS = 60
_MOST_FRAMES = 60
# Exceptions of one group that are shown, and groups within groups.
_MOST_HELD = 20
_DEEPEST = 5
# Python 3.10 has none.
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())
_SECRET = re.compile(r"passw|passphrase|secret|token|api[_-]?key|private[_-]?key|credential|authorization|cookie|session", re.I)
# The names of values in URLs, which the log hides as well (`message/secrets.rs`).
_SECRET_WORDS = "key|sig|pwd|auth|jwt|otp"
_IN_URL = re.compile(rf"([?&](?:[^=&\s]*(?:{_SECRET.pattern}|signature)[^=&\s]*|{_SECRET_WORDS})=)[^&\s'\"]*", re.I)
_HIDDEN = "•••••• (hidden because of its name)"
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
# Folders whose frames lead to the program.
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
_IMPORTLIB = os.path.dirname(importlib.__file__)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    # For this origin alone: so the engine adds no permission for others (`config["cors"]`), and takes away those that a
    # function has added.
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def page(request: Request, error: BaseException, asks: bool = True) -> Response | None:
    """The answer to a request whose handler raised this; `None` if its client is not to see it. `asks` for the token, unless
    the client is one for tests, with which nothing lies in between."""
    from .._outside import Response

    if not is_ours(request):
        return None
    is_browser = "text/html" in request.headers.get("Accept", "")
    if asks and not _debug_token.is_shown(request):
        return Response(500, *_debug_token.locked(request)) if is_browser else None
    if is_browser:
        return Response(500, {"Content-Type": "text/html; charset=utf-8", **_HEADERS}, html(error, request))
    return Response(500, {"Content-Type": "text/plain; charset=utf-8", **_HEADERS}, text(error))


def is_ours(request: Request) -> bool:
    """Whether the request comes from this machine, without a proxy in between, and from no page of another origin."""
    headers = request.headers
    if not _is_loopback(request.address[0]) or any(name in headers for name in _FORWARDED):
        return False
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return False
    # Browsers that are too old for the field above send this one.
    if headers.get("Origin", f"{request.scheme}://{request.host}") != f"{request.scheme}://{request.host}":
        return False
    name = re.sub(r":\d+$", "", request.host).strip("[]").lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def text(error: BaseException) -> str:
    """The traceback as Python prints it."""
    return "".join(traceback.format_exception(without_ours(error)))


def without_ours(error: BaseException) -> BaseException:
    """The same exception; its traceback begins where code of the program does."""
    found = error.__traceback__
    while found is not None and _is_ours(found.tb_frame.f_code.co_filename):
        found = found.tb_next
    # Nothing is left of a file that cannot be compiled; the exception names it.
    return error.with_traceback(found) if found is not None or isinstance(error, SyntaxError) else error


def leads_elsewhere(error: BaseException) -> bool:
    """Whether it was raised by code of another package than this one."""
    return any(not _is_ours(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__))


def _is_ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, "<frozen importlib")) or os.path.dirname(filename) == _IMPORTLIB


def html(error: BaseException, request: Request | None = None) -> str:
    """The page: the exception, its frames with their variables, and the request."""
    title = _summary(error)
    asked = f"{request.method} {request.url}" if request is not None else ""
    parts = [_chain(error)]
    if request is not None:
        parts.append(_request(request))
    parts.append(f"<h2>As text</h2><pre class=text>{escape(text(error))}</pre>")
    return _PAGE.format(title=escape(title), asked=escape(asked), body="".join(parts))


def _summary(error: BaseException) -> str:
    message = _message(error)
    return f"{type(error).__qualname__}: {message}" if message else type(error).__qualname__


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as other:
        return f"(its text cannot be had: {type(other).__qualname__})"


def _chain(error: BaseException, depth: int = 0) -> str:
    """The exception that came first stands last, as the one that is to be looked at first is the last."""
    parts: list[str] = []
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if parts:
            parts.append(f"<h3>{escape(_summary(found))}</h3>")
        if isinstance(found, SyntaxError):
            parts.append(_syntax(found))
        parts.append(_frames(found.__traceback__))
        if isinstance(found, _GROUP):
            parts.append(_held(found.exceptions, depth))
        if found.__cause__ is not None:
            parts.append("<h2>This was the cause</h2>")
            found = found.__cause__
        elif found.__context__ is not None and not found.__suppress_context__:
            parts.append("<h2>While this was being handled</h2>")
            found = found.__context__
        else:
            found = None
    return "".join(parts)


def _held(exceptions: Sequence[BaseException], depth: int) -> str:
    """The exceptions that a group holds, each with its own chain."""
    if depth == _DEEPEST:
        return f"<p>… and {len(exceptions)} inside.</p>"
    parts = [
        f"<section><h3>{number} of {len(exceptions)}: {escape(_summary(held))}</h3>{_chain(held, depth + 1)}</section>"
        for number, held in enumerate(exceptions[:_MOST_HELD], 1)
    ]
    if len(exceptions) > _MOST_HELD:
        parts.append(f"<p>… and {len(exceptions) - _MOST_HELD} exceptions more.</p>")
    return "".join(parts)


def _frames(found: TracebackType | None) -> str:
    frames = []
    while found is not None:
        frames.append((found.tb_frame, found.tb_lineno))
        found = found.tb_next
    # Those of the server itself say nothing about the program.
    shown = [frame for frame in frames if not _is_ours(frame[0].f_code.co_filename)] or frames
    shown = list(reversed(shown))
    parts = [_frame(frame, line, is_open=place == 0) for place, (frame, line) in enumerate(shown[:_MOST_FRAMES])]
    if len(shown) > _MOST_FRAMES:
        parts.append(f"<p>… and {len(shown) - _MOST_FRAMES} frames more.</p>")
    return "".join(parts)


def _frame(frame: FrameType, line: int, is_open: bool) -> str:
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name)
    where = f"<summary><code>{escape(_short(code.co_filename))}:{line}</code> <span>in <b>{escape(name)}</b></span></summary>"
    opened = " open" if is_open or not _is_library(code.co_filename) else ""
    return f"<details{opened}>{where}{_source(code.co_filename, line, frame.f_globals)}{_locals(frame)}</details>"


def _syntax(error: SyntaxError) -> str:
    if not error.filename or not error.lineno:
        return ""
    return (
        f"<details open><summary><code>{escape(_short(error.filename))}:{error.lineno}</code></summary>"
        f"{_source(error.filename, error.lineno, None)}</details>"
    )


def _source(filename: str, line: int, module: dict[str, Any] | None) -> str:
    lines = linecache.getlines(filename, module)
    first = max(1, line - _AROUND)
    rows = []
    for number, content in enumerate(lines[first - 1 : line + _AROUND], first):
        here = " class=here" if number == line else ""
        rows.append(f"<li value={number}{here}>{escape(content.rstrip()[:_LONGEST]) or ' '}</li>")
    return f"<ol>{''.join(rows)}</ol>" if rows else ""


def _locals(frame: FrameType) -> str:
    names = [name for name in frame.f_locals if not (name.startswith("__") and name.endswith("__"))]
    if frame.f_code.co_name == "<module>":
        # Of a module, only the names in its code at this place would help; all of them would not.
        names = []
    rows = [
        f"<tr><th>{escape(name)}<td>{escape(_HIDDEN if _is_secret(name) else shown(frame.f_locals[name]))}"
        for name in names[:_MOST_LOCALS]
    ]
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None or re.search(rf"signature|^(?:{_SECRET_WORDS})$", name, re.I) is not None


def _without_secrets(text: str) -> str:
    """A text without the values of URLs whose names speak of secrets."""
    return _IN_URL.sub(r"\1•••", text)


def shown(value: object) -> str:
    """The `repr` of a value, within bounds, even if its class raises an exception."""
    try:
        if isinstance(value, (str, bytes)) and len(value) > _LONGEST:
            return _without_secrets(f"{value[:_LONGEST]!r}… ({len(value):,} long)")
        if isinstance(value, dict) and any(isinstance(key, str) and _is_secret(key) for key in value):
            value = {key: _HIDDEN if isinstance(key, str) and _is_secret(key) else item for key, item in value.items()}
        text = _without_secrets(repr(value))
    except Exception as error:
        return f"<{type(value).__qualname__} whose repr raises {type(error).__qualname__}>"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def _request(request: Request) -> str:
    fields = "".join(
        f"<tr><th>{escape(name)}<td>{escape(_HIDDEN if _is_secret(name) else _without_secrets(value))}"
        for name, value in request.headers.items()
    )
    target = request.url + (_without_secrets(f"?{request.query}") if request.query else "")
    return f"<h2>The request</h2><p><code>{escape(request.method)} {escape(target)}</code></p><table>{fields}</table>"


def _short(filename: str) -> str:
    """The path from the folder where the program was started, if it lies below."""
    try:
        return str(Path(filename).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return filename


def _is_library(filename: str) -> bool:
    return filename.startswith("<") or "site-packages" in filename or filename.startswith((sys.base_prefix, sys.prefix))


_PAGE = """<!doctype html>
<html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width"><title>{title}</title>
<style>
:root{{color-scheme:light dark;--line:#8884;--mark:#e5484d;--soft:#8881}}
body{{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1.5rem}}
header{{border-left:.35rem solid var(--mark);padding-left:1rem;margin-bottom:1.5rem}}
header p{{margin:0;opacity:.75}} h1{{font-size:1.5rem;margin:.1rem 0;overflow-wrap:anywhere;white-space:pre-wrap}}
h2{{font-size:1.1rem;margin:2rem 0 .5rem}} h3{{font-size:1rem;overflow-wrap:anywhere}}
details{{border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;overflow:hidden}}
summary{{padding:.5rem .8rem;cursor:pointer;background:var(--soft);overflow-wrap:anywhere}} summary span{{opacity:.75}}
code,pre,ol,table{{font:13px/1.55 ui-monospace,monospace}}
ol{{margin:0;padding:.4rem 0 .4rem 4rem;overflow-x:auto;white-space:pre}} li{{padding-left:.6rem}} li::marker{{color:#888}}
li.here{{background:color-mix(in srgb,var(--mark) 18%,transparent);font-weight:600}}
table{{width:100%;border-collapse:collapse;table-layout:fixed}} th{{width:min(12rem,32%);text-align:left;font-weight:600}}
th,td{{padding:.2rem .8rem;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere;white-space:pre-wrap}}
section{{border-left:.25rem solid var(--line);padding-left:1rem;margin:1rem 0}}
pre.text{{border:1px solid var(--line);border-radius:.5rem;padding:.8rem;overflow-x:auto}}
footer{{margin-top:2rem;opacity:.65;font-size:.85rem}}
</style>
<header><p>{asked}</p><h1>{title}</h1></header>
{body}
<footer>Shown because <code>config["debug"]</code> is on, to this machine only, and to browsers that have shown the token. Elsewhere this is a plain 500.</footer>
</html>
"""
