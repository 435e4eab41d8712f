"""A server of several processes with topics: `topics_app.py SETTINGS`, a file with a JSON object of settings.

Its WebSockets, one of each style, take `+topic`, `+topic after ID`, `-topic`, `topic text` (published) and `?topic` (answered with the
number of its listeners), and confirm with `done`, `published ID` or the number. `/events?topic=…` is an event stream, `/publish?topic=…&from=…&count=…`
publishes numbered texts (`/timed` does too, and answers with the longest call: in milliseconds of the thread, of the clock, and of the clock where the
kernel has not taken the core away, with the number of calls where it has), `/worker` says which process answers, and `/heard` which messages `on_message` has had in it. The setting `greeting` is published as
the server starts and, with other words, as it ends.
"""

import json
import logging
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from outside import OutsideHTTP, event_stream
from support.websocket_styles import STYLES, websocket

logging.basicConfig(stream=sys.stdout, format="%(message)s")
settings = json.loads(Path(sys.argv[1]).read_text())
options = settings.pop("websocket", {})
greeting = settings.pop("greeting", None)
server = OutsideHTTP((settings.pop("address", "127.0.0.1"), 0))
server.config.update(**{"processes": 2, "access_log": "off", "max_workers": 64, "drain_idle": 0.2, **settings})
heard = []


def answer(connection, message):
    kind, rest = message.text[:1], message.text[1:]
    if kind == "+":
        topic, _, after = rest.partition(" after ")
        connection.subscribe(topic, after=(int(after) if after == "0" else after) if after else None)
    elif kind == "-":
        connection.unsubscribe(rest)
    elif kind == "?":
        return str(server.listeners(rest))
    elif kind == "!":
        topic, _, said = rest.partition(" ")
        return f"published {server.publish_and_wait(topic, said)}"
    else:
        topic, _, said = message.text.partition(" ")
        server.publish(topic, said)
        return None
    return "done"


for style in STYLES:
    server.set_route("/" + style.replace(" ", "-"), websocket(style, answer, **options))


@server.get("/events")
def events(request):
    return event_stream(topic=request.args["topic"], after=request)


@server.get("/publish")
def publish(request):
    topic, sender = request.args["topic"], request.args["from"]
    size = int(request.args.get("size", 0))
    for number in range(int(request.args["count"])):
        server.publish(topic, f"{sender} {number}".ljust(size))
    return "done"


@server.get("/timed")
def timed(request):
    topic, sender = request.args["topic"], request.args["from"]
    used, passed, undisturbed = [], [], [0.0]
    for number in range(int(request.args["count"])):
        before = preemptions(), time.thread_time(), time.monotonic()
        server.publish(topic, f"{sender} {number}")
        after = time.monotonic(), time.thread_time(), preemptions()
        used.append(after[1] - before[1])
        passed.append(after[0] - before[2])
        if after[2] == before[0]:
            undisturbed.append(passed[-1])
    disturbed = len(passed) + 1 - len(undisturbed)
    return f"{max(used) * 1000:.3f} {max(passed) * 1000:.3f} {max(undisturbed) * 1000:.3f} {disturbed}"


def preemptions():
    """How often the kernel has taken the core from this thread."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


@server.get("/worker")
def worker(request):
    return str(os.getpid())


@server.get("/threads")
def threads(request):
    return f"{len(os.listdir('/proc/self/task'))} {len(os.listdir('/proc/self/fd'))}"


@server.on_message("heard")
def hear(message):
    heard.append(message.text)


@server.on_startup
def greet():
    if greeting:
        server.publish("heard", greeting)


@server.on_shutdown
def say_goodbye():
    if greeting:
        server.publish("heard", f"the end of {greeting}")


@server.get("/heard")
def what_was_heard(request):
    return json.dumps({"worker": os.getpid(), "heard": heard})


if __name__ == "__main__":
    if server.config["processes"] != 1:
        # As one write: workers start at the same time.
        server.config["on_worker_start"] = lambda slot: print(f"worker {slot} {os.getpid()}\n", end="", flush=True)
    print(f"generation {os.getpid()}", flush=True)
    server.run()
    print("returned", flush=True)
