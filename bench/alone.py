"""The CPU time that applications of other frameworks take by themselves, without a server: `bench/.venv/bin/python bench/alone.py`.
With `--count` it is the instructions of one call, by callgrind, to be set beside those of `make bench-count`: the difference of N and 3N
calls, divided by 2N.

Each is called as a server would call it, on uvloop, as an eager task, with one dictionary for the request and nothing done with the
answer. A server's time is on top of that, so no server can be faster than this: where the application takes four fifths of a request,
the best server is 1.25 times a server that adds a fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "peers"))

from wsgiref.util import setup_testing_defaults

import asgi_app
import fastapi_app
import flask_app
import starlette_app
import uvloop
from harness import files
from harness.workloads import BOUNDARY, form_body, json_body

ROUNDS, CALLS, COUNTED = 7, 1000, 500
PIECE = 64 << 10  # of a body, as servers hand it in
HOST = (b"host", b"127.0.0.1:8000")


def http_scope(method: str, path: str, body: bytes) -> dict[str, Any]:
    kind = b"multipart/form-data; boundary=" + BOUNDARY.encode() if path == "/upload" else b"application/json"
    fields = [HOST, (b"content-type", kind), (b"content-length", b"%d" % len(body))] if body else [HOST]
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}, "http_version": "1.1", "scheme": "http", "method": method,
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": fields,
        "client": ("127.0.0.1", 1234), "server": ("127.0.0.1", 8000), "state": {}, "extensions": {"http.response.pathsend": {}},
    }  # fmt: skip


async def call_asgi(app: Any, method: str, path: str, body: bytes) -> None:
    pieces = [body[at : at + PIECE] for at in range(0, len(body), PIECE)] or [b""]
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in reversed(pieces)]
    events[0]["more_body"] = False

    async def receive() -> dict[str, Any]:
        return events.pop() if events else await asyncio.get_running_loop().create_future()

    async def send(event: dict[str, Any]) -> None:
        pass

    await app(http_scope(method, path, body), receive, send)


def call_wsgi(app: Any, path: str) -> None:
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    answer = app(environ, lambda *_: None)
    b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()


async def main(chosen: str | None, calls: int, rounds: int) -> None:
    """Calls each case, or one alone, so many times in each round."""
    loop = asyncio.get_running_loop()

    async def time_asgi(app: Any, method: str, path: str, body: bytes = b"") -> float:
        begin = time.process_time()
        for _ in range(calls):
            await asyncio.Task(call_asgi(app, method, path, body), loop=loop, eager_start=True)
        return time.process_time() - begin

    async def time_wsgi(app: Any, path: str) -> float:
        begin = time.process_time()
        for _ in range(calls):
            call_wsgi(app, path)
        return time.process_time() - begin

    cases: dict[str, Callable[[], Any]] = {  # as in CASES
        "bare ASGI": lambda: time_asgi(asgi_app.app, "GET", "/hello"),
        "Starlette, hello": lambda: time_asgi(starlette_app.app, "GET", "/hello"),
        "FastAPI, a number in the path": lambda: time_asgi(fastapi_app.app, "GET", "/users/42"),
        "FastAPI, 1 KB of JSON": lambda: time_asgi(fastapi_app.app, "POST", "/json", json_body()),
        "FastAPI, an UploadFile of 1 MB": lambda: time_asgi(fastapi_app.app, "POST", "/upload", form_body()),
        "Starlette, a FileResponse": lambda: time_asgi(starlette_app.app, "GET", "/static/100k.bin"),
        "Flask, hello": lambda: time_wsgi(flask_app.app, "/hello"),
    }
    taken: dict[str, list[float]] = {name: [] for name in cases if chosen in (None, name)}
    for _ in range(rounds):
        for name in taken:
            taken[name].append((await cases[name]()) / calls * 1e6)
    for name, each in taken.items():
        print(f"{name:32} {statistics.median(each):8.1f} us of CPU [{min(each):.1f}, {max(each):.1f}]")


CASES = ("bare ASGI", "Starlette, hello", "FastAPI, a number in the path", "FastAPI, 1 KB of JSON", "FastAPI, an UploadFile of 1 MB",
         "Starlette, a FileResponse", "Flask, hello")  # fmt: skip


def count(name: str, calls: int) -> int:
    """All instructions of a process that makes so many calls."""
    command = [
        "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        sys.executable,
        __file__,
        "--case",
        name,
        "--calls",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    said = subprocess.run([*command, str(calls)], env=environment, capture_output=True, text=True, check=True).stderr
    found = re.search(r"Collected : (\d+)", said)
    assert found, said[-500:]
    return int(found[1])


parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
parser.add_argument("--count", action="store_true", help="instructions instead of time (needs valgrind; some minutes)")
parser.add_argument("--case", choices=CASES, help="this one alone, in one round")
parser.add_argument("--calls", type=int, default=CALLS, help=f"calls in a round (default {CALLS})")
options = parser.parse_args()
files.make()
if options.count:
    for case in CASES if options.case is None else (options.case,):
        each = (count(case, 3 * COUNTED) - count(case, COUNTED)) / (2 * COUNTED)
        print(f"{case:32} {each:8,.0f} instructions", flush=True)
else:
    uvloop.run(main(options.case, options.calls, 1 if options.case else ROUNDS))
