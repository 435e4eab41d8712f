"""on_startup and on_shutdown: once in each worker, plain or async, before the first request and after the last."""

from __future__ import annotations

import asyncio
import threading

import pytest

from outside import OutsideHTTP
from support.harness import Running, Script
from support.wire import fetch, request_bytes


def test_before_the_first_request_and_after_the_last(server, start):
    seen = []
    server.on_startup(lambda: seen.append("up 1"))
    server.on_shutdown(lambda: seen.append("down 1"))
    server.on_startup(lambda: seen.append("up 2"))
    server.on_shutdown(lambda: seen.append("down 2"))
    server.config["server_cleanup"] = lambda: seen.append("cleanup")
    server.get("/")(lambda: seen.append("request"))
    running = start()
    running.fetch("/")
    running.stop()
    assert seen == ["up 1", "up 2", "request", "down 2", "down 1", "cleanup"]


def test_async_ones_share_the_loop_of_the_handlers(server, start):
    loops = []

    @server.on_startup
    async def up():
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        server.pool = asyncio.Queue()

    @server.get("/")
    async def handler(request):
        loops.append(asyncio.get_running_loop())
        await server.pool.put("kept")
        return await server.pool.get()

    @server.on_shutdown
    async def down():
        loops.append(asyncio.get_running_loop())

    running = start()
    assert running.fetch("/").text == "kept"
    running.stop()
    assert len(loops) == 3
    assert len(set(loops)) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_one_that_fails_keeps_the_server_from_starting(server, is_async):
    def fail():
        raise ValueError("no database")

    async def fail_later():
        await asyncio.sleep(0)
        fail()

    server.on_startup(fail_later if is_async else fail)
    with pytest.raises(ValueError, match="no database"):
        server.run()
    assert server.address is None


def test_one_that_fails_at_the_end_keeps_no_other_from_running(server, start, records):
    seen = []
    server.on_shutdown(lambda: seen.append("first"))

    @server.on_shutdown
    def fails():
        raise ValueError("secret of the end")

    start().stop()
    assert seen == ["first"]
    records.wait_for("secret of the end")


def test_again_with_each_run(server, start):
    seen = []
    server.on_startup(lambda: seen.append("up"))
    start().stop()
    start().stop()
    assert seen == ["up", "up"]


def test_shutdown_waits_for_handlers(server, start):
    seen, begun, gate = [], threading.Event(), threading.Event()

    @server.get("/")
    def handler():
        begun.set()
        gate.wait(10)
        seen.append("handler")

    server.on_shutdown(lambda: seen.append("down"))
    running = start()
    with running.wire() as wire:
        wire.send(request_bytes("/"))
        assert begun.wait(10)
        server.terminate()
        gate.set()
        assert wire.receive_answer().status == 204
    running.wait_for_return()
    assert seen == ["handler", "down"]


def test_once_in_each_worker(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os\n"
        "from outside import OutsideHTTP\n"
        "server = OutsideHTTP(('127.0.0.1', 0))\n"
        "server.config.update(processes=2, access_log='off')\n"
        "state = {}\n"
        "def note(word):\n"
        "    with open(os.path.join(os.path.dirname(__file__), 'log'), 'a') as log:\n"
        "        log.write(f'{word} {os.getpid()}\\n')\n"
        "@server.on_startup\n"
        "async def up():\n"
        "    state['pid'] = os.getpid()\n"
        "    note('up')\n"
        "@server.on_shutdown\n"
        "def down():\n"
        "    note('down')\n"
        "@server.get('/')\n"
        "async def handler():\n"
        "    return str(state['pid'] == os.getpid())\n"
        "server.run()\n"
    )
    script = Script(str(program))
    for _ in range(8):
        assert fetch(script.address, "/").text == "True"
    assert script.stop() == 0
    words = (tmp_path / "log").read_text().split()
    assert (words.count("up"), words.count("down")) == (2, 2)
    assert len(set(words)) == 4


def test_a_subclass_with_an_init_of_its_own():
    class Mine(OutsideHTTP):
        def __init__(self):
            self.seen = []
            super().__init__(("127.0.0.1", 0))
            self.on_startup(lambda: self.seen.append("up"))
            self.get("/")(lambda: "mine")

    server = Mine()
    server.config["access_log"] = "off"
    running = Running(server)
    assert running.fetch("/").text == "mine"
    assert server.seen == ["up"]
    running.stop()
