"""`async def` wherever a function may stand, and the things that async handlers need: their loop, contexts, threads, clients of others."""

from __future__ import annotations

import asyncio
import contextvars
import http.server
import threading

import httpx
import pytest
import redis.asyncio

from outside import Response
from support.harness import wait_until
from support.wire import request_bytes

USER = contextvars.ContextVar("user", default="nobody")


def test_every_kind_of_function_runs_on_one_loop(server, start):
    loops = []

    def note():
        loops.append(asyncio.get_running_loop())

    @server.on_startup
    async def up():
        note()

    @server.before_request
    async def before():
        note()

    @server.after_request
    async def after(response):
        note()

    @server.errorhandler(404)
    async def missing():
        note()
        return "missing"

    @server.errorhandler(ValueError)
    async def wrong():
        note()
        return Response(400, content="wrong")

    @server.get("/async")
    async def handler():
        note()
        return "async"

    @server.get("/stream")
    async def stream():
        async def pieces():
            for piece in "abc":
                note()
                await asyncio.sleep(0)
                yield piece

        return Response(content=pieces())

    server.get("/plain")(lambda: "plain")
    server.get("/wrong")(lambda: int("x"))
    running = start()
    texts = {path: running.fetch(path).text for path in ("/async", "/plain", "/wrong", "/none", "/stream")}
    assert texts == {"/async": "async", "/plain": "plain", "/wrong": "wrong", "/none": "missing", "/stream": "abc"}
    assert len(loops) == 1 + 5 * 2 + 1 + 1 + 1 + 3
    assert len(set(loops)) == 1


def test_a_context_for_each_of_many_requests_at_once(server, start):
    go_on, waiting = asyncio.Event(), []

    async def deep():
        return USER.get()

    @server.get("/<name>")
    async def handler(name):
        before = USER.get()
        USER.set(name)
        waiting.append(name)
        if len(waiting) == 20:
            go_on.set()
        await go_on.wait()
        in_thread = await asyncio.to_thread(USER.get)
        in_task = await asyncio.create_task(deep())
        return " ".join([before, USER.get(), in_thread, in_task])

    running = start()
    wires = [running.wire() for _ in range(20)]
    for number, wire in enumerate(wires):
        wire.send(request_bytes(f"/{number}"))
    answers = [wire.receive_answer().text for wire in wires]
    assert answers == [f"nobody {number} {number} {number}" for number in range(20)]
    for wire in wires:
        wire.close()


def test_a_plain_decorated_handler_has_a_context_of_its_own(server, start):
    @server.get("/<name>")
    def handler(name):
        before = USER.get()
        USER.set(name)
        return f"{before} {USER.get()}"

    with start().wire() as wire:
        wire.send(b"".join(request_bytes(f"/{name}") for name in "abc"))
        assert [wire.receive_answer().text for _ in range(3)] == ["nobody a", "nobody b", "nobody c"]


def test_blocking_work_goes_to_a_thread(server, start):
    gate = threading.Event()

    @server.get("/waits")
    async def waits():
        return await asyncio.to_thread(lambda: str(gate.wait(10)))

    @server.get("/opens")
    async def opens():
        gate.set()
        return "opened"

    running = start()
    with running.wire() as wire:
        wire.send(request_bytes("/waits"))
        assert running.fetch("/opens").text == "opened"
        assert wire.receive_answer().text == "True"


@pytest.mark.parametrize("with_hooks", [False, True])
def test_a_client_that_goes_away_cancels_any_await(server, start, with_hooks):
    steps = []
    server.config["cancel_on_disconnect"] = True
    if with_hooks:
        server.before_request(lambda: steps.append("before"))
        server.after_request(lambda response: steps.append("after"))
        server.errorhandler(Exception)(lambda error: steps.append("error"))

    @server.get("/<name>")
    async def handler(name):
        try:
            steps.append("begun")
            await asyncio.gather(asyncio.sleep(30), asyncio.sleep(30))
        except BaseException as error:
            steps.append(type(error).__name__)
            raise
        finally:
            steps.append("cleaned")

    running = start()
    with running.wire() as wire:
        wire.send(request_bytes("/x"))
        wait_until(lambda: "begun" in steps)
    wait_until(lambda: "cleaned" in steps)
    before = ["before"] if with_hooks else []
    assert steps == [*before, "begun", "CancelledError", "cleaned"]


def test_a_hook_that_waits_is_cancelled_too(server, start):
    steps = []
    server.config["cancel_on_disconnect"] = True

    @server.before_request
    async def before():
        try:
            steps.append("begun")
            await asyncio.sleep(30)
        finally:
            steps.append("cleaned")

    @server.get("/")
    async def handler():
        steps.append("never")

    with start().wire() as wire:
        wire.send(request_bytes("/"))
        wait_until(lambda: "begun" in steps)
    wait_until(lambda: "cleaned" in steps)
    assert steps == ["begun", "cleaned"]


def test_process_timeout_ends_async_handlers_with_hooks_as_well(server, start):
    ended = threading.Event()
    server.config["process_timeout"] = 0.3
    server.before_request(lambda: None)

    @server.get("/")
    async def handler():
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    assert start().fetch("/").status == 504
    assert ended.wait(10)


def test_an_http_client_of_others_lives_as_long_as_the_server(server, start):
    """httpx keeps its connections on one loop: opened at the start, used by handlers at once, closed at the end."""

    class Backend(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = f"backend {self.path}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=backend.serve_forever)
    thread.start()

    @server.on_startup
    async def up():
        server.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{backend.server_port}", trust_env=False)

    @server.on_shutdown
    async def down():
        await server.client.aclose()

    @server.get("/<path:rest>")
    async def proxy(rest):
        answers = await asyncio.gather(*(server.client.get(f"/{rest}/{number}") for number in range(5)))
        return [answer.text for answer in answers]

    @server.errorhandler(404)
    async def missing():
        return (await server.client.get("/missing")).text

    try:
        running = start()
        for name in ("a", "b"):
            assert running.fetch(f"/{name}").body.decode().count(f"backend /{name}/") == 5
        assert running.fetch("/").text == "backend /missing"
        running.stop()
        assert server.client.is_closed
    finally:
        backend.shutdown()
        backend.server_close()
        thread.join()


async def _serve_redis(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, values: dict[bytes, int]) -> None:
    """As much of the protocol of Redis as INCRBY needs; any other command is fine."""
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        if words[0].upper() == b"INCRBY":
            values[words[1]] = values.get(words[1], 0) + 1
            writer.write(b":%d\r\n" % values[words[1]])
        else:
            writer.write(b"+OK\r\n")
        await writer.drain()
    writer.close()


def test_a_pool_of_connections_of_others(server, start):
    values: dict[bytes, int] = {}

    @server.on_startup
    async def up():
        listener = await asyncio.start_server(lambda reader, writer: _serve_redis(reader, writer, values), "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        server.redis = redis.asyncio.Redis(port=port, protocol=2)

    @server.on_shutdown
    async def down():
        await server.redis.aclose()

    @server.get("/count/<name>")
    async def count(name):
        return str(await server.redis.incr(name))

    running = start()
    wires = [running.wire() for _ in range(20)]
    for wire in wires:
        wire.send(request_bytes("/count/x") * 5)
    numbers = [int(wire.receive_answer().text) for wire in wires for _ in range(5)]
    assert sorted(numbers) == list(range(1, 101))
    for wire in wires:
        wire.close()


def test_plain_and_async_beside_one_another_in_one_pipeline(server, start):
    server.get("/plain/<int:n>")(lambda n: f"plain {n}")

    @server.get("/async/<int:n>")
    async def later(n):
        await asyncio.sleep(0.001 * (n % 3))
        return f"async {n}"

    with start().wire() as wire:
        wire.send(b"".join(request_bytes(f"/{kind}/{n}") for n in range(10) for kind in ("async", "plain")))
        texts = [wire.receive_answer().text for _ in range(20)]
    assert texts == [f"{kind} {n}" for n in range(10) for kind in ("async", "plain")]
