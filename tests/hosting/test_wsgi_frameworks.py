"""Applications of WSGI frameworks run unchanged, each with what it relies on beyond a first page."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from outside import wsgi
from support.wire import Wire, fetch, request_bytes

CHUNKED = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def form_of(**fields: str) -> dict[str, Any]:
    body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    return {"method": "POST", "headers": [("Content-Type", "application/x-www-form-urlencoded")], "body": body}


def large_form(size: int) -> dict[str, Any]:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    body = head + b"y" * size + b"\r\n--x--\r\n"
    return {"method": "POST", "headers": [("Content-Type", "multipart/form-data; boundary=x")], "body": body}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    flask = pytest.importorskip("flask")
    sock = pytest.importorskip("flask_sock")
    file = tmp_path_factory.mktemp("flask") / "file.bin"
    file.write_bytes(b"0123456789" * 1000)
    app = flask.Flask("smoke")
    app.secret_key = "key"
    sockets = sock.Sock(app)

    @app.route("/hello/<name>")
    def hello(name):
        return f"{flask.request.script_root} {name} {flask.request.args.get('q')}"

    @app.route("/stream")
    def stream():
        flask.session["name"] = "session"

        @flask.stream_with_context
        def parts():
            for number in range(3):
                yield f"{number} {flask.session['name']} {flask.request.path}\n"

        return parts()

    @app.post("/content")
    def content():
        return str(len(flask.request.get_data()))

    @app.post("/upload")
    def upload():
        return str(len(flask.request.files["file"].read()))

    @app.route("/file")
    def send():
        return flask.send_file(file, conditional=True)

    @app.route("/fails")
    def fails():
        raise ValueError("on purpose")

    @sockets.route("/echo")
    def echo(connection):
        while True:
            connection.send(connection.receive())

    return app


class TestFlask:
    def test_the_matrix(self, server, start, app):
        server.mount("/app", app)
        running = start()
        address = running.address
        assert fetch(address, "/app/hello/%C3%A9?q=1").text == "/app é 1"
        assert fetch(address, "/app/missing").status == 404
        assert fetch(address, "/app/stream").text == "".join(f"{number} session /stream\n" for number in range(3))
        with Wire(address) as wire:
            assert wire.send(CHUNKED % b"/app/content").receive_answer().text == "11"
        assert fetch(address, "/app/upload", **large_form(24 << 20)).text == str(24 << 20)
        ranged = fetch(address, "/app/file", headers=[("Range", "bytes=5-14")])
        assert (ranged.status, ranged.body) == (206, b"5678901234")
        assert fetch(address, "/app/file").body == b"0123456789" * 1000
        assert fetch(address, "/app/fails").status == 500

    def test_flask_sock(self, serve, app):
        host, port = serve({"/": wsgi(app)}).address[:2]
        with connect(f"ws://{host}:{port}/echo") as websocket:
            for message in ("text", b"bytes" * 50_000):
                websocket.send(message)
                assert websocket.recv() == message

    def test_many_clients_on_few_threads(self, serve, app):
        running = serve({"/": wsgi(app)}, max_workers=8)
        with ThreadPoolExecutor(16) as pool:
            answers = pool.map(lambda number: fetch(running.address, f"/hello/{number}").text, range(200))
        assert list(answers) == [f" {number} None" for number in range(200)]


DJANGO = """
import django
from django.conf import settings
from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    DEBUG=False, SECRET_KEY="key", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
finished = []
request_finished.connect(lambda **_: finished.append(1), weak=False)


def rows():
    with connection.cursor() as cursor:
        cursor.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT i FROM n")
        for row in cursor:
            yield f"{row[0]};"


urlpatterns = [
    path("hello/<str:name>", lambda request, name: HttpResponse(f"{request.path} {name} {request.META['SCRIPT_NAME']}")),
    path("content", lambda request: HttpResponse(str(len(request.body)))),
    path("form", lambda request: HttpResponse(request.POST["field"])),
    path("rows", lambda request: StreamingHttpResponse(rows())),
    path("file", lambda request: FileResponse(open(FILE, "rb"))),
]
application = get_wsgi_application()
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    pytest.importorskip("django")
    folder = tmp_path_factory.mktemp("django")
    (folder / "file.txt").write_bytes(b"of django" * 1000)
    names = {"__name__": "smoke_django", "DATABASE": str(folder / "db"), "FILE": str(folder / "file.txt")}
    import sys
    import types

    module = types.ModuleType("smoke_django")
    module.__dict__.update(names)
    sys.modules["smoke_django"] = module
    exec(compile(DJANGO, "smoke_django.py", "exec"), module.__dict__)
    return module


class TestDjango:
    def test_the_matrix(self, server, start, program):
        server.mount("/site", program.application)
        address = start().address
        assert fetch(address, "/site/hello/%C3%A9").text == "/site/hello/é é /site"
        with Wire(address) as wire:
            assert wire.send(CHUNKED % b"/site/content").receive_answer().text == "11"
        assert fetch(address, "/site/form", **form_of(field="value")).text == "value"
        assert fetch(address, "/site/rows").text == "0;1;2;3;4;"
        answer = fetch(address, "/site/file")
        assert (answer.body, answer.header("content-length")) == (b"of django" * 1000, "9000")
        assert fetch(address, "/site/none").status == 404
        assert len(program.finished) == 6

    def test_requests_at_the_same_time_have_a_connection_for_each_thread(self, serve, program):
        running = serve({"/": wsgi(program.application)}, max_workers=4)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: fetch(running.address, "/rows").text, range(40)))
        assert answers == ["0;1;2;3;4;"] * 40


def bottle_app() -> Any:
    bottle = pytest.importorskip("bottle")
    app = bottle.Bottle()
    app.route("/hello")(lambda: f"hello {bottle.request.query.q}")
    app.post("/form")(lambda: bottle.request.forms.field)
    app.route("/file")(lambda: bottle.static_file(Path(__file__).name, root=str(Path(__file__).parent)))
    return app


def falcon_app() -> Any:
    falcon = pytest.importorskip("falcon")

    class Hello:
        def on_get(self, request, response):
            response.text = f"hello {request.get_param('q')}"

        on_head = on_get

    class Form:
        def on_post(self, request, response):
            response.text = request.get_media()["field"]

    class File:
        def on_get(self, request, response):
            response.stream = open(__file__, "rb")  # noqa: SIM115 - falcon closes it

    app = falcon.App()
    for route, resource in (("/hello", Hello()), ("/form", Form()), ("/file", File())):
        app.add_route(route, resource)
    return app


def pyramid_app() -> Any:
    pytest.importorskip("pyramid")
    from pyramid.config import Configurator
    from pyramid.response import FileResponse, Response

    views = {
        "hello": lambda request: Response(f"hello {request.params['q']}"),
        "form": lambda request: Response(request.POST["field"]),
        "file": lambda request: FileResponse(__file__, request=request),
    }
    with Configurator() as config:
        for name, view in views.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name)
        return config.make_wsgi_app()


@pytest.mark.parametrize("make", [bottle_app, falcon_app, pyramid_app])
def test_other_frameworks(serve, make):
    running = serve({"/": wsgi(make())})
    assert fetch(running.address, "/hello?q=1").text == "hello 1"
    assert fetch(running.address, "/form", **form_of(field="value")).text == "value"
    assert fetch(running.address, "/file").body == Path(__file__).read_bytes()
    with Wire(running.address) as wire:
        answer = wire.send(request_bytes("/hello?q=1", "HEAD")).receive_answer(head=True)
        assert (answer.status, answer.header("content-length")) == (200, "7")


def test_whitenoise(serve, tmp_path):
    whitenoise = pytest.importorskip("whitenoise")
    (tmp_path / "a.css").write_bytes(b"body {}" * 5000)

    def app(environ, start_response):
        start_response("404 Not Found", [])
        return []

    running = serve({"/": wsgi(whitenoise.WhiteNoise(app, root=str(tmp_path)))})
    answer = fetch(running.address, "/a.css")
    assert answer.body == b"body {}" * 5000
    part = fetch(running.address, "/a.css", headers=[("Range", "bytes=0-3")])
    assert (part.status, part.body) == (206, b"body")
    unchanged = fetch(running.address, "/a.css", headers=[("If-Modified-Since", answer.header("last-modified"))])
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert fetch(running.address, "/none").status == 404


def test_a_view_that_blocks_for_ever_beside_quick_ones(serve):
    let_go, blocked = threading.Event(), threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/blocks":
            blocked.set()
            let_go.wait(30)
        start_response("200 OK", [])
        return [b"done"]

    running = serve({"/": wsgi(app)}, max_workers=4)
    with Wire(running.address) as wire:
        wire.send(request_bytes("/blocks"))
        assert blocked.wait(10)
        assert [fetch(running.address, "/quick").text for _ in range(20)] == ["done"] * 20
        let_go.set()
        assert wire.receive_answer().text == "done"


def test_memory_files_of_a_wrapper_are_read(serve):
    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 100_000))

    assert fetch(serve({"/": wsgi(app)}).address).body == b"x" * 100_000
