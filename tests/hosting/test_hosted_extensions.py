"""What goes beyond a request and its answer: early hints, open files, and requests that only hosted applications may get."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from outside import OutsideHTTP, asgi, wsgi
from support.harness import Records, Running
from support.wire import Wire, fetch, request_bytes

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nlink: </b.js>; rel=preload\r\n\r\n"
TEXT = [(b"content-type", b"text/plain")]


def wsgi_hints(go_on: threading.Event):
    def app(environ, start_response):
        if "wsgi.early_hints" in environ:
            hints = environ["wsgi.early_hints"]
            hints([("Link", "</a.css>; rel=preload"), ("link", "</b.js>; rel=preload"), ("Connection", "close")])
            assert go_on.wait(10)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"page"]

    return wsgi(app)


def asgi_hints(go_on: threading.Event):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("there is none")
        assert "http.response.early_hint" in scope["extensions"]
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
        while scope["http_version"] != "1.0" and not go_on.is_set():
            await asyncio.sleep(0.001)
        await send({"type": "http.response.start", "status": 200, "headers": TEXT})
        await send({"type": "http.response.body", "body": b"page"})

    return asgi(app)


@pytest.mark.parametrize("make", [wsgi_hints, asgi_hints])
def test_early_hints_come_before_the_answer_is_made(serve, make):
    go_on = threading.Event()
    running = serve({"/": make(go_on), "/native": lambda request: "native"})
    with Wire(running.address) as wire:
        # The answer of the request before comes first.
        wire.send(request_bytes("/native") + request_bytes("/"))
        assert wire.receive_answer().text == "native"
        assert wire.receive_exactly(HINTS).lower() == HINTS.lower()
        go_on.set()
        assert wire.receive_answer().text == "page"
        assert wire.send(request_bytes("/native")).receive_answer().text == "native"


@pytest.mark.parametrize("make", [wsgi_hints, asgi_hints])
def test_a_client_of_http_1_0_gets_no_hints(serve, make):
    with Wire(serve({"/": make(threading.Event())}).address) as wire:
        rest = wire.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").receive_rest()
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n") and rest.endswith(b"page")


@pytest.mark.parametrize("make", [wsgi_hints, asgi_hints])
def test_early_hints_over_http2(serve, make):
    connection = pytest.importorskip("h2.connection")
    events = pytest.importorskip("h2.events")
    go_on = threading.Event()
    running = serve({"/": make(go_on)}, h2c=True)
    client = connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")], end_stream=True)
    statuses, body = [], b""
    with socket.create_connection(running.address, timeout=10) as wire:
        wire.sendall(client.data_to_send())
        while not body:
            for event in client.receive_data(wire.recv(65536)):
                if isinstance(event, events.InformationalResponseReceived):
                    statuses.append(dict(event.headers)[b":status"])
                    assert [value for name, value in event.headers if name == b"link"] == [
                        b"</a.css>; rel=preload",
                        b"</b.js>; rel=preload",
                    ]
                    go_on.set()
                elif isinstance(event, events.ResponseReceived):
                    statuses.append(dict(event.headers)[b":status"])
                elif isinstance(event, events.DataReceived):
                    body += event.data
            wire.sendall(client.data_to_send())
    assert (statuses, body) == ([b"103", b"200"], b"page")


def test_starlette_sends_early_hints(serve):
    requests = pytest.importorskip("starlette.requests")
    responses = pytest.importorskip("starlette.responses")

    async def app(scope, receive, send):
        request = requests.Request(scope, receive, send)
        await request.send_early_hints("</a.css>; rel=preload", "</b.js>; rel=preload")
        await responses.PlainTextResponse("page")(scope, receive, send)

    with Wire(serve({"/": asgi(app, lifespan="off")}).address) as wire:
        wire.send(request_bytes("/"))
        assert wire.receive_exactly(HINTS).lower() == HINTS.lower()
        assert wire.receive_answer().text == "page"


def test_hints_that_cannot_be_sent(serve, records: Records):
    def app(environ, start_response):
        hints = environ["wsgi.early_hints"]
        for wrong in ([("Link", "a\r\nb")], [("Link", 1)], "Link"):
            with pytest.raises((ValueError, TypeError)):
                hints(wrong)
        start_response("200 OK", [])(b"begun ")
        hints([("Link", "late")])
        return [b"ended"]

    async def late(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"whole"})
        await send({"type": "http.response.early_hint", "links": [b"late"]})

    running = serve({"/": wsgi(app), "/late": asgi(late, lifespan="off")})
    assert fetch(running.address).text == "begun ended"
    assert fetch(running.address, "/late").text == "whole"
    records.wait_for("http.response.early_hint is misplaced: the answer has been sent")


CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    with open(tmp_path / "file", "rb") as opened:
        yield opened


ZERO_COPIES = {
    "whole": ([{}], CONTENT),
    "part": ([{"offset": 1000, "count": 300_000}], CONTENT[1000:301_000]),
    "beyond": ([{"offset": len(CONTENT) - 5, "count": 50}], CONTENT[-5:]),
    "none": ([{"offset": len(CONTENT)}], b""),
    "between": ([b"head ", {"offset": 7, "count": 5}, b" tail"], b"head " + CONTENT[7:12] + b" tail"),
    "several": ([{"count": 100}, {"count": 300_000}, {}], CONTENT),
}


@pytest.mark.parametrize("name", ZERO_COPIES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_zero_copy_send(serve, file, name, method):
    parts, expected = ZERO_COPIES[name]

    async def app(scope, receive, send):
        assert "http.response.zerocopysend" in scope["extensions"]
        await send({"type": "http.response.start", "status": 200, "headers": TEXT})
        for number, part in enumerate(parts):
            more = number + 1 < len(parts)
            if isinstance(part, bytes):
                await send({"type": "http.response.body", "body": part, "more_body": more})
            else:
                opened = file.fileno() if scope["path"] == "/number" else file
                await send({"type": "http.response.zerocopysend", "file": opened, "more_body": more, **part})

    running = serve({"/": asgi(app, lifespan="off")})
    for path in ("/", "/number"):
        file.seek(0)
        answer = fetch(running.address, path, method)
        assert (answer.status, answer.header("content-type")) == (200, "text/plain")
        assert answer.body == (expected if method == "GET" else b"")
        if len(parts) == 1 and (expected or method == "GET"):
            assert answer.header("content-length") == str(len(expected))


def test_zero_copy_send_has_to_keep_to_the_length(serve, file, records: Records):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.zerocopysend", "file": file, "count": 6})

    assert fetch(serve({"/": asgi(app, lifespan="off")}).address).status == 500
    records.wait_for("an answer of 6 bytes has a Content-Length of 5")


PATHS = [
    ("/api/%zz/100%", "/api/%zz/100%", b"/api/%zz/100%"),
    ("/api/key%2F..%2Fother", "/api/key/../other", b"/api/key%2F..%2Fother"),
    ("/api/%E9%2e", "/api/\ufffd.", b"/api/%E9%2e"),
]


@pytest.mark.parametrize(("target", "path", "raw"), PATHS)
def test_applications_get_paths_as_they_were_received(serve, target, path, raw):
    seen = []

    async def on_asgi(scope, receive, send):
        seen.append((scope["path"], scope["raw_path"]))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    def on_wsgi(environ, start_response):
        seen.append((environ["SCRIPT_NAME"] + environ["PATH_INFO"], environ["RAW_URI"].encode()))
        start_response("200 OK", [])
        return []

    for application in (asgi(on_asgi, lifespan="off"), wsgi(on_wsgi)):
        running = serve({"/api": application})
        assert fetch(running.address, target).status == 200
        # A NUL ends names in C, so that an application would open another file than it has checked.
        assert fetch(running.address, "/api/a%00b").status == 400
    assert seen[0] == (path, raw)
    assert seen[1] == (path.replace("\ufffd", "\xe9"), raw)


def test_native_routes_refuse_such_paths_beside_applications(serve):
    running = serve({"/api": wsgi(lambda environ, start_response: []), "/native": lambda request: "native"})
    for target in ("/native/%zz", "/native/a%2F..%2Fb", "/%zz"):
        assert fetch(running.address, target).status == 400


def test_the_name_of_the_server_is_the_listeners(serve):
    seen = []

    def app(environ, start_response):
        seen.append((environ["SERVER_NAME"], environ["SERVER_PORT"], environ["HTTP_HOST"]))
        start_response("200 OK", [])
        return []

    running = serve({"/": wsgi(app)})
    with Wire(running.address) as wire:
        assert wire.send(b"GET / HTTP/1.1\r\nHost: example.com:81\r\n\r\n").receive_answer().status == 200
    assert seen == [("127.0.0.1", str(running.address[1]), "example.com:81")]


def test_a_unix_socket_has_the_name_that_the_client_gives(tmp_path):
    seen = []

    def app(environ, start_response):
        seen.append((environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]))
        start_response("200 OK", [])
        return []

    server = OutsideHTTP(f"unix:{tmp_path}/socket")
    server.config["access_log"] = "off"
    server.set_route("/", wsgi(app))
    running = Running(server)
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(f"{tmp_path}/socket")
        wire.sendall(b"GET / HTTP/1.1\r\nHost: example.com:81\r\nConnection: close\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 200")
    running.stop()
    assert seen == [("example.com", "81", "")]


@pytest.mark.parametrize(("limit", "status"), [(None, 200), (16, 413), (20, 200), (1, 413)])
def test_content_is_bounded_only_if_a_bound_was_set(serve, limit, status):
    def app(environ, start_response):
        while environ["wsgi.input"].read(1 << 20):
            pass
        start_response("200 OK", [])
        return []

    async def on_asgi(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    limits = {} if limit is None else {"max_body_size_mb": limit}
    running = serve({"/": wsgi(app), "/asgi": asgi(on_asgi, lifespan="off")}, **limits)
    for path in ("/", "/asgi"):
        with Wire(running.address) as wire:
            wire.send(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path.encode(), 17 << 20))
            wire.send_if_possible(b"x" * (17 << 20))
            assert wire.receive_answer().status == status


def test_a_default_is_a_number_like_others():
    server = OutsideHTTP(("127.0.0.1", 0))
    assert server.config["max_body_size_mb"] == 16 and isinstance(server.config["max_body_size_mb"], int)
    assert str(server.config["max_body_size_mb"]) == "16"


def test_an_application_that_hangs_is_named_in_the_log_and_goes_on(serve, records: Records, monkeypatch):
    from outside._handlers import stuck

    def slow_view():
        assert let_go.wait(20)

    def app(environ, start_response):
        slow_view()
        start_response("200 OK", [])
        return [b"late"]

    async def slow_coroutine():
        while not let_go.is_set():
            await asyncio.sleep(0.01)

    async def on_asgi(scope, receive, send):
        await slow_coroutine()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"late"})

    running = serve({"/": wsgi(app), "/asgi": asgi(on_asgi, lifespan="off")}, process_timeout=0.2)
    for path, name in (("/", "slow_view"), ("/asgi", "slow_coroutine")):
        let_go = threading.Event()
        monkeypatch.setattr(stuck, "_next_hanging", 0.0)
        with Wire(running.address) as wire:
            wire.send(request_bytes(path))
            line = records.wait_for(f"GET {path}: the application has not answered within process_timeout")
            assert name in line.getMessage()
            let_go.set()
            assert wire.receive_answer().text == "late"


def trailing(**first):
    """An application with trailers, in two events; `first` are changes of its start."""

    async def app(scope, receive, send):
        offers = "http.response.trailers" in scope["extensions"]
        start = {"type": "http.response.start", "status": 200, "headers": [(b"trailer", b"x-sum, x-more")], "trailers": True}
        await send({**start, **first})
        await send({"type": "http.response.body", "body": b"content " + str(offers).encode()})
        with pytest.raises(RuntimeError, match="trailers are next"):
            await send({"type": "http.response.body", "body": b"more"})
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"X-More", b"2")]})
        assert (await receive())["type"] in ("http.request", "http.disconnect")

    return asgi(app, lifespan="off")


def test_trailers_follow_the_content_for_clients_that_take_them(serve):
    running = serve({"/": trailing()})
    with Wire(running.address) as wire:
        rest = wire.send(request_bytes("/", headers={"TE": "trailers", "Connection": "close"})).receive_rest()
    assert rest.lower().endswith(b"c\r\ncontent true\r\n0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n")
    with Wire(running.address) as wire:
        answer = wire.send(request_bytes("/")).receive_answer()
        assert (answer.text, answer.chunked) == ("content False", True)
        # The connection is in step.
        assert wire.send(request_bytes("/")).receive_answer().text == "content False"


def test_trailers_over_http2(serve):
    connection = pytest.importorskip("h2.connection")
    events = pytest.importorskip("h2.events")
    running = serve({"/": trailing()}, h2c=True)
    client = connection.H2Connection()
    client.initiate_connection()
    client.send_headers(1, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "a")], end_stream=True)
    seen = []
    with socket.create_connection(running.address, timeout=10) as wire:
        while not any(isinstance(event, events.StreamEnded) for event in seen):
            wire.sendall(client.data_to_send())
            seen += client.receive_data(wire.recv(65536))
    [trailers] = [event.headers for event in seen if isinstance(event, events.TrailersReceived)]
    assert trailers == [(b"x-sum", b"1"), (b"x-more", b"2")]


async def _missing(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.body", "body": b"content"})


async def _not_announced(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.trailers", "headers": []})


async def _forbidden(scope, receive, send):
    await _missing(scope, receive, send)
    await send({"type": "http.response.trailers", "headers": [(b"content-length", b"5")]})


@pytest.mark.parametrize(
    ("app", "said"),
    [
        (_missing, "without the trailers that it has announced"),
        (_not_announced, "http.response.trailers is misplaced"),
        (_forbidden, "content-length is no trailer"),
    ],
)
def test_wrong_trailers(serve, records: Records, app, said):
    running = serve({"/": asgi(app, lifespan="off")})
    with Wire(running.address) as wire:
        rest = wire.send(request_bytes("/", headers={"Connection": "close"})).receive_rest()
    assert not rest.endswith(b"0\r\n\r\n") and (rest.startswith(b"HTTP/1.1 500") or b"content" in rest)
    records.wait_for(said)
