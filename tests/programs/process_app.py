"""The application of the tests of several processes: `python process_app.py SETTINGS.json`.

Each generation reads the file anew. It holds the configuration, and under "test" the wishes of a test for this generation.
Events are printed, the log included.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from outside import OutsideHTTP

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the package `support` lies
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, websocket

settings = json.loads(Path(sys.argv[1]).read_text())
wanted = settings.pop("test", {})
logging.basicConfig(stream=sys.stdout, level="INFO", format="%(levelname)s %(message)s")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # in one piece, even if others write too


if "ready_within" in wanted:
    import outside._process.generation

    outside._process.generation.READY_WITHIN = wanted["ready_within"]
if "grace" in wanted:
    import outside._process.supervisor

    outside._process.supervisor.GRACE = wanted["grace"]
if wanted.get("trouble") == "raise":
    raise RuntimeError("no good today")
if wanted.get("trouble") == "hang":
    say("hanging")
    threading.Event().wait(60)

server = OutsideHTTP(settings.pop("host", None) or ("127.0.0.1", 0))
server.config.update({"access_log": "off", "processes": 2, "termination_timeout": 5, **settings})
for place, tls in wanted.get("also", []):
    server.listen(tuple(place) if isinstance(place, list) else place, tls)


def on_worker_start(slot: int) -> None:
    say("worker", slot, os.getpid())
    if wanted.get("start") == "raise" or (wanted.get("start") == "raise in 1" and slot == 1):
        raise RuntimeError("no database")
    if wanted.get("start") == "hang":
        threading.Event().wait(60)


def on_worker_stop(slot: int) -> None:
    say("stopped", slot, os.getpid())
    if wanted.get("stop") == "raise":
        raise RuntimeError("no goodbye")


def slow(request: object) -> str:
    say("begun")
    time.sleep(0.4)
    return "done"


def stuck(request: object) -> str:
    say("begun")
    threading.Event().wait(60)
    return "never"


def stuck_in_c(request: object) -> bytes:
    """Waits in C, where no exception reaches it, without Python's lock."""
    say("stuck", os.getpid())
    return os.read(os.pipe()[0], 1)


def hold(request: object) -> str:
    """Waits in C with Python's lock: nothing in Python runs in this process any more."""
    say("holding", os.getpid())
    ctypes.PyDLL(None).sleep(600)
    return "never"


def end(request: object) -> str:
    server.terminate()
    return "ending"


server.config["on_worker_start"] = on_worker_start
server.config["on_worker_stop"] = on_worker_stop
server.config["server_cleanup"] = lambda: say("cleanup", os.getpid())
server.set_route("/worker", lambda request: f"{os.getpid()} {os.getppid()}")
server.set_route("/echo", lambda request: request.params["n"])
server.set_route("/environment", lambda request: "\n".join(os.environ))
server.set_route("/threads", lambda request: "\n".join(thread.name for thread in threading.enumerate()))
server.set_route("/slow", slow)
server.set_route("/stuck", stuck)
server.set_route("/end", end)
server.set_route("/stuck-in-c", stuck_in_c)
for style in (BLOCKING, ASYNC, CALLBACKS):
    echo = websocket(style)
    echo.on_exit(lambda connection, style=style: say("websocket exit", style, connection.close_code))
    server.set_route(f"/ws/{style}", echo)
server.set_route("/publish", lambda request: str(server.publish("room", "x")))
server.set_route("/hold", hold)
if wanted.get("handler"):
    signal.signal(signal.SIGTERM, lambda *arguments: server.terminate(*arguments))
say("generation", os.getpid())
server.run()
say("returned", os.getpid())
if wanted.get("again"):
    server.run()
