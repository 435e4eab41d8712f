"""Sessions of a server: begun with each run, as its configuration has them then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import csrf, session

if TYPE_CHECKING:
    from .._server import OutsideHTTP


def begin(server: OutsideHTTP) -> None:
    """Has sessions signed with the secret of the configuration, or ends them if it has none any more."""
    hooks, secret = server._hooks, server.config.get("secret")
    server._signer = session.Signer(secret, server.config["session_days"]) if secret else None
    for functions, function in ((hooks.guards, csrf.guard), (hooks.finishers, session.save)):
        if function in functions:
            functions.remove(function)
        if secret:
            functions.append(function)
    server._arrange()
