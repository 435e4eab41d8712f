"""Topics: a published message reaches all subscribers, from any thread or handler, and slow readers delay no other client."""

from __future__ import annotations

import threading
import time

import pytest

from outside import TextMessage, WebSocket
from support.harness import wait_until
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, STYLES, websocket
from support.websocket_wire import BINARY, PING, PONG, WebSocketClient, close_frame, frame

every_style = pytest.mark.parametrize("style", STYLES)


def chat(style: str, server: list, **options: object) -> WebSocket:
    """`+topic` subscribes, `-topic` unsubscribes, `topic text` publishes; each is confirmed to its sender."""

    def answer(connection, message):
        text = message.text
        if text[:1] == "+":
            connection.subscribe(text[1:])
        elif text[:1] == "-":
            connection.unsubscribe(text[1:])
        else:
            topic, _, said = text.partition(" ")
            server[0].publish(topic, said)
            return None
        return "done"

    return websocket(style, answer, **options)


def subscribed(address: tuple, *topics: str) -> WebSocketClient:
    client = WebSocketClient(address)
    for topic in topics:
        assert client.send_message("+" + topic).receive_message() == "done"
    return client


def settled(client: WebSocketClient) -> None:
    """A message on its way to the client would have come before this answer."""
    client.send(frame(PING, b"settled"))
    assert client.receive_frame() == (PONG, b"settled")


@every_style
def test_handlers_publish(serve, style):
    server: list = []
    running = serve({"/ws": chat(style, server)})
    server.append(running.server)
    first, second = subscribed(running.address, "room"), subscribed(running.address, "room", "other")
    third = subscribed(running.address, "other")
    first.send_message("room hello")
    assert (first.receive_message(), second.receive_message()) == ("hello", "hello")
    third.send_message("other grüße")
    assert (second.receive_message(), third.receive_message()) == ("grüße", "grüße")
    assert second.send_message("-room").receive_message() == "done"
    first.send_message("room again")
    assert first.receive_message() == "again"
    settled(second)
    settled(third)
    first.close_cleanly()
    second.send_message("room nobody").send_message("other somebody")
    assert (second.receive_message(), third.receive_message()) == ("somebody", "somebody")
    for client in (second, third):
        client.close()


@every_style
def test_subscribing_twice_is_once(serve, style):
    server: list = []
    running = serve({"/ws": chat(style, server)})
    server.append(running.server)
    with subscribed(running.address, "room", "room") as client:
        running.server.publish("room", "one")
        assert client.receive_message() == "one"
        settled(client)
        assert client.send_message("-room").receive_message() == "done"
        running.server.publish("room", "two")
        settled(client)


@every_style
def test_http_handlers_publish(serve, style):
    def publish(request):
        running.server.publish("room", request.content if request.params["kind"] == "binary" else request.text)

    async def publish_later(request):
        return publish(request)

    running = serve({"/ws": chat(style, []), "/publish": publish, "/later": publish_later})
    with subscribed(running.address, "room") as client:
        for path in ("/publish", "/later"):
            assert running.fetch(f"{path}?kind=text", "POST", body=b"hello").status == 204
            assert client.receive_message() == "hello"
            assert running.fetch(f"{path}?kind=binary", "POST", body=b"\xff\0").status == 204
            assert client.receive_message() == b"\xff\0"


def test_every_kind_of_data(serve):
    running = serve({"/ws": chat(CALLBACKS, [])})
    with subscribed(running.address, "room") as client:
        for given, heard in [
            ("text", "text"),
            (b"bytes", b"bytes"),
            (bytearray(b"a"), b"a"),
            (memoryview(b"m"), b"m"),
            (TextMessage(b"t"), "t"),
            ("", ""),
        ]:
            running.server.publish("room", given)
            assert client.receive_message() == heard
        for wrong in (1, None, ["x"], {"a": 1}):
            with pytest.raises(TypeError, match="a message is str .text. or bytes .binary."):
                running.server.publish("room", wrong)
        with pytest.raises(TypeError):
            running.server.publish(1, "text")
        running.server.publish("nobody", "is there")
        settled(client)


def test_other_threads_publish_in_order(serve):
    running = serve({"/ws": chat(CALLBACKS, [])})
    clients = [subscribed(running.address, "room") for _ in range(5)]

    def publish(name):
        for number in range(200):
            running.server.publish("room", f"{name} {number}")

    threads = [threading.Thread(target=publish, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for client in clients:
        heard = [client.receive_message().split() for _ in range(600)]
        for name in "abc":
            assert [int(number) for which, number in heard if which == name] == list(range(200))
        client.close()
    for thread in threads:
        thread.join()


def test_before_and_after_a_run(serve):
    """Publishing without subscribers is no error, at any time."""
    running = serve({"/ws": chat(CALLBACKS, [])})
    running.server.publish("room", "hello")
    running.stop()
    running.server.publish("room", "hello")


def test_servers_have_topics_of_their_own(serve):
    first, second = serve({"/ws": chat(CALLBACKS, [])}), serve({"/ws": chat(CALLBACKS, [])})
    with subscribed(first.address, "room") as one, subscribed(second.address, "room") as two:
        first.server.publish("room", "first")
        second.server.publish("room", "second")
        assert (one.receive_message(), two.receive_message()) == ("first", "second")
        settled(one)
        settled(two)


@pytest.mark.timed
@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
@pytest.mark.parametrize(("when_full", "code"), [("wait", 1013), ("close", 1013), ("drop_oldest", None)])
def test_a_slow_reader_delays_no_other_client(serve, style, when_full, code):
    """Publishing never waits: a client that does not read is closed, or loses the oldest messages; the others get all."""
    running = serve({"/ws": chat(style, [], max_queue=200_000, when_full=when_full)})
    slow, quick = subscribed(running.address, "room"), subscribed(running.address, "room")
    message = b"x" * 20_000
    begun = time.monotonic()
    for _ in range(600):
        running.server.publish("room", message)
        assert quick.receive_message() == message
    assert time.monotonic() - begun < 20
    running.server.publish("room", "last")
    assert quick.receive_message() == "last"
    count = 0
    while (received := slow.receive_frame())[0] == BINARY:
        count += 1
    assert count < 600
    if code:
        assert received == (8, code.to_bytes(2, "big") + b"the client reads too slowly")
        slow.send_if_possible(close_frame(code))
        wait_until(lambda: len(running.server._active_requests) == 1)
    else:
        assert received == (1, b"last")
    quick.close()
    slow.close()


@every_style
def test_a_flood_of_a_client_is_read_more_slowly(serve, records, style):
    """Messages that wait to be handed out are bounded, and yet all arrive, in order; an async handler's task gives way to others."""
    server: list = []

    async def other(request):
        return "others go on"

    running = serve({"/ws": chat(style, server), "/other": other}, max_published_mb=0.25)
    server.append(running.server)
    count = 20_000
    with subscribed(running.address, "room") as member, subscribed(running.address) as publisher:
        flood = b"".join(frame(1, b"room %d" % number) for number in range(count))
        sending = threading.Thread(target=publisher.send, args=(flood,))
        sending.start()
        assert running.fetch("/other").text == "others go on"
        assert [int(member.receive_message()) for _ in range(count)] == list(range(count))
        sending.join()
    assert not any("max_published_mb" in text for text in records.texts())


def test_messages_published_by_a_request_are_dropped_beyond_a_bound(serve, records):
    """Its handler cannot be read more slowly, and publishing does not wait."""
    limit, published = 'config["max_published_mb"] sets this limit', []

    def publish(request):
        """Each message costs the handler one copy and the server one write per member, so the bound is soon reached."""
        for number in range(10_000):
            running.server.publish("room", b"%6d" % number + b"x" * 4000)
            published.append(number)
            if number % 100 == 0 and any(limit in text for text in records.texts()):
                return

    running = serve({"/ws": chat(CALLBACKS, [], max_queue=64 << 20), "/publish": publish}, max_published_mb=1)
    others = [subscribed(running.address, "room") for _ in range(10)]
    with subscribed(running.address, "room") as member:
        assert running.fetch("/publish").status == 204
        running.server.publish("room", "the end")
        heard = []
        while (message := member.receive_message()) != "the end":
            heard.append(int(message[:6]))
        assert heard == sorted(heard)
        assert 100 < len(heard) < len(published)
        dropped = records.wait_for(limit).getMessage()
        assert "1 messages so far" in dropped
    for other in others:
        other.reset()


@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_subscribers_that_have_left_are_forgotten(serve, style):
    server: list = []
    running = serve({"/ws": chat(style, server)})
    server.append(running.server)
    for number in range(30):
        client = subscribed(running.address, "room", "other")
        client.reset() if number % 2 else client.close_cleanly()
    wait_until(lambda: not running.server._active_requests)
    with subscribed(running.address, "room") as client:
        client.send_message("room hello")
        assert client.receive_message() == "hello"


@every_style
def test_max_topics(serve, records, style):
    """A client that subscribes to names of its own choosing is closed, and others stay; its topics make room."""
    server: list = []
    running = serve({"/ws": chat(style, server)}, max_topics=20)
    server.append(running.server)
    other = subscribed(running.address, *map(str, range(20)))
    assert other.send_message("-7").receive_message() == other.send_message("+new").receive_message() == "done"
    with subscribed(running.address, *map(str, range(20)), "7", "8") as greedy:
        greedy.send(frame(1, b"+one more"))
        while (received := greedy.receive_frame())[0] != 8:
            assert received == (1, b"done")
        assert received[1] == (1008).to_bytes(2, "big") + b"too many topics"
    with subscribed(running.address, "x" * 1024, "y" * 1024, "z" * 1024, "a" * 1024) as greedy:
        greedy.send(frame(1, b"+" + b"b" * 10_000))
        while (received := greedy.receive_frame())[0] != 8:
            assert received == (1, b"done")
    assert 'config["max_topics"]' in records.wait_for("too many topics").getMessage()
    other.send_message("new hello")
    assert other.receive_message() == "hello"
    other.close_cleanly()


@pytest.mark.timed
def test_many_topics_take_no_time(serve):
    running = serve({"/ws": chat(CALLBACKS, [])}, max_topics=1_000_000)
    with WebSocketClient(running.address) as client:
        begun = time.monotonic()
        for first in range(0, 40_000, 1000):
            client.send(b"".join(frame(1, b"+%d" % number) for number in range(first, first + 1000)))
            for _ in range(1000):
                assert client.receive_message() == "done"
        assert time.monotonic() - begun < 10
        client.close_cleanly()


def test_subscribing_in_on_open(serve):
    made = WebSocket()
    made.on_open(lambda connection: connection.subscribe(connection.request.params["room"]))
    running = serve({"/ws": made})
    with WebSocketClient(running.address, "/ws?room=a") as first, WebSocketClient(running.address, "/ws?room=b") as second:
        wait_until(lambda: len(running.server._active_requests) == 2)
        settled(first)
        settled(second)
        running.server.publish("a", "for a")
        running.server.publish("b", "for b")
        assert (first.receive_message(), second.receive_message()) == ("for a", "for b")
