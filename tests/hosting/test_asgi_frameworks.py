"""Frameworks of ASGI, unchanged, each doing what its applications do."""

import asyncio
import contextlib
import os
import sys
import threading
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from outside import OutsideHTTP, asgi
from support.harness import Running, Script, wait_until
from support.wire import Answer, Wire, fetch

MEGABYTES_24 = 24 << 20


@pytest.fixture
def host():
    """Mounts applications by their prefix."""
    running: list[Running] = []

    def begin(**apps) -> Running:
        server = OutsideHTTP(("127.0.0.1", 0))
        server.config["termination_timeout"] = 5
        for prefix, app in apps.items():
            server.mount("/" if prefix == "root" else f"/{prefix}", app)
        running.append(Running(server))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


def websocket(running: Running, path: str, **options):
    return connect(f"ws://{running.address[0]}:{running.address[1]}{path}", **options)


def upload(running: Running, path: str, size: int) -> Answer:
    boundary = "boundary"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'.encode()
        + b"u" * size
        + f"\r\n--{boundary}--\r\n".encode()
    )
    return running.fetch(path, "POST", {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body)


def starlette_app(folder: Path, seen: list[str]):
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Mount, Route, WebSocketRoute
    from starlette.staticfiles import StaticFiles

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield {"greeting": "from the lifespan"}
        seen.append("ended")

    async def home(request):
        return PlainTextResponse(f"{request.state.greeting} {request.url.path} {request.client.host}")

    async def parts(request):
        async def pieces():
            try:
                for number in range(3 if "endless" not in request.query_params else 1_000_000):
                    yield f"part {number}\n"
                    await asyncio.sleep(0.001)
            finally:
                seen.append("stream closed")

        return StreamingResponse(pieces(), media_type="text/plain")

    async def background(request):
        async def work():
            await asyncio.sleep(0.02)
            seen.append("background")

        return PlainTextResponse("soon", background=BackgroundTask(work))

    async def gone(request):
        while not await request.is_disconnected():
            await asyncio.sleep(0.005)
        seen.append("disconnected")
        return PlainTextResponse("late")

    async def echo(connection):
        await connection.accept()
        async for message in connection.iter_json():
            await connection.send_json(message)

    async def refused(connection):
        await connection.send_denial_response(PlainTextResponse("no entry", status_code=401))

    return Starlette(
        routes=[
            Route("/", home),
            Route("/parts", parts),
            Route("/background", background),
            Route("/gone", gone),
            Route("/file", lambda request: FileResponse(folder / "file.txt")),
            WebSocketRoute("/echo", echo),
            WebSocketRoute("/refused", refused),
            Mount("/static", StaticFiles(directory=folder)),
        ],
        lifespan=lifespan,
    )


def test_starlette(host, tmp_path):
    (tmp_path / "file.txt").write_bytes(b"0123456789" * 10_000)
    seen: list[str] = []
    running = host(root=starlette_app(tmp_path, seen))
    assert running.fetch().text == "from the lifespan / 127.0.0.1"
    assert running.fetch("/parts").text == "part 0\npart 1\npart 2\n"
    assert running.fetch("/background").text == "soon"
    wait_until(lambda: "background" in seen)
    for path in ("/file", "/static/file.txt"):
        whole, part = running.fetch(path), running.fetch(path, headers={"Range": "bytes=5-8"})
        assert (whole.status, len(whole.body), whole.header("Content-Type")) == (200, 100_000, "text/plain; charset=utf-8")
        assert (part.status, part.body) == (206, b"5678")
        assert running.fetch(path, headers={"If-None-Match": whole.header("ETag")}).status in (200, 304)
    for path, what in (("/parts?endless", "stream closed"), ("/gone", "disconnected")):
        seen.clear()
        with running.wire() as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            if what == "stream closed":
                wire.receive_some()
        wait_until(lambda what=what: what in seen)
    with websocket(running, "/echo") as client:
        client.send('{"a": 1}')
        assert client.recv() == '{"a":1}'
    with pytest.raises(InvalidStatus) as refused:
        websocket(running, "/refused")
    assert (refused.value.response.status_code, refused.value.response.body) == (401, b"no entry")


def fastapi_app():
    from fastapi import BackgroundTasks, Depends, FastAPI, UploadFile, WebSocket
    from pydantic import BaseModel

    app = FastAPI()

    class Item(BaseModel):
        name: str
        price: float

    async def doubled(number: int = 1) -> int:
        return 2 * number

    @app.get("/async")
    async def in_async(number: int = Depends(doubled)):
        return {"number": number}

    @app.get("/def")
    def in_thread():
        return {"main": threading.current_thread() is threading.main_thread()}

    @app.post("/json")
    async def json(item: Item, tasks: BackgroundTasks):
        tasks.add_task(os.getpid)
        return item

    @app.post("/upload")
    async def upload(file: UploadFile):
        return {"size": len(await file.read()), "name": file.filename}

    @app.get("/fails")
    async def fails():
        raise ValueError("in a view")

    @app.websocket("/echo")
    async def echo(connection: WebSocket):
        await connection.accept()
        while True:
            await connection.send_text(await connection.receive_text())

    return app


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_functions_that_wait_share_the_threads_of_anyio(loop, monkeypatch):
    """AnyIO ends a thread with the task that it takes for the root of all others: that may not be the task of a request."""
    from anyio import to_thread

    if loop == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    known = threading.local()

    def is_new() -> bool:
        new = not hasattr(known, "used")
        known.used = True
        return new

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        body = str(await to_thread.run_sync(is_new)).encode()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": body})

    server = OutsideHTTP(("127.0.0.1", 0))
    server.set_route("/", asgi(app))
    running = Running(server)
    try:
        assert [running.fetch("/").text for _ in range(20)] == ["True"] + ["False"] * 19
    finally:
        running.stop()


def test_fastapi_beside_a_second_application(host, tmp_path):
    seen: list[str] = []
    running = host(api=fastapi_app(), other=starlette_app(tmp_path, seen))
    assert running.fetch("/api/async?number=4").text == '{"number":8}'
    assert running.fetch("/api/def").text == '{"main":false}'
    body = b'{"name": "a", "price": 1.5}'
    assert running.fetch("/api/json", "POST", {"Content-Type": "application/json"}, body).text == '{"name":"a","price":1.5}'
    assert running.fetch("/api/json", "POST", {"Content-Type": "application/json"}, b"{}").status == 422
    assert upload(running, "/api/upload", MEGABYTES_24).text == f'{{"size":{MEGABYTES_24},"name":"a.bin"}}'
    assert running.fetch("/api/fails").status == 500
    assert running.fetch("/api/openapi.json").status == 200
    with websocket(running, "/api/echo") as client:
        client.send("hello")
        assert client.recv() == "hello"
    assert running.fetch("/other/").text == "from the lifespan /other/ 127.0.0.1"


def test_litestar(host):
    from litestar import Litestar, get, post, websocket_listener
    from litestar.response import Stream

    seen: list[str] = []

    @get("/hello/{name:str}")
    async def hello(name: str) -> dict[str, str]:
        return {"hello": name}

    @post("/echo")
    async def echo(data: dict[str, int]) -> dict[str, int]:
        return data

    @get("/stream")
    async def stream() -> Stream:
        async def pieces():
            for number in range(3):
                yield str(number)

        return Stream(pieces())

    @websocket_listener("/ws")
    async def listener(data: str) -> str:
        return f"heard {data}"

    # Its logging configuration would stay in this process, and write to where pytest collects output.
    app = Litestar([hello, echo, stream, listener], on_startup=[lambda: seen.append("begun")], logging_config=None)
    running = host(root=app)
    assert seen == ["begun"]
    assert running.fetch("/hello/you").text == '{"hello":"you"}'
    assert running.fetch("/echo", "POST", {"Content-Type": "application/json"}, b'{"a":1}').text == '{"a":1}'
    assert running.fetch("/stream").text == "012"
    with websocket(running, "/ws") as client:
        client.send("it")
        assert client.recv() == "heard it"


def test_quart(host):
    from quart import Quart, abort, request
    from quart import websocket as own

    app, seen = Quart(__name__), []

    @app.post("/size")
    async def size():
        count = 0
        async for piece in request.body:
            count += len(piece)
        return str(count)

    @app.get("/stream")
    async def stream():
        async def pieces():
            for number in range(3):
                yield f"{number}"

        return pieces(), {"X-Mine": "1"}

    @app.get("/background")
    async def background():
        async def work():
            seen.append("background")

        app.add_background_task(work)
        return "soon"

    @app.websocket("/ws")
    async def socket():
        while True:
            await own.send(await own.receive())

    @app.websocket("/refused")
    async def refused():
        abort(401)

    app.config["MAX_CONTENT_LENGTH"] = None
    running = host(root=app)
    assert running.fetch("/size", "POST", body=b"x" * 1_000_000).text == "1000000"
    assert running.fetch("/stream").text == "012"
    assert running.fetch("/background").text == "soon"
    wait_until(lambda: seen)
    with websocket(running, "/ws") as client:
        client.send("it")
        assert client.recv() == "it"
    with pytest.raises(InvalidStatus) as denied:
        websocket(running, "/refused")
    assert denied.value.response.status_code == 401


DJANGO = """\
import asyncio, django
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="for tests", DEBUG=False)
django.setup()
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

async def in_async(request):
    return HttpResponse(f"async {request.path} {request.GET.get('q')}")

def in_thread(request):
    return HttpResponse(f"sync {len(request.body)}")

async def stream(request):
    async def pieces():
        try:
            for number in range(3 if request.GET.get("q") is None else 100_000):
                yield f"{number},"
                await asyncio.sleep(0.001)
        finally:
            print("closed", flush=True)
    return StreamingHttpResponse(pieces())

urlpatterns = [path("async/", in_async), path("sync/", in_thread), path("stream/", stream)]
request_finished.connect(lambda **_: print("finished", flush=True), weak=False)
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config["access_log"] = "off"
server.mount("/", get_asgi_application())
server.run()
"""


def test_django(tmp_path):
    (tmp_path / "program.py").write_text(DJANGO)
    script = Script("program.py", folder=tmp_path)
    assert fetch(script.address, "/async/?q=1").text == "async /async/ 1"
    assert script.read_line() == "finished\n"
    assert fetch(script.address, "/sync/", "POST", {"Content-Type": "text/plain"}, b"x" * 100_000).text == "sync 100000"
    assert script.read_line() == "finished\n"
    assert fetch(script.address, "/stream/").text == "0,1,2,"
    assert {script.read_line(), script.read_line()} == {"closed\n", "finished\n"}
    with Wire(script.address) as wire:
        wire.send(b"GET /stream/?q=endless HTTP/1.1\r\nHost: a\r\n\r\n")
        wire.receive_some()
    # Its generator may be closed later, when it is collected.
    while script.read_line() != "finished\n":
        pass
    assert script.stop() == 0
