"""A value that no handler may return: the log names the function with its line, the value, and the right spelling."""

from __future__ import annotations

import pathlib

import pytest

from outside import FilePath, Request, Response, ScheduledResponse


class Point:
    def __init__(self, x):
        self.x = x

    def __repr__(self):
        return f"Point(x={self.x})"


class Shy:
    def __repr__(self):
        raise RuntimeError("no repr")


RETURNED = [
    (lambda: (5, 404), "(5, 404) (tuple)", "write return json_response(5, 404)"),
    (lambda: ("no", {"X-A": "1"}), "('no', {'X-A': '1'})", "write return 'no', 200, {'X-A': '1'}"),
    (lambda: (True, 201), "(True, 201)", "write return json_response(True, 201)"),
    (lambda: (201, "made"), "(201, 'made')", "write return Response(201, content='made')"),
    (lambda: (302, "/there"), "(302, '/there')", "write return redirect('/there', 302)"),
    (lambda: (404, 5), "(404, 5)", "write return json_response(5, 404)"),
    (lambda: (404, "no", {"X-A": "1"}), "(404, 'no', {'X-A': '1'})", "the body comes first: write return body, 404, headers"),
    (lambda: ("no", 404, 5), "('no', 404, 5)", "return list(…)"),
    (lambda: (1, 2, 3), "(1, 2, 3)", "return list(…)"),
    (lambda: 5, "5 (int)", "return str(5), or json_response(5)"),
    (lambda: {1}, "{1} (set)", "return list(…)"),
    (lambda: (piece for piece in "ab"), "generator", "return Response(content=…)"),
    (lambda: FilePath("a"), "FilePath", "return send_file(…)"),
    (lambda: pathlib.Path("a"), "Path", "return send_file(…)"),
    (lambda: bytearray(b"a"), "bytearray", "return bytes(…)"),
    (lambda: Point(1), "Point(x=1)", "str, bytes, dict, list or None"),
    (lambda: Shy(), "a Shy that has no repr", "str, bytes, dict, list or None"),
    (lambda: "x" and [["x" * 1000]] and {"x" * 1000}, "…", "return list(…)"),
]


@pytest.mark.parametrize("kind", ["set_route", "plain", "async", "with hooks", "async with hooks"])
def test_the_log_names_the_handler_its_value_and_the_right_spelling(server, start, records, kind):
    if "hooks" in kind:
        server.after_request(lambda response: None)
    for number, (function, _, _) in enumerate(RETURNED):
        if "async" in kind:

            async def no(function=function):
                return function()

            server.get(f"/{number}")(no)
        elif kind == "set_route":

            def no(request, function=function):
                return function()

            server.set_route(f"/{number}", no)
        else:

            def no(function=function):
                return function()

            server.get(f"/{number}")(no)
    place = f"{__file__}:{no.__code__.co_firstlineno}: the answer of no() cannot be sent"
    running = start()
    for number, (_, value, spelling) in enumerate(RETURNED):
        assert running.fetch(f"/{number}").status == 500
        record = records.wait_for(lambda record, number=number: f"GET /{number}:" in record.whole)
        for part in (place, value, spelling):
            assert part in record.whole, number
        assert len(record.whole) < 1500


def wrong(*_):
    return 5, 404


def test_functions_around_handlers_are_named_too(server, start, records):
    place = f"{__file__}:{wrong.__code__.co_firstlineno}: the answer of wrong() cannot be sent"
    for decorator in ("before_request", "after_request"):
        getattr(server, decorator)(wrong)
        server.get("/")(lambda: "fine")
        running = start()
        assert running.fetch("/").status == 500
        records.wait_for(place)
        assert "return json_response(5, 404)" in records.wait_for(place).whole
        return


@pytest.mark.parametrize("kind", ["after", "code", "class", "set"])
def test_so_are_others(server, start, records, kind):
    if kind == "after":
        server.after_request(lambda response: wrong())
    elif kind == "set":
        server.set_errorhandler(409, wrong)
    else:
        server.errorhandler(409 if kind == "code" else ValueError)(wrong)

    @server.get("/")
    def handler():
        if kind == "class":
            raise ValueError("of it")
        return (409, None) if kind != "after" else "fine"

    assert start().fetch("/").status in (409, 500)
    assert "return json_response(5, 404)" in records.wait_for("cannot be sent").whole


def test_a_scheduled_response_says_it_as_well(records):
    request = Request("GET", {}, b"", "HTTP/1.1", "/", ("127.0.0.1", 5000))
    assert ScheduledResponse(request, wrong, {}).run() is None
    assert f"{__file__}:{wrong.__code__.co_firstlineno}" in records.wait_for("return json_response(5, 404)").whole


def test_headers_that_cannot_be_sent_are_traced_to_their_handler(server, start, records):
    @server.get("/")
    def broken():
        return Response(200, {"X-A": "a\nb"}, "")

    assert start().fetch("/").status == 500
    assert f"{__file__}:{broken.__code__.co_firstlineno}" in records.wait_for("may not hold CR").whole
