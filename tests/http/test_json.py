"""JSON in and out (RFC 8259): a value that JSON cannot hold is a 500 that names the place, and a text that is no JSON gives None."""

from __future__ import annotations

import datetime
import json
import math

import pytest

from outside import Event, Request, Response, event_stream, json_response

NAN, INFINITY = float("nan"), math.inf
LOOP: list = []
LOOP.append({"again": LOOP})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": NAN}, "['a'] is nan"),
        ([1, {"rows": [{"price": 1.5}, {"price": -INFINITY}]}], "[1]['rows'][1]['price'] is -inf"),
        ({"a": (1.0, INFINITY)}, "['a'][1] is inf"),
        ({NAN: 1}, "the value has the key nan"),
        ({"a": {"when": datetime.timedelta(1)}}, "['a']['when'] is of type timedelta"),
        ({"a": [{(1, 2): 3}]}, "['a'][0] has a key of type tuple"),
        (LOOP, "[0]['again'] holds itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("kind", ["plain", "async", "Response", "json_response", "with hooks"])
def test_a_value_that_json_cannot_hold_is_a_500_that_names_its_place(server, start, records, value, place, kind):
    def handler():
        return {"Response": lambda: Response(content=value), "json_response": lambda: json_response(value)}.get(
            kind, lambda: value
        )()

    async def async_handler():
        return value

    if kind == "with hooks":
        server.after_request(lambda response: None)
    server.get("/")(async_handler if kind == "async" else handler)
    answer = start().fetch()
    assert (answer.status, b"NaN" in answer.body) == (500, False)
    logged = records.wait_for(place)
    assert "GET /" in logged.whole
    if kind != "json_response":
        assert f"{__file__}:" in logged.whole


def test_very_deep_is_a_500_too(serve):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert serve(lambda request: deep).fetch().status == 500


def test_half_a_surrogate_pair_is_escaped(serve):
    stored: list = []

    def handler(request):
        stored.append(request.json())
        return {"/list": stored, "/response": Response(content=stored)}.get(request.path) or json_response(stored)

    running = serve(handler)
    for path in ("/list", "/response", "/json_response"):
        answer = running.fetch(path, "POST", body=b'{"name": "\\ud800 \xc3\xa9"}')
        assert answer.status == 200
        assert b"\\ud800 \xc3\xa9" in answer.body
        assert json.loads(answer.body)[-1] == {"name": "\ud800 é"}


def test_events_are_json_as_well(serve, records):
    def events():
        yield Event({"a": "\ud800"})
        yield Event({"a": [NAN]})

    with serve(lambda request: event_stream(events())).wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b'data: {"a":"\\ud800"}' in wire.receive_rest()
    records.wait_for("['a'][0] is nan")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"NaN", None),
        (b'{"a": [Infinity]}', None),
        (b"[-Infinity]", None),
        (b"1e999", None),
        (b"[-1E+400]", None),
        (b'{"a": 1e0309}', None),
        (b"9" * 400 + b".0", None),
        (b"9" * 250 + b"e99", None),
        (b"1e308", 1e308),
        (b"[1e-999, 0.0e999]", [0.0, 0.0]),
        (b"9" * 400, int("9" * 400)),
        (b'"NaN, 1e999"', "NaN, 1e999"),
        (b'"\xed\xa0\x80"', None),
    ],
    ids=range(13),
)
def test_numbers_that_come_in_are_finite(content, value):
    assert request_of(content).json() == value


TEXT = '{"name": "é😀", "n": 1.5}'


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_every_encoding_of_unicode_is_read(encoding):
    assert request_of(TEXT.encode(encoding)).json() == json.loads(TEXT)
    assert request_of('"NaN"'.encode(encoding)).json() == "NaN"
    assert request_of("NaN".encode(encoding)).json() is None


@pytest.mark.parametrize(
    "content", ['"\ud800"'.encode("utf-16-le", "surrogatepass"), TEXT.encode("utf-16")[:-1], b"\xff\xfe", b"\0\0\0\0"]
)
def test_content_that_is_no_unicode_is_no_json(content):
    assert request_of(content).json() is None


def request_of(content: bytes) -> Request:
    return Request("POST", {}, content, "HTTP/1.1", "/", ("127.0.0.1", 5000))
