"""The issue tracker of the examples, from the door to the live updates, and the number of its lines."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from outside.testing import TestClient
from support.harness import ROOT

FOLDER = ROOT / "examples/python/tracker"
SIGNED_IN = {"name": "ann", "password": "sunflower"}
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def program() -> Iterator[ModuleType]:
    """A fresh copy, without issues."""
    pytest.importorskip("jinja2")
    spec = importlib.util.spec_from_file_location("tracker", FOLDER / "tracker.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tracker"] = module
    spec.loader.exec_module(module)
    module.server.config["access_log"] = "off"  # type: ignore[attr-defined]
    yield module
    del sys.modules["tracker"]


@pytest.fixture
def client(program: ModuleType) -> Iterator[TestClient]:
    with program.server.test_client() as client:
        yield client


def sign_in(client: TestClient) -> None:
    assert client.post("/sign-in", data=SIGNED_IN, headers=OWN, follow_redirects=True).status_code == 200


def test_the_door(client):
    assert client.get("/").headers["Location"] == "/sign-in"
    assert client.get("/api/issues").status_code == 401
    wrong = client.post("/sign-in", data={**SIGNED_IN, "password": "rose"}, headers=OWN, follow_redirects=True)
    assert "Name or password is wrong." in wrong.text
    assert "Name or password is wrong." not in client.get("/sign-in").text, "it is shown once"
    page = client.post("/sign-in", data=SIGNED_IN, headers=OWN, follow_redirects=True)
    assert (page.status_code, "What is wrong, ann?" in page.text) == (200, True)


def test_a_guesser_is_slowed_down(client):
    answers = [client.post("/sign-in", data={"name": "ann", "password": str(guess)}, headers=OWN) for guess in range(7)]
    assert [answer.status_code for answer in answers] == [303] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60


def test_an_issue_by_the_form(client):
    sign_in(client)
    assert client.post("/issues", data={"title": "It leaks"}).status_code == 403, "from another site, for all that is known"
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/").text)
    assert token
    form = {"title": "It <leaks>", "labels": "water", "csrf_token": token[1]}
    page = client.post("/issues", data=form, follow_redirects=True)
    assert "<b>Issue 1 is open.</b>" in page.text
    assert "<li>It &lt;leaks&gt; (ann, water)</li>" in page.text
    assert client.post("/issues", data={"title": ""}, headers=OWN).status_code == 422


def test_the_api(client):
    sign_in(client)
    made = client.post("/api/issues", json={"title": "a", "labels": ["x"]}, headers=OWN)
    assert (made.status_code, made.json()) == (201, {"title": "a", "labels": ["x"], "number": 1, "author": "ann"})
    client.post("/api/issues", json={"title": "b"}, headers=OWN)
    assert [issue["title"] for issue in client.get("/api/issues").json()] == ["a", "b"]
    assert [issue["title"] for issue in client.get("/api/issues?label=x").json()] == ["a"]
    assert client.get("/api/issues?page=2").json() == []
    unfit = client.post("/api/issues", json={"title": "", "labels": [1]}, headers=OWN)
    assert (unfit.status_code, unfit.json()["errors"][0]["in"]) == (422, "body")
    assert client.get("/api/issues?page=0").status_code == 422
    assert "/api/issues" in client.get("/openapi.json").json()["paths"]


def test_others_see_it_at_once(program, client):
    sign_in(client)
    with client.get("/live", stream=True) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        client.post("/api/issues", json={"title": "It leaks"}, headers=OWN)
        assert next(line for line in stream.iter_lines() if line) == "data: ann has opened It leaks"


def test_how_many_lines_it_takes():
    """Flask needs 81 for the same with four extensions, FastAPI 92."""
    text = (FOLDER / "tracker.py").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    tree = ast.parse(text)
    outside = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    outside += [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    blank = sum(not line.strip() for line in (ast.get_docstring(tree, clean=False) or "").splitlines())
    core = len(lines) + blank - sum((node.end_lineno or 0) - node.lineno + 1 for node in outside)
    pages = sum(bool(line.strip()) for path in FOLDER.glob("templates/*") for line in path.read_text("utf-8").splitlines())
    assert (core <= 65, len(lines) + pages <= 100) == (True, True), (core, len(lines) + pages)
