"""Content that comes in gzip, deflate, br or zstd: handlers get it decoded, within the bounds on content, over every version of HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from typing import Annotated

import brotli
import httpx
import pytest
import zstandard

from outside import File, FormFile, OutsideHTTP
from support.gauge import MIB, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import Running
from support.multipart import TYPE, body, field, file

ENCODE = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
CODINGS = pytest.mark.parametrize("coding", list(ENCODE))
LONG = b"".join(b"%d: a line of text\n" % number for number in range(75_000))
TEXT = LONG[:400_000]


@dataclass
class Note:
    text: str


def coded(coding: str, **more: str) -> dict[str, str]:
    return {"Content-Encoding": coding, **more}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def running(server: OutsideHTTP, start) -> Running:
    server.config.update(max_body_size_mb=2, spool_above_mb=1, h2c=True)

    @server.post("/plain")
    def plain(request):
        return digest(request.content)

    @server.post("/async")
    async def awaited(request):
        return digest(request.content)

    @server.post("/pieces", streaming=True)
    def pieces(request):
        seen = hashlib.sha256()
        for piece in request.iter_body():
            assert len(piece) <= 64 * 1024
            seen.update(piece)
        return seen.hexdigest()

    @server.post("/async-pieces", streaming=True)
    async def awaited_pieces(request):
        seen = hashlib.sha256()
        async for piece in request.iter_body():
            seen.update(piece)
        return seen.hexdigest()

    @server.post("/note")
    def note(note: Note) -> Note:
        return note

    @server.post("/form")
    def form(request, photo: Annotated[FormFile, File]) -> list:
        return [request.form["name"], photo.size, digest(photo.read())]

    @server.get("/nothing")
    def nothing(request):
        return [len(request.content), request.headers["content-encoding"]]

    return start()


@CODINGS
@pytest.mark.parametrize("path", ["/plain", "/async", "/pieces", "/async-pieces"])
@pytest.mark.parametrize("content", [b"x", TEXT, LONG], ids=len)
def test_handlers_get_it_decoded(running, coding: str, path: str, content: bytes):
    answer = running.fetch(path, "POST", coded(coding), ENCODE[coding](content))
    assert (answer.status, answer.text) == (200, digest(content))


@CODINGS
def test_over_http_2(running, coding: str):
    with httpx.Client(http1=False, http2=True, base_url="http://{}:{}".format(*running.address)) as client:
        for path in ("/plain", "/pieces"):
            answer = client.post(path, headers=coded(coding), content=ENCODE[coding](TEXT))
            assert (answer.http_version, answer.text) == ("HTTP/2", digest(TEXT))
        refused = client.post("/plain", headers=coded("compress"), content=b"x")
        assert (refused.status_code, refused.headers["accept-encoding"]) == (415, "gzip, deflate, br, zstd")


@CODINGS
def test_models_and_forms_are_read_from_it(running, coding: str):
    headers = coded(coding, **{"Content-Type": "application/json"})
    answer = running.fetch("/note", "POST", headers, ENCODE[coding](json.dumps({"text": "é"}).encode()))
    assert (answer.status, answer.text) == (200, '{"text":"é"}')
    content = ENCODE[coding](body(field("name", "sea"), file("photo", "a.bin", LONG)))
    answer = running.fetch("/form", "POST", coded(coding, **TYPE), content)
    assert json.loads(answer.text) == ["sea", len(LONG), digest(LONG)]


def test_the_fields_stay_as_received(running):
    assert running.fetch("/nothing", headers=coded("gzip")).text == '[0,"gzip"]'
    assert running.fetch("/plain", "POST", coded("identity"), b"a").text == digest(b"a")
    assert running.fetch("/plain", "POST", coded("X-Gzip"), gzip.compress(b"a")).text == digest(b"a")


@pytest.mark.parametrize("path", ["/plain", "/async", "/pieces", "/async-pieces"])
@pytest.mark.parametrize(
    ("coding", "content", "status"),
    [
        ("compress", b"x", 415),
        ("gzip, br", b"x", 415),
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(TEXT)[:-1], 400),
        ("br", brotli.compress(TEXT) + b"x", 400),
        ("deflate", zlib.compress(TEXT)[:50], 400),
        # The window would be 128 MiB.
        ("zstd", bytes.fromhex("28b52ffd 00 88 090000 61".replace(" ", "")), 400),
        ("gzip", gzip.compress(bytes(3 * MIB)), 413),
        ("br", brotli.compress(bytes(64 * MIB), quality=4), 413),
        ("zstd", zstandard.ZstdCompressor().compress(bytes(MIB + MIB // 2)), 413),
    ],
)
def test_what_cannot_be_decoded_is_refused(running, path: str, coding: str, content: bytes, status: int):
    answer = running.fetch(path, "POST", coded(coding), content)
    assert answer.status == status, answer.text
    assert answer.header("Accept-Encoding") == ("gzip, deflate, br, zstd" if status == 415 else None)
    # And other clients are served as ever.
    assert running.fetch("/plain", "POST", {}, b"a").text == digest(b"a")


def test_a_bomb_takes_no_memory(serve):
    """256 MiB of zeros in 256 KiB, for a server whose bound is far away."""
    need_proc()
    bomb = gzip.compress(bytes(256 * MIB))
    running = serve(None, max_body_size_mb=4000, spool_above_mb=1)
    running.server.post("/")(lambda request: str(len(request.content)))
    running.server.post("/pieces", streaming=True)(lambda request: str(sum(map(len, request.iter_body()))))
    forget_peak(os.getpid())
    before = resident_memory(os.getpid())
    for path in ("/", "/pieces"):
        answer = running.fetch(path, "POST", coded("gzip"), bomb)
        assert (answer.status, "hundred times" in answer.text) == (413, True)
    assert peak_memory(os.getpid()) - before < 48 * MIB


def test_hosted_applications_get_it_as_it_was_sent(server, start):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["HTTP_CONTENT_ENCODING"].encode(), b" ", environ["wsgi.input"].read()]

    server.mount("/", app)
    assert start().fetch("/", "POST", coded("compress"), b"abc").text == "compress abc"
