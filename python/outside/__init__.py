"""An HTTP server as a module: one program instead of three.

The names below are the whole interface; each is documented where it is defined. The
engine in Rust (`outside._outside`) runs behind them.
"""

from ._handlers.answers import Event, event_stream, html, json_response, redirect, send_file
from ._handlers.multi_dict import MultiDict
from ._handlers.routes import Routes
from ._handlers.websocket import AsyncWebSocketConnection, BinaryMessage, TextMessage, WebSocketExit
from ._input.errors import InputError
from ._input.markers import Body, Cookie, Depends, File, Form, Header, Path, Query
from ._hosting.asgi import asgi
from ._hosting.wsgi import wsgi
from ._outside import (
    ContentError,
    FilePath,
    Folder,
    FormFile,
    HandlerTimeout,
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

__all__ = [
    "AsyncWebSocketConnection",
    "BinaryMessage",
    "Body",
    "ContentError",
    "Cookie",
    "Depends",
    "Event",
    "File",
    "FilePath",
    "Folder",
    "Form",
    "FormFile",
    "HTTPException",
    "HandlerTimeout",
    "Header",
    "InputError",
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
    "TextMessage",
    "WebSocket",
    "WebSocketConnection",
    "WebSocketExit",
    "__version__",
    "abort",
    "asgi",
    "event_stream",
    "get_description",
    "get_insensitive_header",
    "html",
    "json_response",
    "redirect",
    "send_file",
    "wsgi",
]
