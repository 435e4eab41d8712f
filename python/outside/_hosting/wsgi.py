"""WSGI applications (PEP 3333) as handlers: the part of `environ` that is the same for every request, and `wsgi.errors`."""

from __future__ import annotations

import io
import logging
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any

from .. import _outside
from .find import described, unwrapped

logger = logging.getLogger("outside.wsgi")


def wsgi(app: Callable[..., Any], *, root_path: str = "") -> _outside.WSGIApplication:
    """A handler that calls this WSGI application: `server.set_route("/", wsgi(app))`.

    `root_path` is the path of the server's own `/` for clients, behind a proxy that adds it or takes it away.
    """
    if not callable(app):
        raise TypeError(f"a WSGI application is called as application(environ, start_response), not {described(app)}")
    return _outside.WSGIApplication(unwrapped(app), root_path.rstrip("/"))


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`: what an application writes goes to the logger `outside.wsgi`, line by line; an unfinished line waits."""

    def __init__(self) -> None:
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def writelines(self, lines: Iterable[Any]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        rest, self._rest = self._rest, ""
        if rest:
            self._tell(rest)

    def _tell(self, line: str) -> None:
        if logger.isEnabledFor(logging.ERROR):
            logger.error("%s", line.rstrip("\r"))
        elif sys.stderr is not None:
            print(line, file=sys.stderr)


class UpgradeSocket:
    """The socket of a client that asks for an upgrade, for applications that answer it themselves. The first use of it takes the
    connection over; until then the request is one like others."""

    def __init__(self, take: Callable[[], int]) -> None:
        self._take = take
        self._socket: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self._socket is None:
            self._socket = socket.socket(fileno=self._take())
        return getattr(self._socket, name)

    def __del__(self) -> None:
        # The call has ended, and with it the conversation, unless the application has a socket of its own by `dup()`.
        if self._socket is not None:
            self._socket.close()


ERRORS = ErrorStream()


# Keys that each request fills itself. A copy has the room of its template: with these it does not grow for the request's fields.
PLACES = (
    "REQUEST_METHOD",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_URI",
    "RAW_URI",
    "SERVER_PROTOCOL",
    "REMOTE_ADDR",
    "SERVER_NAME",
    "SERVER_PORT",
    "wsgi.input",
    "wsgi.early_hints",
)


def template(config: dict[str, Any], script_name: str) -> dict[str, Any]:
    """The part of `environ` that each request of a mount gets as its own copy."""
    return {
        "SCRIPT_NAME": script_name,
        "SERVER_SOFTWARE": f"outside/{_outside.__version__}",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": ERRORS,
        "wsgi.multithread": config.get("max_workers") != 1,
        "wsgi.multiprocess": config.get("processes") not in (None, 1),
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": _outside.WSGIFileWrapper,
        **dict.fromkeys(PLACES),
    }
