"""An application below a path of a server."""

from __future__ import annotations

from typing import Any

from .find import ASGI, HOSTED, NATIVE, NotHosted, described, interface_of
from .wsgi import wsgi


def handler_of(app: Any, interface: str | None = None, **options: Any) -> Any:
    """The handler that hosts this application, by its interface or by the one that is given. The options are those of `wsgi` or `asgi`."""
    found = interface or interface_of(app)
    if found == NATIVE:
        raise NotHosted(
            f"{described(app)} has listeners of its own, and cannot be mounted; its routes can, as Routes(...); {HOSTED}"
        )
    if found == ASGI:
        from .asgi import asgi

        return asgi(app, **options)
    return wsgi(app, **options)


def mount(server: Any, prefix: str, app: Any) -> None:
    """Serves the application at this prefix and below."""
    server.set_route(prefix or "/", handler_of(app))
