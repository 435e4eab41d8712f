"""The server of the tests of metrics: `python metrics_app.py SETTINGS.json`. The handlers do what the tests want to see."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import re
import sys
import threading
import time
from pathlib import Path

from outside import HTTPException, OutsideHTTP, Request, WebSocket, WebSocketConnection

logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(message)s")
settings = json.loads(Path(sys.argv[1]).read_text())
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update({"access_log": "off", "termination_timeout": 2, "drain_idle": 0, **settings})

orders = server.counter("orders", "Orders that were taken.", ["kind"])
jobs = server.gauge("jobs", "Jobs in progress.")
newest = server.gauge("newest", "The newest.", combine="max")
sizes = server.histogram("size_bytes", "Sizes.", bounds=[10, 100])
imports = server.counter("imports", "How often the program was imported.")
imports.inc()


@server.get("/pid")
def pid(request: Request) -> str:
    return str(os.getpid())


@server.get("/users/{number:int}")
def user(request: Request, number: int) -> str:
    return f"user {number}"


@server.route("/status/{code:int}", methods=["GET", "POST", "DELETE"])
def status(request: Request, code: int) -> tuple[str, int]:
    if code >= 400:
        raise HTTPException(code)
    return "", code


@server.post("/orders/{kind}")
def order(request: Request, kind: str) -> str:
    orders.inc(kind=kind)
    jobs.set(1)
    newest.set(os.getpid())
    sizes.observe(50)
    return kind


@server.get("/sleep")
def sleep(request: Request) -> str:
    time.sleep(600)  # sleep
    return "never"


@server.get("/loop")
def loop(request: Request) -> str:
    number = 0
    while number >= 0:
        number += 1  # loop
    return "never"


@server.get("/regex")
def regex(request: Request) -> str:
    return str(re.match("(a+)+$", "a" * 60 + "b"))  # regex


@server.get("/hold")
def hold(request: Request) -> str:
    ctypes.PyDLL(None).sleep(600)  # hold
    return "never"


@server.get("/await")
async def await_for_ever(request: Request) -> str:
    await deeper()
    return "never"


async def deeper() -> None:
    await asyncio.Event().wait()  # await


def pooled(request: Request) -> str:
    threading.Event().wait(600)  # pooled
    return "never"


server.set_route("/pooled", pooled, blocking=True)
socket = WebSocket()


@socket.on_connection
def connected(connection: WebSocketConnection) -> None:
    connection.recv()  # socket


server.set_route("/socket", socket)
print("generation", os.getpid(), flush=True)
server.run()
