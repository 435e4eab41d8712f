"""Files on their way: beyond 4 GiB, beside one another, given up half-way; and their lines in the log."""

from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from outside import FilePath, Folder, Response
from support.gauge import MIB, need_proc
from support.harness import wait_until
from support.many_files import open_files, serving
from support.wire import fetch, request_bytes


def sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("face", ["folder", "handler"])
def test_beyond_four_gibibytes(serve, tmp_path, face):
    size, mark = 5 * 1024 * MIB, b"here"
    path = sparse(tmp_path / "large.bin", size)
    with path.open("r+b") as file:
        file.seek(size - 1000)
        file.write(mark)
    routes = {"/folder": Folder(str(tmp_path)), "/handler": lambda request: Response(200, {}, FilePath(path))}
    running = serve(routes)
    target = f"/{face}/large.bin"
    assert running.fetch(target, "HEAD").header("Content-Length") == str(size)
    for wanted, first, last in (
        (f"bytes={size - 1000}-{size - 997}", size - 1000, size - 997),
        ("bytes=-1000", size - 1000, size - 1),
        (f"bytes={size - 1000}-", size - 1000, size - 1),
    ):
        answer = running.fetch(target, headers={"Range": wanted})
        assert (answer.status, answer.header("Content-Range")) == (206, f"bytes {first}-{last}/{size}")
        assert answer.body == mark + bytes(last - first + 1 - len(mark))
    answer = running.fetch(target, headers={"Range": f"bytes=0-3,{size - 1000}-{size - 997}"})
    assert answer.body.count(mark) == 1
    assert running.fetch(target, headers={"Range": f"bytes={size}-"}).header("Content-Range") == f"bytes */{size}"


def test_a_slice_beyond_four_gibibytes(serve, tmp_path):
    path = sparse(tmp_path / "large.bin", 5 * 1024 * MIB)

    def handler(request):
        file = FilePath(path)
        file.read_start = 5 * 1024 * MIB - 10
        return Response(200, {}, file)

    answer = serve(handler).fetch("/", headers={"Range": "bytes=4-"})
    assert (answer.status, answer.header("Content-Range"), answer.body) == (206, "bytes 4-9/10", bytes(6))


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (-1_000, None),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_102_444_800, None),
        (253_402_300_800, None),
    ],
)
def test_dates_from_every_time(serve, tmp_path, seconds, date):
    """A time that no HTTP date can name is not sent; the tag is there all the same."""
    path = tmp_path / "a.txt"
    path.write_text("a")
    try:
        os.utime(path, (seconds, seconds))
    except OverflowError:
        pytest.skip("this system has no such date")
    if int(path.stat().st_mtime) != seconds:
        pytest.skip("this file system has no such date")
    running = serve({"/": Folder(str(tmp_path))})
    answer = running.fetch("/a.txt")
    assert (answer.status, answer.text, answer.header("Last-Modified")) == (200, "a", date)
    tag = answer.header("ETag")
    assert running.fetch("/a.txt", headers={"If-None-Match": tag}).status == 304
    assert running.fetch("/a.txt", headers={"If-Match": tag}).status == 200


@pytest.mark.parametrize("cache", [0, 64])
def test_a_client_that_gives_up_leaves_nothing_open(serve, tmp_path, cache):
    need_proc()
    large = sparse(tmp_path / "large.bin", 64 * MIB)
    routes = {"/folder": Folder(str(tmp_path)), "/handler": lambda request: Response(200, {}, FilePath(large))}
    running = serve(routes, file_cache_mb=cache)
    for target in ("/folder/large.bin", "/handler"):
        for _ in range(10):
            with running.wire() as wire:
                wire.send(request_bytes(target)).receive_some()
    kept = 0 if cache == 0 else 1  # the folder's, until it is asked for no more
    wait_until(lambda: len(open_files(os.getpid(), tmp_path)) <= kept, "only what is kept is open")
    assert running.fetch("/folder/large.bin", "HEAD").status == 200


def test_the_log_tells_the_bytes_sent(serve, records, tmp_path):
    (tmp_path / "a.bin").write_bytes(b"x" * 1_000)
    sparse(tmp_path / "b.bin", 200_000)
    running = serve({"/": Folder(str(tmp_path))}, access_log="json")
    asked = [
        ("/a.bin", "GET", {}, 200, 1_000),
        ("/a.bin", "HEAD", {}, 200, 0),
        ("/a.bin", "GET", {"Range": "bytes=0-9"}, 206, 10),
        ("/a.bin", "GET", {"If-None-Match": "*"}, 304, 0),
        ("/b.bin", "GET", {}, 200, 200_000),
        ("/b.bin", "HEAD", {}, 200, 0),
        ("/b.bin", "GET", {"Range": "bytes=-50000"}, 206, 50_000),
        ("/c.bin", "GET", {}, 404, None),
    ]
    for target, method, headers, status, _ in asked:
        assert running.fetch(target, method, headers).status == status
    running.stop()
    lines = [json.loads(record.getMessage()) for record in records.records if record.name == "outside.access"]
    assert [line["status"] for line in lines] == [status for *_, status, _ in asked]
    found = [line["bytes"] for line in lines]
    assert [count for count, (*_, wanted) in zip(found, asked, strict=True) if wanted not in (count, None)] == []


@pytest.mark.timed
def test_fast_downloads_do_not_starve_others(serve, tmp_path):
    """Four clients that read a large file as fast as they can; a small one is answered between their slices."""
    sparse(tmp_path / "large.bin", 256 * MIB)
    (tmp_path / "a.txt").write_text("a")
    running = serve({"/": Folder(str(tmp_path))})
    done = threading.Event()

    def download(_):
        count = 0
        while not done.is_set():
            with running.wire() as wire:
                wire.send(request_bytes("/large.bin", headers={"Connection": "close"}))
                buffer = bytearray(1 << 20)
                while not done.is_set() and (received := wire.socket.recv_into(buffer)):
                    count += received
        return count

    with ThreadPoolExecutor(4) as pool:
        downloads = pool.map(download, range(4))
        worst = 0.0
        try:
            with running.wire() as wire:
                for _ in range(100):
                    began = time.monotonic()
                    assert wire.send(request_bytes("/a.txt")).receive_answer().text == "a"
                    worst = max(worst, time.monotonic() - began)
        finally:
            done.set()
        assert all(count > 0 for count in downloads)
    assert worst < 0.5


def test_several_processes_serve_the_same_files(tmp_path):
    """Tags and lengths do not depend on the server process."""
    (tmp_path / "a.bin").write_bytes(b"x" * 300_000)
    (tmp_path / "b.txt").write_text("all work and no play\n" * 1_000)
    with serving(tmp_path, config={"processes": 2}) as script:

        def ask(_):
            whole = fetch(script.address, "/s/a.bin", "HEAD")
            packed = fetch(script.address, "/s/b.txt", headers={"Accept-Encoding": "gzip"})
            return whole.header("ETag"), packed.header("ETag"), packed.header("Content-Encoding")

        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(ask, range(80)))
    assert len({whole for whole, _, _ in found}) == 1
    # While one request makes the compressed form, others are sent something that has no strong tag of its own.
    assert len({tag for _, tag, coding in found if coding == "gzip" and not tag.startswith("W/")}) == 1
