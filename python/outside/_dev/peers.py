"""Options of other servers, as people type them for uvicorn, gunicorn, granian, flask and fastapi: what each means here, or one
sentence about an option that has no equal."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .target import USAGE, Fault

# Options with the same meaning, each by the name that it has here.
_SAME = {
    "--working-dir": "--chdir",
    "--pythonpath": "--app-dir",
    "-b": "--bind",
    "-t": "--timeout",
    "-k": "--worker-class",
    "-c": "--config",
    "-e": "--env",
    "-D": "--daemon",
    "-u": "--user",
    "-g": "--group",
    "-m": "--umask",
    "-n": "--name",
    "--process-name": "--name",
    "--blocking-threads": "--threads",
    "--ssl-certfile": "--certfile",
    "--ssl-certificate": "--certfile",
    "--cert": "--certfile",
    "--ssl-keyfile": "--keyfile",
    "--key": "--keyfile",
    "--worker-connections": "--max-connections",
    "--backpressure": "--max-connections",
    "--limit-concurrency": "--max-connections",
    "--limit-max-requests": "--max-requests",
    "--limit-max-requests-jitter": "--max-requests-jitter",
    "--keep-alive": "--timeout-keep-alive",
    "--graceful-timeout": "--timeout-graceful-shutdown",
    "--workers-kill-timeout": "--timeout-graceful-shutdown",
    "--url-path-prefix": "--root-path",
    "--env-files": "--env-file",
    "--entrypoint": "--app",
    "-A": "--app",
    "--websocket-max-message-size": "--ws-max-size",
    "--asgi-lifespan": "--lifespan",
}
# Options that set a key of `config`: the key, and whether its value is a whole number or a number of seconds.
_KEYS: dict[str, tuple[str, type]] = {
    "--threads": ("max_workers", int),
    "--max-connections": ("max_connections", int),
    "--backlog": ("backlog_length", int),
    "--timeout-keep-alive": ("keep_alive_idle", float),
    "--timeout-graceful-shutdown": ("termination_timeout", float),
    "--limit-request-line": ("max_request_line", int),
    "--limit-request-fields": ("max_header_fields", int),
    "--h11-max-incomplete-event-size": ("max_header_size", int),
    "--http1-buffer-size": ("max_header_size", int),
    "--workers-max-rss": ("max_worker_memory_mb", int),
}
# Options that change nothing here, and why.
_WITHOUT_EFFECT = {
    "--loop": "asyncio runs async code, and Rust the network",
    "--http": "the engine speaks HTTP/1.1 and HTTP/2",
    "--ws": "the engine speaks WebSocket",
    "--preload": "the program is imported before its workers are forked, unless --no-preload is typed",
    "--proxy-headers": "fields of trusted proxies are read by themselves",
    "--with-threads": "handlers run on threads by themselves",
    "--no-date-header": "an answer needs Date (RFC 9110 section 6.6.1)",
    "--date-header": "each answer has a Date",
    "--no-server-header": "no answer has a Server field",
    "--server-header": "no answer has a Server field, which would help attackers only",
    "--no-use-colors": "colours are for terminals only, and not with NO_COLOR",
    "--use-colors": "colours are for terminals",
    "--error-logfile": "errors go to standard error and to the logger 'outside'",
    "--log-file": "errors go to standard error and to the logger 'outside'",
    "--logger-class": "log lines go to the loggers 'outside' and 'outside.access' of logging",
    "--access-logformat": "the form of access lines is --log auto, common, combined or json",
    "--access-log-fmt": "the form of access lines is --log auto, common, combined or json",
    "--reload-dir": "--reload looks at the files that the program has imported, wherever they lie",
    "--reload-paths": "--reload looks at the files that the program has imported, wherever they lie",
    "--reload-include": "--reload looks at the files that the program has imported",
    "--reload-exclude": "--reload looks at the files that the program has imported",
    "--reload-delay": "--reload acts as soon as a file has changed",
    "--reload-engine": "--reload has one engine",
    "--reload-extra-file": "--reload looks at the files that the program has imported",
    "--extra-files": "--reload looks at the files that the program has imported",
    "--reuse-port": "workers share the port by themselves",
    "--no-sendfile": "files are sent by the kernel where that is possible",
    "--worker-tmp-dir": "workers report by a pipe",
    "--timeout-worker-healthcheck": "workers report by a pipe",
    "--runtime-threads": "one thread drives the network of a process",
    "--runtime-mode": "one thread drives the network of a process",
    "--blocking-threads-idle-timeout": "threads stay",
    "--name": "a process is named by its command line",
    "--strip-header-spaces": "spaces around field values are stripped by themselves",
    "--statsd-host": "there are no counters for statsd; --log json has the figures of each request",
    "--no-proxy-headers": "proxies are trusted only if they are named",
    "--no-reload": "without --reload there is none",
    "--no-debug": "without --debug there is none",
    "--without-threads": "--threads 1 runs one call at a time",
    "--limit-request-field_size": "the bound of the whole head is OUTSIDE_MAX_HEADER_SIZE",
    "--ws-max-queue": "messages wait in the socket",
    "--ws-per-message-deflate": "messages are compressed if the client offers it",
}
# Options that would change the meaning of the program's life, with the way to have it.
_REFUSED = {
    "--daemon": "the command stays in the foreground; systemd or a container runs it in the background",
    "--user": "the command keeps its user; systemd's User= sets it",
    "--group": "the command keeps its group; systemd's Group= sets it",
    "--umask": "the command keeps its umask; systemd's UMask= sets it",
    "--pid": "no file with a process number is written; systemd knows the process",
    "--pid-file": "no file with a process number is written; systemd knows the process",
    "--proxy-protocol": "PROXY protocol is not understood; a proxy names its client by X-Forwarded-For or Forwarded",
    "--no-ws": "WebSockets are served where the application takes them",
    "--ssl-keyfile-password": "a key needs no password here; openssl pkey -in KEY -out FILE takes it off",
    "--ssl-ca-certs": "client certificates are not asked for",
    "--ca-certs": "client certificates are not asked for",
    "--ssl-cert-reqs": "client certificates are not asked for",
    "--ssl-ciphers": "the cipher suites are those of rustls, and cannot be chosen",
    "--ssl-version": "TLS 1.2 and 1.3 are spoken; older versions are not",
    "--fd": "sockets of a service manager are taken over by themselves (LISTEN_FDS)",
    "--uds-permissions": "the file of a Unix socket is created with the umask of the process",
    "--header": 'fields for every answer are the key security_headers, as in config["security_headers"]',
    "--workers-lifetime": "workers are not replaced after a time",
}


@dataclass
class Asked:
    """The options of other servers in the terms of this one."""

    settings: dict[str, Any] = field(default_factory=dict)
    app_dirs: list[str] = field(default_factory=list)
    chdir: str | None = None
    interface: str | None = None
    factory: bool = False
    # Whether the application is imported before worker processes are forked.
    preload: bool = True
    app: str | None = None
    env_files: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    # Options of the handler that hosts the application.
    hosting: dict[str, Any] = field(default_factory=dict)
    log_level: str | None = None
    log_config: str | None = None
    notes: list[str] = field(default_factory=list)
    # Values in place of options of ours that were not typed.
    typed: dict[str, Any] = field(default_factory=dict)


def asked_for(others: list[tuple[str, str | None]]) -> Asked:
    """Reads the options. A `Fault` for one that cannot be obeyed."""
    asked = Asked()
    for typed, value in others:
        _read(asked, typed, _SAME.get(typed, typed), value)
    return asked


def _read(asked: Asked, typed: str, option: str, value: str | None) -> None:
    if reason := _REFUSED.get(option):
        raise Fault(USAGE, f"{typed}: {reason}")
    if reason := _WITHOUT_EFFECT.get(option):
        asked.notes.append(f"{typed} has no effect: {reason}")
    elif option in _KEYS:
        key, kind = _KEYS[option]
        asked.settings[key] = _number(typed, value, kind)
    elif option == "--bind":
        _bind(asked, typed, value or "")
    elif option == "--uds":
        asked.typed["host"] = f"unix:{value}"
    elif option in ("--certfile", "--keyfile"):
        asked.typed[option.removeprefix("--")] = value
    elif option == "--forwarded-allow-ips":
        names = [name.strip() for name in (value or "").split(",") if name.strip()]
        asked.settings["trusted_proxies"] = ["0.0.0.0/0", "::/0"] if names == ["*"] else names
    elif option == "--timeout":
        seconds = _number(typed, value, float)
        asked.notes.append(
            f"{typed} {value} has no effect: it bounds the silence of a worker there, and calls of hosted applications have no bound"
            if seconds
            else f"{typed} 0 has no effect: calls of hosted applications have no bound"
        )
    elif option == "--worker-class":
        _worker_class(asked, typed, value or "")
    elif option == "--interface":
        _interface(asked, typed, value or "")
    elif option == "--lifespan":
        if value not in ("auto", "on", "off"):
            raise Fault(USAGE, f"{typed} is auto, on or off, not {value!r}")
        asked.hosting["lifespan"] = value
    elif option in ("--ws-max-size", "--ws-ping-interval", "--ws-ping-timeout"):
        asked.hosting[option.removeprefix("--").replace("-", "_")] = _number(typed, value, float)
    elif option in ("--access-log", "--no-access-log"):
        if option == "--no-access-log":
            asked.typed["access_log"] = "off"
    elif option == "--access-logfile":
        if value != "-":
            asked.notes.append(
                f"{typed} {value} has no effect: access lines go to standard error, and to the logger outside.access"
            )
    elif option == "--log-level":
        asked.log_level = value
    elif option == "--log-config":
        asked.log_config = value
    elif option == "--root-path":
        if path := (value or "").strip("/"):
            asked.hosting["root_path"] = f"/{path}"
    elif option in ("--max-requests", "--max-requests-jitter"):
        # 0 is gunicorn's way to say that there is no bound.
        if number := _number(typed, value, int):
            asked.settings[option.removeprefix("--").replace("-", "_")] = number
    elif option == "--no-preload":
        asked.preload = False
    elif option == "--factory":
        asked.factory = True
    elif option == "--env":
        name, equals, text = (value or "").partition("=")
        if not equals:
            asked.env_files.append(value or "")  # as flask has it
        else:
            asked.environment[name] = text
    elif option == "--env-file":
        asked.env_files.append(value or "")
    elif option == "--app-dir":
        asked.app_dirs += (value or "").split(",")
    elif option == "--chdir":
        asked.chdir = value
    elif option == "--app":
        asked.app = value
    elif option == "--config":
        _read_file(asked, value or "")
    else:
        raise Fault(USAGE, f"{typed} has no equal here")


def _number(typed: str, value: str | None, kind: type) -> Any:
    try:
        number = kind(value)
    except (TypeError, ValueError):
        raise Fault(USAGE, f"{typed} is a {'whole number' if kind is int else 'number'}, not {value!r}") from None
    return int(number) if kind is float and number == int(number) else number


def _bind(asked: Asked, typed: str, value: str) -> None:
    if value.startswith("unix:"):
        asked.typed["host"] = "unix:" + value.removeprefix("unix:").removeprefix("//")
        return
    if value.startswith("fd://"):
        raise Fault(USAGE, f"{typed} {value}: {_REFUSED['--fd']}")
    host, colon, port = value.rpartition(":")
    if not colon:
        host, port = value, ""
    if "host" in asked.typed or "port" in asked.typed:
        raise Fault(USAGE, f"{typed} is given twice; a server started by the command listens at one address")
    if host:
        asked.typed["host"] = host
    if port:
        number = _number(typed, port, int)
        if not 0 <= number <= 65535:
            raise Fault(USAGE, f"{typed}: a port is a number from 0 to 65535, not {number}")
        asked.typed["port"] = number


def _worker_class(asked: Asked, typed: str, value: str) -> None:
    name = value.lower()
    if "gevent" in name or "eventlet" in name:
        raise Fault(USAGE, f"{typed} {value}: green threads are not supported; threads do this work, --threads N of them")
    if name == "sync":
        asked.settings.setdefault("max_workers", 1)
        return
    asked.notes.append(f"{typed} {value} has no effect: the interface of the application decides")


def _interface(asked: Asked, typed: str, value: str) -> None:
    known = {"auto": None, "wsgi": "wsgi", "asgi": "asgi", "asgi3": "asgi", "asginl": "asgi"}
    if value == "asgi2":
        raise Fault(
            USAGE, f"{typed} asgi2: ASGI 2 is not hosted; asgiref.compatibility.guarantee_single_callable makes ASGI 3 of it"
        )
    if value not in known:
        raise Fault(USAGE, f"{typed} is auto, wsgi or asgi, not {value!r}")
    asked.interface = known[value]


def _read_file(asked: Asked, name: str) -> None:
    """Takes what a `gunicorn.conf.py` assigns to known names. The file is read, not run."""
    path = Path(name.removeprefix("file:"))
    try:
        tree = ast.parse(path.read_text(), name)
    except OSError as error:
        raise Fault(USAGE, f"{name}: {error.strerror}") from None
    except SyntaxError as error:
        raise Fault(USAGE, f"{name} is no Python file: line {error.lineno}") from None
    without: list[str] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            without.append(node.name)
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            continue
        key = node.targets[0].id
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            without.append(key)
            continue
        if not _take(asked, key, value):
            without.append(key)
    if without:
        asked.notes.append(f"{name}: not taken over: {', '.join(without)}; the file is read and not run")


def _take(asked: Asked, key: str, value: Any) -> bool:
    if key == "workers" and isinstance(value, int):
        asked.typed["workers"] = str(value)
        return True
    names = {
        "bind": "--bind",
        "keepalive": "--keep-alive",
        "chdir": "--chdir",
        "accesslog": "--access-logfile",
        "loglevel": "--log-level",
    }
    option = names.get(key, "--" + key.replace("_", "-"))
    same = _SAME.get(option, option)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or key.startswith("_"):
        return key in ("preload_app", "reload", "daemon") and not (key == "daemon" and value)
    if (
        same in _KEYS
        or same in _WITHOUT_EFFECT
        or same
        in (
            "--max-requests",
            "--max-requests-jitter",
            "--bind",
            "--chdir",
            "--app-dir",
            "--timeout",
            "--worker-class",
            "--access-logfile",
        )
    ):
        _read(asked, f"{key} =", same, str(value))
        return True
    if same not in ("--certfile", "--keyfile", "--forwarded-allow-ips", "--log-level"):
        return False
    _read(asked, key, same, str(value))
    return True


def unread_names(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each kind of variables of other servers that are set and not read here."""
    notes = []
    for prefix, server in (("UVICORN_", "uvicorn"), ("GUNICORN_CMD_ARGS", "gunicorn"), ("GRANIAN_", "granian")):
        found = sorted(name for name in environment if name.startswith(prefix))
        if found:
            notes.append(
                f"{', '.join(found)}: variables of {server}, which are not read here; those of outside begin with OUTSIDE_"
            )
    return notes


def load_environment(asked: Asked) -> None:
    """Sets the variables that files and options name; those of the environment itself count before those of files."""
    for name in asked.env_files:
        try:
            lines = Path(name).read_text().splitlines()
        except OSError as error:
            raise Fault(USAGE, f"--env-file {name}: {error.strerror}") from None
        for line in lines:
            key, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not key.startswith("#"):
                os.environ.setdefault(key.strip(), _unquoted(value.strip()))
    os.environ.update(asked.environment)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"" else value.split(" #")[0].rstrip()


def tell_notes(notes: list[str]) -> None:
    for note in notes:
        print(f"outside: {note}", file=sys.stderr)
