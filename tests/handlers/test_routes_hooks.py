"""before_request and after_request of a server: for every request and every kind of handler, plain or async, in any mixture."""

from __future__ import annotations

import asyncio
import contextvars

import httpx
import pytest

from outside import Folder, Response
from support.wire import request_bytes


def plain(function):
    return function


def asynchronous(function):
    """The same as an `async def` function."""

    async def awaited(request):
        await asyncio.sleep(0)
        return function(request)

    return awaited


BOTH = pytest.mark.parametrize("style", [plain, asynchronous])


@BOTH
@pytest.mark.parametrize("handler_style", [plain, asynchronous])
def test_before_may_answer(server, start, style, handler_style):
    @server.before_request
    @style
    def closed(request):
        return Response(503, content="closed") if request.path == "/closed" else None

    server.get("/closed")(handler_style(lambda request: "never"))
    server.get("/open")(handler_style(lambda request: "open"))
    running = start()
    assert (running.fetch("/closed").status, running.fetch("/closed").text) == (503, "closed")
    assert running.fetch("/open").text == "open"


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [("text", 200, "text"), ({"a": 1}, 200, '{"a":1}'), ((403, "no"), 403, "403 Forbidden: no\n"), (Response(204), 204, "")],
)
def test_a_value_of_before_request_is_an_answer_like_a_handlers(server, start, value, status, text):
    server.before_request(lambda: value)
    server.get("/")(lambda: "never")
    answer = start().fetch("/")
    assert (answer.status, answer.text) == (status, text)


def test_the_first_that_answers_ends_it(server, start):
    seen = []
    server.before_request(lambda: seen.append(1))
    server.before_request(lambda: seen.append(2) or "second")
    server.before_request(lambda: seen.append(3))
    server.get("/")(lambda: seen.append(4))
    assert start().fetch("/").text == "second"
    assert seen == [1, 2]


@BOTH
@pytest.mark.parametrize("handler_style", [plain, asynchronous])
def test_after_may_change_or_replace(server, start, style, handler_style):
    @server.after_request
    def change(response):
        response.headers["X-Changed"] = str(response.status_code)

    @server.after_request
    def replace(request, response):
        return Response(202, content="replaced") if request.path == "/replace" else response

    server.get("/change")(handler_style(lambda request: "as it was"))
    server.get("/replace")(handler_style(lambda request: "never"))
    running = start()
    answer = running.fetch("/change")
    assert (answer.text, answer.header("X-Changed")) == ("as it was", "200")
    answer = running.fetch("/replace")
    assert (answer.status, answer.text, answer.header("X-Changed")) == (202, "replaced", "202")


@BOTH
def test_everything_has_them_around_itself(server, start, site, style):
    """Plain routes, folders, redirects, 404, 405, OPTIONS: a guard that forgot one of them would be none."""

    @server.before_request
    @style
    def guard(request):
        return None if "letmein" in request.query else (401, None)

    @server.after_request
    def mark(response):
        response.headers["X-After"] = "1"

    server.set_route("/plain", lambda request: "plain")
    server.set_route("/site", Folder(site))
    server.get("/decorated")(lambda: "decorated")
    running = start()
    for path, status in [("/plain", 200), ("/site/a.txt", 200), ("/decorated", 200), ("/none", 404), ("/site/none", 404)]:
        answer = running.fetch(path)
        assert (answer.status, answer.header("X-After")) == (401, "1"), path
        answer = running.fetch(path + "?letmein")
        assert (answer.status, answer.header("X-After")) == (status, "1"), path
    assert running.fetch("/decorated?letmein", "PUT").status == 405
    assert running.fetch("/decorated", "PUT").status == 401
    assert running.fetch("/decorated?letmein", "OPTIONS").header("Allow") == "GET, HEAD, OPTIONS"
    assert running.fetch("/decorated", "OPTIONS").status == 401


def test_http_2_has_them_too(server, start, site):
    server.config["h2c"] = True
    server.before_request(lambda request: None if "letmein" in request.query else (401, None))
    server.after_request(lambda response: response.headers.update({"X-After": "1"}))
    server.set_route("/site", Folder(site))
    server.get("/<int:number>")(lambda number: str(number))
    base = "http://{}:{}".format(*start().address)
    with httpx.Client(http1=False, http2=True, base_url=base, trust_env=False) as client:
        for path, status in [("/site/a.txt", 200), ("/7", 200), ("/none", 404), ("/site/none", 404)]:
            answer = client.get(path)
            assert (answer.status_code, answer.headers["X-After"]) == (401, "1"), path
            answer = client.get(path + "?letmein")
            assert (answer.status_code, answer.headers["X-After"]) == (status, "1"), path
        assert client.put("/7?letmein").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_file_keeps_its_conditions_and_ranges(server, start, site):
    server.before_request(lambda: None)
    server.set_route("/site", Folder(site))
    running = start()
    tag = running.fetch("/site/a.txt").header("ETag")
    assert running.fetch("/site/a.txt", headers={"If-None-Match": tag}).status == 304
    assert running.fetch("/site/a.txt", headers={"Range": "bytes=0-1"}).text == "a."


def test_pipelined_requests_pass_in_order(server, start, site):
    seen = []
    server.before_request(lambda request: seen.append(request.path))
    server.set_route("/site", Folder(site))
    server.set_route("/plain", lambda request: "plain")
    with start().wire() as wire:
        wire.send(b"".join(request_bytes(path) for path in ("/site/a.txt", "/plain", "/none", "/site/a.txt")))
        assert [wire.receive_answer().status for _ in range(4)] == [200, 200, 404, 200]
    assert sorted(seen) == ["/none", "/plain", "/site/a.txt", "/site/a.txt"]


@BOTH
def test_an_exception_of_before_request_is_answered_like_a_handlers(server, start, records, style):
    @server.before_request
    @style
    def fails(request):
        raise ValueError("secret of the guard")

    server.get("/")(lambda: "never")
    running = start()
    for path in ("/", "/none"):
        answer = running.fetch(path)
        assert answer.status == 500
        assert "secret" not in answer.text
    records.wait_for("secret of the guard")
    server.errorhandler(ValueError)(lambda error: Response(400, content="handled"))
    for path in ("/", "/none"):
        assert running.fetch(path).text == "handled"


def test_an_exception_of_after_request_is_a_500(server, start, records):
    @server.after_request
    def fails(response):
        raise ValueError("secret of the last one")

    server.get("/")(lambda: "text")
    running = start()
    for path in ("/", "/none"):
        answer = running.fetch(path)
        assert answer.status == 500
        assert "secret" not in answer.text
    records.wait_for("secret of the last one")


def test_after_sees_error_pages(server, start):
    seen = []
    server.after_request(lambda request, response: seen.append((request.path, response.status_code)))
    server.get("/fails")(lambda: 1 / 0)
    server.get("/tuple")(lambda: (409, "no"))
    running = start()
    for path in ("/fails", "/tuple", "/none"):
        running.fetch(path)
    assert seen == [("/fails", 500), ("/tuple", 409), ("/none", 404)]


def test_it_is_called_once_beside_the_hooks_of_the_configuration(server, start):
    seen = []
    server.config["pre_send"] = lambda response: seen.append("pre_send")
    server.config["post_callback"] = lambda request, response: seen.append("post_callback")
    server.after_request(lambda response: seen.append("after"))
    server.get("/")(lambda: seen.append("handler"))
    with start().wire() as wire:
        wire.send(request_bytes("/") + request_bytes("/"))
        assert [wire.receive_answer().status for _ in range(2)] == [204, 204]
    assert seen[:3] == ["handler", "after", "pre_send"]
    assert sorted(seen[:6]).count("after") == 2


def test_one_request_object_for_all_of_them(server, start):
    server.before_request(lambda request: setattr(request, "user", "ada"))
    server.after_request(lambda request, response: response.headers.update({"X-User": request.user}))
    server.get("/plain")(lambda request: request.user)

    @server.get("/async")
    async def handler(request):
        return request.user

    running = start()
    for path in ("/plain", "/async"):
        answer = running.fetch(path)
        assert (answer.text, answer.header("X-User")) == ("ada", "ada")


@pytest.mark.parametrize("handler_style", [plain, asynchronous])
def test_one_context_for_all_of_them_and_another_for_the_next_request(server, start, handler_style):
    user = contextvars.ContextVar("user", default="nobody")
    before = []

    @server.before_request
    def enter(request):
        before.append(user.get())
        user.set(request.query)

    server.after_request(lambda response: response.headers.update({"X-User": user.get()}))
    server.get("/")(handler_style(lambda request: user.get()))
    with start().wire() as wire:
        for name in ("ada", "bob", "eve"):
            answer = wire.send(request_bytes(f"/?{name}")).receive_answer()
            assert (answer.text, answer.header("X-User")) == (name, name)
    assert before == ["nobody"] * 3


def test_they_come_and_count_while_the_server_runs(server, start):
    server.get("/")(lambda: "text")
    running = start()
    assert running.fetch("/").header("X-After") is None
    server.after_request(lambda response: response.headers.update({"X-After": "1"}))
    assert running.fetch("/").header("X-After") == "1"
    assert running.fetch("/none").header("X-After") == "1"


def test_the_health_route_passes_no_gate(server, start):
    server.config["health_route"] = "/health"
    server.before_request(lambda: (401, None))
    running = start()
    assert running.fetch("/health").text == "ok\n"
    assert running.fetch("/").status == 401
