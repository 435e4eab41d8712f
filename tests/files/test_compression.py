"""Files that are sent smaller: precompressed siblings, and files compressed on the fly."""

from __future__ import annotations

import gzip
import os
import random
import re
import time
from pathlib import Path

import brotli
import pytest
import zstandard

from outside import FilePath, Folder, Response
from support.codings import ALL, CODINGS, NEGOTIATION, SUFFIX, TEXT, accept, decoded, varies
from support.file_cases import parts_of


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A script with a sibling in each coding, whose content says which one it is; and one without siblings."""
    (tmp_path / "app.js").write_text("plain")
    for coding, encode in (("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstandard.compress)):
        (tmp_path / f"app.js{SUFFIX[coding]}").write_bytes(encode(coding.encode()))
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


@pytest.mark.parametrize(("accepted", "coding"), NEGOTIATION, ids=lambda value: str(value)[:60])
def test_siblings_are_negotiated(serve, packed, accepted, coding):
    answer = serve({"/": Folder(str(packed))}).fetch("/app.js", headers=accept(accepted))
    assert (answer.status, answer.header("Content-Encoding")) == (200, coding)
    assert decoded(answer) == (coding or "plain").encode()
    assert answer.header("Content-Type") == "text/javascript; charset=utf-8"
    assert answer.header("Content-Length") == str(len(answer.body))
    assert varies(answer)


def test_two_field_lines_are_one_list(serve, packed):
    """RFC 9110 section 5.3."""
    headers = [("Accept-Encoding", "gzip;q=0.5"), ("Accept-Encoding", "br")]
    assert serve({"/": Folder(str(packed))}).fetch("/app.js", headers=headers).header("Content-Encoding") == "br"


def test_each_coding_is_a_representation_of_its_own(serve, packed):
    """RFC 9110 section 8.8.3.3: their strong tags differ, conditions are about the coding that would be sent, ranges count its bytes."""
    running = serve({"/": Folder(str(packed))})
    answers = {coding: running.fetch("/app.js", headers=accept(coding)) for coding in ("identity", *CODINGS)}
    tags = {coding: answer.header("ETag") for coding, answer in answers.items()}
    assert len(set(tags.values())) == 4, tags
    assert all(re.fullmatch(r'"[^"]+"', tag) for tag in tags.values())
    for coding, tag in tags.items():
        same = running.fetch("/app.js", headers={**accept(coding), "If-None-Match": tag})
        assert (same.status, same.header("ETag"), varies(same)) == (304, tag, True)
        other = running.fetch("/app.js", headers={**accept("gzip" if coding != "gzip" else "br"), "If-None-Match": tag})
        assert other.status == 200
        part = running.fetch("/app.js", headers={**accept(coding), "Range": "bytes=1-3", "If-Range": tag})
        assert (part.status, part.body) == (206, answers[coding].body[1:4])
        assert part.header("Content-Range") == f"bytes 1-3/{len(answers[coding].body)}"
        assert part.header("Content-Encoding") == answers[coding].header("Content-Encoding")
        several = running.fetch("/app.js", headers={**accept(coding), "Range": "bytes=0-0,2-2"})
        assert [content for _, _, content in parts_of(several)] == [answers[coding].body[:1], answers[coding].body[2:3]]
        head = running.fetch("/app.js", "HEAD", accept(coding))
        assert head.header("Content-Length") == str(len(answers[coding].body))
        assert (head.header("ETag"), head.header("Content-Encoding")) == (
            tag,
            answers[coding].header("Content-Encoding"),
        )


@pytest.mark.parametrize("there", [[], ["gzip"], ["br"], ["gzip", "br"], ["zstd"]], ids=str)
def test_only_siblings_that_are_there(serve, tmp_path, there):
    (tmp_path / "a.css").write_text("plain")
    for coding in there:
        (tmp_path / f"a.css{SUFFIX[coding]}").write_text(coding)
    running = serve({"/": Folder(str(tmp_path))})
    for accepted in ("gzip", "br", "zstd", ALL):
        possible = [coding for coding in CODINGS if coding in there and coding in accepted]
        answer = running.fetch("/a.css", headers=accept(accepted))
        assert answer.header("Content-Encoding") == (possible[0] if possible else None)
        assert answer.header("Content-Type") == "text/css; charset=utf-8"
        assert varies(answer) == bool(there)


def test_a_sibling_older_than_its_file_is_out_of_date(serve, packed):
    running = serve({"/": Folder(str(packed))})
    os.utime(packed / "app.js.br", (1_000_000_000, 1_000_000_000))
    os.utime(packed / "app.js", (1_100_000_000, 1_100_000_000))
    os.utime(packed / "app.js.gz", (1_100_000_000, 1_100_000_000))
    assert (
        running.fetch("/app.js", headers=accept("br")).header("Content-Encoding") != "br"
        or decoded(running.fetch("/app.js", headers=accept("br"))) == b"plain"
    )
    assert decoded(running.fetch("/app.js", headers=accept("gzip"))) == b"gzip"


def test_a_sibling_alone_is_no_file_of_that_name(serve, tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"x"))
    assert serve({"/": Folder(str(tmp_path))}).fetch("/a.txt", headers=accept("gzip")).status == 404


def test_a_sibling_asked_for_by_name_is_a_file_like_any_other(serve, packed):
    answer = serve({"/": Folder(str(packed))}).fetch("/app.js.gz", headers=accept(ALL))
    assert answer.header("Content-Encoding") is None
    assert gzip.decompress(answer.body) == b"gzip"
    assert "gzip" in answer.header("Content-Type")


def test_a_sibling_that_is_no_regular_file(serve, tmp_path):
    (tmp_path / "a.txt").write_text("plain")
    os.mkfifo(tmp_path / "a.txt.gz")
    (tmp_path / "a.txt.br").mkdir()
    running = serve({"/": Folder(str(tmp_path))})
    assert running.fetch("/a.txt", headers=accept(ALL)).text == "plain"


def test_siblings_of_an_index_and_of_a_single_page(serve, tmp_path):
    (tmp_path / "index.html").write_text("plain")
    (tmp_path / "index.html.gz").write_bytes(gzip.compress(b"packed"))
    running = serve({"/": Folder(str(tmp_path), spa="index.html")})
    assert decoded(running.fetch("/", headers=accept("gzip"))) == b"packed"
    answer = running.fetch("/users/1", headers={**accept("gzip"), "Accept": "text/html"})
    assert decoded(answer) == b"packed"


@pytest.mark.timed
def test_a_sibling_that_comes_and_goes(serve, tmp_path):
    (tmp_path / "a.css").write_text("plain")
    running = serve({"/": Folder(str(tmp_path))})
    assert running.fetch("/a.css", headers=accept("gzip")).header("Content-Encoding") is None
    (tmp_path / "a.css.gz").write_bytes(gzip.compress(b"packed"))

    def becomes(coding: str | None, content: bytes) -> None:
        end = time.monotonic() + 3
        while (answer := running.fetch("/a.css", headers=accept("gzip"))).header("Content-Encoding") != coding:
            assert time.monotonic() < end
        assert decoded(answer) == content

    becomes("gzip", b"packed")
    (tmp_path / "a.css.gz").unlink()
    becomes(None, b"plain")


# --- on the fly: files


@pytest.mark.parametrize(("accepted", "coding"), NEGOTIATION, ids=lambda value: str(value)[:60])
def test_files_are_compressed_as_negotiated(serve, packed, accepted, coding):
    running = serve({"/s": Folder(str(packed)), "/h": lambda request: Response(200, {}, FilePath(packed / "text.txt"))})
    for target in ("/s/text.txt", "/h"):
        for _ in range(2):  # made, and from the cache
            answer = running.fetch(target, headers=accept(accepted))
            assert (answer.status, answer.header("Content-Encoding")) == (200, coding)
            assert decoded(answer) == TEXT.encode()
            assert answer.header("Content-Length") == str(len(answer.body))
            assert varies(answer)
            if coding:
                assert len(answer.body) < len(TEXT) / 3


def test_tags_of_files_compressed_on_the_fly(serve, packed):
    running = serve({"/": Folder(str(packed))})
    tags = {coding: running.fetch("/text.txt", headers=accept(coding)).header("ETag") for coding in ("identity", *CODINGS)}
    assert len(set(tags.values())) == 4
    for coding, tag in tags.items():
        assert running.fetch("/text.txt", headers={**accept(coding), "If-None-Match": tag}).status == 304
        other = "br" if coding != "br" else "gzip"
        assert running.fetch("/text.txt", headers={**accept(other), "If-None-Match": tag}).status == 200


@pytest.mark.parametrize("coding", CODINGS)
def test_parts_of_a_file_compressed_on_the_fly_fit_together(serve, packed, coding):
    """Either ranges of the compressed bytes, or of the file as it is; never a mixture."""
    running = serve({"/": Folder(str(packed))})
    whole = running.fetch("/text.txt", headers=accept(coding))
    part = running.fetch("/text.txt", headers={**accept(coding), "Range": "bytes=10-19"})
    assert part.status == 206
    if part.header("Content-Encoding"):
        assert (part.header("ETag"), part.body) == (whole.header("ETag"), whole.body[10:20])
    else:
        assert (part.header("ETag") != whole.header("ETag"), part.body) == (True, TEXT.encode()[10:20])
    resumed = running.fetch("/text.txt", headers={**accept(coding), "Range": "bytes=10-", "If-Range": whole.header("ETag")})
    if resumed.status == 206:
        assert whole.body[:10] + resumed.body == whole.body
    else:
        assert (resumed.status, decoded(resumed)) == (200, TEXT.encode())


SMALLER = ["a.html", "a.css", "a.js", "a.json", "a.svg", "a.xml", "a.wasm", "a.txt", "a.csv"]
AS_SMALL = ["a.png", "a.jpg", "a.webp", "a.woff2", "a.mp4", "a.zip", "a.gz", "a.br", "a.bin", "a"]


@pytest.mark.parametrize(("name", "compresses"), [*[(name, True) for name in SMALLER], *[(name, False) for name in AS_SMALL]])
def test_types(serve, tmp_path, name, compresses):
    (tmp_path / name).write_text(TEXT)
    answer = serve({"/": Folder(str(tmp_path))}).fetch(f"/{name}", headers=accept(ALL))
    assert (answer.header("Content-Encoding") is not None) == compresses
    assert varies(answer) == compresses
    assert decoded(answer) == TEXT.encode()


@pytest.mark.parametrize(("size", "compresses"), [(511, False), (512, True), (1 << 20, True), ((1 << 20) + 1, False)])
def test_sizes_of_files(serve, tmp_path, size, compresses):
    (tmp_path / "a.txt").write_text("x" * size)
    running = serve({"/": Folder(str(tmp_path))})
    for _ in range(2):
        answer = running.fetch("/a.txt", headers=accept("gzip"))
        assert (answer.header("Content-Encoding") is not None) == compresses
        assert decoded(answer) == b"x" * size


def test_a_file_that_does_not_get_smaller_is_sent_as_it_is(serve, tmp_path):
    content = random.Random(1).randbytes(20_000)
    (tmp_path / "a.txt").write_bytes(content)
    running = serve({"/": Folder(str(tmp_path)), "/h": lambda request: Response(200, {"Content-Type": "text/plain"}, content)})
    for target in ("/a.txt", "/h"):
        for coding in CODINGS:
            answer = running.fetch(target, headers=accept(coding))
            assert (answer.header("Content-Encoding"), answer.body) == (None, content)


@pytest.mark.timed
def test_a_changed_file_is_compressed_anew(serve, tmp_path):
    (tmp_path / "a.txt").write_text("old" * 1000)
    running = serve({"/": Folder(str(tmp_path))})
    first = running.fetch("/a.txt", headers=accept("gzip"))
    (tmp_path / "b.txt").write_text("new" * 1000)
    (tmp_path / "b.txt").rename(tmp_path / "a.txt")
    end = time.monotonic() + 3
    while decoded(answer := running.fetch("/a.txt", headers=accept("gzip"))) != b"new" * 1000:
        assert time.monotonic() < end
    assert answer.header("ETag") != first.header("ETag")


def test_a_listing_is_compressed(serve, tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.txt").write_text("x")
    answer = serve({"/": Folder(str(tmp_path), listing=True)}).fetch("/", headers=accept("gzip"))
    assert answer.header("Content-Encoding") == "gzip"
    assert b"99.txt" in decoded(answer)
