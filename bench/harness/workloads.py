"""The requests to the servers, and which servers get them.

Ratios are ours divided by the peer's within one round; `reference` is ours. The JSON body is about 1 KB of the kind that an API
sends: short strings, numbers, a list, some text beyond ASCII.
"""

from __future__ import annotations

import json
import random
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import files, layer, paths

PYTHON_PEERS = (
    "outside",
    "outside-log",
    "granian-wsgi",
    "granian-rsgi",
    "fastpysgi",
    "uvicorn",
    "socketify",
    "robyn",
    "gunicorn-flask",
    "outside-1.5.8",
)
RUST_PEERS = ("outside-rust", "hyper", "axum", "epoll")
FILE_PEERS = ("outside", "outside-rust", "nginx", "granian-files", "caddy")
SENDING_PEERS = (*FILE_PEERS, "outside-handler", "gunicorn-flask")
ECHO_PEERS = (
    "outside-ws-callbacks",
    "outside-ws-async",
    "outside-ws-blocking",
    "socketify",
    "uvicorn-websockets",
    "uvicorn-wsproto",
    "granian-asgi-ws",
    "granian-rsgi-ws",
)
RUST_ECHO_PEERS = ("outside-rust", "fastwebsockets", "tungstenite")
ROOM_PEERS = (
    "outside-ws-callbacks",
    "outside-ws-stalled",
    "outside-rust",
    "outside-rust-stalled",
    "socketify",
    "uvicorn-websockets",
    "granian-asgi-ws",
    "granian-rsgi-ws",
    "gunicorn-asgi",
    "epoll-room",
)
H2_PEERS = ("outside", "granian-h2", "hypercorn-h2", "hyper-h2")
TLS_PEERS = ("outside-tls", "granian-tls", "nginx-tls-granian")
HANDSHAKE_PEERS = ("outside-tls", "nginx-tls", "granian-tls")
MIXED_PEERS = ("outside", "granian-wsgi", "fastpysgi", "robyn")
ASYNC_PEERS = ("outside-routes", "granian-rsgi", "granian-asgi", "uvicorn", "fastapi")
PARAMETER_PEERS = ("outside-routes", "robyn", "fastapi", "gunicorn-flask")
CHECKED_PEERS = ("outside-checked", "fastapi", "fastapi-granian")
# Models of msgspec, as here.
STRUCT_PEERS = (*CHECKED_PEERS, "django-bolt")
WSGI_PEERS = ("outside-wsgi", "granian-wsgi", "fastpysgi", "gunicorn-wsgi")
FLASK_PEERS = ("outside-flask", "granian-flask", "gunicorn-flask")
DJANGO_PEERS = ("outside-django", "granian-django", "gunicorn-django")
ASGI_PEERS = ("outside-asgi", "granian-asgi", "uvicorn")
STARLETTE_PEERS = ("outside-starlette", "granian-starlette", "uvicorn-starlette")
STARLETTE_ECHO_PEERS = ("outside-starlette-ws", "granian-starlette-ws", "uvicorn-starlette-ws")
FASTAPI_PEERS = ("outside-fastapi", "granian-fastapi", "fastapi")
JSON_PEERS = (*PYTHON_PEERS, "granian-orjson")
DOCUMENT_PEERS = ("outside", "granian-orjson")
LAYER_PEERS = ("outside-layer", "granian-flask-layer")
UPLOAD_PEERS = ("outside-routes", "gunicorn-flask", "fastapi")

HELLO = b"Hello, World!"
USER = {"id": 42, "name": "User 42", "active": True}
# Where the JSON of `/json` is validated.
CHECKED = ("/pydantic", "/msgspec")
# A file of this many bytes goes up in a form.
UPLOAD = 1_000_000
BOUNDARY = "----bench-7MA4YWxkTrZu0gW"

# The request that opens a WebSocket, for the first question to a server.
OPENING = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}

# A room has as many members as the load and a server may have descriptors, at most this many.
ROOM = 10_000
# Descriptors that are needed for other things.
RESERVED = 200


@dataclass(frozen=True)
class Workload:
    """One question, as arguments of the load generator."""

    key: str
    title: str
    peers: tuple[str, ...]
    reference: str
    path: str = "/hello"
    method: str = "GET"
    arguments: tuple[str, ...] = ()
    # Part of a run that names no workloads.
    usual: bool = True
    # Which JSON is sent to `/json`: "small", "megabyte" or "objects".
    document: str = "small"
    # "clear" or "tls" for HTTP/2, which h2load asks.
    http2: str = ""

    @property
    def unit(self) -> str:
        """The unit that is counted."""
        return "messages" if self.is_websocket else "requests"

    @property
    def is_websocket(self) -> bool:
        return "--websocket" in self.arguments

    @property
    def is_secure(self) -> bool:
        return "--tls" in self.arguments or self.http2 == "tls"

    @property
    def headers(self) -> dict[str, str]:
        if self.path == "/upload":
            return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        if self.path in ("/json", *CHECKED):
            return {"Content-Type": "application/json"}
        return OPENING if self.is_websocket else {}

    @property
    def body(self) -> bytes:
        return {"/json": DOCUMENTS[self.document], "/upload": form_body, **dict.fromkeys(CHECKED, json_body)}.get(
            self.path, bytes
        )()

    @property
    def body_file(self) -> Path:
        """Where the load finds the body."""
        return paths.WORK / f"body-{self.key}"

    @property
    def answer(self) -> Any:
        """The value that is answered as JSON, where that is asked for."""
        if self.path == "/json":
            return json.loads(self.body)
        if self.path in CHECKED:
            sent = json.loads(self.body)
            return {"title": sent["title"], "rows": len(sent["rows"]), "last": sent["rows"][-1]["name"]}
        return {
            "/users/42": USER,
            "/session": {"count": 1},
            "/upload": {"title": "Sunset", "name": "photo.bin", "size": UPLOAD},
        }.get(self.path)

    @property
    def size(self) -> int:
        """Bytes of content that one request moves, where that is the point."""
        return UPLOAD if self.path == "/upload" else files.SIZES.get(self.file, 0)

    @property
    def file(self) -> str:
        """The name of the file that is asked for, if one is."""
        return self.path.removeprefix("/static/") if self.path.startswith("/static/") else ""

    @property
    def sleeps(self) -> bool:
        return "/sleep" in (self.path, *self.arguments)

    def is_right(self, status: int, body: bytes) -> bool:
        """Whether an answer is the one asked for; JSON may be written with other spaces or escapes."""
        if self.is_websocket:
            # The load looks at every message.
            return status == 101
        if status != 200:
            return False
        if self.answer is not None:
            try:
                return json.loads(body) == self.answer
            except ValueError:
                return False
        if self.path == "/page":
            # Either escapes quotes in its own way; there are none.
            return body == layer.page()
        return body == ((paths.FILES / self.file).read_bytes() if self.file else HELLO)

    def load_arguments(self) -> list[str]:
        if self.http2:
            # The answer was looked at once, by `is_right`; the status is looked at every time.
            return ["--path", self.path, *self.arguments, *(["--tls"] if self.http2 == "tls" else [])]
        arguments = ["--path", self.path, "--method", self.method, *self.arguments]
        if self.is_websocket:
            return arguments
        if self.file:
            # An answer too large to be compared every time was compared once, by `is_right`.
            large = files.SIZES[self.file] > 1 << 20
            arguments += ["--sink"] if large else ["--expect-file", str(paths.FILES / self.file)]
        elif self.answer is None and self.path != "/page":
            arguments += ["--expect", HELLO.decode()]
        if self.body:
            arguments += ["--body-file", str(self.body_file)]
            for name, value in self.headers.items():
                arguments += ["--header", f"{name}: {value}"]
        return arguments


def json_body() -> bytes:
    rows = [
        {"id": 1000 + index, "name": f"Reading {index}", "value": index * 1.25, "valid": index % 3 != 0, "tag": None}
        for index in range(12)
    ]
    return json.dumps({"title": "Größe der Wellen", "station": "north-4", "rows": rows}, ensure_ascii=False).encode()


def megabyte() -> bytes:
    """About 1 MB of mixed JSON."""
    chance = random.Random(19)
    rows = [
        {
            "id": 1000 + index,
            "name": f"Größe {index}",
            "text": " ".join(chance.choice(("wave", "wind", "storm", "calm", '"gale"')) for _ in range(12)),
            "values": [round(chance.uniform(-500, 500), 3) for _ in range(8)],
            "place": {"lat": round(chance.uniform(-90, 90), 6), "lon": round(chance.uniform(-180, 180), 6), "name": None},
            "valid": index % 3 != 0,
        }
        for index in range(3600)
    ]
    return json.dumps({"rows": rows}, ensure_ascii=False).encode()


def objects() -> bytes:
    """10,000 small objects."""
    return json.dumps([{"id": index, "name": f"User {index}", "active": index % 2 == 0} for index in range(10_000)]).encode()


DOCUMENTS = {"small": json_body, "megabyte": megabyte, "objects": objects}


def form_body() -> bytes:
    """A form with a short text and a file, as a browser sends it."""
    content = random.Random(20261122).randbytes(UPLOAD)
    parts = (
        ('name="title"', b"Sunset"),
        ('name="file"; filename="photo.bin"\r\nContent-Type: application/octet-stream', content),
    )
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
    body = b"".join(f"{head}{what}\r\n\r\n".encode() + value + b"\r\n" for what, value in parts)
    return body + f"--{BOUNDARY}--\r\n".encode()


def _members() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(ROOM, most - RESERVED) if most > 0 else ROOM


_WORKLOADS = (
    Workload("hello", "Python hello, 64 connections (hyper's Rust hello beside it)", (*PYTHON_PEERS, "hyper"), "outside"),
    Workload("json", "Python, 1 KB of JSON parsed and echoed, 64 connections", JSON_PEERS, "outside", "/json", "POST"),
    Workload("json1m", "Python, 1 MB of JSON parsed and echoed, 4 connections", DOCUMENT_PEERS, "outside", "/json", "POST",
             arguments=("--connections", "4"), usual=False, document="megabyte"),
    Workload("json10k", "Python, 10,000 small objects of JSON parsed and echoed, 4 connections", DOCUMENT_PEERS, "outside", "/json",
             "POST", arguments=("--connections", "4"), usual=False, document="objects"),
    Workload("page30", "Python, a page of a Jinja2 template with 30 rows, 64 connections", LAYER_PEERS, "outside-layer", "/page",
             usual=False),
    Workload("session", "Python, a session that is read and written, 64 connections", LAYER_PEERS, "outside-layer", "/session",
             usual=False),
    Workload("sleep10", "Python, a handler that sleeps 10 ms, 64 connections (the ideal is 6,400 requests/s)",
             PYTHON_PEERS, "outside", "/sleep"),
    Workload("async_hello", "Python hello by an async def, 64 connections", ASYNC_PEERS, "outside-routes"),
    Workload("param_json", "Python, a number in the path and a short answer in JSON, 64 connections", PARAMETER_PEERS,
             "outside-routes", "/users/42"),
    Workload("valid_pydantic", "Python, 1 KB of JSON as a model of pydantic, a short answer, 64 connections", (*CHECKED_PEERS, "robyn"),
             "outside-checked", "/pydantic", "POST"),
    Workload("valid_msgspec", "The same as a model of msgspec here and in django-bolt, of pydantic in FastAPI, 64 connections", STRUCT_PEERS,
             "outside-checked", "/msgspec", "POST"),
    Workload("upload1m", "Python, a form with a file of 1 MB, 16 connections", UPLOAD_PEERS, "outside-routes", "/upload", "POST",
             arguments=("--connections", "16")),
    Workload("wsgi_hello", "A bare WSGI application, 64 connections", WSGI_PEERS, "outside-wsgi", usual=False),
    Workload("flask_hello", "Flask, hello, 64 connections", FLASK_PEERS, "outside-flask", usual=False),
    Workload("flask_sleep10", "Flask, a view that sleeps 10 ms, 64 connections (the ideal is 6,400 requests/s)", FLASK_PEERS,
             "outside-flask", "/sleep", usual=False),
    Workload("django_hello", "Django by WSGI, hello, 64 connections", DJANGO_PEERS, "outside-django", usual=False),
    Workload("asgi_hello", "A bare ASGI application, 64 connections", ASGI_PEERS, "outside-asgi", usual=False),
    Workload("starlette_hello", "Starlette, hello, 64 connections", STARLETTE_PEERS, "outside-starlette", usual=False),
    Workload("starlette_stream", "Starlette, a StreamingResponse of 3 parts, 64 connections", STARLETTE_PEERS,
             "outside-starlette", "/parts", usual=False),
    Workload("starlette_file100k", "Starlette, a FileResponse of 100 KiB, 64 connections", STARLETTE_PEERS,
             "outside-starlette", "/static/100k.bin", usual=False),
    Workload("starlette_ws_echo", "WebSockets by Starlette, 32 bytes echoed, 64 connections", STARLETTE_ECHO_PEERS,
             "outside-starlette-ws", "/ws", arguments=("--websocket", "32"), usual=False),
    Workload("fastapi_json", "FastAPI, an async def of a number in the path and a short answer in JSON, 64 connections",
             FASTAPI_PEERS, "outside-fastapi", "/users/42", usual=False),
    Workload("fastapi_json8", "The same, 8 connections", FASTAPI_PEERS, "outside-fastapi", "/users/42",
             arguments=("--connections", "8"), usual=False),
    Workload("fastapi_post", "FastAPI, 1 KB of JSON parsed and echoed, 64 connections", FASTAPI_PEERS, "outside-fastapi",
             "/json", "POST", usual=False),
    Workload("fastapi_upload1m", "FastAPI, an UploadFile of 1 MB, 16 connections", FASTAPI_PEERS, "outside-fastapi", "/upload",
             "POST", arguments=("--connections", "16"), usual=False),
    Workload("rust-hello", "Rust hello, 64 connections", RUST_PEERS, "outside-rust"),
    Workload("rust-pipelined", "Rust hello, 64 connections, 16 requests pipelined", RUST_PEERS, "outside-rust",
             arguments=("--pipeline", "16")),
    Workload("file1k", "A file of 1 KiB, 64 connections", FILE_PEERS, "outside", "/static/1k.txt"),
    Workload("file100k", "A file of 100 KiB, 64 connections", FILE_PEERS, "outside", "/static/100k.bin"),
    Workload("file100m", "A file of 100 MB, 4 connections", SENDING_PEERS, "outside", "/static/100m.bin",
             arguments=("--connections", "4")),
    Workload("ws_echo", "Python WebSockets, 32 bytes echoed, 64 connections (fastwebsockets' Rust echo beside it)",
             (*ECHO_PEERS, "fastwebsockets"), "outside-ws-callbacks", "/ws", arguments=("--websocket", "32")),
    Workload("rust-ws_echo", "Rust WebSockets, 32 bytes echoed, 64 connections", RUST_ECHO_PEERS, "outside-rust", "/ws",
             arguments=("--websocket", "32")),
    Workload("ws_broadcast", f"WebSockets, 32 bytes of one to a room of {_members():,}", ROOM_PEERS, "outside-ws-callbacks",
             "/room", arguments=("--websocket", "32", "--broadcast", "--connections", str(_members()))),
    Workload("h2_hello", "Python hello over HTTP/2, 4 connections of 100 streams (hyper's Rust hello beside it)", H2_PEERS, "outside",
             http2="clear", usual=False),
    Workload("rust-h2_hello", "Rust hello over HTTP/2, 4 connections of 100 streams", ("outside-rust", "hyper-h2"), "outside-rust",
             http2="clear", usual=False),
    Workload("h2_file100k", "A file of 100 KiB over HTTP/2 and TLS, 4 connections of 16 streams", ("outside-h2-tls", "nginx-h2-tls"),
             "outside-h2-tls", "/static/100k.bin", arguments=("--streams", "16"), http2="tls", usual=False),
    Workload("tls_hello", "Python hello over TLS 1.3, 64 connections", TLS_PEERS, "outside-tls",
             arguments=("--tls", "full"), usual=False),
    Workload("tls_full", "Full handshakes of TLS 1.3 (X25519, ECDSA P-256), one request each, 64 at a time", HANDSHAKE_PEERS,
             "outside-tls", arguments=("--tls", "full", "--reconnect"), usual=False),
    Workload("tls_resumed", "The same with sessions that are resumed", HANDSHAKE_PEERS, "outside-tls",
             arguments=("--tls", "resumed", "--reconnect"), usual=False),
    Workload("hello32", "Python hello alone, 32 connections", MIXED_PEERS, "outside",
             arguments=("--connections", "32"), usual=False),
    Workload("mixed8", "Python hello on 32 connections beside 8 on a route that sleeps 10 ms (its ideal is 800/s)",
             MIXED_PEERS, "outside", usual=False,
             arguments=("--connections", "32", "--beside-path", "/sleep", "--beside-connections", "8")),
    Workload("mixed64", "Python hello on 32 connections beside 64 on a route that sleeps 10 ms (its ideal is 6,400/s)",
             MIXED_PEERS, "outside", usual=False,
             arguments=("--connections", "32", "--beside-path", "/sleep", "--beside-connections", "64")),
)  # fmt: skip

WORKLOADS = {workload.key: workload for workload in _WORKLOADS}
