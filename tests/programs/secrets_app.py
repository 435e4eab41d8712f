"""A busy server with secrets of every kind: `secrets_app.py SETTINGS`. Its handlers take them, fail with them and wait with them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
from pathlib import Path

from outside import OutsideHTTP, Request, WebSocket, WebSocketConnection, abort

settings = json.loads(Path(sys.argv[1]).read_text())
if settings.pop("logging", False):
    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(name)s %(message)s")
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update({"termination_timeout": 2, "drain_idle": 0, **settings})


@server.post("/session")
def session(request: Request) -> str:
    request.session["card"] = request.content.decode()
    return "kept"


@server.get("/read")
def read(request: Request) -> str:
    return "known" if request.session.get("card") else "unknown"


@server.get("/fail")
def fail(request: Request) -> str:
    password = request.headers["Authorization"]
    raise ValueError(f"{len(password)} characters")


@server.get("/fail/later")
async def fail_later(request: Request) -> str:
    await asyncio.sleep(0)
    raise ValueError("later")


@server.get("/abort")
def refuse(request: Request) -> str:
    abort(503)
    return "never"


@server.get("/late")
def late(request: Request) -> str:
    threading.Event().wait(1.5)  # longer than process_timeout
    return "late"


@server.get("/timed")
async def timed(request: Request) -> str:
    await asyncio.sleep(600)
    return "never"


socket = WebSocket()


@socket.on_message
def answer(connection: WebSocketConnection, message) -> None:
    raise ValueError("a message")


waiting = WebSocket()


@waiting.on_connection
def wait(connection: WebSocketConnection) -> None:
    connection.recv()


server.set_route("/socket", socket)
server.set_route("/wait", waiting)
server.run()
