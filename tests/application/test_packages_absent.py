"""msgspec, pydantic and attrs are used where they are installed; without them dataclasses, TypedDicts and simple types work alike."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
import pytest

from support.subprocesses import run_process

PROGRAM = """
import sys
from dataclasses import dataclass, field
from typing import Annotated, TypedDict
for name in ("msgspec", "pydantic", "attrs", "attr", "annotated_types"):
    sys.modules[name] = None
from outside import Depends, OutsideHTTP, Query
server = OutsideHTTP(("127.0.0.1", 0))
server.config["access_log"] = "off"

@dataclass
class Issue:
    title: Annotated[str, Query(min_length=1)]
    labels: list[str] = field(default_factory=list)

class Other(TypedDict):
    title: str

def user(token: str = "none"):
    yield token

@server.post("/dataclass")
def of_dataclass(issue: Issue, page: Annotated[int, Query(ge=1)] = 1, user: Annotated[str, Depends(user)] = ""):
    return {"title": issue.title, "page": page, "user": user}

@server.post("/dict")
async def of_dict(other: Other) -> Other:
    return other

server.openapi("/docs", title="a", version="1")
with server.test_client() as client:
    print(client.post("/dataclass?page=2&token=me", json={"title": "a"}).text)
    print(client.post("/dataclass", data={"title": "a"}).text)
    print(client.post("/dataclass", json={"title": ""}).status_code, client.post("/dict", json={}).status_code)
    print(client.post("/dict", json={"title": "a"}).text)
    print(len(client.get("/openapi.json").json()["components"]["schemas"]))
"""


def test_none_of_them_is_needed():
    done = run_process([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        '{"title":"a","page":2,"user":"me"}',
        '{"title":"a","page":1,"user":"none"}',
        "422 422",
        '{"title":"a"}',
        "3",
    ]


ANSWERS = """
import builtins, datetime, enum, uuid
from dataclasses import dataclass
from decimal import Decimal

real = builtins.__import__
def without(name, *given, **named):
    if name.partition(".")[0] in ("msgspec", "pydantic", "attrs", "attr", "jinja2", "markupsafe", "orjson", "annotated_types"):
        raise ImportError(f"No module named {name!r}", name=name)
    return real(name, *given, **named)
builtins.__import__ = without

from outside import OutsideHTTP, Templates, csrf_token, flash, flashes, url_for
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", secret="a secret of at least 32 bytes, here")

class Kind(enum.Enum):
    BUG = "bug"

@dataclass
class Issue:
    title: str
    at: datetime.datetime
    kind: Kind = Kind.BUG

@server.get("/answer")
def answer() -> Issue:
    return Issue("a", datetime.datetime(2026, 11, 29, 12))

@server.get("/values")
async def values():
    return {"id": uuid.UUID(int=1), "price": Decimal("1.50"), "tags": {"a"}, "many": (1, 2.5, None), 3: True}

@server.post("/by-hand")
def by_hand(request):
    issue = request.json(Issue)
    return [type(issue).__name__, issue.at.year, issue.kind.name, request.json()["title"]], 201

@server.get("/session")
def session(request):
    flash(request, "hello")
    return [flashes(request), len(csrf_token(request)) > 20, url_for("session")]

with server.test_client(headers={"Origin": "http://localhost"}) as client:
    for path in ("/answer", "/values", "/session"):
        print(client.get(path).text)
    print(client.post("/by-hand", json={"title": "a", "at": "2026-01-02T03:04:05Z", "kind": "bug"}).text)
    print(client.post("/by-hand", json={"title": "a", "at": "soon"}).status_code, client.post("/by-hand", data="{").status_code)
try:
    Templates(".")
except ImportError as error:
    print(str(error).rpartition(": ")[2], error.name)
"""


def test_json_sessions_and_addresses_need_none_of_them():
    done = run_process([sys.executable, "-c", ANSWERS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        '{"title":"a","at":"2026-11-29T12:00:00","kind":"bug"}',
        '{"id":"00000000-0000-0000-0000-000000000001","price":"1.50","tags":["a"],"many":[1,2.5,null],"3":true}',
        '[["hello"],true,"/session"]',
        '["Issue",2026,"BUG","a"]',
        "422 415",
        "pip install jinja2 jinja2",
    ]


def test_importing_the_package_imports_none_of_it():
    program = """
import sys
import outside
server = outside.OutsideHTTP(("127.0.0.1", 0))
server.get("/<int:id>")(lambda request, id: None)
print([name for name in sys.modules if name.partition(".")[0] in ("msgspec", "pydantic", "attrs", "typing_extensions")])
print(sorted(name for name in sys.modules if name.startswith("outside._input.")))
"""
    done = run_process([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "['outside._input.errors', 'outside._input.markers']"], done.stderr


@dataclass
class Inner:
    number: Annotated[int, msgspec.Meta(ge=1)]
    mode: Literal["a", "b"] = "a"


@dataclass
class Outer:
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=3, pattern="^a")]
    amount: float = 0
    labels: Annotated[list[str], msgspec.Meta(max_length=2)] = field(default_factory=list)
    inner: Inner | None = None
    many: list[Inner] = field(default_factory=list)
    by_name: dict[str, int] = field(default_factory=dict)


GOOD: list[dict[str, Any]] = [
    {"title": "a"},
    {
        "title": "abc",
        "amount": 1,
        "labels": ["x"],
        "inner": {"number": 5},
        "many": [{"number": 1, "mode": "b"}],
        "by_name": {"x": 1},
    },
    {"title": "a", "inner": None, "unknown": [1, {"x": None}]},
    {"title": "a", "amount": 1e300, "by_name": {}},
]
BAD: list[tuple[Any, list[Any], str]] = [
    ({}, ["title"], "Object missing required field"),
    ([], [], "Expected `object`, got `array`"),
    (None, [], "Expected `object`, got `null`"),
    ({"title": None}, ["title"], "Expected `str`, got `null`"),
    ({"title": ""}, ["title"], "Expected `str` of length >= 1"),
    ({"title": "abcd"}, ["title"], "Expected `str` of length <= 3"),
    ({"title": "b"}, ["title"], "Expected `str` matching regex '^a'"),
    ({"title": "a", "amount": "1"}, ["amount"], "Expected `float`, got `str`"),
    ({"title": "a", "amount": True}, ["amount"], "Expected `float`, got `bool`"),
    ({"title": "a", "labels": ["x", 5]}, ["labels", 1], "Expected `str`, got `int`"),
    ({"title": "a", "labels": ["x", "y", "z"]}, ["labels"], "Expected `array` of length <= 2"),
    ({"title": "a", "inner": {}}, ["inner", "number"], "Object missing required field"),
    ({"title": "a", "inner": {"number": 0}}, ["inner", "number"], "Expected `int` >= 1"),
    ({"title": "a", "many": [{"number": 1}, {"number": "x"}]}, ["many", 1, "number"], "Expected `int`, got `str`"),
]


@pytest.fixture(params=["present", "absent"])
def client(request, server, monkeypatch):
    """A client of a server with such a body, read by msgspec and without it."""
    if request.param == "absent":
        monkeypatch.setitem(sys.modules, "msgspec", None)

    @server.post("/")
    def handler(outer: Outer) -> str:
        return repr(outer)

    with server.test_client() as client:
        yield client


@pytest.mark.parametrize("sent", GOOD)
def test_both_ways_give_the_same_model(client, sent):
    assert client.post("/", json=sent).text == repr(msgspec.convert(sent, Outer))


@pytest.mark.parametrize(("sent", "at", "message"), BAD)
def test_both_ways_tell_the_same_fault(client, sent, at, message):
    response = client.post("/", json=sent)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"in": "body", "at": at, "message": message}]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"title": "a"} x',
        b"nul",
        b'{"title": "a\xff"}',
        b'{"x": ' + b"[" * 100_000,
        b'{"title": NaN}',
        b'{"title": "\\ud800"}',
    ],
    ids=range(8),
)
def test_both_ways_refuse_what_is_no_json(client, text):
    response = client.post("/", data=text, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    if text != b'{"title": "\\ud800"}':
        assert response.status_code == 400
    json.loads(response.text)
