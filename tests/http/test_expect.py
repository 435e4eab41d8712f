"""A client that waits for 100 Continue before it sends content (RFC 9110 section 10.1.1) is asked for it only when nothing has
refused its request: functions before a handler come first, unless they look at the content."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import socket
import threading

import pytest

from outside import FilePath, HTTPException, OutsideHTTP, Response, Routes, abort, csrf_token
from support.harness import wait_until
from support.wire import request_bytes

EXPECT = {"Expect": "100-continue", "Content-Length": "5"}
STYLES = ("plain", "async")
variable = contextvars.ContextVar("variable", default="")


def styled(function, style):
    """The function itself, or one that is `async def` and waits a moment."""
    if style == "plain":
        return function

    @functools.wraps(function)
    async def later(*arguments, **named):
        await asyncio.sleep(0)
        return function(*arguments, **named)

    return later


def echo(request):
    return request.content


def refuse_strangers(request):
    if request.headers.get("Authorization") is None:
        abort(401, "who is there?")


@pytest.fixture(params=[(before, handler) for before in STYLES for handler in STYLES], ids="-".join)
def guarded(request, server: OutsideHTTP, tmp_path):
    """A server with functions before handlers of both kinds."""
    before, handler = request.param
    (tmp_path / "a.txt").write_text("a")
    server.before_request(styled(refuse_strangers, before))
    server.post("/echo")(styled(echo, handler))
    server.post("/users/<int:number>")(styled(lambda request, number: [number, request.text], handler))
    server.set_route("/old", styled(echo, handler))
    server.get("/file")(FilePath(str(tmp_path / "a.txt")))
    server.config.update({"max_body_size_mb": 1, "h2c": True})
    return server


def ask(wire, target, **fields):
    return wire.send(request_bytes(target, "POST", {**EXPECT, **fields}))


def test_a_refusal_comes_instead_of_100(guarded, start):
    running = start()
    for target in ("/echo", "/users/7", "/old", "/missing", "/file"):
        with running.wire() as wire:
            answer = ask(wire, target).receive_answer(interim=True)
            assert (target, answer.status, answer.header("Connection")) == (target, 401, "close")
            # Content that comes all the same is no request.
            assert wire.send_if_possible(b"GET /").send_end().receive_rest() == b""


def test_a_request_that_passes_is_asked_for_its_content(guarded, start):
    running = start()
    with running.wire() as wire:
        for target, text in {"/echo": "hello", "/users/7": '[7,"hello"]', "/old": "hello"}.items():
            assert ask(wire, target, Authorization="me").receive_answer(interim=True).status == 100
            answer = wire.send(b"hello").receive_answer(interim=True)
            assert (answer.status, answer.text) == (200, text)
    for target, fields, status in (
        ("/missing", {}, 404),
        ("/file", {}, 405),
        ("/echo", {"Content-Length": str(2 << 20)}, 413),
        ("/missing", {"Content-Length": str(2 << 20)}, 413),
    ):
        with running.wire() as wire:
            answer = ask(wire, target, Authorization="me", **fields).receive_answer(interim=True)
            assert (target, answer.status, answer.header("Connection")) == (target, status, "close")


def test_a_client_that_does_not_wait(guarded, start):
    """Its content is there with the head, or comes while the functions run."""
    running = start()
    with running.wire() as wire:
        for _ in range(3):
            wire.send(request_bytes("/echo", "POST", {**EXPECT, "Authorization": "me"}) + b"hello")
            answer = wire.receive_answer(interim=True)
            if answer.status == 100:
                answer = wire.receive_answer(interim=True)
            assert (answer.status, answer.text) == (200, "hello")
        # In a row: the next request waits behind the content.
        both = request_bytes("/echo", "POST", {**EXPECT, "Authorization": "me"}) + b"hello"
        wire.send(both + both)
        answers = [wire.receive_answer() for _ in range(2)]
        assert [answer.text for answer in answers] == ["hello", "hello"]
    with running.wire() as wire:
        wire.send(request_bytes("/echo", "POST", EXPECT) + b"hello")
        assert wire.receive_answer().status == 401


def test_content_in_chunks(guarded, start):
    with start().wire() as wire:
        fields = {"Expect": "100-continue", "Transfer-Encoding": "chunked"}
        wire.send(request_bytes("/echo", "POST", {**fields, "Authorization": "me"}))
        assert wire.receive_answer(interim=True).status == 100
        assert wire.send(b"5\r\nhello\r\n0\r\n\r\n").receive_answer(interim=True).text == "hello"
        assert wire.send(request_bytes("/echo", "POST", fields)).receive_answer(interim=True).status == 401


def test_http2(guarded, start):
    h2 = pytest.importorskip("h2.connection")
    events = pytest.importorskip("h2.events")
    running = start()
    connection = h2.H2Connection()
    connection.initiate_connection()
    with socket.create_connection(running.address[:2], timeout=30) as sock:

        def told(stream, kind):
            while True:
                for event in connection.receive_data(sock.recv(65536)):
                    if isinstance(event, kind) and event.stream_id == stream:
                        return event
                sock.sendall(connection.data_to_send())

        def head(stream, target, *fields):
            fields = [("expect", "100-continue"), ("content-length", "5"), *fields]
            pseudo = [(":method", "POST"), (":scheme", "http"), (":path", target), (":authority", "a")]
            connection.send_headers(stream, pseudo + fields)
            sock.sendall(connection.data_to_send())

        def status(event):
            return dict(event.headers)[b":status"]

        either = (events.ResponseReceived, events.InformationalResponseReceived)
        for stream, target in ((1, "/echo"), (3, "/missing"), (5, "/old")):
            head(stream, target)
            answer = told(stream, either)
            assert (type(answer), status(answer)) == (events.ResponseReceived, b"401")
        head(7, "/echo", ("authorization", "me"))
        assert status(told(7, either)) == b"100"
        connection.send_data(7, b"hello", end_stream=True)
        sock.sendall(connection.data_to_send())
        assert status(told(7, either)) == b"200"


@pytest.mark.parametrize("style", STYLES)
def test_one_request_object_and_one_context(server, start, style):
    seen = []

    def before(request):
        request.user = "ann"
        variable.set("before")
        seen.append(request)

    def handler(request):
        seen.append(request)
        return [request.user, variable.get(), request.text]

    server.before_request(styled(before, style))
    server.post("/")(styled(handler, style))
    server.after_request(lambda request, response: seen.append((request, variable.get())))
    with start().wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == 100
        assert wire.send(b"hello").receive_answer().text == '["ann","before","hello"]'
    assert seen == [seen[0], seen[0], (seen[0], "before")]


def test_functions_run_on_the_loop_of_an_async_handler(server, start):
    threads = []
    server.before_request(lambda request: threads.append((threading.get_ident(), asyncio.get_running_loop())))

    @server.post("/")
    async def handler(request):
        threads.append((threading.get_ident(), asyncio.get_running_loop()))

    with start().wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == 100
        assert wire.send(b"hello").receive_answer().status == 204
    assert threads[0] == threads[1]


def helper_of_helper(request):
    return request.json()


def helper(request):
    return helper_of_helper(request)


class Hidden:
    """Asks for content in a way that no code shows."""

    def __init__(self, name):
        self.name = name

    def __call__(self, request):
        value = getattr(request, self.name)
        return value() if callable(value) else value


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "look",
    [
        lambda request: request.content,
        lambda request: request.form,
        lambda request: list(request.iter_body()),
        helper,
        Hidden("text"),
        Hidden("json"),
        Hidden("content_file"),
    ],
    ids=["content", "form", "iter_body", "helper", "hidden text", "hidden json", "hidden file"],
)
def test_functions_that_look_at_content_get_it(server, start, style, look):
    """They are called with the content, those before them without it, and those behind them after them."""
    order = []

    def looking(request):
        look(request)
        order.append("looked")

    server.before_request(lambda request: order.append("first"))
    server.before_request(styled(looking, style))
    server.before_request(lambda request: order.append("last"))
    server.post("/")(styled(lambda request: order.append(("handler", request.content)), style))
    with start().wire() as wire:
        for _ in range(2):
            order.clear()
            assert ask(wire, "/").receive_answer(interim=True).status == 100
            assert wire.send(b"hello").receive_answer().status == 204
            assert order == ["first", "looked", "last", ("handler", b"hello")]
        # Behind a path without a function as well.
        order.clear()
        assert ask(wire, "/missing").receive_answer(interim=True).status == 100
        assert wire.send(b"hello").receive_answer().status == 404
        assert order == ["first", "looked", "last"]


def test_a_function_that_hides_the_wish_for_content(server, start):
    """One that catches everything is called again all the same, and is known from then on."""
    calls, done = [], []

    def sly(request):
        calls.append(request)
        try:
            done.append(getattr(request, "".join(("con", "tent"))))
        except BaseException:
            abort(400)

    server.before_request(sly)
    server.post("/")(lambda: "ok")
    with start().wire() as wire:
        for number in (2, 3):
            assert ask(wire, "/").receive_answer(interim=True).status == 100
            assert wire.send(b"hello").receive_answer().text == "ok"
            assert (len(calls), done) == (number, [b"hello"] * (number - 1))


def test_a_refusal_goes_through_error_handlers_and_functions_after(server, start):
    """Content that does not come is empty for them."""
    seen = []

    @server.errorhandler(401)
    def stranger(request):
        seen.append(request.content)
        return Response(401, {}, "go away")

    @server.after_request
    def after(request, response):
        seen.append(request.text)
        response.headers["X-After"] = "yes"

    server.before_request(refuse_strangers)
    server.post("/")(echo)
    with start().wire() as wire:
        answer = ask(wire, "/").receive_answer(interim=True)
    assert (answer.status, answer.text, answer.header("X-After"), seen) == (401, "go away", "yes", [b"", ""])


@pytest.mark.parametrize(("answer", "status"), [("text", 200), ((403, None), 403), (Response(402, {}, iter("ab")), 402)])
def test_an_answer_of_a_function_before(server, start, answer, status):
    server.before_request(lambda request: answer)
    server.post("/")(echo)
    with start().wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == status


def test_a_failing_function_before(server, start, records):
    server.before_request(lambda request: 1 / 0)
    server.post("/")(echo)
    with start().wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == 500
    records.wait_for("ZeroDivisionError")


def test_groups_have_their_own(server, start):
    group = Routes("/private")
    group.before_request(refuse_strangers)
    group.post("/echo")(echo)
    server.mount(group)
    server.post("/private/open")(echo)
    with start().wire() as wire:
        assert ask(wire, "/private/open").receive_answer(interim=True).status == 100
        assert wire.send(b"hello").receive_answer().text == "hello"
        assert ask(wire, "/private/echo").receive_answer(interim=True).status == 401


def test_sessions_and_limits(server, start):
    """The functions of the application layer stand before all others, and are asked first."""
    server.config["secret"] = "s" * 32
    server.before_request(refuse_strangers)

    @server.post("/")
    def visit(request):
        csrf_token(request)
        request.session["visits"] = request.session.get("visits", 0) + 1
        return [request.session["visits"], request.text]

    running = start()
    with running.wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == 401
    with running.wire() as wire:
        assert ask(wire, "/", Authorization="me").receive_answer(interim=True).status == 100
        answer = wire.send(b"hello").receive_answer()
        assert answer.text == '[1,"hello"]'
        cookie = answer.header("Set-Cookie").partition(";")[0]
        # A request of another site, without a token in a field: a form might have one.
        fields = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        assert ask(wire, "/", Authorization="me", **fields).receive_answer(interim=True).status == 100
        assert wire.send(b"a=b&c").receive_answer().status == 403
        assert ask(wire, "/", Authorization="me", Cookie=cookie).receive_answer(interim=True).status == 403


def test_a_client_that_leaves_before_its_content(server, start):
    """Nothing of its request stays."""
    import gc
    import weakref

    kept = []
    server.before_request(lambda request: kept.append(weakref.ref(request)))
    server.post("/")(echo)
    running = start()
    for _ in range(3):
        with running.wire() as wire:
            assert ask(wire, "/").receive_answer(interim=True).status == 100

    def is_gone():
        # Objects that the engine lets go of wait for the next call of a function.
        assert running.fetch("/missing").status == 404
        gc.collect()
        return all(reference() is None for reference in kept[:3])

    wait_until(is_gone, "the end of the requests")
    with running.wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == 100
        assert wire.send(b"hello").receive_answer().text == "hello"


def test_an_exception_of_its_own_class(server, start):
    class Stranger(HTTPException):
        def __init__(self):
            super().__init__(401, "no")

    def before(request):
        raise Stranger

    server.before_request(before)
    server.post("/")(echo)
    with start().wire() as wire:
        assert ask(wire, "/").receive_answer(interim=True).status == 401
