"""The examples that are larger than their `curl` lines, each driven by a test client."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from outside import OutsideHTTP
from outside.testing import TestClient
from support.harness import ROOT

EXAMPLES = ROOT / "examples/python"


def server_of(name: str) -> OutsideHTTP:
    """A fresh copy of an example's server."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.server.config["access_log"] = "off"
    return module.server


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setenv("NOTES", str(tmp_path / "notes.sqlite"))
    return server_of("notes").test_client()


def test_a_note_from_its_first_to_its_last_day(notes: TestClient):
    created = notes.post("/notes", json={"text": "buy milk"})
    assert (created.status_code, created.headers["Location"]) == (201, "/notes/1")
    assert notes.get("/notes/1").json() == {"id": 1, "text": "buy milk"}
    assert notes.put("/notes/1", json={"text": "buy oat milk"}).json() == {"id": 1, "text": "buy oat milk"}
    notes.post("/notes", json={"text": "sleep"})
    assert [note["text"] for note in notes.get("/notes").json()] == ["buy oat milk", "sleep"]
    assert [note["id"] for note in notes.get("/notes", params={"limit": 1}).json()] == [1]
    assert notes.delete("/notes/1").status_code == 204
    assert notes.get("/notes/1").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "error"),
    [
        ("POST", "/notes", {"data": "no JSON"}, 400, 'send {"text": "…"}'),
        ("POST", "/notes", {"json": {"text": 1}}, 400, 'send {"text": "…"}'),
        ("GET", "/notes?limit=all", {}, 400, "limit is a number"),
        ("GET", "/notes/7", {}, 404, "no note 7"),
        ("PUT", "/notes/7", {"json": {"text": "x"}}, 404, "no note 7"),
        ("DELETE", "/notes/7", {}, 404, "no note 7"),
    ],
)
def test_errors_are_json_too(notes: TestClient, method: str, path: str, options: dict, status: int, error: str):
    response = notes.request(method, path, **options)
    assert (response.status_code, response.json()) == (status, {"error": error})
    assert notes.request("PATCH", "/notes/1").status_code == 405


def test_the_guestbook():
    pytest.importorskip("jinja2")
    client = server_of("guestbook").test_client()
    assert "Nobody has signed yet." in client.get("/").text
    page = client.post("/entries", data={"name": "<Ada>", "text": "What a garden!"}, follow_redirects=True)
    assert "<b>&lt;Ada&gt;</b>" in page.text
    assert page.history[0].status_code == 303
    missing = client.post("/entries", data={"name": "Grace", "text": " "})
    assert missing.status_code == 422
    assert 'value="Grace"' in missing.text
    assert "Nothing at /&lt;x&gt;" in client.get("/<x>").text
