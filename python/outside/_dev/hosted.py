"""The server of an application that is hosted by the command."""

from __future__ import annotations

import inspect
import logging
import logging.config
import os
import sys
from pathlib import Path
from typing import Any

from .._hosting.find import ASGI, NATIVE, WSGI, NotHosted, described
from .._hosting.mount import handler_of
from .peers import Asked, asked_for, load_environment, tell_notes, unread_names
from .platforms import listens_everywhere
from .target import USAGE, Fault, Found, find, here, tell

_LEVELS = {"critical", "error", "warning", "info", "debug", "trace", "fatal"}


def load_hosted(target: str, typed: dict[str, Any]) -> tuple[Any, Asked]:
    """The server that the command line means, the program's own or one that hosts its application; and the options of other
    servers that were typed. Values that these options give to options of ours are put into `typed`."""
    asked = asked_for(typed.get("others") or [])
    for name, value in asked.typed.items():
        if typed[name] is None:
            typed[name] = value
    if typed["certfile"] is not None and typed["keyfile"] is None:
        typed["keyfile"] = typed["certfile"]
    load_environment(asked)
    _go_there(asked)
    tell_notes([*asked.notes, *unread_names(os.environ)])
    _set_logging(asked)
    name = asked.app or (here() if target == "." else target)
    if not asked.preload:
        return _listen_where_the_platform_wants(_late_server(name, asked), typed), asked
    found = find(name, asked.interface, asked.factory)
    if found.interface == NATIVE:
        if asked.hosting:
            raise Fault(USAGE, f"{', '.join(_options(asked))}: for hosted applications; this program has a server of its own")
        return found.app, asked
    server = hosting_server(found, asked)
    return _listen_where_the_platform_wants(server, typed), asked


def _listen_where_the_platform_wants(server: Any, typed: dict[str, Any]) -> Any:
    platform = listens_everywhere(os.environ)
    if platform is not None and typed["host"] is None and "OUTSIDE_HOST" not in os.environ:
        server.config["host"] = ("0.0.0.0", 8080)
        tell_notes([f"PORT is set in {platform}: listens on all addresses; --host says another one"])
    return server


def _empty_server() -> Any:
    from .._server import OutsideHTTP

    server = OutsideHTTP(("127.0.0.1", 8080))
    # A proxy on this machine is trusted, as by other servers, because nothing else is served here.
    server.config["trusted_proxies"] = ["127.0.0.1", "::1"]
    server.config["compression"] = False
    return server


def hosting_server(found: Found, asked: Asked) -> Any:
    """A server whose every path is the application's."""
    server = _empty_server()
    if found.interface == WSGI:
        # Each thread may keep a connection to a database.
        _give_few_threads(server)
    _host(server, found, asked)
    print(
        f"outside: hosts {found.name}, {described(found.app)}, by {found.interface.upper()}; a proxy on this machine is trusted",
        file=sys.stderr,
    )
    return server


def _give_few_threads(server: Any) -> None:
    server.config["max_workers"] = min(32, 4 * (os.cpu_count() or 1))
    # Such an application has views that wait: its clients wait with them, as those of other servers do.
    server.config["max_waiting_requests"] = 2048
    server.config["waiting_timeout"] = 30


def _late_server(name: str, asked: Asked) -> Any:
    """A server whose application each worker process imports by itself, as by `--no-preload` of other servers."""
    server = _empty_server()
    _give_few_threads(server)

    def load() -> None:
        try:
            found = find(name, asked.interface, asked.factory)
            if found.interface == NATIVE:
                raise Fault(USAGE, "--no-preload is for hosted applications; this program has a server of its own")
            _host(server, found, asked)
        except Fault as fault:
            tell(fault)
            raise SystemExit(fault.status) from None

    server.__dict__["_load"] = load
    print(f"outside: each worker process imports {name}; a proxy on this machine is trusted", file=sys.stderr)
    return server


def load_now(server: Any) -> None:
    """Imports an application that was to be imported later, if there will be no other process to do so."""
    recycles = server.config["max_requests"] or server.config["max_worker_memory_mb"]
    if server.config["processes"] == 1 and not recycles and (load := server.__dict__.pop("_load", None)):
        load()


def _host(server: Any, found: Found, asked: Asked) -> None:
    options, without = _taken(found.interface, asked.hosting)
    if without:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in without)
        tell_notes([f"{names} has no effect for a {found.interface.upper()} application"])
    try:
        server.set_route("/", handler_of(found.app, found.interface, **options))
    except NotHosted as error:
        raise Fault(USAGE, f"{found.name}: {error}") from None


def _taken(interface: str, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options that the handler of this interface takes, and the names of the others."""
    if interface == ASGI:
        from .._hosting.asgi import asgi

        known = inspect.signature(asgi).parameters
    else:
        from .._hosting.wsgi import wsgi

        known = inspect.signature(wsgi).parameters
    return {name: value for name, value in options.items() if name in known}, [name for name in options if name not in known]


def _options(asked: Asked) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in asked.hosting]


def _go_there(asked: Asked) -> None:
    if asked.chdir is not None:
        try:
            os.chdir(asked.chdir)
        except OSError as error:
            raise Fault(USAGE, f"--chdir {asked.chdir}: {error.strerror}") from None
    for folder in reversed(asked.app_dirs):
        if not Path(folder).is_dir():
            raise Fault(USAGE, f"--app-dir {folder}: there is no such folder")
        sys.path.insert(0, os.path.abspath(folder))


def _set_logging(asked: Asked) -> None:
    if asked.log_config is not None:
        path = Path(asked.log_config)
        try:
            if path.suffix == ".json":
                import json

                logging.config.dictConfig(json.loads(path.read_text()))
            else:
                logging.config.fileConfig(path, disable_existing_loggers=False)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise Fault(USAGE, f"--log-config {path}: {error}") from None
    if asked.log_level is not None:
        level = asked.log_level.lower()
        if level not in _LEVELS:
            raise Fault(USAGE, f"--log-level is critical, error, warning, info, debug or trace, not {asked.log_level!r}")
        logging.getLogger("outside").setLevel("DEBUG" if level == "trace" else level.upper())
