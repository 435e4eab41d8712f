"""Requests that other sites have a browser send (CSRF): a request that changes something and carries a session must come from a page
of our own.

Browsers say where a request comes from: Sec-Fetch-Site, else Origin. Where they say neither, or another site, the token of the
session is asked, from a form field or a header.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from .._outside import HTTPException, Request
from .session import NAME, current_request

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
_KEY = "_csrf"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_PORTS = {"http": ":80", "https": ":443"}


def guard(request: Request, scope: Any) -> None:
    """Refuses a forged request with 403."""
    if request.method in _SAFE or not scope.checks_origin or NAME not in request.cookies:
        return
    if is_own(request) or has_token(request):
        return
    raise HTTPException(403, "this request does not come from a page of this site")


def is_own(request: Request) -> bool:
    """Whether the browser says that a page of our own has sent the request."""
    headers = request.headers
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    return origin is not None and _normal(origin) == _normal(f"{request.scheme}://{request.host}")


def _normal(origin: str) -> str:
    origin = origin.lower()
    return origin.removesuffix(_PORTS.get(origin.partition("://")[0], "\0"))


def has_token(request: Request) -> bool:
    """Whether the request has the token of its session."""
    expected = request.session.get(_KEY)
    if not isinstance(expected, str):
        return False
    given = request.headers.get(HEADER)
    if given is None:
        media_type = request.content_type.partition(";")[0].strip().lower()
        if media_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
            return False
        given = request.form.get(FIELD)
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


def csrf_token(request: Request | None = None) -> str:
    """The token of this request's session, for a form field `csrf_token` or the header `X-CSRF-Token`."""
    session = (request or current_request("csrf_token")).session
    token = session.get(_KEY)
    if not isinstance(token, str):
        token = session[_KEY] = secrets.token_urlsafe(24)
    return token
