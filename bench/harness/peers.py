"""Every server of the bench and how it is started, one worker on one core.

A peer runs at the settings its own documentation recommends for one core, its access log off. Where the documentation
leaves a choice, the faster one of those tried is taken, and the note says which; notes are printed with the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import files, layer, paths, secure


@dataclass(frozen=True)
class Peer:
    """A server: `command(port)` starts it on loopback in the folder of the applications."""

    key: str
    label: str
    command: Callable[[int], list[str]]
    note: str
    # Used instead where handlers sleep, when one setting cannot do justice to both.
    sleep_command: Callable[[int], list[str]] | None = None
    # Where `packages` are installed: the path of that environment's Python; None for Rust programs.
    python: Path | None = None
    # Exact versions, so that a table names the versions it compared; the first one gives the version shown.
    packages: tuple[str, ...] = ()
    # Shared libraries beyond glibc that the packages do not bring, with the Debian packages that do.
    libraries: tuple[tuple[str, tuple[str, ...]], ...] = ()
    # The crate in bench/Cargo.lock whose version is shown.
    crate: str = ""
    # A program of the system, how it tells its version, and the Debian packages that have it.
    program: tuple[str, str, tuple[str, ...]] | None = None
    ours: bool = False
    # More arguments of the load.
    load: tuple[str, ...] = ()

    def command_for(self, port: int, sleeps: bool) -> list[str]:
        return (self.sleep_command or self.command)(port) if sleeps else self.command(port)


def _peer_python(*arguments: str) -> list[str]:
    return [str(paths.PEERS_PYTHON), *arguments]


def _granian(interface: str, target: str, versions: str = "1") -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        return _peer_python(
            "-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--http", versions, "--no-ws", "--runtime-mode", "mt", "--log-level", "warning", target,
        )  # fmt: skip

    return command


def _granian_files(port: int) -> list[str]:
    """The application answers all other paths."""
    return [*_granian("asgi", "asgi_app:app")(port), "--static-path-route", "/static", "--static-path-mount", str(paths.FILES)]


def _hosted(target: str, *options: str) -> Callable[[int], list[str]]:
    """Ours, as the command hosts an application of another interface."""
    return lambda port: [
        str(paths.OUR_PYTHON), "-m", "outside", "run", target, "--host", "127.0.0.1", "--port", str(port), "--log", "off", *options,
    ]  # fmt: skip


def _gunicorn(threads: int, target: str = "flask_app:app") -> Callable[[int], list[str]]:
    return lambda port: _peer_python(
        "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread",
        "--threads", str(threads), "--worker-tmp-dir", "/dev/shm", "--log-level", "warning", target,
    )  # fmt: skip


def _ours(access_log: str, files_by: str = "folder") -> Callable[[int], list[str]]:
    return lambda port: [str(paths.OUR_PYTHON), "outside_app.py", str(port), access_log, str(paths.FILES), files_by]


def _ours_rust(port: int) -> list[str]:
    return ["env", f"BENCH_FILES={paths.FILES}", str(paths.OUR_RUST), str(port)]


def _uvicorn(target: str) -> Callable[[int], list[str]]:
    return lambda port: _peer_python(
        "-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning", "--lifespan", "off", "--ws", "none",
    )  # fmt: skip


def _ours_tls(port: int) -> list[str]:
    return [*_ours("off")(port), *files.certificate()]


def _granian_ws(interface: str, target: str) -> Callable[[int], list[str]]:
    return lambda port: _peer_python(
        "-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--http", "1",
        "--runtime-mode", "st", "--backlog", "4096", "--log-level", "warning", target,
    )  # fmt: skip


def _uvicorn_ws(protocol: str, target: str = "asgi_ws_app:app") -> Callable[[int], list[str]]:
    return lambda port: _peer_python(
        "-m", "uvicorn", target, "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop",
        "--http", "httptools", "--no-access-log", "--log-level", "warning", "--lifespan", "off", "--ws", protocol,
        "--ws-per-message-deflate", "false",
    )  # fmt: skip


def _ours_ws(style: str) -> Callable[[int], list[str]]:
    return lambda port: [str(paths.OUR_PYTHON), "outside_ws_app.py", str(port), style]


def _granian_tls(port: int) -> list[str]:
    command = _granian("wsgi", "wsgi_app:app")(port)
    files_of_it = ["--ssl-certificate", str(secure.CERTIFICATE), "--ssl-keyfile", str(secure.KEY)]
    return [*command[:-1], *files_of_it, command[-1]]


_PEERS = (
    Peer(
        "outside", "outside", _ours("off"), "access log off, as the peers have it; defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-log", "outside, access log on", _ours("common"), 'access_log = "common", written to a file',
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-handler", "outside, FilePath from a handler", _ours("off", "handler"),
        "a Python handler returns FilePath(...); else as outside",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "granian-wsgi", "granian (WSGI)", _granian("wsgi", "wsgi_app:app"),
        "HTTP/1 only, no WebSockets, runtime mode mt (its choice for WSGI, and not slower than st), blocking threads at "
        "their default, which lets all connections sleep at once",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7",),
    ),
    Peer(
        "granian-rsgi", "granian (RSGI)", _granian("rsgi", "rsgi_app:app"),
        "HTTP/1 only, no WebSockets, uvloop, runtime mode mt (faster here than st)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "uvloop==0.22.1"),
    ),
    Peer(
        "granian-orjson", "granian (WSGI), orjson", _granian("wsgi", "wsgi_orjson_app:app"), "as granian (WSGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "orjson==3.13.0"),
    ),
    Peer(
        "outside-layer", "outside", lambda port: [str(paths.OUR_PYTHON), "outside_layer_app.py", str(port)],
        "decorated routes, Templates, request.session; access log off", python=paths.OUR_PYTHON, ours=True,
        load=("--header", layer.cookie_of_outside()),
    ),
    Peer(
        "granian-flask-layer", "Flask on granian", _granian("wsgi", "flask_layer_app:app"), "as granian (WSGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "flask==3.1.3"), load=("--header", layer.cookie_of_flask()),
    ),
    Peer(
        "fastpysgi", "FastPySGI (WSGI)", lambda port: _peer_python("fastpysgi_server.py", str(port)),
        "defaults; no handler threads by design",
        python=paths.PEERS_PYTHON, packages=("fastpysgi==0.6",),
    ),
    Peer(
        "uvicorn", "uvicorn (ASGI)", _uvicorn("asgi_app:app"),
        "uvloop and httptools, access log off (its default is on), no lifespan, no WebSockets",
        python=paths.PEERS_PYTHON, packages=("uvicorn==0.54.0", "uvloop==0.22.1", "httptools==0.9.0"),
    ),
    Peer(
        "outside-routes", "outside", lambda port: [str(paths.OUR_PYTHON), "outside_routes_app.py", str(port)],
        "decorated routes, access log off; defaults otherwise, asyncio's own loop", python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "granian-asgi", "granian (ASGI)", _granian("asgi", "asgi_app:app"),
        "HTTP/1 only, no WebSockets, uvloop, runtime mode mt",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "uvloop==0.22.1"),
    ),
    Peer(
        "fastapi", "FastAPI on uvicorn", _uvicorn("fastapi_app:app"),
        "async def throughout (a plain def goes to a thread, and is slower); uvicorn as above",
        python=paths.PEERS_PYTHON,
        packages=("fastapi==0.165.0", "python-multipart==0.0.34", "uvicorn==0.54.0", "uvloop==0.22.1", "httptools==0.9.0"),
    ),
    Peer(
        "fastapi-granian", "FastAPI on granian", _granian("asgi", "fastapi_app:app"),
        "the same application; granian as for ASGI",
        python=paths.PEERS_PYTHON,
        packages=("fastapi==0.165.0", "python-multipart==0.0.34", "granian==2.8.7", "uvloop==0.22.1"),
    ),
    Peer(
        "django-bolt", "django-bolt", lambda port: _peer_python("django_bolt_app.py", str(port)),
        "one process, one worker thread, log and validation of answers off",
        python=paths.PEERS_PYTHON, packages=("django-bolt==0.13.0", "django==6.1.3"),
    ),
    Peer(
        "outside-checked", "outside", lambda port: [str(paths.OUR_PYTHON), "outside_checked_app.py", str(port)],
        "decorated routes, access log off; pydantic and msgspec of make/test-tools.txt", python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "socketify", "socketify", lambda port: _peer_python("socketify_app.py", str(port)),
        "its own interface with preallocated requests; sends no Date",
        python=paths.PEERS_PYTHON, packages=("socketify==0.0.31", "uvloop==0.22.1"),
        libraries=(("uv", ("libuv1t64", "libuv1")),),
    ),
    Peer(
        "robyn", "Robyn",
        lambda port: _peer_python("robyn_app.py", "--log-level", "WARN", "--disable-openapi", str(port)),
        "one process, one worker, OpenAPI pages off",
        python=paths.PEERS_PYTHON, packages=("robyn==0.88.0", "pydantic==2.14.4"),
    ),
    Peer(
        "gunicorn-flask", "Flask on gunicorn", _gunicorn(4),
        "gthread worker, 4 threads (its documentation: 2 to 4 per core); 72 where handlers sleep, or they would wait for "
        "each other",
        sleep_command=_gunicorn(72), python=paths.PEERS_PYTHON, packages=("gunicorn==27.0.1", "flask==3.1.3"),
    ),
    Peer(
        "outside-wsgi", "outside (WSGI)", _hosted("wsgi_app:app"), "outside run; access log off, defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-flask", "Flask on outside", _hosted("flask_app:app"), "outside run; 64 threads where handlers sleep",
        sleep_command=_hosted("flask_app:app", "--threads", "64"), python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-django", "Django on outside", _hosted("django_app:application"), "outside run; defaults",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "granian-flask", "Flask on granian", _granian("wsgi", "flask_app:app"), "as granian (WSGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "flask==3.1.3"),
    ),
    Peer(
        "granian-django", "Django on granian", _granian("wsgi", "django_app:application"), "as granian (WSGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "django==6.1.3"),
    ),
    Peer(
        "gunicorn-wsgi", "gunicorn (WSGI)", _gunicorn(4, "wsgi_app:app"), "gthread worker, 4 threads",
        python=paths.PEERS_PYTHON, packages=("gunicorn==27.0.1",),
    ),
    Peer(
        "gunicorn-django", "Django on gunicorn", _gunicorn(4, "django_app:application"), "gthread worker, 4 threads",
        python=paths.PEERS_PYTHON, packages=("gunicorn==27.0.1", "django==6.1.3"),
    ),
    Peer(
        "outside-asgi", "outside (ASGI)", _hosted("asgi_app:app"), "outside run; access log off, defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-starlette", "Starlette on outside", _hosted("starlette_app:app"), "outside run; uvloop, defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-fastapi", "FastAPI on outside", _hosted("fastapi_app:app"), "outside run; uvloop, defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-starlette-ws", "Starlette on outside", _hosted("starlette_app:app"), "outside run; uvloop, defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "granian-starlette", "Starlette on granian", _granian("asgi", "starlette_app:app"), "as granian (ASGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "starlette==1.10.0", "uvloop==0.22.1"),
    ),
    Peer(
        "granian-starlette-ws", "Starlette on granian", _granian_ws("asgi", "starlette_app:app"), "as granian (ASGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "starlette==1.10.0", "uvloop==0.22.1"),
    ),
    Peer(
        "granian-fastapi", "FastAPI on granian", _granian("asgi", "fastapi_app:app"), "as granian (ASGI)",
        python=paths.PEERS_PYTHON,
        packages=("granian==2.8.7", "fastapi==0.165.0", "python-multipart==0.0.34", "uvloop==0.22.1"),
    ),
    Peer(
        "uvicorn-starlette", "Starlette on uvicorn", _uvicorn("starlette_app:app"), "uvicorn as above",
        python=paths.PEERS_PYTHON,
        packages=("uvicorn==0.54.0", "starlette==1.10.0", "uvloop==0.22.1", "httptools==0.9.0"),
    ),
    Peer(
        "uvicorn-starlette-ws", "Starlette on uvicorn", _uvicorn_ws("websockets-sansio", "starlette_app:app"),
        "uvicorn (websockets) as above", python=paths.PEERS_PYTHON,
        packages=("uvicorn==0.54.0", "starlette==1.10.0", "websockets==17.4", "uvloop==0.22.1", "httptools==0.9.0"),
    ),
    Peer(
        "outside-1.5.8", "outside 1.5.8",
        lambda port: [str(paths.OLD_PYTHON), "outside_old_app.py", str(port)],
        "pure Python, a process per connection; 900 requests per connection; its messages cannot be switched off",
        python=paths.OLD_PYTHON, packages=("outside-framework==1.5.8",),
    ),
    Peer(
        "outside-rust", "outside (Rust)", _ours_rust,
        "the example bench_server of the crate", ours=True,
    ),
    Peer(
        "outside-ws-callbacks", "outside, callbacks", _ours_ws("callbacks"), "on_message; defaults, access log off",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-ws-stalled", "outside, callbacks, one stalled", _ours_ws("callbacks"),
        "the same beside a subscriber that reads nothing, with full buffers (when_full=\"drop_oldest\")",
        python=paths.OUR_PYTHON, ours=True, load=("--stalled", "/stalled"),
    ),
    Peer(
        "outside-rust-stalled", "outside (Rust), one stalled", lambda port: [str(paths.OUR_RUST), str(port)],
        "the same in Rust", ours=True, load=("--stalled", "/stalled"),
    ),
    Peer(
        "outside-ws-async", "outside, async def", _ours_ws("async"), "an async def handler; defaults, access log off",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "outside-ws-blocking", "outside, blocking", _ours_ws("blocking"),
        "a plain function per connection, each on a thread; defaults, access log off",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "uvicorn-websockets", "uvicorn (websockets)", _uvicorn_ws("websockets-sansio"),
        "uvloop, httptools, --ws websockets-sansio (its newer and faster one), no compression, no lifespan",
        python=paths.PEERS_PYTHON,
        packages=("uvicorn==0.54.0", "websockets==17.4", "uvloop==0.22.1", "httptools==0.9.0"),
    ),
    Peer(
        "uvicorn-wsproto", "uvicorn (wsproto)", _uvicorn_ws("wsproto"),
        "uvloop, httptools, --ws wsproto, no compression, no lifespan",
        python=paths.PEERS_PYTHON, packages=("uvicorn==0.54.0", "wsproto==1.3.2", "uvloop==0.22.1", "httptools==0.9.0"),
    ),
    Peer(
        "granian-asgi-ws", "granian (ASGI)", _granian_ws("asgi", "asgi_ws_app:app"),
        "HTTP/1 only, uvloop, runtime mode st (its choice for ASGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "uvloop==0.22.1"),
    ),
    Peer(
        "granian-rsgi-ws", "granian (RSGI)", _granian_ws("rsgi", "rsgi_ws_app:app"),
        "HTTP/1 only, uvloop, runtime mode st (its choice for RSGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "uvloop==0.22.1"),
    ),
    Peer(
        "gunicorn-asgi", "gunicorn (ASGI worker)",
        lambda port: _peer_python(
            "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "asgi", "--asgi-loop", "uvloop",
            "--asgi-lifespan", "off", "--worker-connections", "20000", "--backlog", "4096", "--worker-tmp-dir", "/dev/shm",
            "--log-level", "warning", "asgi_ws_app:app",
        ),
        "its ASGI worker on uvloop, no lifespan, worker_connections above the room's size",
        python=paths.PEERS_PYTHON, packages=("gunicorn==27.0.1", "uvloop==0.22.1"),
    ),
    Peer(
        "fastwebsockets", "fastwebsockets (Rust)", lambda port: [str(paths.RUST_BIN / "fastwebsockets_echo"), str(port)],
        "its own echo example: hyper's upgrade, a task per connection on a current-thread tokio runtime", crate="fastwebsockets",
    ),
    Peer(
        "tungstenite", "tokio-tungstenite (Rust)", lambda port: [str(paths.RUST_BIN / "tungstenite_echo"), str(port)],
        "defaults, a task per connection on a current-thread tokio runtime", crate="tokio-tungstenite",
    ),
    Peer(
        "outside-tls", "outside",
        lambda port: [str(paths.OUR_PYTHON), "outside_tls_app.py", str(port), str(secure.CERTIFICATE), str(secure.KEY)],
        "ssl_enabled; access log off; defaults otherwise", python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "granian-tls", "granian (WSGI)", _granian_tls, "its --ssl-certificate; else as granian (WSGI)",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7",),
    ),
    Peer(
        "nginx-tls-granian", "nginx before granian (WSGI)", secure.nginx_before(_granian("wsgi", "wsgi_app:app")),
        "nginx ends TLS and keeps connections to granian alive; both on the one core",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7",), program=("nginx", "-v", ("nginx-light", "nginx")),
    ),
    Peer(
        "nginx-tls", "nginx", secure.nginx_alone, "Debian's with OpenSSL; answers by itself, one worker",
        program=("nginx", "-v", ("nginx-light", "nginx")),
    ),
    Peer(
        "hyper", "hyper (Rust)", lambda port: [str(paths.RUST_BIN / "hyper_hello"), str(port)],
        "one task per connection on a current-thread tokio runtime, pipeline_flush on", crate="hyper",
    ),
    Peer(
        "axum", "axum (Rust)", lambda port: [str(paths.RUST_BIN / "axum_hello"), str(port)],
        "axum::serve on a current-thread tokio runtime", crate="axum",
    ),
    Peer(
        "epoll", "bare epoll loop (Rust)", lambda port: [str(paths.RUST_BIN / "epoll_hello"), str(port)],
        "the floor: httparse, a path comparison, a Date; no limits, no timers, no bodies", crate="httparse",
    ),
    Peer(
        "epoll-room", "bare epoll loop (Rust)", lambda port: [str(paths.RUST_BIN / "epoll_room"), str(port)],
        "the floor: one frame built, one write for each member; no limits, no timers", crate="httparse",
    ),
    Peer(
        "outside-h2-tls", "outside, TLS and HTTP/2", _ours_tls, "TLS, HTTP/2 by ALPN; access log off, defaults otherwise",
        python=paths.OUR_PYTHON, ours=True,
    ),
    Peer(
        "granian-h2", "granian (WSGI, HTTP/2)",
        _granian("wsgi", "wsgi_app:app", "auto"),
        "as granian (WSGI), but HTTP/1 and HTTP/2",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7",),
    ),
    Peer(
        "hypercorn-h2", "Hypercorn (ASGI)",
        lambda port: _peer_python("-m", "hypercorn", "asgi_app:app", "--bind", f"127.0.0.1:{port}", "--worker-class", "uvloop",
                                  "--workers", "1", "--log-level", "warning"),
        "uvloop, no access log",
        python=paths.PEERS_PYTHON, packages=("hypercorn==0.18.0", "uvloop==0.22.1"),
    ),
    Peer(
        "hyper-h2", "hyper (Rust, HTTP/2)", lambda port: [str(paths.RUST_BIN / "hyper_h2"), str(port)],
        "hyper-util's auto builder at its defaults, on a current-thread tokio runtime", crate="hyper",
    ),
    Peer(
        "nginx-h2-tls", "nginx, TLS and HTTP/2", files.nginx_tls, "as nginx, with TLS and HTTP/2",
        program=("nginx", "-v", ("nginx-light", "nginx")),
    ),
    Peer(
        "nginx", "nginx", files.nginx,
        "Debian's; sendfile, tcp_nopush, open_file_cache, gzip_static, no access log, one worker",
        program=("nginx", "-v", ("nginx-light", "nginx")),
    ),
    Peer(
        "caddy", "Caddy", files.caddy, "Debian's; file_server with precompressed zstd, br, gzip; GOMAXPROCS follows its one core",
        program=("caddy", "version", ("caddy",)),
    ),
    Peer(
        "granian-files", "granian, static files", _granian_files,
        "its --static-path-mount, before an ASGI application; HTTP/1 only, runtime mode mt",
        python=paths.PEERS_PYTHON, packages=("granian==2.8.7", "uvloop==0.22.1"),
    ),
)  # fmt: skip

PEERS = {peer.key: peer for peer in _PEERS}
