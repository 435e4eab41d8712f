"""A Flask app and the same app moved over: one test for both, by each one's own test client."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import pytest

from support.harness import ROOT

FOLDER = ROOT / "examples/python/flask_moved"


def imported(name: str) -> ModuleType:
    """A fresh copy of a program, which starts with no polls."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Where Flask looks for the folder of its templates.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["with_flask", "with_outside"])
def make_client(request: pytest.FixtureRequest) -> Any:
    if request.param == "with_flask":
        pytest.importorskip("flask")
        return imported("with_flask").app.test_client
    server = imported("with_outside").server
    server.config["access_log"] = "off"
    return server.test_client


def test_a_poll_from_its_question_to_its_votes(make_client):
    client = make_client()
    assert client.get("/").text == "<h1>Polls</h1><ul></ul>"

    response = client.post("/polls", data={"question": "Tea or <coffee>?"})
    assert (response.status_code, response.headers["Location"]) == (303, "/polls/1")
    page = client.get("/polls/1")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.text == "<h1>Tea or &lt;coffee&gt;?</h1><p>0 votes</p>"
    assert "<a href='/polls/1'>Tea or &lt;coffee&gt;?</a>" in client.get("/").text

    assert client.post("/polls/1/votes").status_code == 204
    again = client.post("/polls/1/votes")
    assert (again.status_code, again.text) == (403, "one vote each")
    assert make_client().post("/polls/1/votes").status_code == 204
    assert client.get("/polls/1").text.endswith("<p>2 votes</p>")


def test_the_visitor_is_remembered(make_client):
    client = make_client()
    first = client.get("/").headers["Set-Cookie"]
    assert first.startswith("visitor=")
    for attribute in ("Max-Age=3600", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert attribute in first
    assert "Set-Cookie" not in client.get("/").headers


OWN = {"Sec-Fetch-Site": "same-origin"}


def test_the_session(make_client):
    """Sessions, flashed messages and `url_for` in templates that both apps share."""
    pytest.importorskip("jinja2")
    client = make_client()
    client.get("/")
    made = client.post("/name", data={"name": "<Ada>"}, headers=OWN)
    assert (made.status_code, made.headers["Location"]) == (303, "/")
    cookie = made.headers["Set-Cookie"]
    assert cookie.startswith("session=")
    assert "HttpOnly" in cookie
    page = client.get("/")
    assert page.text.startswith("<p>Welcome, &lt;Ada&gt;!</p><p>Signed in as &lt;Ada&gt;</p><h1>Polls</h1>")
    assert page.headers["Vary"] == "Cookie"
    assert client.get("/").text.startswith("<p>Signed in as &lt;Ada&gt;</p><h1>Polls</h1>"), "a message is shown once"
    assert make_client().get("/").text.startswith("<h1>Polls</h1>")
    assert client.post("/leave", headers=OWN, follow_redirects=True).text == "<h1>Polls</h1><ul></ul>"
    assert client.post("/name", data={}, headers=OWN).status_code == 400


def test_addresses(make_client):
    assert json.loads(make_client().get("/api/addresses").text) == ["/api/polls?q=a+b", "http://localhost/polls/7"]


def test_redirects_are_followed(make_client):
    response = make_client().post("/polls", data={"question": "Why?"}, follow_redirects=True)
    assert (response.status_code, response.text) == (200, "<h1>Why?</h1><p>0 votes</p>")


def test_the_api(make_client):
    client = make_client()
    created = client.post("/api/polls", json={"question": "Why?"})
    assert (created.status_code, created.headers["Location"]) == (201, "/polls/1")
    client.post("/api/polls", json={"question": "When?"})
    assert json.loads(client.get("/api/polls").text) == [{"question": "Why?", "votes": 0}, {"question": "When?", "votes": 0}]
    assert json.loads(client.get("/api/polls?q=When").text) == [{"question": "When?", "votes": 0}]
    assert client.get("/api/polls").headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "text"),
    [
        ("GET", "/polls/7", {}, 404, "<h1>Not here</h1><p>no poll 7</p>"),
        ("GET", "/polls/seven", {}, 404, "<h1>Not here</h1>"),
        ("GET", "/polls/-1", {}, 404, "<h1>Not here</h1>"),
        ("POST", "/polls", {"data": {"question": " "}}, 400, "a question is needed"),
        ("POST", "/polls", {}, 400, "a question is needed"),
        ("POST", "/api/polls", {"data": "no JSON"}, 400, "send a question"),
        ("POST", "/api/polls", {"json": [1]}, 400, "send a question"),
        ("PUT", "/polls/1", {}, 405, ""),
        ("POST", "/polls/1/votes", {}, 404, "no poll 1"),
    ],
)
def test_wrong_requests(make_client, method: str, path: str, options: dict, status: int, text: str):
    response = getattr(make_client(), method.lower())(path, **options)
    assert response.status_code == status
    assert text in response.text
    if status == 405:
        assert {"GET", "HEAD", "OPTIONS"} <= set(response.headers["Allow"].split(", "))


def test_head_and_options(make_client):
    client = make_client()
    client.post("/polls", data={"question": "Why?"})
    head = client.head("/polls/1")
    assert (head.status_code, head.text) == (200, "")
    allowed = client.options("/polls/1")
    assert set(allowed.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
