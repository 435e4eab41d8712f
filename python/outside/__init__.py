"""An HTTP server as a module: one program instead of three.

The names below are the whole interface; each is documented where it is defined. The
engine in Rust (`outside._outside`) runs behind them.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._handlers.answers import Event, event_stream, html, json_response, redirect, send_file
from ._handlers.multi_dict import MultiDict
from ._handlers.routes import Routes
from ._handlers.websocket import AsyncWebSocketConnection, BinaryMessage, TextMessage, WebSocketExit
from ._hosting.asgi import asgi
from ._hosting.wsgi import wsgi
from ._input.errors import InputError
from ._input.markers import Body, Cookie, Depends, File, Form, Header, Path, Query
from ._log import JSONFormatter
from ._outside import (
    ContentError,
    Counter,
    FilePath,
    Folder,
    FormFile,
    Gauge,
    HandlerTimeout,
    Histogram,
    HTTPException,
    OutsideHTTP_Redirect,
    Request,
    Response,
    ResponseCookie,
    ScheduledResponse,
    WebSocket,
    WebSocketConnection,
    __version__,
    abort,
    get_description,
    get_insensitive_header,
)
from ._process import at_fork as _at_fork  # noqa: F401

# Remembers where and how the program was started, before it may change either.
from ._process import generation as _generation  # noqa: F401
from ._server import OutsideHTTP

if _TYPE_CHECKING:
    from ._application.addresses import static_url, url_for
    from ._application.auth import Authorization, basic_auth, bearer
    from ._application.csrf import csrf_token
    from ._application.session import Session, flash, flashes
    from ._application.templates import Templates

__all__ = [
    "AsyncWebSocketConnection",
    "Authorization",
    "BinaryMessage",
    "Body",
    "ContentError",
    "Cookie",
    "Counter",
    "Depends",
    "Event",
    "File",
    "FilePath",
    "Folder",
    "Form",
    "FormFile",
    "Gauge",
    "HTTPException",
    "HandlerTimeout",
    "Header",
    "Histogram",
    "InputError",
    "JSONFormatter",
    "MultiDict",
    "OutsideHTTP",
    "OutsideHTTP_Redirect",
    "Path",
    "Query",
    "Request",
    "Response",
    "ResponseCookie",
    "Routes",
    "ScheduledResponse",
    "Session",
    "Templates",
    "TextMessage",
    "WebSocket",
    "WebSocketConnection",
    "WebSocketExit",
    "__version__",
    "abort",
    "asgi",
    "basic_auth",
    "bearer",
    "csrf_token",
    "event_stream",
    "flash",
    "flashes",
    "get_description",
    "get_insensitive_header",
    "html",
    "json_response",
    "redirect",
    "send_file",
    "static_url",
    "url_for",
    "wsgi",
]

# The application layer, each part imported when a program first uses it.
_LATER = {
    "Authorization": "auth",
    "Session": "session",
    "Templates": "templates",
    "basic_auth": "auth",
    "bearer": "auth",
    "csrf_token": "csrf",
    "flash": "session",
    "flashes": "session",
    "static_url": "addresses",
    "url_for": "addresses",
}

# `import outside` brought these in 1.5.8.
_MODULES = {"code_description", "protocol_http", "protocol_websocket", "utility"}


def __getattr__(name: str) -> _Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _LATER:
        found = getattr(import_module(f"._application.{_LATER[name]}", __name__), name)
        globals()[name] = found
        return found
    if not name.startswith("_"):
        from ._application.moved import sentence

        if text := sentence(name):
            raise ImportError(text, name=__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
