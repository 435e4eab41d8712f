"""Handlers written as `async def`: many at once, cancelled with their clients if that is asked for, each in a context of its own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading

import pytest

from outside import Response
from support.harness import Script
from support.names import steady
from support.wire import DEADLINE, Wire, request_bytes


@pytest.mark.parametrize(
    ("value", "status", "body"),
    [
        ("text", 200, b"text"),
        (b"b", 200, b"b"),
        ({"a": 1}, 200, None),
        (None, 204, b""),
        ((404, "gone"), 404, None),
        (5, 500, None),
        (Response(201, {}, "r"), 201, b"r"),
    ],
    ids=steady,
)
def test_returns_are_converted_alike(serve, value, status, body):
    async def handler(request):
        return value

    answer = serve(handler).fetch()
    assert answer.status == status
    assert body is None or answer.body == body


def test_after_a_real_wait(serve):
    async def handler(request):
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return request.url

    assert serve(handler).fetch("/waited").text == "/waited"


def test_an_exception_is_a_500(serve, records):
    async def handler(request):
        await asyncio.sleep(0)
        raise RuntimeError("secret of the coroutine")

    answer = serve(handler).fetch()
    assert answer.status == 500
    assert "secret" not in answer.text
    records.wait_for("secret of the coroutine")


def test_one_that_blocks_the_loop_is_named(serve, records):
    begun, gate = threading.Event(), threading.Event()

    async def blocking(request):
        begun.set()
        gate.wait(20)
        return "done"

    async def other(request):
        return "other"

    running = serve({"/blocking": blocking, "/other": other})
    with running.wire() as first, running.wire() as second:
        first.send(request_bytes("/blocking"))
        assert begun.wait(10)
        second.send(request_bytes("/other"))
        assert "gate.wait(20)" in records.wait_for("blocks the event loop").whole
        gate.set()
        assert first.receive_answer().text == "done"
        assert second.receive_answer().text == "other"
    assert len([text for text in records.texts() if "blocks the event loop" in text]) == 1


def test_a_cancelled_handler_is_a_500(serve):
    async def handler(request):
        raise asyncio.CancelledError

    assert serve(handler).fetch().status == 500


def test_many_wait_at_once(serve):
    """None of them ends before all have begun."""
    count, waiting, go_on = 64, [], asyncio.Event()

    async def handler(request):
        waiting.append(request.url)
        if len(waiting) == count:
            go_on.set()
        await asyncio.wait_for(go_on.wait(), 10)
        return request.url

    running = serve(handler)
    wires = [running.wire() for _ in range(count)]
    for number, wire in enumerate(wires):
        wire.send(request_bytes(f"/{number}"))
    assert [wire.receive_answer().text for wire in wires] == [f"/{number}" for number in range(count)]
    for wire in wires:
        wire.close()


def test_pipelined_answers_keep_their_order(serve):
    first = asyncio.Event()

    async def handler(request):
        if request.url == "/first":
            await asyncio.sleep(0.02)
            first.set()
        return request.url

    running = serve(handler)
    with running.wire() as wire:
        wire.send(request_bytes("/first") + request_bytes("/second") + request_bytes("/third"))
        assert [wire.receive_answer().text for _ in range(3)] == ["/first", "/second", "/third"]


def test_all_run_on_one_loop(serve):
    loops = set()

    async def handler(request):
        loops.add((threading.get_ident(), asyncio.get_running_loop()))
        return "x"

    running = serve(handler)
    for _ in range(5):
        running.fetch()
    assert len(loops) == 1


def test_tasks_of_a_handler_run_on(serve):
    done = threading.Event()

    async def background():
        await asyncio.sleep(0)
        done.set()

    tasks = []

    async def handler(request):
        tasks.append(asyncio.create_task(background()))
        return "started"

    running = serve(handler)
    assert running.fetch().text == "started"
    assert done.wait(10)


def test_a_client_that_goes_away_cancels_if_that_is_asked_for(serve):
    begun, cancelled = threading.Event(), threading.Event()

    async def handler(request):
        begun.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    running = serve({"/slow": handler, "/fine": lambda request: "fine"}, cancel_on_disconnect=True)
    with running.wire() as wire:
        wire.send(request_bytes("/slow"))
        assert begun.wait(10)
    assert cancelled.wait(10)
    assert running.fetch("/fine").text == "fine"


def test_termination_waits_for_async_handlers(serve):
    begun = threading.Event()

    async def handler(request):
        begun.set()
        await asyncio.sleep(0.1)
        return "done"

    running = serve(handler)
    with running.wire() as wire:
        wire.send(request_bytes("/"))
        assert begun.wait(10)
        running.server.terminate()
        assert wire.receive_answer().text == "done"
    running.wait_for_return()


def test_contexts_are_apart(serve):
    user = contextvars.ContextVar("user", default="nobody")

    async def handler(request):
        before = user.get()
        user.set(request.url)
        await asyncio.sleep(0.001)
        return f"{before} {user.get()}"

    running = serve(handler)
    wires = [running.wire() for _ in range(8)]
    for number, wire in enumerate(wires):
        wire.send(request_bytes(f"/{number}"))
    assert [wire.receive_answer().text for wire in wires] == [f"nobody /{number}" for number in range(8)]
    for wire in wires:
        wire.close()


class Callable:
    async def __call__(self, request):
        return "object"

    async def method(self, request):
        return "method"


async def _with_prefix(prefix, request):
    return prefix


@pytest.mark.parametrize(
    ("handler", "text"),
    [(Callable(), "object"), (Callable().method, "method"), (functools.partial(_with_prefix, "partial"), "partial")],
    ids=["object", "method", "partial"],
)
def test_other_shapes_of_async_handlers(serve, handler, text):
    assert serve(handler).fetch().text == text


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_plain_function_that_returns_a_coroutine_is_answered(serve):
    async def later():
        return "later"

    answer = serve(lambda request: later()).fetch()
    assert (answer.status, answer.text) == (200, "later") or answer.status == 500


def test_sync_and_async_beside_each_other(serve):
    async def waits(request):
        await asyncio.sleep(0.001)
        return "async"

    running = serve({"/async": waits, "/sync": lambda request: "sync"})
    with running.wire() as wire:
        wire.send((request_bytes("/async") + request_bytes("/sync")) * 10)
        assert [wire.receive_answer().text for _ in range(20)] == ["async", "sync"] * 10


def test_run_again_has_a_working_loop(serve):
    async def handler(request):
        await asyncio.sleep(0)
        return "x"

    running = serve(handler)
    assert running.fetch().text == "x"
    running.stop()
    again = serve(handler)
    assert again.fetch().text == "x"


LEFT_BEHIND = """
import asyncio, sys
from outside import OutsideHTTP, WebSocket

server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", processes={processes}, termination_timeout=5)

async def work(name):
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.01)  # what has to be awaited may be needed to end in order
        print(name, "has ended", flush=True)

async def stubborn():
    try:
        await asyncio.sleep(60)
    finally:
        asyncio.create_task(work("the last one"))
        raise RuntimeError("at the end")

tasks = []

@server.get("/async")
async def handler(request):
    tasks.append(asyncio.create_task(work("async")))
    tasks.append(asyncio.create_task(stubborn()))
    await asyncio.sleep(0.01)
    return "text"

@server.before_request
async def before(request):
    tasks.append(asyncio.create_task(work("before")))
    await asyncio.sleep(0.01)

@server.get("/stream")
async def stream(request):
    from outside import Response
    async def pieces():
        tasks.append(asyncio.create_task(work("stream")))
        yield "text"
    return Response(content=pieces())

server.run()
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_tasks_that_handlers_have_made_are_cancelled_and_awaited(processes):
    """As `asyncio.run` does at its end."""
    script = Script("-c", LEFT_BEHIND.format(processes=processes))
    with Wire(script.address) as wire:
        for path in ("/async", "/stream"):
            assert wire.send(request_bytes(path)).receive_answer().text == "text"
    assert script.stop() == 0
    ended = sorted(line for line in script.output.splitlines() if line.endswith("has ended"))
    assert ended == sorted(f"{name} has ended" for name in ("async", "before", "before", "stream", "the last one"))
    assert "destroyed but it is pending" not in script.errors
    assert script.errors.count("RuntimeError: at the end") == 1, script.errors


def test_an_answer_does_not_wait_for_a_handler_behind_it_that_blocks(serve):
    """Answers of one batch wake the reactor once: not only at the end of the batch, if that does not come."""
    gate, end = threading.Event(), threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def handler(request):
        loops.append(asyncio.get_running_loop())
        if request.url == "/blocks":
            end.wait(DEADLINE)
        return request.url

    running = serve({"/quick": handler, "/blocks": handler, "/plain": lambda request: "plain"})
    assert running.fetch("/quick").text == "/quick"
    with running.wire() as quick, running.wire() as last:
        loops[0].call_soon_threadsafe(gate.wait, DEADLINE)
        quick.send(request_bytes("/quick"))
        last.send(request_bytes("/blocks"))
        # The event loop of the server has gone round, so both are handed over.
        assert [running.fetch("/plain").text for _ in range(3)] == ["plain"] * 3
        gate.set()
        assert quick.receive_answer().text == "/quick"
        end.set()
        assert last.receive_answer().text == "/blocks"
