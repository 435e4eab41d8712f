"""The server of an application that is hosted by the command."""

from __future__ import annotations

from typing import Any

from .._hosting.mount import handler_of


def hosting_server(app: Any, interface: str) -> Any:
    """A server whose every path is the application's."""
    from .._server import OutsideHTTP

    server = OutsideHTTP(("127.0.0.1", 8080))
    server.set_route("/", handler_of(app, interface))
    return server
