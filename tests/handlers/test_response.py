"""Values that handlers return, and their answers: conversions, header values, bodies of every kind, refusals to split."""

from __future__ import annotations

import json
import re
import threading

import pytest

from outside import Response
from support.names import steady
from support.wire import parse_all, request_bytes


def test_everything_has_a_default():
    response = Response()
    assert (response.status_code, dict(response.headers), response.cookies) == (200, {}, {})
    assert Response(content="hi").content == "hi"


def test_attributes_as_named_and_mutable():
    response = Response(201, {"X-A": "1"}, "text", {})
    assert (response.status_code, response.headers, response.content) == (201, {"X-A": "1"}, "text")
    response.status_code, response.content = 202, b"bytes"
    response.headers["X-B"] = "2"
    response.own = "extra"
    assert (response.status_code, response.content, response.headers["X-B"], response.own) == (
        202,
        b"bytes",
        "2",
        "extra",
    )
    assert "202" in repr(response)


def test_defaults_are_not_shared():
    one, other = Response(), Response()
    one.headers["X"] = "1"
    one.cookies["c"] = None
    assert other.headers == {}
    assert other.cookies == {}


@pytest.mark.parametrize(
    ("value", "status", "kind", "body"),
    [
        ("text é", 200, "text/plain; charset=utf-8", "text é".encode()),
        ("", 200, "text/plain; charset=utf-8", b""),
        (b"\x00\xff", 200, "application/octet-stream", b"\x00\xff"),
        ({"a": [1, "é", None]}, 200, "application/json", None),
        ([1, {"b": True}], 200, "application/json", None),
        ({}, 200, "application/json", None),
        (None, 204, None, b""),
    ],
)
def test_shorter_returns(serve, value, status, kind, body):
    answer = serve(lambda request: value).fetch()
    assert answer.status == status
    assert answer.header("Content-Type") == kind
    if body is None:
        assert json.loads(answer.body) == value
    else:
        assert answer.body == body


@pytest.mark.parametrize(
    ("content", "kind", "body"),
    [
        ("text", "text/plain; charset=utf-8", b"text"),
        (b"bytes", "application/octet-stream", b"bytes"),
        ({"a": 1}, "application/json", None),
        ([1], "application/json", None),
    ],
)
def test_content_type_is_set_if_missing(serve, content, kind, body):
    running = serve(lambda request: Response(content=content))
    answer = running.fetch()
    assert answer.header("Content-Type") == kind
    assert json.loads(answer.body) == content if body is None else answer.body == body


def test_content_type_given_in_any_case_is_kept(serve):
    answer = serve(lambda request: Response(200, {"content-TYPE": "text/x"}, "a")).fetch()
    assert answer.all("Content-Type") == ["text/x"]


class Unknown:
    pass


@pytest.mark.parametrize(
    "value", [5, 2.5, True, {1, 2}, object(), Unknown(), (1, 2, 3), (), ("404", "x"), (404, 5)], ids=steady
)
def test_anything_else_is_a_500_logged_with_its_type(serve, records, value):
    answer = serve(lambda request: value).fetch()
    assert answer.status == 500
    assert type(value).__name__ not in answer.text
    records.wait_for("(code, message)" if isinstance(value, tuple) else type(value).__name__)


@pytest.mark.parametrize("content", [5, object(), 2.5], ids=steady)
def test_content_of_a_wrong_type_is_a_500(serve, records, content):
    assert serve(lambda request: Response(200, {}, content)).fetch().status == 500
    records.wait_for(type(content).__name__)


@pytest.mark.parametrize("content", [{"a": object()}, [{1: {b"a"}}], {"a": b"bytes"}], ids=steady)
def test_json_that_cannot_be_written_is_a_500(serve, records, content):
    assert serve(lambda request: content).fetch().status == 500
    records.wait_for("JSON")


def test_text_that_is_no_unicode_is_a_500(serve, records):
    assert serve(lambda request: "\ud800").fetch().status == 500
    records.wait_for("surrogate")


@pytest.mark.parametrize("code", [0, 99, 100, 199, 1000, -200, "200", None, 2.5], ids=repr)
def test_a_status_code_that_is_none(serve, code):
    with pytest.raises((ValueError, TypeError)) as error:
        Response(code)
    assert repr(code) in str(error.value) or type(code).__name__ in str(error.value)
    assert serve(lambda request: Response(code)).fetch().status == 500


def test_a_status_code_without_a_phrase(serve):
    answer = serve(lambda request: Response(299, {}, "x")).fetch()
    assert (answer.status, answer.body) == (299, b"x")


# header fields


def test_values_are_text_numbers_or_lists(serve):
    headers = {"X-Text": "a b", "X-Number": 5, "X-Fraction": 2.5, "X-List": ["one", "two"], "X-Empty": ""}
    answer = serve(lambda request: Response(200, headers, "")).fetch()
    assert answer.header("X-Text") == "a b"
    assert answer.header("X-Number") == "5"
    assert answer.header("X-Fraction") == "2.5"
    assert answer.all("X-List") == ["one", "two"]
    assert answer.header("X-Empty") == ""


def test_names_and_order_as_given(serve):
    answer = serve(lambda request: Response(200, {"x-LAST": "1", "A-First": "2"}, "")).fetch()
    assert [name for name, _ in answer.fields][:2] == ["x-LAST", "A-First"]


def test_framing_and_date_belong_to_the_server(serve):
    headers = {"content-length": "999", "DATE": "yesterday", "Transfer-Encoding": "chunked"}
    answer = serve(lambda request: Response(200, headers, "four")).fetch()
    assert (answer.header("Content-Length"), answer.body) == ("4", b"four")
    assert answer.header("Transfer-Encoding") is None
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", answer.header("Date"))


def test_a_connection_field_of_a_handler_never_lies(serve):
    with serve(lambda request: Response(200, {"Connection": "close"}, "x")).wire() as wire:
        closes = wire.send(request_bytes("/")).receive_answer().header("Connection") == "close"
        wire.send_if_possible(request_bytes("/", headers={"Connection": "close"}))
        assert len(parse_all(wire.receive_rest())) == (0 if closes else 1)


def test_set_cookie_is_allowed(serve):
    answer = serve(lambda request: Response(200, {"Set-Cookie": ["a=1", "b=2"]}, "")).fetch()
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]


def test_a_tab_and_text_above_ascii_are_allowed(serve):
    with serve(lambda request: Response(200, {"X-Text": "a\té"}, "")).wire() as wire:
        wire.send(request_bytes("/", headers={"Connection": "close"}))
        assert b"X-Text: a\t\xc3\xa9\r\n" in wire.receive_rest()


BAD = [
    ("X-A", "a\r\nX-B: b"),
    ("X-A", "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ("X-A", "a\n"),
    ("X-A", "a\r"),
    ("X-A", "a\0b"),
    ("X-A", "a\x1bb"),
    ("X-A", "a\x7f"),
    ("X-A", ["fine", "a\r\nb"]),
    ("X-A", b"bytes"),
    ("X-A", None),
    ("X-A", ["a", 5, None]),
    ("X-A\r\nX-B", "b"),
    ("X-A:", "b"),
    ("X A", "b"),
    ("X-A\0", "b"),
    ("X-é", "b"),
    ("", "b"),
    (5, "b"),
    ("Content-Type", "text/plain\r\nX-B: b"),
    ("Location", "/\r\nSet-Cookie: a=b"),
    ("Set-Cookie", "a=b\r\nX-B: b"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=repr)
def test_no_field_can_split_a_response(serve, records, name, value):
    running = serve({"/": lambda request: Response(200, {name: value}, "body"), "/fine": lambda request: "fine"})
    with running.wire() as wire:
        answer = wire.send(request_bytes("/") + request_bytes("/fine")).receive_answer()
        assert answer.status == 500
        assert answer.header("X-B") is None
        assert wire.receive_answer().text == "fine"
    records.wait_for(lambda record: record.levelname in ("ERROR", "CRITICAL"))


def test_a_field_set_after_the_response_was_built_cannot_split_it_either(serve):
    def handler(request):
        response = Response(200, {}, "body")
        response.headers["X-A"] = "a\r\nX-B: b"
        return response

    assert serve(handler).fetch().status == 500


# bodies


def test_a_body_that_may_not_be_there_is_dropped(serve):
    running = serve({"/204": lambda request: Response(204, {}, "body"), "/304": lambda request: Response(304, {}, "body")})
    for code in (204, 304):
        with running.wire() as wire:
            answer = wire.send(request_bytes(f"/{code}") + request_bytes("/unknown")).receive_answer()
            assert (answer.status, answer.body) == (code, b"")
            assert wire.receive_answer().status == 404


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 65536, 1 << 20, 9_999_999])
def test_sizes(serve, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = serve(lambda request: body).fetch()
    assert answer.body == body
    assert answer.header("Content-Length") == str(size)


def test_a_generator_is_streamed(serve):
    def pieces():
        yield "text é"
        yield b""
        yield b"\x00bytes"
        yield ""

    answer = serve(lambda request: Response(200, {}, pieces())).fetch()
    assert answer.chunked
    assert answer.body == "text é".encode() + b"\x00bytes"


def test_an_async_generator_is_streamed(serve):
    async def pieces():
        for i in range(100):
            yield f"{i} "

    async def handler(request):
        return Response(200, {}, pieces())

    for answer in (serve(handler).fetch(), serve(lambda request: Response(200, {}, pieces())).fetch()):
        assert answer.chunked
        assert answer.text.split() == [str(i) for i in range(100)]


def test_an_empty_stream(serve):
    answer = serve(lambda request: Response(200, {}, iter(()))).fetch()
    assert (answer.status, answer.body) == (200, b"")


def test_a_piece_is_sent_before_the_next_is_made(serve):
    go_on = threading.Event()

    def pieces():
        yield "one"
        assert go_on.wait(10)
        yield "two"

    with serve(lambda request: Response(200, {}, pieces())).wire() as wire:
        wire.send(request_bytes("/"))
        while b"3\r\none\r\n" not in wire.received:
            assert wire.receive_some()
        go_on.set()
        assert wire.receive_answer().body == b"onetwo"


def test_a_long_stream(serve):
    piece = b"x" * 100_000
    answer = serve(lambda request: Response(200, {}, (piece for _ in range(200)))).fetch()
    assert len(answer.body) == 20_000_000


@pytest.mark.parametrize("bad", [RuntimeError("secret"), 5, None], ids=repr)
def test_a_stream_that_breaks_is_not_ended_properly(serve, records, bad):
    def pieces():
        yield "one"
        if isinstance(bad, Exception):
            raise bad
        yield bad

    with serve(lambda request: Response(200, {}, pieces())).wire() as wire:
        data = wire.send(request_bytes("/")).receive_rest()
    assert b"0\r\n\r\n" not in data
    assert b"secret" not in data
    assert data.count(b"HTTP/1.1") == 1
    records.wait_for("secret" if isinstance(bad, Exception) else type(bad).__name__)


def test_a_stream_is_closed_when_the_client_leaves(serve):
    left = threading.Event()

    def pieces():
        try:
            while True:
                yield b"x" * 65536
        finally:
            left.set()

    with serve(lambda request: Response(200, {}, pieces())).wire() as wire:
        wire.send(request_bytes("/")).receive_some()
    assert left.wait(10)


def test_a_stream_is_not_consumed_for_head(serve):
    made = []

    def pieces():
        made.append("one")
        yield "one"

    answer = serve(lambda request: Response(200, {}, pieces())).fetch("/", "HEAD")
    assert (answer.status, answer.body, made) == (200, b"", [])


def test_a_subclass_is_a_response(serve):
    class Own(Response):
        pass

    assert serve(lambda request: Own(201, {}, "own")).fetch().status == 201


def test_one_response_can_be_returned_many_times(serve):
    response = Response(200, {"X-A": "1"}, "same")
    running = serve(lambda request: response)
    assert [running.fetch().text for _ in range(5)] == ["same"] * 5
    assert response.headers == {"X-A": "1"}


@pytest.mark.parametrize(
    ("pieces", "headers", "kind"),
    [
        (["é", "b"], {}, "text/plain; charset=utf-8"),
        (["", b"b"], {}, "text/plain; charset=utf-8"),
        ([b"a", "b"], {}, "application/octet-stream"),
        ([], {}, "application/octet-stream"),
        (["a"], {"content-type": "text/csv"}, "text/csv"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_the_first_piece_of_a_stream_decides_its_media_type(serve, pieces, headers, kind, is_async):
    async def later():
        for piece in pieces:
            yield piece

    answer = serve(lambda request: Response(200, headers, later() if is_async else iter(pieces))).fetch()
    assert answer.all("Content-Type") == [kind]
