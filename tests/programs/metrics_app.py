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

from outside import HTTPException, OutsideHTTP, Request, WebSocket, WebSocketConnection, abort, asgi, wsgi

logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(message)s")
settings = json.loads(Path(sys.argv[1]).read_text())
has_hooks = settings.pop("hooks", False)
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update({"access_log": "off", "termination_timeout": 2, "drain_idle": 0, **settings})

orders = server.counter("orders", "Orders that were taken.", ["kind"])
jobs = server.gauge("jobs", "Jobs in progress.")
newest = server.gauge("newest", "The newest.", combine="max")
sizes = server.histogram("size_bytes", "Sizes.", bounds=[10, 100])
imports = server.counter("imports", "How often the program was imported.")
imports.inc()


if has_hooks:

    @server.before_request
    def nothing(request: Request) -> None:
        return None


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


@server.get("/pause/{milliseconds:int}", blocking=False)
def pause(request: Request, milliseconds: int) -> str:
    time.sleep(milliseconds / 1000)
    return "paused"


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


@server.get("/block")
async def block(request: Request) -> str:
    time.sleep(600)  # block
    return "never"


async def asgi_app(scope, receive, send) -> None:
    if scope["path"].endswith("block"):
        time.sleep(600)  # asgi_block
    await deeper_asgi()


async def deeper_asgi() -> None:
    await asyncio.Event().wait()  # asgi_await


def wsgi_app(environ, start_response) -> list[bytes]:
    time.sleep(600)  # wsgi
    return []


server.set_route("/asgi", asgi(asgi_app, lifespan="off"))
server.set_route("/wsgi", wsgi(wsgi_app))
socket, async_socket, callback_socket, subscriber = WebSocket(), WebSocket(), WebSocket(), WebSocket()


@socket.on_connection
def connected(connection: WebSocketConnection) -> None:
    connection.recv()  # socket


@async_socket.on_connection
async def async_connected(connection) -> None:
    await connection.recv()  # async_socket


@callback_socket.on_message
def called(connection: WebSocketConnection, message) -> None:
    if message.text == "wait":
        time.sleep(600)  # callback_socket


@subscriber.on_message
def subscribe(connection: WebSocketConnection, message) -> None:
    connection.subscribe(message.text)
    connection.send("done")


server.set_route("/socket", socket)
server.set_route("/async_socket", async_socket)
server.set_route("/callback_socket", callback_socket)
server.set_route("/topics", subscriber)


@server.get("/publish/{topic}/{count:int}")
def publish(request: Request, topic: str, count: int) -> str:
    for number in range(count):
        server.publish(topic, str(number))
    return "published"


@server.get("/limited")
@server.limit("1/h", name="once")
def limited(request: Request) -> str:
    return "let through"


@server.get("/limited/unnamed")
@server.limit("1/h")
def limited_too(request: Request) -> str:
    return "let through"


@server.get("/abort/{code:int}")
def refuse(request: Request, code: int) -> str:
    abort(code)
    return "never"


@server.get("/later/{code:int}")
async def refuse_later(request: Request, code: int) -> str:
    await asyncio.sleep(0)
    raise HTTPException(code)


@server.post("/form")
def form(request: Request) -> str:
    return str(len(request.form))


@server.post("/content")
def content(request: Request) -> str:
    return str(len(request.content))


print("generation", os.getpid(), flush=True)
server.run()
