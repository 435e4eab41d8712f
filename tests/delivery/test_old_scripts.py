"""Programs that were written for 1.5.8 (`tests/programs/old`) run unchanged; the page "From 1.5.8 to 2" names the differences.

The only change made to them is their port: 8080 becomes 0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from support.documents import Program
from support.harness import PROGRAMS, wait_until
from support.wire import fetch

OLD = PROGRAMS / "old"


def old(name: str, folder: Path) -> Program:
    """The program, in a folder of its own."""
    program = folder / name
    program.write_text((OLD / name).read_text("utf-8").replace("8080", "0"), "utf-8")
    return Program([sys.executable, str(program)], folder)


def address(program: Program) -> tuple[str, int]:
    host, _, port = program.wait_for_url().partition("://")[2].rpartition(":")
    return host, int(port)


def test_the_quick_start(tmp_path: Path):
    with old("quick_start.py", tmp_path) as program:
        answer = fetch(address(program), "/hello")
        assert (answer.status, answer.text, answer.header("Content-Type")) == (200, "Hello, World!", "text/plain")
    assert program.code == 0, program.output


def test_the_file_server(tmp_path: Path):
    (tmp_path / "index.html").write_text("<p>the index</p>")
    (tmp_path / "a.txt").write_text("a file")
    (tmp_path / "empty").mkdir()
    with old("files.py", tmp_path) as program:
        place = address(program)
        assert fetch(place, "/").text == "<p>the index</p>"
        assert fetch(place, "/a.txt").text == "a file"
        assert (fetch(place, "/empty").status, fetch(place, "/missing").status) == (404, 404)
        assert "No index.html file." in fetch(place, "/empty").text
    assert program.code == 0, program.output


@pytest.mark.parametrize("message", [b"\x00\x01 bytes", b"x" * 100_000], ids=["short", "long"])
def test_the_echo_server(tmp_path: Path, message: bytes):
    with old("echo.py", tmp_path) as program:
        host, port = address(program)
        with connect(f"ws://{host}:{port}/chat", proxy=None) as client:
            client.send(message)
            assert client.recv(20) == message
        wait_until(lambda: "left /chat" in program.output, "the end of the connection")
    assert program.code == 0, program.output


def test_a_program_with_everything(tmp_path: Path):
    with old("shop.py", tmp_path) as program:
        place = address(program)
        ordered = fetch(place, "/order", "POST", {"Content-Type": "application/json"}, b'{"article": "tea"}')
        assert (ordered.status, json.loads(ordered.text)) == (200, {"number": 1})
        assert "order=1" in ordered.header("Set-Cookie") and ordered.header("X-Signed") == "yes"
        assert fetch(place, "/order", "POST", {}, b"{").status == 400
        shown = fetch(place, "/show?a=1&b=2", "GET", {"Accept-Language": "de", "Cookie": "order=1"})
        assert shown.text.splitlines() == ["GET", "/show", "{'a': '1', 'b': '2'}", "de", "1", "127.0.0.1"]
        assert fetch(place, "/elsewhere").text == "lost: /elsewhere"
        assert fetch(place, "/gone").status == 404
        broken = fetch(place, "/broken")
        assert broken.status == 500 and "never shown" not in broken.text
    assert program.code == 0, program.output
    assert "answered /show 200" in program.output and "cleaned up" in program.output


def test_the_redirect(tmp_path: Path):
    with old("moved.py", tmp_path) as program:
        answer = fetch(address(program), "/a?b=c")
        assert answer.status in (301, 302, 307, 308) and answer.header("Location") == "https://example.com/a?b=c"
    assert program.code == 0, program.output
