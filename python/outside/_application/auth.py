"""Sign-in by a field of each request: Basic (RFC 7617) and Bearer (RFC 6750), as functions for `before_request`."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from .._handlers.signature import where
from .._outside import HTTPException, Request


class Authorization(NamedTuple):
    """The Authorization field of a request. `user` and `password` are those of Basic, else empty."""

    scheme: str
    credentials: str
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        # Programs log it.
        return f"Authorization(scheme={self.scheme!r}, user={self.user!r})"


def authorization_of(request: Request) -> Authorization | None:
    """The field, if there is one. The scheme is in lower case."""
    field = request.headers.get("Authorization")
    if field is None:
        return None
    scheme, _, credentials = field.strip().partition(" ")
    scheme, credentials = scheme.lower(), credentials.strip()
    if scheme != "basic":
        return Authorization(scheme, credentials)
    try:
        user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return Authorization(scheme, credentials)
    return Authorization(scheme, credentials, user, password) if colon else Authorization(scheme, credentials)


_Before = Callable[[Request], "Awaitable[None] | None"]


def basic_auth(
    check: Mapping[str, str] | Callable[[str, str], Any], *, realm: str = "this site", insecure: bool = False
) -> _Before:
    """A function for `before_request` that asks for user and password.

    `check` is a dictionary of passwords by user, which are compared in constant time, or a function of (user, password), plain or
    `async def`: a true value lets the request pass, and is `request.state.user`, as is the user's name if it is `True`. Over plain
    HTTP, where every station on the way can read the password, only clients of this machine are let in, unless `insecure`.
    """
    _check_realm(realm)
    challenge = f'Basic realm="{realm}", charset="UTF-8"'
    if isinstance(check, Mapping):
        passwords = {user.encode(): password.encode() for user, password in check.items()}
        # An unknown user takes as long as a known one.
        nobody = b"\0" * 32

        def compare(user: str, password: str) -> bool:
            expected = passwords.get(user.encode())
            is_same = hmac.compare_digest(nobody if expected is None else expected, password.encode())
            return is_same and expected is not None

        return _asking(
            "basic", challenge, lambda given: compare(given.user, given.password), insecure, lambda given: given.user
        )
    if not callable(check):
        raise TypeError(f"basic_auth() takes a dict of passwords or a function of (user, password), not {check!r}")
    return _asking(
        "basic", challenge, lambda given: check(given.user, given.password), insecure, lambda given: given.user, check
    )


def bearer(check: str | Callable[[str], Any], *, realm: str = "this site", insecure: bool = False) -> _Before:
    """A function for `before_request` that asks for a token, `Authorization: Bearer …`.

    `check` is the token, compared in constant time, or a function of (token), plain or `async def`: a true value lets the request
    pass, and is `request.state.user`. Over plain HTTP only clients of this machine are let in, unless `insecure`.
    """
    _check_realm(realm)
    challenge = f'Bearer realm="{realm}"'
    if isinstance(check, str):
        if not check:
            raise ValueError("bearer() takes a token that is not empty")
        expected = check.encode()
        return _asking(
            "bearer", challenge, lambda given: hmac.compare_digest(expected, given.credentials.encode()), insecure, None
        )
    if not callable(check):
        raise TypeError(f"bearer() takes a token or a function of (token), not {check!r}")
    return _asking("bearer", challenge, lambda given: check(given.credentials), insecure, None, check)


def _check_realm(realm: str) -> None:
    if not isinstance(realm, str) or not realm.isprintable() or not realm.isascii() or '"' in realm or "\\" in realm:
        raise ValueError(f"a realm is a str of ASCII without quotes, not {realm!r}")


def _asking(
    scheme: str,
    challenge: str,
    check: Callable[[Authorization], Any],
    insecure: bool,
    name: Callable[[Authorization], str] | None,
    function: Any = None,
) -> _Before:
    from .._handlers.routes import is_async

    def given(request: Request) -> Authorization:
        if not insecure and request.scheme != "https" and not _is_local(request):
            raise HTTPException(403, "sign-in is for HTTPS")
        authorization: Authorization | None = request.authorization
        if authorization is None or authorization.scheme != scheme or (scheme == "basic" and not authorization.user):
            raise refused(request, None)
        return authorization

    def refused(request: Request, error: str | None) -> HTTPException:
        from .._handlers.extra import add_header

        # RFC 6750 section 3: a request without a token is told of no error.
        add_header(request, "WWW-Authenticate", challenge + (f', error="{error}"' if error and scheme == "bearer" else ""))
        return HTTPException(401, "sign in first")

    def passed(request: Request, authorization: Authorization, answer: Any) -> None:
        if not answer:
            raise refused(request, "invalid_token")
        if answer is not True:
            request.state.user = answer
        elif name is not None:
            request.state.user = name(authorization)

    if is_async(function):

        async def ask_async(request: Request) -> None:
            authorization = given(request)
            passed(request, authorization, await check(authorization))

        return _adding_fields(ask_async)

    def ask(request: Request) -> None:
        authorization = given(request)
        passed(request, authorization, check(authorization))

    ask.__doc__ = f"Asks for {scheme} authentication" + (f" by {where(function)}." if function else ".")
    return _adding_fields(ask)


def _adding_fields(function: _Before) -> _Before:
    """Tells `before_request` that the function leaves fields for the answer."""
    setattr(function, "_adds_fields", True)
    return function


def _is_local(request: Request) -> bool:
    address = request.address[0]
    # A client of a Unix socket has no address.
    return not address or ipaddress.ip_address(address).is_loopback
