"""Sessions: a dictionary in a signed cookie.

The cookie is `content.time.signature`: the content is JSON in base64url, the time that of writing, in hexadecimal seconds,
the signature the HMAC-SHA256 over the cookie's name, the time and the content. Clients can read it and cannot change it.
Nothing is stored by the server, so that a session cannot be revoked before it expires.
"""

from __future__ import annotations

import json
from typing import Any

from .._outside import Request, Response, ResponseCookie, _Signer

# Signs the content of a cookie, and checks it.
Signer = _Signer

NAME = "session"
# Bytes of name and value of a cookie that browsers take (RFC 6265 section 6.1).
MOST_BYTES = 4096
HOW_TO = 'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one, and server.config["secret"] takes it'

# Made once: with arguments, `json.dumps` makes an encoder for each call.
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_read = json.JSONDecoder().decode


class Session(dict[str, Any]):
    """The session of one request: a dictionary whose values JSON can hold. It is written when it has changed."""

    # The JSON text as it was read.
    _before: bytes

    def __init__(self, content: bytes | None) -> None:
        self._before = b"{}"
        if content is not None:
            values = _read(content.decode())
            if isinstance(values, dict):
                super().__init__(values)
                self._before = content

    def text(self) -> bytes:
        """The JSON text of the session as it is now."""
        try:
            return _write(self).encode()
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"a session holds values of JSON (str, numbers, bool, None, list, dict): {error}; it has {_kinds(self)}"
            ) from None


def _kinds(session: Session) -> str:
    # Values may be secret: their classes say enough.
    return ", ".join(f"{name!r}: {type(value).__name__}" for name, value in session.items())


def session_of(request: Request) -> Session:
    """The session of this request; an empty one without a cookie that holds."""
    signer = signer_of(request)
    value = request.cookies.get(NAME)
    content = signer.verify(NAME, value) if value is not None else None
    try:
        return Session(content)
    except ValueError:
        return Session(None)


def signer_of(request: Request) -> Signer:
    server = request._server
    signer: Signer | None = server._signer if server is not None else None
    if signer is not None:
        return signer
    if server is not None and server.config.get("secret"):
        raise RuntimeError('config["secret"] was set while the server ran; set it before run()')
    if server is None:
        raise RuntimeError(f'request.session is for requests of a server with config["secret"]; {HOW_TO}')
    raise RuntimeError(f'request.session needs config["secret"], which signs it; {HOW_TO}')


def save(request: Request, response: Response) -> None:
    """Writes the session into the response if it has changed; the answer varies with the cookie if the session was looked at."""
    session: Session | None = request._session
    if session is None:
        return
    _vary(response)
    content = session.text()
    if content == session._before:
        return
    is_secure = request.scheme == "https"
    # A session that is written anew is written once: a stream or a hook may come by here again.
    session._before = content
    if not session:
        response.cookies[NAME] = ResponseCookie("", 0, None, True, is_secure, "/", "Lax")
        return
    signer = signer_of(request)
    value = signer.sign(NAME, content)
    size = len(NAME) + 1 + len(value)
    if size > MOST_BYTES:
        largest = max(session, key=lambda name: len(json.dumps(session[name])))
        raise ValueError(
            f"the session is {size:,} bytes as a cookie, and browsers take {MOST_BYTES:,}; the largest value is {largest!r}: keep it in "
            "a database, and its key in the session"
        )
    response.cookies[NAME] = ResponseCookie(value, int(signer.seconds), None, True, is_secure, "/", "Lax")


def _vary(response: Response) -> None:
    given = response.headers.get("Vary")
    if given is None:
        response.headers["Vary"] = "Cookie"
        return
    values = given if isinstance(given, list) else [given]
    names = {name.strip().lower() for value in values for name in value.split(",")}
    if "cookie" not in names and "*" not in names:
        response.headers["Vary"] = ", ".join([*values, "Cookie"])


_FLASHES = "_flashes"


def flash(request: Request, message: str, category: str = "message") -> None:
    """Keeps a message in the session for the next page, which shows it by `flashes()`."""
    request.session.setdefault(_FLASHES, []).append([category, message])


def flashes(request: Request | None = None, with_categories: bool = False) -> list[Any]:
    """The messages that were kept, which are forgotten with this; with `with_categories` as pairs (category, message)."""
    if request is None:
        request = current_request("flashes")
    session = request.session
    kept = session.pop(_FLASHES, []) if _FLASHES in session else []
    return [tuple(pair) for pair in kept] if with_categories else [message for _, message in kept]


def current_request(function: str) -> Request:
    """The request of this context."""
    from .._handlers.current import CURRENT

    request = CURRENT.get()
    if request is None:
        raise RuntimeError(f"{function}() is called while a request is handled, or is given one")
    return request
