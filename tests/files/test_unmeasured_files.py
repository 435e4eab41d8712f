"""Files that have another length than they say, as those that the kernel makes when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from outside import FilePath, Folder, Response, send_file
from support.wire import request_bytes

PROC = Path("/proc/self/status")
needs_proc = pytest.mark.skipif(not PROC.exists(), reason="there is no /proc")


@needs_proc
@pytest.mark.parametrize("cache", [0, 64])
def test_files_without_a_size_are_sent_whole(serve, cache):
    routes = {
        "/folder": Folder("/proc/self"),
        "/file": FilePath(str(PROC)),
        "/sent": lambda request: send_file(PROC),
        "/content": lambda request: Response(content=FilePath("/proc/self/status")),
    }
    running = serve(routes, file_cache_mb=cache)
    for target in ("/folder/status", "/file", "/sent", "/content"):
        for _ in range(2):
            answer = running.fetch(target)
            assert (answer.status, answer.text[:5]) == (200, "Name:"), target
            assert int(answer.header("Content-Length")) == len(answer.body)
            # Its present length and time are no sign that it has not changed.
            assert answer.header("ETag") is None and answer.header("Last-Modified") is None
        head = running.fetch(target, "HEAD")
        assert head.status == 200 and head.body == b""


@needs_proc
def test_their_content_is_read_anew(serve):
    running = serve({"/": Folder("/proc/self")})
    (first, second) = (running.fetch("/schedstat").text for _ in range(2))
    threads = [running.fetch("/stat").text for _ in range(20)]
    assert first != second or len(set(threads)) > 1


@needs_proc
def test_over_one_connection_with_others(serve, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "empty").write_text("")
    running = serve({"/a": Folder(str(tmp_path)), "/p": Folder("/proc/self")})
    with running.wire() as wire:
        for _ in range(3):
            wire.send(request_bytes("/a/a.txt") + request_bytes("/p/status") + request_bytes("/a/empty"))
            one, status, empty = (wire.receive_answer() for _ in range(3))
            assert (one.text, status.text[:5]) == ("a", "Name:")
            assert (empty.status, empty.body, empty.header("Content-Length")) == (200, b"", "0")
            assert empty.header("ETag"), "an empty file is one that is known"


@needs_proc
def test_ranges_and_conditions_do_not_hold_for_them(serve):
    running = serve({"/": Folder("/proc/self")})
    answer = running.fetch("/status", headers={"Range": "bytes=0-3", "If-None-Match": "*"})
    assert answer.status in (200, 304) and (answer.status == 304 or answer.text.startswith("Name:"))
    assert running.fetch("/status", headers={"Range": "bytes=0-3"}).text.startswith("Name:\t")


@needs_proc
def test_attributes_that_say_they_are_a_page_long(serve):
    attribute = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not attribute.exists():
        pytest.skip("this kernel has no such attribute")
    for cache in (0, 64):
        running = serve({"/": lambda request: send_file(attribute)}, file_cache_mb=cache)
        assert running.fetch("/").text == attribute.read_text()


@needs_proc
def test_a_file_without_end_is_not_sent(serve, records):
    huge = Path("/proc/kallsyms")
    if not huge.exists() or len(huge.read_bytes()) <= 1 << 20:
        pytest.skip("there is no such file here")
    running = serve({"/": Folder("/proc")})
    assert running.fetch("/kallsyms").status == 404
    records.wait_for("1 MiB")


@needs_proc
def test_reading_them_in_python():
    assert FilePath(str(PROC)).read().startswith(b"Name:")
    assert FilePath(str(PROC)).read((0, 5)) == b"Name:"
    assert FilePath(str(PROC)).read((5, 1 << 62)).startswith(b"\t")
