"""FilePath: read by hand, returned by a handler, and set as a route."""

from __future__ import annotations

import os
import time

import pytest

from outside import FilePath, Response
from support.wire import request_bytes


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789")
    return path


def test_attributes(file):
    opened = FilePath(str(file))
    assert (opened.path, opened.read_start, opened.read_end) == (str(file), 0, 10)
    assert str(file) in repr(opened)


def test_a_missing_file_raises_only_when_read(tmp_path):
    missing = FilePath(str(tmp_path / "missing"))
    assert missing.read_end == 0
    with pytest.raises(FileNotFoundError):
        missing.read()
    with pytest.raises(IsADirectoryError):
        FilePath(str(tmp_path)).read()


@pytest.mark.parametrize(
    ("wanted", "data"),
    [
        (None, b"0123456789"),
        ((0, 10), b"0123456789"),
        ((2, 5), b"234"),
        ((0, 0), b""),
        ((9, 10), b"9"),
        ((8, 100), b"89"),
    ],
)
def test_read_ranges(file, wanted, data):
    assert FilePath(str(file)).read(wanted) == data


def test_the_first_read_is_remembered(file):
    opened = FilePath(str(file))
    assert opened.read() == b"0123456789"
    file.write_bytes(b"abcdefghij")
    assert opened.read() == b"0123456789"
    assert opened.read((1, 3)) == b"bc"
    assert opened.read(twice=True) == b"abcdefghij"


def test_keyword_names(file):
    assert FilePath(path=str(file)).read(read_range=(0, 2), twice=True) == b"01"


def test_returned_by_a_handler(serve, file):
    answer = serve(lambda request: Response(200, {}, FilePath(str(file)))).fetch()
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.header("Content-Length") == "10"
    assert answer.header("Content-Type").startswith("text/plain")


def test_returned_without_a_response(serve, file):
    answer = serve(lambda request: Response(content=FilePath(str(file)))).fetch("/", "HEAD")
    assert (answer.status, answer.header("Content-Length"), answer.body) == (200, "10", b"")


def test_a_content_type_given_wins(serve, file):
    answer = serve(lambda request: Response(200, {"Content-Type": "application/x-own"}, FilePath(str(file)))).fetch()
    assert answer.header("Content-Type") == "application/x-own"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html"),
        ("a.css", "text/css"),
        ("a.js", "text/javascript"),
        ("a.json", "application/json"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.unknown-kind", "application/octet-stream"),
        ("none", "application/octet-stream"),
    ],
)
def test_content_type_from_the_name(serve, tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"x")
    assert (
        serve(lambda request: Response(200, {}, FilePath(str(tmp_path / name)))).fetch().header("Content-Type").split(";")[0]
        == kind
    )


@pytest.mark.parametrize("size", [0, 1, 65536, 5_000_001])
def test_sizes(serve, tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "data").write_bytes(data)
    answer = serve(lambda request: Response(200, {}, FilePath(str(tmp_path / "data")))).fetch()
    assert (answer.header("Content-Length"), answer.body == data) == (str(size), True)


def test_a_missing_file_is_a_404(serve, tmp_path):
    assert serve(lambda request: Response(200, {}, FilePath(str(tmp_path / "missing")))).fetch().status == 404


def test_a_folder_is_a_500_with_the_reason_in_the_log(serve, records, tmp_path):
    answer = serve(lambda request: Response(200, {}, FilePath(str(tmp_path)))).fetch()
    assert answer.status == 500
    assert str(tmp_path) not in answer.text
    records.wait_for(str(tmp_path))


@pytest.mark.timed
def test_as_a_route(serve, file):
    running = serve({"/one": FilePath(str(file))})
    assert running.fetch("/one").body == b"0123456789"
    file.unlink()
    # A file that was looked at just now is sent for a second without another look.
    deadline = time.monotonic() + 5
    while running.fetch("/one").status == 200:
        assert time.monotonic() < deadline
    assert running.fetch("/one").status == 404


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(serve, records, tmp_path):
    path, size = tmp_path / "shrinks", 100_000_000
    with path.open("wb") as large:
        large.truncate(size)
    with serve(lambda request: Response(200, {}, FilePath(str(path)))).wire() as wire:
        wire.send(request_bytes("/")).receive_some()
        os.truncate(path, 1000)
        received = wire.receive_rest()
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    assert len(body) < size
    records.wait_for("shrinks")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)], ids=["fifo", "device"])
def test_an_entry_that_is_no_regular_file_is_a_500(serve, records, tmp_path, make):
    make(str(tmp_path / "special"))
    assert serve(lambda request: Response(200, {}, FilePath(str(tmp_path / "special")))).fetch().status == 500
    records.wait_for("special")


@pytest.mark.parametrize("path", ["", "a\0b", "/" + "a" * 5000, "a/b" * 2000], ids=["empty", "nul", "name", "length"])
def test_a_path_that_cannot_be_one_is_a_404(serve, path):
    assert FilePath(path).read_end == 0
    assert serve(lambda request: Response(200, {}, FilePath(path))).fetch().status == 404
