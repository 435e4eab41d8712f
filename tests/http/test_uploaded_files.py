"""An uploaded file is a binary file of Python: libraries that read files read it, from memory and from a temporary file alike."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import zipfile

import pytest

from outside import FormFile, OutsideHTTP, Request
from support.multipart import TYPE, body, field, file, part

LINES = b"one\ntwo\r\n\nthree"
LARGE = os.urandom(3 << 20)


def uploaded(content: bytes, head: str | None = None) -> FormFile:
    parts = [field("a", "1"), part(head, content) if head else file("up", "a.txt", content)]
    return Request("POST", TYPE, body(*parts), "HTTP/1.1", "/", ("127.0.0.1", 5000)).files["up"]


def test_it_is_read_like_any_file():
    up, other = uploaded(LINES), io.BytesIO(LINES)
    for step in (
        lambda it: it.read(2),
        lambda it: it.tell(),
        lambda it: it.readline(),
        lambda it: it.read1(3),
        lambda it: it.seek(-5, io.SEEK_END),
        lambda it: it.read(),
        lambda it: it.read(),
        lambda it: it.seek(0),
        lambda it: it.readlines(),
        lambda it: it.seek(4),
        lambda it: [it.readinto(buffer := bytearray(3)), bytes(buffer)],
        lambda it: it.seek(2, io.SEEK_CUR),
        lambda it: list(it),
        lambda it: [it.readable(), it.seekable(), it.closed, it.isatty()],
    ):
        assert step(up) == step(other)
    assert not up.writable()
    for unsupported in (lambda: up.write(b"x"), up.truncate, up.fileno):
        with pytest.raises(io.UnsupportedOperation):
            unsupported()
    assert up.content == LINES, "wherever the position is"


def test_all_at_once_and_then_nothing():
    up = uploaded(LINES)
    assert (up.read(), up.read(), up.tell()) == (LINES, b"", len(LINES))
    assert up.seek(0) == 0
    assert up.read(-1) == up.content == LINES
    assert uploaded(b"").read() == b""


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-20, 2), (0, 7)])
def test_a_position_that_is_none_is_an_error(offset: int, whence: int):
    with pytest.raises(ValueError):
        uploaded(LINES).seek(offset, whence)


def test_with_closes_it_and_its_content_stays(tmp_path):
    with uploaded(LINES) as up:
        assert [line.strip() for line in up] == [b"one", b"two", b"", b"three"]
    assert up.closed
    with pytest.raises(ValueError, match="closed"):
        up.read()
    assert up.save(tmp_path / "saved") == up.size == len(LINES)
    assert up.content == (tmp_path / "saved").read_bytes() == LINES


def test_it_is_saved_into_an_open_file():
    up, to = uploaded(LARGE), io.BytesIO()
    up.seek(5)
    assert up.save(to) == len(LARGE)
    assert to.getvalue() == LARGE, "all of it, wherever the position is"


def test_the_fields_of_its_part_are_reachable():
    head = 'Content-Disposition: form-data; name="up"; filename="a.txt"\r\nContent-Type: text/csv\r\nX-Sum:  7'
    up = uploaded(LINES, head)
    assert up.headers["content-type"] == "text/csv"
    assert up.headers == {
        "Content-Disposition": 'form-data; name="up"; filename="a.txt"',
        "Content-Type": "text/csv",
        "X-Sum": "7",
    }


@pytest.fixture(params=["in memory", "in a file"])
def client(request: pytest.FixtureRequest):
    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(access_log="off", spool_above_mb=1 if request.param == "in memory" else 0)

    @server.post("/csv")
    def table(request):
        rows = csv.DictReader(io.TextIOWrapper(request.files["up"], "utf-8", newline=""))
        return [row["price"] for row in rows]

    @server.post("/zip")
    async def names(request):
        with zipfile.ZipFile(request.files["up"]) as archive:
            return {name: archive.read(name).decode() for name in archive.namelist()}

    @server.post("/copy")
    def copy(request):
        to = io.BytesIO()
        shutil.copyfileobj(request.files["up"], to)
        return to.getvalue()

    @server.post("/json")
    def parsed(request):
        return {"is a file": isinstance(request.files["up"].file, io.BufferedReader), "is": json.load(request.files["up"])}

    with server.test_client() as client:
        yield client


def test_libraries_read_it(client):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/b.txt", "hello")
    post = lambda path, content: client.post(path, files={"up": ("name", content)})
    assert post("/csv", "name,price\ntea,3\n'€',4\n".encode()).json() == ["3", "4"]
    assert post("/zip", packed.getvalue()).json() == {"a/b.txt": "hello"}
    assert post("/copy", LARGE).content == LARGE
    assert post("/json", b'{"a": [1]}').json() == {"is a file": True, "is": {"a": [1]}}


def test_pillow_reads_it():
    image = pytest.importorskip("PIL.Image")
    made = io.BytesIO()
    image.new("RGB", (3, 2), "red").save(made, "PNG")
    assert image.open(uploaded(made.getvalue())).size == (3, 2)
