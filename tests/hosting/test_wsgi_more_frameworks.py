"""More frameworks, and packages that stand around applications, unchanged: Socket.IO, Channels, GraphQL, event streams, BlackSheep,
and wrappers that watch an application."""

import asyncio
import json
import sys
import types

import pytest
from websockets.sync.client import connect

from outside import OutsideHTTP, asgi, wsgi
from support.harness import Running, wait_until
from support.wire import fetch


@pytest.fixture
def host():
    running: list[Running] = []

    def begin(app) -> Running:
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config.update(access_log="off", termination_timeout=5)
        server.mount("/", app)
        running.append(Running(server))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def url_of(running: Running, path: str = "") -> str:
    return f"http://{running.address[0]}:{running.address[1]}{path}"


def test_socket_io_by_asgi(host):
    socketio = pytest.importorskip("socketio")
    pytest.importorskip("aiohttp")
    server = socketio.AsyncServer(async_mode="asgi")

    @server.event
    async def add(sid, numbers):
        return sum(numbers)

    running = host(socketio.ASGIApp(server))

    async def ask(transports: list[str]) -> int:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(url_of(running), transports=transports)
            return await client.call("add", [1, 2, 3])

    # The second one begins by polling, and upgrades.
    for transports in (["websocket"], ["polling", "websocket"]):
        assert asyncio.run(asyncio.wait_for(ask(transports), 20)) == 6


def test_socket_io_by_flask(serve):
    flask = pytest.importorskip("flask")
    flask_socketio = pytest.importorskip("flask_socketio")
    socketio = pytest.importorskip("socketio")
    app = flask.Flask("smoke")
    server = flask_socketio.SocketIO(app, async_mode="threading")

    @server.event
    def add(numbers):
        return sum(numbers)

    running = serve({"/": wsgi(app)})

    async def ask() -> int:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(url_of(running), transports=["websocket"])
            return await client.call("add", [1, 2, 3])

    assert asyncio.run(asyncio.wait_for(ask(), 20)) == 6


CHANNELS = """
import django
from django.conf import settings

if not settings.configured:
    settings.configure(DEBUG=False, SECRET_KEY="key", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__)
    django.setup()
# The test of Django may have configured the settings of this process: without a layer a consumer has no name of its own.
settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

layer = InMemoryChannelLayer()


class Room(AsyncWebsocketConsumer):
    async def connect(self):
        if self.scope["query_string"] == b"reject":
            return await self.close()
        self.channel_layer = layer
        await layer.group_add("room", self.channel_name)
        await self.accept("chat")

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            return await self.close(code=4001, reason="as you wish")
        await layer.group_send("room", {"type": "told", "text": text_data})

    async def told(self, event):
        await self.send(text_data=event["text"])


class Page(AsyncHttpConsumer):
    async def handle(self, body):
        await self.send_response(200, b"page of " + str(len(body)).encode())


application = ProtocolTypeRouter({
    "http": URLRouter([path("page", Page.as_asgi())]),
    "websocket": URLRouter([path("room", Room.as_asgi())]),
})
"""


def test_channels(host):
    pytest.importorskip("channels")
    module = types.ModuleType("smoke_channels")
    sys.modules["smoke_channels"] = module
    exec(compile(CHANNELS, "smoke_channels.py", "exec"), module.__dict__)
    running = host(module.application)
    assert running.fetch("/page", "POST", body=b"1234").text == "page of 4"
    address = url_of(running, "/room").replace("http", "ws")
    websockets = pytest.importorskip("websockets")
    with pytest.raises(websockets.exceptions.InvalidStatus) as rejected:
        connect(f"{address}?reject")
    assert rejected.value.response.status_code == 403
    # The group is told over the layer, which has a channel for each connection.
    with connect(address, subprotocols=["chat"]) as one:
        assert one.subprotocol == "chat"
        one.send("close")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            one.recv(10)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as you wish")


def test_strawberry(host):
    strawberry = pytest.importorskip("strawberry")
    from collections.abc import AsyncIterator

    from strawberry.asgi import GraphQL

    @strawberry.type
    class Query:
        @strawberry.field
        def hello(self, name: str) -> str:
            return f"hello {name}"

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def count(self, to: int) -> AsyncIterator[int]:
            for number in range(to):
                yield number

    running = host(GraphQL(strawberry.Schema(Query, subscription=Subscription)))
    query = json.dumps({"query": '{ hello(name: "you") }'}).encode()
    answer = running.fetch("/", "POST", {"Content-Type": "application/json"}, query)
    assert json.loads(answer.text) == {"data": {"hello": "hello you"}}
    address = url_of(running).replace("http", "ws")
    with connect(address, subprotocols=["graphql-transport-ws"]) as client:
        client.send('{"type": "connection_init"}')
        assert json.loads(client.recv(10))["type"] == "connection_ack"
        client.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "subscription { count(to: 3) }"}}))
        told = [json.loads(client.recv(10)) for _ in range(4)]
    assert [message.get("payload", {}).get("data", {}).get("count") for message in told] == [0, 1, 2, None]
    assert told[-1]["type"] == "complete"


def test_sse_starlette(host):
    sse = pytest.importorskip("sse_starlette")
    ended: list[bool] = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("there is none")

        async def events():
            try:
                for number in range(3 if scope["path"] == "/three" else 1_000_000):
                    yield {"data": str(number), "event": "count"}
                    await asyncio.sleep(0.001)
            finally:
                ended.append(True)

        await sse.EventSourceResponse(events())(scope, receive, send)

    running = host(app)
    answer = running.fetch("/three")
    assert answer.header("content-type").startswith("text/event-stream")
    assert answer.text.replace("\r", "").count("event: count\n") == 3
    ended.clear()
    with running.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive_some()
    wait_until(lambda: ended)


def test_blacksheep(host):
    blacksheep = pytest.importorskip("blacksheep")
    app = blacksheep.Application()

    @blacksheep.get("/hello/{name}")
    async def hello(name: str) -> str:
        return f"hello {name}"

    @blacksheep.ws("/echo")
    async def echo(websocket: blacksheep.WebSocket):
        await websocket.accept()
        while True:
            await websocket.send_text(await websocket.receive_text())

    running = host(app)
    assert "hello you" in running.fetch("/hello/you").text
    with connect(url_of(running, "/echo").replace("http", "ws")) as client:
        client.send("it")
        assert client.recv(10) == "it"


class Watched:
    """A wrapper as Sentry's: the application is called by an attribute of the instance."""

    def __init__(self, app, seen: list[str]) -> None:
        self.app, self.seen = app, seen

    def __call__(self, environ, start_response):
        class Content:
            def __init__(inner, content) -> None:
                inner.content = content

            def __iter__(inner):
                yield from inner.content

            def close(inner) -> None:
                self.seen.append(f"closed {environ['PATH_INFO']}")
                if hasattr(inner.content, "close"):
                    inner.content.close()

        self.seen.append(f"called {environ['PATH_INFO']}")
        return Content(self.app(environ, start_response))


def test_wrappers_see_each_call_and_its_end(serve):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"page"]

    async def asynchronous(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"page"})

    seen: list[str] = []

    class Patched:
        async def __call__(self, scope, receive, send):
            raise AssertionError("the attribute of the instance counts")

    patched = Patched()

    async def watching(scope, receive, send):
        seen.append(f"called {scope['path']}")
        await asynchronous(scope, receive, send)

    patched.__call__ = lambda scope, receive, send: watching(scope, receive, send)
    running = serve({"/": wsgi(Watched(app, seen)), "/asgi": asgi(patched.__call__, lifespan="off")})
    assert fetch(running.address, "/a").text == "page"
    wait_until(lambda: seen == ["called /a", "closed /a"])
    assert fetch(running.address, "/asgi").text == "page"
    assert seen[-1] == "called /asgi"


def test_contexts_of_requests_that_overlap_do_not_mix(host):
    """As tracing needs it: each request has a parent of its own."""
    from contextvars import ContextVar

    current: ContextVar[str] = ContextVar("current", default="none")
    wrong: list[str] = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("there is none")
        if current.get() != "none":
            wrong.append(current.get())
        current.set(scope["path"])
        await asyncio.sleep(0.001)
        if current.get() != scope["path"]:
            wrong.append(current.get())
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": current.get().encode()})

    running = host(app)
    wires = [running.wire() for _ in range(16)]
    for turn in range(5):
        for number, wire in enumerate(wires):
            # Two at once, so that one begins where another one ends.
            wire.send(f"GET /{turn}/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 2)
        for number, wire in enumerate(wires):
            assert [wire.receive_answer().text for _ in range(2)] == [f"/{turn}/{number}"] * 2
    for wire in wires:
        wire.close()
    assert wrong == []
