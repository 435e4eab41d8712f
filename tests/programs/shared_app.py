"""A server of several processes that share state: `shared_app.py SETTINGS`, a file with a JSON object of settings.

`/do?code=…` evaluates an expression with `shared`, `/aio?code=…` awaits one with `aio`. `/limited?key=…` and its like have limits,
and the setting `every` names the schedules that print their ticks.
"""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from outside import OutsideHTTP, Routes, _outside
from outside._handlers.outcomes import ask

logging.basicConfig(stream=sys.stdout, format="%(message)s")
settings = json.loads(Path(sys.argv[1]).read_text())
schedules = settings.pop("every", [])
period = settings.pop("period", "100ms")
server = OutsideHTTP((settings.pop("address", "127.0.0.1"), 0))
server.config.update(**{"processes": 2, "access_log": "off", "max_workers": 16, "drain_idle": 0.2, **settings})
shared, aio = server.shared, server.shared.aio
kept = {}


def locked(name, ttl, count, path):
    """Takes a lock so many times, and reads and writes a file that only its holder may touch."""
    tokens = []
    for _ in range(count):
        with shared.lock(name, ttl) as lock:
            number = int(Path(path).read_text())
            time.sleep(0)
            Path(path).write_text(str(number + 1))
            tokens.append(lock.token)
    return tokens


async def locked_async(name, ttl, count, path):
    tokens = []
    for _ in range(count):
        async with aio.lock(name, ttl) as lock:
            number = int(Path(path).read_text())
            await asyncio.sleep(0)
            Path(path).write_text(str(number + 1))
            tokens.append(lock.token)
    return tokens


def take(name, ttl, path):
    """Takes a lock, and adds its token to a file."""
    with shared.lock(name, ttl) as lock, open(path, "a") as file:
        file.write(f"\n{lock.token}")


def attempts(key, count, interval, tolerance):
    """The admissions of so many attempts, and the store's time of the first and the last one."""
    told = [_outside._shared_call(server, "admit", key, ((interval, tolerance), 0, None), 5.0) for _ in range(count)]
    return sum(admitted for admitted, *_ in told), told[0][-1], told[-1][-1]


async def fill(first, count):
    """Asks for one request of so many clients of a limit, a thousand at a time."""
    operands = ((3_600_000_000_000, 0), 0, None)
    for start in range(first, first + count, 1000):
        await asyncio.gather(*(ask(server, "admit", f"client {number}", operands) for number in range(start, start + 1000)))
    return True


def say(line):
    # As one write: several processes print.
    os.write(1, f"{line}\n".encode())


def told(error):
    return f"! {type(error).__name__}: {error}"


@server.get("/do")
def do(request):
    try:
        return f"= {eval(request.args['code'])!r}"
    except Exception as error:
        return told(error)


@server.get("/aio")
async def do_async(request):
    try:
        return f"= {await eval(request.args['code'])!r}"
    except Exception as error:
        return told(error)


def key_of(request):
    return request.args["key"]


@server.get("/limited")
@server.limit("5/h", by=key_of)
def limited(request):
    return str(os.getpid())


@server.get("/limited/async")
@server.limit("5/h", burst=2, by=key_of, name="slow")
async def limited_async(request):
    return str(os.getpid())


@server.get("/limited/dry")
@server.limit("1/h", by=key_of, name="dry", dry_run=True)
def limited_dry(request):
    return "passed"


group = Routes("/group", limit="3/h")


@group.get("/plain")
def in_group(request):
    return "plain"


@group.get("/async")
async def in_group_async(request):
    return "async"


server.mount(group)


@server.on_startup
async def begin():
    kept["start"] = await aio.incr("starts")


@server.on_shutdown
def end():
    say(f"stops {shared.incr('stops')}")


@server.get("/worker")
def worker(request):
    return str(os.getpid())


if "tick" in schedules:

    @server.every(period, name="tick")
    def tick(tick):
        say(f"tick {tick} {os.getpid()}")
        if shared.get("kill") == tick:
            os.kill(os.getpid(), 9)


if "long" in schedules:

    @server.every(period)
    async def long():
        say(f"begin {os.getpid()}")
        await asyncio.sleep(0.12)
        say(f"end {os.getpid()}")


if "failing" in schedules:

    @server.every(period)
    def failing():
        raise ValueError(f"at number {shared.incr('failures')}")


if __name__ == "__main__":
    if server.config["processes"] != 1:
        server.config["on_worker_start"] = lambda slot: say(f"worker {slot} {os.getpid()}")
    print(f"generation {os.getpid()} {threading.active_count()}", flush=True)
    server.run()
    print("returned", flush=True)
