"""What a handler returns, and what is sent: the table of the documentation (docs/guide/json.md), row by row."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import pickle
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from outside import Response, ResponseCookie


@dataclass
class Issue:
    title: str
    labels: list[str] = field(default_factory=list)


class Struct(msgspec.Struct, rename="camel", omit_defaults=True):
    made_at: datetime.datetime
    price: decimal.Decimal
    note: str = ""


class Model(pydantic.BaseModel):
    made_at: datetime.datetime = pydantic.Field(alias="madeAt")
    price: decimal.Decimal
    inner: Issue


@attrs.define
class Attrs:
    name: str


class Colour(enum.Enum):
    RED = "red"
    NESTED = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


Row = namedtuple("Row", "id name")
NOON = datetime.datetime(2026, 1, 2, 12, 0, 0)
UTC = datetime.timezone.utc
ID = uuid.UUID("00000000-0000-0000-0000-00000000002a")

RETURNED: list[tuple[Any, int, str, bytes]] = [
    # What is returned, and the status, media type and content that are sent.
    ("text", 200, "text/plain; charset=utf-8", b"text"),
    (b"bytes", 200, "application/octet-stream", b"bytes"),
    ({"a": 1}, 200, "application/json", b'{"a":1}'),
    ([1, None], 200, "application/json", b"[1,null]"),
    (None, 204, "", b""),
    (Issue("a", ["b"]), 200, "application/json", b'{"title":"a","labels":["b"]}'),
    (Attrs("a"), 200, "application/json", b'{"name":"a"}'),
    (Struct(NOON, decimal.Decimal("1.50")), 200, "application/json", b'{"madeAt":"2026-01-02T12:00:00","price":"1.50"}'),
    (
        Model(madeAt=NOON, price=decimal.Decimal("1.50"), inner=Issue("a")),
        200,
        "application/json",
        b'{"madeAt":"2026-01-02T12:00:00","price":"1.50","inner":{"title":"a","labels":[]}}',
    ),
    # (body, code): the body with that status, no error handler.
    (("made", 201), 201, "text/plain; charset=utf-8", b"made"),
    (({"a": 1}, 404), 404, "application/json", b'{"a":1}'),
    (([], 404), 404, "application/json", b"[]"),
    ((Issue("a"), HTTPStatus.CREATED), 201, "application/json", b'{"title":"a","labels":[]}'),
    ((None, 202), 202, "", b""),
    ((Response(200, {"Content-Type": "a/b"}, "x"), 201), 201, "a/b", b"x"),
    # (body, code, headers)
    (("no", 409, {"X-A": "1"}), 409, "text/plain; charset=utf-8", b"no"),
    (("no", 409, [("X-A", "1")]), 409, "text/plain; charset=utf-8", b"no"),
    (({"a": 1}, 409, {"Content-Type": "application/problem+json", "X-A": "1"}), 409, "application/problem+json", b'{"a":1}'),
    ((Response(200, {"X-A": "0", "X-B": "2"}, "x"), 201, {"x-a": "1"}), 201, "text/plain; charset=utf-8", b"x"),
    # (code, dict): that body with that status.
    ((404, {"error": "no"}), 404, "application/json", b'{"error":"no"}'),
    ((201, Issue("a")), 201, "application/json", b'{"title":"a","labels":[]}'),
    # (code, message): the error handler of that code.
    ((404, "no"), 404, "text/plain; charset=utf-8", b"handler of 404: no"),
    ((404, None), 404, "text/plain; charset=utf-8", b"handler of 404: None"),
]


@pytest.mark.parametrize("kind", ["plain", "async", "plain with hooks", "async with hooks", "set_route"])
def test_what_is_returned_and_what_is_sent(server, start, kind):
    if "hooks" in kind:
        server.after_request(lambda response: None)
    server.set_errorhandler(404, lambda request, message=None: f"handler of 404: {message}")
    for number, (value, *_) in enumerate(RETURNED):
        if "async" in kind:

            async def handler(value=value):
                return value

            server.get(f"/{number}")(handler)
        elif kind == "set_route":
            server.set_route(f"/{number}", lambda request, value=value: value)
        else:
            server.get(f"/{number}")(lambda value=value: value)
    running = start()
    for number, (value, status, media_type, body) in enumerate(RETURNED):
        answer = running.fetch(f"/{number}")
        assert (answer.status, answer.header("Content-Type") or "", answer.body) == (status, media_type, body), value
        if isinstance(value, tuple) and len(value) == 3:
            assert answer.header("X-A") == "1"


REFUSED: list[tuple[Any, str]] = [
    (Row(404, "no"), "return list(…)"),
    ((1, 2), "return list(…)"),
    ((200, 404), "return list(…)"),
    (("a", True), "return list(…)"),
    ((), "return list(…)"),
    (("a", 99), "return list(…)"),
    (("a", 150), "200 to 599, not 150"),
    ((iter("a"), 200), "Response(200, content="),
    ({1, 2}, "return list(…)"),
    (NOON, "a dataclass or another model"),
]


def test_a_tuple_is_an_answer_only_with_exactly_one_status(server, start, records):
    """A row of a database is no answer: the log says to write `list(…)`."""
    for number, (value, _) in enumerate(REFUSED):
        server.get(f"/{number}")(lambda value=value: value)
    running = start()
    for number, (value, advice) in enumerate(REFUSED):
        assert running.fetch(f"/{number}").status == 500, value
        logged = records.wait_for(lambda record, number=number: f"GET /{number}:" in record.whole).whole
        assert advice in logged
        assert f"{__file__}:" in logged


WRITTEN: list[tuple[Any, str]] = [
    (NOON, '"2026-01-02T12:00:00"'),
    (NOON.replace(tzinfo=UTC, microsecond=5), '"2026-01-02T12:00:00.000005+00:00"'),
    (NOON.replace(tzinfo=datetime.timezone(-datetime.timedelta(hours=3, minutes=30))), '"2026-01-02T12:00:00-03:30"'),
    # RFC 3339 has no seconds in an offset: the same moment in UTC.
    (NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(seconds=30))), '"2026-01-02T11:59:30+00:00"'),
    (NOON.date(), '"2026-01-02"'),
    (NOON.time(), '"12:00:00"'),
    (ID, '"00000000-0000-0000-0000-00000000002a"'),
    (decimal.Decimal("0.10"), '"0.10"'),
    (Colour.RED, '"red"'),
    (Colour.NESTED, "[1,2]"),
    (Level.HIGH, "3"),
    (HTTPStatus.OK, "200"),
    ((1, 2), "[1,2]"),
    (Row(1, "a"), '[1,"a"]'),
    ({1}, "[1]"),
    (frozenset(), "[]"),
    (Issue("a"), '{"title":"a","labels":[]}'),
    (OrderedDict(a=1), '{"a":1}'),
    ({1: 1, 2.5: 2, None: 3, False: 4}, '{"1":1,"2.5":2,"null":3,"false":4}'),
    ({"deep": [{"when": [NOON.date()]}]}, '{"deep":[{"when":["2026-01-02"]}]}'),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN, ids=[text for _, text in WRITTEN])
def test_values_inside_of_json(serve, value, text):
    assert serve(lambda request: [value]).fetch().body == f"[{text}]".encode()


class Money:
    def __init__(self, cents):
        self.cents = cents


def test_json_default_writes_the_rest(server, start, records):
    def default(value):
        if isinstance(value, Money):
            return {"cents": value.cents, "at": NOON}
        raise TypeError("nothing known")

    server.config["json_default"] = default
    server.get("/")(lambda: {"price": Money(5)})
    server.get("/other")(lambda: {"a": [object()]})
    running = start()
    assert running.fetch().body == b'{"price":{"cents":5,"at":"2026-01-02T12:00:00"}}'
    assert running.fetch("/other").status == 500
    records.wait_for("['a'][0] cannot be written: TypeError: nothing known")


def test_without_one_the_log_names_it(serve, records):
    assert serve(lambda request: {"a": Money(5)}).fetch().status == 500
    records.wait_for('config["json_default"]')


def test_a_default_that_returns_its_argument_has_an_end(server, start, records):
    server.config["json_default"] = lambda value: value
    server.get("/")(lambda: [Money(5)])
    assert start().fetch().status == 500
    records.wait_for("cannot be sent")


# --- Response


def test_a_response_can_be_pickled_and_copied():
    response = Response(201, {"X-A": ["1", "2"], "x-b": "3"}, {"a": [1]}, {"c": ResponseCookie("d", max_age=5)})
    response.note = "mine"
    for again in (pickle.loads(pickle.dumps(response)), copy.copy(response), copy.deepcopy(response)):
        assert (again.status_code, again.content, again.note) == (201, {"a": [1]}, "mine")
        assert again.headers.get_all("x-a") == ["1", "2"]
        assert again.headers["X-B"] == "3"
        assert (again.cookies["c"].value, again.cookies["c"].max_age) == ("d", 5)


def test_what_a_response_is_given_is_copied_when_it_is_changed_through_the_response():
    headers, content = {"X-A": "1"}, {"a": 1}
    response = Response(200, headers, content)
    response.headers["X-B"] = "2"
    response.content["b"] = 2
    assert (headers, content) == ({"X-A": "1"}, {"a": 1})


def test_cookies_of_a_response(serve):
    def handler(request):
        response = Response(content="x")
        response.set_cookie("plain", "a")
        response.set_cookie(
            "all",
            "b",
            max_age=60,
            expires=datetime.datetime(2030, 1, 1, tzinfo=UTC),
            path="/shop",
            domain="example.com",
            secure=True,
            http_only=False,
            same_site="None",
            partitioned=True,
        )
        response.delete_cookie("gone")
        return response

    answer = serve(handler).fetch()
    assert [value for name, value in answer.fields if name == "Set-Cookie"] == [
        "plain=a; Path=/; HttpOnly; SameSite=Lax",
        "all=b; Max-Age=60; Expires=Tue, 01 Jan 2030 00:00:00 GMT; Domain=example.com; Path=/shop; Secure; "
        "SameSite=None; Partitioned",
        "gone=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"name": "a b"}, "token"),
        ({"name": "a", "value": "b;c"}, "may not hold"),
        ({"name": "a", "same_site": "Sometimes"}, "'Strict', 'Lax' or 'None'"),
        ({"name": "a", "same_site": "None"}, "secure=True"),
        ({"name": "a", "partitioned": True}, "secure=True"),
        ({"name": "a", "expires": -1}, "from 1970 to 9999"),
        ({"name": "a", "expires": "tomorrow"}, "a datetime or a number"),
    ],
)
def test_a_cookie_that_no_browser_would_keep_is_refused_where_it_is_set(arguments, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        Response().set_cookie(**arguments)
