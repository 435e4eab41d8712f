"""The command on a program: `outside run`, `outside routes`.

Options count before the environment, and that before the settings of the program itself.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .._debug.page import leads_elsewhere
from .._handlers.routes import Registry
from .._handlers.signature import where
from .._outside import FilePath, Folder, OutsideHTTP, WebSocket
from . import reload as _reload
from .environment import settings_of
from .hosted import load_hosted, load_now
from .platforms import settings_for
from .target import NOT_STARTED, USAGE, Fault, find, tell

# The options that count before the environment, by the key that they set.
_OPTIONS = {
    "port": "port",
    "processes": "workers",
    "access_log": "access_log",
    "ssl_certfile": "certfile",
    "ssl_keyfile": "keyfile",
    "acme_storage": "acme_storage",
}
# Where a server listens that obtains certificates, unless the command line or the environment says otherwise.
_PUBLIC = ("::", 443)


def run(target: str, typed: dict[str, Any]) -> int:
    """Runs the server; the exit status."""
    try:
        server, asked = load_hosted(target, typed)
        names = configure(server, typed, asked.settings)
        load_now(server)
        start(server, names)
    except Fault as fault:
        tell(fault)
        return fault.status
    return 0


def run_reloading(target: str, typed: dict[str, Any]) -> int:
    """The same, and again whenever a file of the program has changed."""
    if typed["workers"] not in (None, "1"):
        tell(Fault(USAGE, "--reload is for one process, so it takes no --workers"))
        return USAGE
    return _reload.run(target, typed)


def configure(server: Any, typed: dict[str, Any], others: dict[str, Any] | None = None) -> dict[str, str]:
    """Changes the settings of the program to those of the environment and of the command line, `others` those of
    options as other servers have them. Returns which variables of the environment have set which key."""
    config = server.config
    names: dict[str, str] = {}
    found, warnings = settings_of(os.environ, OutsideHTTP(("127.0.0.1", 0)).config, names)
    for warning in warnings:
        print(f"outside: {warning}", file=sys.stderr)
    found = {**settings_for(os.environ), **found, **(others or {})}
    if typed["host"] is not None:
        found["host"] = typed["host"]
        if str(typed["host"]).startswith("unix:"):
            found.pop("port", None)
    if typed["port"] is not None:
        found["port"] = typed["port"]
    if typed["allowed_hosts"]:
        found["allowed_hosts"] = typed["allowed_hosts"]
    if typed["domains"]:
        found["domains"] = typed["domains"]
    if typed["acme_storage"] is not None:
        found["acme_storage"] = str(typed["acme_storage"])
    if typed["access_log"] is not None:
        found["access_log"] = typed["access_log"]
    if typed["workers"] is not None:
        found["processes"] = int(typed["workers"]) if typed["workers"].isdigit() else typed["workers"]
    if typed["certfile"] is not None:
        found.update(ssl_enabled=True, ssl_certfile=str(typed["certfile"]), ssl_keyfile=str(typed["keyfile"]))
    if typed["debug"]:
        found["debug"] = True
    for key, option in _OPTIONS.items():
        if typed[option] is not None:
            names.pop(key, None)
    host, port = found.pop("host", None), found.pop("port", None)
    config.update(found)
    if found.get("domains") and host is None and port is None:
        config["host"] = _PUBLIC
    if host is not None or port is not None:
        config["host"] = place(config["host"], host, port, names.get("port", "a port"))
    return names


def is_debug(typed: dict[str, Any]) -> bool:
    """Whether the command line or the environment asks for debug mode."""
    return bool(typed["debug"] or settings_of(os.environ, {"debug": False})[0].get("debug") is True)


def place(own: Any, host: Any, port: Any, name: str) -> Any:
    """The address, where some of it is given anew; without an address of the program's own, that of all examples. `name` is
    that of the variable that gives the port."""
    if isinstance(host, str) and host.startswith("unix:"):
        return host
    ip, number = own if isinstance(own, tuple) else ("127.0.0.1", 8080)
    if isinstance(host, str) and host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if port is not None and not (isinstance(port, int) and 0 <= port <= 65535):
        raise Fault(USAGE, f"{name} is a number from 0 to 65535, not {port!r}")
    return (ip if host is None else host, number if port is None else port)


def start(server: Any, names: dict[str, str]) -> None:
    """Runs the server; an error that keeps it from starting becomes a `Fault`, which names the variables that have caused
    it."""
    try:
        server.run()
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        if leads_elsewhere(error):
            raise  # from within the program
        text = str(getattr(error, "strerror", None) or error)
        culprits = [f"{key!r} comes from {name}" for key, name in names.items() if f'config["{key}"]' in text]
        raise Fault(NOT_STARTED, "; ".join([text, *culprits])) from None


def print_routes(target: str, typed: dict[str, Any]) -> int:
    """Prints the table of routes."""
    try:
        server = _own_server(target)
    except Fault as fault:
        tell(fault)
        return fault.status
    rows = [("METHODS", "PATH", "HOST", "HANDLER"), *sorted(set(routes_of(server)), key=lambda row: (row[1], row[2], row[0]))]
    if not any(row[2] for row in rows[1:]):
        rows = [(methods, path, "", handler) for methods, path, _, handler in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False) if width]
        print("  ".join([*cells, row[3]]).rstrip())
    return 0


def print_routes_as_json(target: str, typed: dict[str, Any]) -> int:
    """Prints the routes as a list of objects."""
    try:
        server = _own_server(target)
    except Fault as fault:
        tell(fault)
        return fault.status
    names = ("methods", "path", "host", "handler")
    rows = sorted(set(routes_of(server)), key=lambda row: (row[1], row[2], row[0]))
    print(json.dumps([{**dict(zip(names, row, strict=True)), "methods": row[0].split(", ")} for row in rows], indent=2))
    return 0


def _own_server(target: str) -> OutsideHTTP:
    server = find(target).app
    if not isinstance(server, OutsideHTTP):
        raise Fault(USAGE, f"{target} is an application with routes of its own, which only it can list")
    return server


def routes_of(server: Any) -> list[tuple[str, str, str, str]]:
    """Methods, path, host and handler of each route."""
    rows = []
    for name, handler in server._routes.items():
        host, _, path = name.partition("/")
        # A plain route owns the paths below it as well.
        rows.append(("any", f"/{path.rstrip('/')}{'/' if path.rstrip('/') else ''}…", host, described(handler)))
    if isinstance(server, Registry):
        rows.extend(_decorated(server, ""))
    return rows


def _decorated(registry: Registry, prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """The routes of decorators, those of groups below included."""
    for record in registry._records:
        methods = "WebSocket" if isinstance(record.handler, WebSocket) else ", ".join(record.methods)
        yield methods, prefix + record.path, "", described(record.handler, record.origin)
    for own, routes in registry._mounted:
        yield from _decorated(routes, prefix + own + routes.prefix)


def described(handler: Any, origin: str | None = None) -> str:
    """A handler in words, with file and line where it has them."""
    if isinstance(handler, FilePath):
        return f"file {handler.path}"
    if isinstance(handler, Folder):
        return f"folder {handler.path}"
    if isinstance(handler, WebSocket):
        inner = handler.connection_handler
        return f"WebSocket {described(inner, origin)}" if callable(inner) else "WebSocket"
    function = inspect.unwrap(handler)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    if "<locals>.with_parameters" in str(name) or (origin and name.endswith("._connected.<locals>.<lambda>")):
        name = ""  # the function that hands parameters to a WebSocket's function is none of the program's
    place, colon, line = (origin or where(handler)).rpartition(":")
    return f"{name}  {_short(place)}:{line}".strip() if colon and line.isdigit() else str(name)


def _short(filename: str) -> str:
    try:
        return str(Path(filename).relative_to(Path.cwd()))
    except ValueError:
        return filename
