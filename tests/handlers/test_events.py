"""Server-sent events: `event_stream` makes an answer of a generator, or of an async generator, of events."""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from outside import Event, event_stream
from support.wire import DEADLINE


def wire_of(*events: object, **options: object) -> bytes:
    content = event_stream(events, **options).content  # type: ignore[arg-type]
    return b"".join(content)  # type: ignore[arg-type]


def test_the_form_of_an_event():
    assert wire_of("it rains") == b"data: it rains\n\n"
    assert wire_of("two\nlines", "and\r\nthree\rmore") == b"data: two\ndata: lines\n\ndata: and\ndata: three\ndata: more\n\n"
    assert wire_of({"a": [1, "ü"]}, 7, None) == 'data: {"a":[1,"ü"]}\n\ndata: 7\n\ndata: null\n\n'.encode()
    event = Event("x", event="rain", id=3, retry=500)
    assert wire_of(event) == b"id: 3\nevent: rain\nretry: 500\ndata: x\n\n"
    assert wire_of("x", retry=2000) == b"retry: 2000\n\ndata: x\n\n"


def test_events_that_wait_for_a_stream_of_a_topic_leave_in_one_piece():
    content = event_stream(topic="room").content
    stream = content._events._stream  # type: ignore[union-attr]
    for number in range(3):
        assert stream.take("1-1", f"{number}")
    assert stream.take(None, "room")
    for _ in range(200):
        assert stream.take("1-1", "x" * 1000)

    async def read() -> list[bytes]:
        return [await anext(content) for _ in range(4)]  # type: ignore[arg-type]

    first, *others = asyncio.run(read())
    assert first.startswith(b"data: 0\n\ndata: 1\n\ndata: 2\n\nevent: gap\ndata: room\n\ndata: xxx")
    # Pieces have a bound, and all events come, in their order.
    assert all(64_000 < len(piece) < 70_000 for piece in (first, *others[:2]))
    assert b"".join([first, *others]).count(b"data: x") == 200


@pytest.mark.parametrize("bad", [Event("x", event="a\nb"), Event("x", id="a\r"), Event("x", id="\0")])
def test_values_that_are_no_event(bad):
    with pytest.raises(ValueError, match="one line"):
        wire_of(bad)


def test_the_answer_is_not_kept_and_not_held_back(serve):
    answer = serve(lambda request: event_stream(["a"])).fetch("/")
    assert answer.header("Content-Type") == "text/event-stream"
    assert answer.header("Cache-Control") == "no-cache"
    assert answer.header("Content-Encoding") is None
    assert answer.body == b"data: a\n\n"


def plain(told: queue.Queue):
    def handler(request):
        def events():
            while (event := told.get(timeout=DEADLINE)) is not None:
                yield event

        return event_stream(events(), keep_alive=0.1)

    return handler


def asynchronous(told: queue.Queue):
    async def handler(request):
        async def events():
            while (event := await asyncio.to_thread(told.get, timeout=DEADLINE)) is not None:
                yield event

        return event_stream(events(), keep_alive=0.1)

    return handler


@pytest.mark.parametrize("kind", [plain, asynchronous])
def test_events_arrive_when_they_happen(serve, kind):
    told: queue.Queue = queue.Queue()
    with serve(kind(told)).wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(wire, b"\r\n\r\n")  # the head is there before any event
        for number in range(3):
            told.put(str(number))
            read_until(wire, b"data: %d\n\n" % number)
        read_until(wire, b": keep-alive\n\n")
        told.put(None)
        read_until(wire, b"\r\n0\r\n\r\n")


@pytest.mark.timed
@pytest.mark.parametrize("kind", [plain, asynchronous])
def test_silence_is_no_time_out(serve, kind):
    told: queue.Queue = queue.Queue()
    with serve(kind(told), process_timeout=0.3).wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(8):
            read_until(wire, b": keep-alive\n\n")
        told.put("still there")
        told.put(None)
        read_until(wire, b"data: still there\n\n")


def test_a_reader_that_leaves_ends_the_generator(serve):
    ended = threading.Event()

    async def handler(request):
        async def events():
            try:
                yield "first"
                await asyncio.sleep(DEADLINE)
            finally:
                ended.set()

        return event_stream(events())

    with serve(handler).wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_until(wire, b"data: first\n\n")
    assert ended.wait(DEADLINE)


def test_a_reader_that_comes_back_says_where_it_was(serve):
    def handler(request):
        first = int(request.headers.get("Last-Event-ID", 0)) + 1
        return event_stream(Event(number, id=number) for number in range(first, first + 2))

    running = serve(handler)
    assert running.fetch("/").body == b"id: 1\ndata: 1\n\nid: 2\ndata: 2\n\n"
    assert running.fetch("/", "GET", {"Last-Event-ID": "2"}).body == b"id: 3\ndata: 3\n\nid: 4\ndata: 4\n\n"


def test_keep_alive_is_a_time():
    for bad in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="keep_alive"):
            event_stream([], keep_alive=bad)


def read_until(wire, wanted: bytes) -> None:
    """Reads up to and with these bytes, and forgets them."""
    while (at := wire.received.find(wanted)) < 0:
        assert wire.receive_some(), bytes(wire.received)
    del wire.received[: at + len(wanted)]
