"""A server that answers with the request that it received, as JSON."""

from __future__ import annotations

from outside import OutsideHTTP, Request


def describe(request: Request) -> dict:
    """The request as it arrived, as JSON."""
    return {
        "method": request.method,
        "path": request.path,
        "params": request.params_all,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "text": request.text,
        "address": request.address[0],
        "version": request.version,
    }


def make_server() -> OutsideHTTP:
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config["access_log"] = "off"
    server.set_route("/tell", describe)
    return server
