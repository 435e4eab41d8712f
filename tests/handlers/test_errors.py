"""Error pages: the built-in ones, handlers set by the user, handlers that fail, and answers by code."""

from __future__ import annotations

import pytest

from outside import OutsideHTTP, Response, get_description
from support.wire import request_bytes


def fails(request):
    raise RuntimeError("secret of the handler")


def test_an_exception_is_a_500_that_shows_nothing(serve, records):
    answer = serve(fails).fetch()
    assert answer.status == 500
    assert answer.header("Content-Type").startswith("text/plain")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    record = records.wait_for("secret of the handler")
    assert "RuntimeError" in record.whole
    assert "in fails" in record.whole
    assert record.name == "outside"


@pytest.mark.parametrize(
    "raised", [SystemExit(1), KeyboardInterrupt(), BaseException("x"), StopIteration(), RecursionError()], ids=repr
)
def test_no_exception_ends_the_server(serve, raised):
    def handler(request):
        raise raised

    running = serve({"/": handler, "/fine": lambda request: "fine"})
    assert running.fetch().status == 500
    assert running.fetch("/fine").text == "fine"


def test_endless_recursion_is_a_500(serve):
    def handler(request):
        return handler(request)

    assert serve(handler).fetch().status == 500


def test_a_handler_with_the_wrong_arguments_is_a_500(serve, records):
    assert serve(lambda: "none").fetch().status == 500
    records.wait_for("TypeError")


def test_a_forgotten_import_is_logged_with_a_hint(serve, records):
    def handler(request):
        return ResponseCookie("x")  # noqa: F821 - the import is forgotten

    assert serve(handler).fetch().status == 500
    record = records.wait_for("NameError")
    assert "from outside import" in record.whole


def test_an_answer_by_code_uses_the_built_in_page(serve):
    answer = serve(lambda request: (404, "no such thing")).fetch()
    assert answer.status == 404
    assert "no such thing" in answer.text
    assert serve(lambda request: (503, None)).fetch().status == 503


def test_an_answer_by_code_uses_the_error_handler(serve):
    seen = []

    def handler(request, message=None):
        seen.append((request.url, message))
        return Response(418, {"X-Own": "1"}, f"own {message}")

    running = serve({"/a": lambda request: (418, "teapot"), "/b": lambda request: (418, None)})
    running.server.set_errorhandler(418, handler)
    answer = running.fetch("/a")
    assert (answer.status, answer.text, answer.header("X-Own")) == (418, "own teapot", "1")
    assert running.fetch("/b").text == "own None"
    assert seen == [("/a", "teapot"), ("/b", None)]
    running.server.remove_errorhandler(418)
    assert running.fetch("/a").header("X-Own") is None


def test_error_handlers_answer_refusals_of_the_server(serve):
    seen = []

    def page(code):
        def handler(request, message=None):
            seen.append((code, request.method if request else None, request.url if request else None))
            return Response(code, {}, f"own {code}")

        return handler

    running = serve({"/raise": fails, "/a": lambda request: "a"}, max_body_size_mb=1)
    for code in (404, 413, 417, 500):
        running.server.set_errorhandler(code, page(code))
    assert running.fetch("/unknown").text == "own 404"
    assert running.fetch("/raise").text == "own 500"
    assert running.fetch("/a", "POST", {"Content-Length": "9999999"}).text == "own 413"
    assert running.fetch("/a", "POST", {"Expect": "wonders"}, b"x").text == "own 417"
    assert seen == [(404, "GET", "/unknown"), (500, "GET", "/raise"), (413, "POST", "/a"), (417, "POST", "/a")]


def test_an_error_handler_that_returns_a_pair_means_the_built_in_page(serve):
    running = serve({})
    running.server.set_errorhandler(404, lambda request, message=None: (404, "not here"))
    running.server.set_errorhandler(405, lambda request, message=None: (404, "nowhere"))
    running.server.get("/a")(lambda: "a")
    running.server.get("/b")(lambda: (404, None))
    running.server.errorhandler(410)(lambda: (451, "not even gone"))
    running.server.get("/c")(lambda: (410, None))
    answers = {(method, path): running.fetch(path, method) for method, path in
               (("GET", "/none"), ("POST", "/a"), ("GET", "/b"), ("GET", "/c"))}  # fmt: skip
    assert {asked: (answer.status, answer.text.strip()) for asked, answer in answers.items()} == {
        ("GET", "/none"): (404, "404 Not Found: not here"),
        ("POST", "/a"): (404, "404 Not Found: nowhere"),
        ("GET", "/b"): (404, "404 Not Found: not here"),
        ("GET", "/c"): (451, "451 Unavailable For Legal Reasons: not even gone"),
    }


def test_before_a_head_was_read_the_page_is_the_built_in_one(serve):
    called = []
    running = serve({})
    running.server.set_errorhandler(400, lambda request, message=None: called.append(request))
    with running.wire() as wire:
        answer = wire.send(b"nonsense\r\n\r\n").receive_answer()
        assert answer.status == 400
        wire.receive_end()
    assert called == []


@pytest.mark.parametrize(
    "result", [RuntimeError("cause in the log"), 5, None, (404, "again"), (500, "again"), "X\ud800"], ids=repr
)
def test_an_error_handler_that_fails_falls_back(serve, records, result):
    def handler(request, message=None):
        if isinstance(result, Exception):
            raise result
        return result

    running = serve({})
    running.server.set_errorhandler(404, handler)
    with running.wire() as wire:
        answer = wire.send(request_bytes("/unknown") * 2).receive_answer()
        assert answer.status in (404, 204, 500)
        assert "cause" not in answer.text
        assert wire.receive_answer().status == answer.status
    if isinstance(result, Exception):
        assert answer.status == 404
        records.wait_for("cause in the log")


def test_an_error_handler_may_be_async(serve):
    async def handler(request, message=None):
        return Response(404, {}, "async")

    running = serve({})
    running.server.set_errorhandler(404, handler)
    assert running.fetch("/unknown").text == "async"


def test_an_error_page_for_head_has_no_body(serve):
    answer = serve({}).fetch("/unknown", "HEAD")
    assert (answer.status, answer.body) == (404, b"")
    assert int(answer.header("Content-Length")) > 0


@pytest.mark.parametrize("code", [404, 418, 500, 503, 599])
def test_built_in_pages_name_the_status(serve, code):
    answer = serve(lambda request: (code, None)).fetch()
    assert answer.status == code
    assert str(code) in answer.text or get_description(code) in answer.text


def test_error_handlers_are_shown_as_a_copy():
    def handler(request, message=None):
        return Response(404)

    server = OutsideHTTP(("127.0.0.1", 0))
    server.set_errorhandler(404, handler)
    assert server._error_routes == {404: handler}
    server._error_routes.clear()
    assert server._error_routes == {404: handler}
    server.remove_errorhandler(404)
    server.remove_errorhandler(404)
    assert server._error_routes == {}


@pytest.mark.parametrize("code", ["404", None, 2.5])
def test_the_code_is_a_number(code):
    with pytest.raises(TypeError):
        OutsideHTTP(("127.0.0.1", 0)).set_errorhandler(code, fails)


@pytest.mark.parametrize("code", [0, 99, 1000, -404])
def test_the_code_is_a_status(code):
    with pytest.raises(ValueError, match=str(code)):
        OutsideHTTP(("127.0.0.1", 0)).set_errorhandler(code, fails)


def test_the_handler_can_be_called():
    with pytest.raises(TypeError):
        OutsideHTTP(("127.0.0.1", 0)).set_errorhandler(404, "page")
