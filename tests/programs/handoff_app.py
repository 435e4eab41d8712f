"""The server of `test_handoff.py`, in a process of its own: a client in the same process would share Python's lock with it.

Its first argument holds settings as JSON; every handler that waits does so for an event, until `/open` is asked for.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import sys
import threading
import time
from collections import Counter

from outside import FilePath, OutsideHTTP, Request, Response

server = OutsideHTTP(("127.0.0.1", 0))
released = threading.Event()
lock = threading.Lock()
waiting = 0
calls: Counter = Counter()


def hello(request: Request) -> str:
    return "hello"


def wait(request: Request) -> str:
    """Waits for the release."""
    global waiting
    with lock:
        waiting += 1
    released.wait()
    return "awake"


def spin(request: Request) -> str:
    """Burns CPU until the release."""
    global waiting
    with lock:
        waiting += 1
    while not released.is_set():
        sum(range(1000))
    return "dizzy"


def hold(request: Request) -> str:
    """`/hold?milliseconds`: waits in C without letting go of Python's lock, as a huge regular expression does."""
    ctypes.PyDLL(None).usleep(int(request.query) * 1000)
    return "held"


def release_all(request: Request) -> str:
    released.set()
    return "open"


def new(request: Request) -> str:
    """`/new?name`: a route that has not been called yet, whose handler waits for it."""
    server.set_route(f"/{request.query}", lambda request: wait(request))
    return "there"


def thread(request: Request) -> str:
    """Where it runs."""
    return str(threading.get_ident())


def number(request: Request) -> str:
    with lock:
        calls[request.query] += 1
    return request.query


def quick(request: Request) -> str:
    return number(request)


def sleepy(request: Request) -> str:
    time.sleep(int(request.query) % 7 / 1000)
    return number(request)


def burning(request: Request) -> str:
    end = time.perf_counter() + int(request.query) % 3 / 1000
    while time.perf_counter() < end:
        pass
    return number(request)


def failing(request: Request) -> str:
    raise ValueError(number(request))


def teapot(request: Request) -> tuple[int, str]:
    return 418, number(request)


async def async_sleepy(request: Request) -> str:
    await asyncio.sleep(int(request.query) % 7 / 1000)
    return number(request)


def error(request: Request, message: str | None = None) -> Response:
    return Response(500 if message is None else 418, {}, request.query)


ROUTES = {
    "/hello": hello,
    "/wait": wait,
    "/spin": spin,
    "/hold": hold,
    "/file": FilePath(__file__),
    "/open": release_all,
    "/new": new,
    "/waiting": lambda request: str(waiting),
    "/interval": lambda request: str(sys.getswitchinterval()),
    "/calls": lambda request: dict(calls),
    "/quick": quick,
    "/sleepy": sleepy,
    "/burning": burning,
    "/failing": failing,
    "/teapot": teapot,
    "/async": async_sleepy,
}

if __name__ == "__main__":
    # The standard error of this process has no reader while it runs.
    logging.getLogger("outside").setLevel(logging.CRITICAL)
    server.config.update({"access_log": "off", "termination_timeout": 5, **json.loads(sys.argv[1])})
    for route, handler in ROUTES.items():
        server.set_route(route, handler)
    server.set_route("/pool", thread, blocking=True)
    server.set_route("/loop", thread, blocking=False)
    server.set_route("/pooled", sleepy, blocking=True)
    server.set_route("/pooled-wait", wait, blocking=True)
    server.set_errorhandler(500, error)
    server.set_errorhandler(418, error)
    server.run()
