"""One request object and one `contextvars` context, from the first hook to the last.

Values that `before_request` sets are looked at in every place that a request reaches: a handler, an error handler, the pieces of a stream,
`after_request`, `post_callback`, a WebSocket's handlers, the log; for plain and async handlers, over both versions of HTTP.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import queue
import time
import weakref

import httpx
import pytest
from websockets.sync.client import connect

from outside import Folder, Response, WebSocket, abort, event_stream
from support.handler_styles import STYLES, styled
from support.wire import DEADLINE, request_bytes

USER = contextvars.ContextVar("user", default="nobody")


def values(request) -> str:
    """The user of the request as context and request have it here."""
    return f"{USER.get()} {getattr(request, 'user', 'nobody')}"


class Observations:
    """The values that each place saw, and whether the request was one object."""

    def __init__(self, server, style: str = "plain") -> None:
        self.after: queue.Queue = queue.Queue()
        self.last: queue.Queue = queue.Queue()
        self.objects: queue.Queue = queue.Queue()

        def before(request):
            self.objects.put(request)
            assert USER.get() == "nobody", "the value of another request"
            USER.set("ada")
            request.user = "ada"

        def after(request, response):
            self.after.put(values(request))
            assert self.objects.get(timeout=DEADLINE) is request
            self.objects.put(request)

        def last(request, response):
            is_same = self.objects.get(timeout=DEADLINE) is request
            self.last.put((values(request), is_same))

        server.before_request(styled(style, lambda request: before(request)))
        server.after_request(styled(style, lambda request, response: after(request, response)))
        server.config["post_callback"] = last

    def check(self) -> None:
        assert self.after.get(timeout=DEADLINE) == "ada ada"
        assert self.last.get(timeout=DEADLINE) == ("ada ada", True)


def pieces(request):
    for _ in range(2):
        yield values(request) + ";"


async def later_pieces(request):
    for _ in range(2):
        await asyncio.sleep(0)
        yield values(request) + ";"


ANSWERS = {
    "text": (lambda request: values(request), 200, "ada ada"),
    "generator": (lambda request: Response(content=pieces(request)), 200, "ada ada;" * 2),
    "async generator": (lambda request: Response(content=later_pieces(request)), 200, "ada ada;" * 2),
    "events": (lambda request: event_stream(pieces(request)), 200, "data: ada ada;\n\n" * 2),
    "async events": (lambda request: event_stream(later_pieces(request)), 200, "data: ada ada;\n\n" * 2),
    "abort": (lambda request: abort(404), 404, "ada ada"),
    "tuple": (lambda request: (404, "no"), 404, "ada ada"),
    "exception": (lambda request: 1 / 0, 500, "ada ada"),
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("around", STYLES)
@pytest.mark.parametrize("style", STYLES)
def test_every_kind_of_handler(server, start, site, style, around, version):
    server.config["h2c"] = True
    seen = Observations(server, around)
    for code in (404, 405, 500):
        server.errorhandler(code)(styled(around, lambda request, message, code=code: Response(code, content=values(request))))
    for name, (answer, _, _) in ANSWERS.items():
        server.get(f"/decorated/{name}")(styled(style, lambda request, answer=answer: answer(request)))
        server.set_route(f"/plain/{name}", styled(style, lambda request, answer=answer: answer(request)))
    server.set_route("/site", Folder(site))
    base = "http://{}:{}".format(*start().address)
    with httpx.Client(http1=version == "HTTP/1.1", http2=version == "HTTP/2", base_url=base, trust_env=False) as client:
        for name, (_, status, text) in ANSWERS.items():
            for kind in ("decorated", "plain"):
                answer = client.get(f"/{kind}/{name}")
                assert (answer.status_code, answer.text) == (status, text), (kind, name)
                seen.check()
        others = [
            ("GET", "/site/a.txt", 200, "a.txt"),
            ("GET", "/site/none", 404, "ada ada"),
            ("GET", "/none", 404, "ada ada"),
            ("PUT", "/decorated/text", 405, "ada ada"),
            ("PUT", "/site/a.txt", 405, "ada ada"),
            ("OPTIONS", "/decorated/text", 204, ""),
        ]
        for method, path, status, text in others:
            answer = client.request(method, path)
            assert (answer.status_code, answer.text) == (status, text), (method, path)
            seen.check()


@pytest.mark.timed
@pytest.mark.parametrize("style", STYLES)
def test_a_late_handler(server, start, style):
    """504 is answered while the handler still has its context, or when it was cancelled."""
    server.config.update({"process_timeout": 0.2, "termination_timeout": 5})
    seen = Observations(server)
    server.errorhandler(504)(lambda request, message: Response(504, content=values(request)))

    if style == "plain":

        @server.get("/")
        def late(request):
            end = time.monotonic() + 1
            while time.monotonic() < end:
                time.sleep(0.01)
    else:

        @server.get("/")
        async def late(request):
            await asyncio.sleep(DEADLINE)

    answer = start().fetch("/")
    assert (answer.status, answer.text) == (504, "ada ada")
    seen.check()


@pytest.mark.parametrize("around", STYLES)
@pytest.mark.parametrize("style", ["blocking", "async", "callbacks", "async callbacks"])
def test_websockets(server, start, style, around):
    objects: list = []

    def before(request):
        objects.append(request)
        USER.set(request.query)
        request.user = request.query

    server.before_request(styled(around, lambda request: before(request)))
    ended: queue.Queue = queue.Queue()
    websocket = WebSocket()

    def answer(connection):
        return f"{values(connection.request)} {connection.request in objects}"

    if style == "blocking":

        @websocket.on_connection
        def serve(connection):
            for _ in connection:
                connection.send(answer(connection))

    elif style == "async":

        @websocket.on_connection
        async def serve(connection):
            async for _ in connection:
                await connection.send(answer(connection))

    elif style == "callbacks":
        websocket.on_open(lambda connection: connection.send(answer(connection)))
        websocket.on_message(lambda connection, message: connection.send(answer(connection)))
    else:

        @websocket.on_open
        async def opened(connection):
            await connection.send(answer(connection))

        @websocket.on_message
        async def message(connection, message):
            await connection.send(answer(connection))

    websocket.on_exit(lambda connection: ended.put(answer(connection)))
    server.set_route("/ws", websocket)
    url = "ws://{}:{}/ws".format(*start().address)
    with connect(url + "?ada", proxy=None) as first, connect(url + "?bob", proxy=None) as second:
        for name, client in [("ada", first), ("bob", second), ("ada", first)]:
            if "callbacks" in style and client.protocol.state.name == "OPEN" and not hasattr(client, "greeted"):
                client.greeted = True
                assert client.recv(DEADLINE) == f"{name} {name} True"
            client.send("x")
            assert client.recv(DEADLINE) == f"{name} {name} True"
    assert sorted(ended.get(timeout=DEADLINE) for _ in range(2)) == ["ada ada True", "bob bob True"]


def test_a_token_can_be_given_back_where_the_request_ends(server, start, records):
    """Python refuses a token of another context: it is the very same one, in a stream and after it too."""

    def before(request):
        request.token = USER.set("ada")

    def told(request):
        try:
            yield USER.get()
        finally:
            USER.reset(request.token)

    server.before_request(before)
    server.get("/stream")(lambda request: Response(content=told(request)))
    done: queue.Queue = queue.Queue()

    def last(request, response):
        if request.path == "/text":
            USER.reset(request.token)
        done.put(USER.get())

    server.config["post_callback"] = last
    server.get("/text")(lambda request: "text")
    running = start()
    assert running.fetch("/stream").text == "ada"
    assert done.get(timeout=DEADLINE) == "nobody"
    assert running.fetch("/text").text == "text"
    assert done.get(timeout=DEADLINE) == "nobody"
    assert not [record for record in records.records if record.levelno >= logging.ERROR], records.texts()


@pytest.mark.parametrize("style", STYLES)
def test_a_stream_that_is_given_up_ends_in_its_context(server, start, style):
    server.before_request(lambda request: setattr(request, "token", USER.set("ada")))
    ended: queue.Queue = queue.Queue()

    def endless(request):
        try:
            while True:
                yield b"x" * 65536
        finally:
            ended.put(USER.get())
            USER.reset(request.token)
            ended.put("reset")

    async def endless_later(request):
        try:
            while True:
                await asyncio.sleep(0)
                yield b"x" * 65536
        finally:
            ended.put(USER.get())
            USER.reset(request.token)
            ended.put("reset")

    server.get("/")(lambda request: Response(content=(endless if style == "plain" else endless_later)(request)))
    with start().wire() as wire:
        wire.send(request_bytes("/")).receive_some()
    assert ended.get(timeout=DEADLINE) == "ada"
    assert ended.get(timeout=DEADLINE) == "reset"


@pytest.mark.parametrize("style", STYLES)
def test_without_hooks_a_stream_sees_the_context_of_its_handler(serve, style):
    def handler(request):
        USER.set(request.query)
        return Response(content=(pieces if request.path == "/" else later_pieces)(request))

    running = serve({"/": styled(style, handler), "/later": styled(style, handler)})
    for path in ("/", "/later"):
        for name in ("ada", "bob"):
            assert running.fetch(f"{path}?{name}").text == f"{name} nobody;" * 2


def test_a_plain_handler_and_the_hooks_of_the_configuration_share_a_context(serve):
    seen: queue.Queue = queue.Queue()

    def handler(request):
        assert USER.get() == "nobody"
        USER.set(request.query)
        return "text"

    running = serve(
        handler,
        pre_send=lambda response: response.headers.update({"X-User": USER.get()}),
        post_callback=lambda request, response: seen.put(USER.get()),
    )
    for name in ("ada", "bob"):
        assert running.fetch(f"/?{name}").header("X-User") == name
        assert seen.get(timeout=DEADLINE) == name


@pytest.mark.parametrize("style", STYLES)
def test_the_log_is_written_in_the_context(server, start, records, style):
    """A filter that adds the request's own values to records finds them."""
    server.before_request(lambda: USER.set("ada") and None)
    server.get("/raises")(styled(style, lambda request: 1 / 0))
    server.get("/stream")(styled(style, lambda request: Response(content=failing())))

    def failing():
        yield "first"
        raise ZeroDivisionError

    def add_user(record):
        record.user = USER.get()
        return True

    logger = logging.getLogger("outside")
    logger.addFilter(add_user)
    try:
        running = start()
        for path in ("/raises", "/stream"):
            with running.wire() as wire:
                wire.send(request_bytes(path, headers={"Connection": "close"})).receive_rest()
            assert records.wait_for(f"GET {path}: ").user == "ada"
    finally:
        logger.removeFilter(add_user)


def test_those_of_a_group_are_called_after_its_files_and_streams(server, start, site):
    from outside import Routes

    group = Routes("/group")
    group.before_request(lambda request: setattr(request, "user", "ada"))
    group.after_request(lambda request, response: response.headers.update({"X-User": request.user}))
    group.get("/site/<path:name>")(Folder(site))
    group.get("/stream")(lambda request: Response(content=pieces(request)))
    server.mount(group)
    running = start()
    for path in ("/group/site/a.txt", "/group/stream"):
        assert running.fetch(path).header("X-User") == "ada", path
    assert running.fetch("/none").header("X-User") is None


def test_a_context_that_holds_its_request_is_let_go_of(server, start):
    """The commonest use: the request that is being handled, for any caller. It must not keep every request alive."""
    current = contextvars.ContextVar("current")
    seen: list = []

    def before(request):
        current.set(request)
        seen.append(weakref.ref(request))

    server.before_request(before)
    server.after_request(lambda request, response: None)
    server.get("/text")(lambda: current.get().path)
    server.get("/stream")(lambda: Response(content=(current.get().path for _ in range(2))))
    running = start()
    for path in ("/text", "/stream", "/none", "/text"):
        running.fetch(path)
    running.stop()
    gc.collect()
    assert [reference() for reference in seen] == [None] * 4
