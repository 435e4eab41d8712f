"""Content in temporary files: all of it together has a bound, and the slowest upload gives way with 503."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

import pytest

from support import multipart
from support.certificates import SecureWire, certificate
from support.gauge import need_proc
from support.harness import wait_until
from support.slow_uploads import CONTENT, KINDS, MIB, slow_upload
from support.wire import DEADLINE, request_bytes

SETTINGS = {"max_body_size_mb": 1, "spool_above_mb": 0.1, "spool_max_mb": 2}


def nameless() -> dict[tuple[int, int], int]:
    """Temporary files without a name that this process holds, the server in it included, with their bytes."""
    need_proc()
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            status = os.stat(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if status.st_nlink == 0 and 0 < status.st_size <= MIB:
            found[status.st_dev, status.st_ino] = status.st_size
    return found


class Spooled:
    """Counts from now on: pytest's own files without a name, where it collects output, are none of the server's."""

    def __init__(self) -> None:
        self.before = set(nameless())

    def bytes(self) -> int:
        return sum(size for file, size in nameless().items() if file not in self.before)


def length(request):
    return str(len(request.content))


async def length_async(request):
    return str(len(request.content))


@pytest.mark.parametrize("handler", [length, length_async], ids=["def", "async def"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_slowest_upload_gives_way(serve, records, tmp_path, kind, handler):
    secure = certificate(tmp_path) if kind == "TLS" else None
    more = secure.config if secure else {"h2c": True}
    client = secure.client() if secure else None
    running = serve(handler, **SETTINGS, **more)
    spooled = Spooled()
    with ExitStack() as stack:
        slow = []
        for _ in range(2):
            slow.append(slow_upload(kind, running, client))
            stack.callback(slow[-1].close)
        wait_until(lambda: spooled.bytes() > MIB, "both lie in files")
        threading.Event().wait(1.2)  # an upload that has just had a piece does not give way
        wire = SecureWire(running.address, client) if client else running.wire()
        stack.enter_context(wire)
        most = 0
        for _ in range(3):
            wire.send(request_bytes("/", "POST", body=CONTENT))
            assert wire.receive_answer().text == str(len(CONTENT))
            most = max(most, spooled.bytes())
        assert [upload.status() for upload in slow[:1]] == [503]
        assert most <= 2 * MIB
    records.wait_for('config["spool_max_mb"] sets this limit')
    wait_until(lambda: spooled.bytes() == 0, "all files are gone")


def test_files_that_handlers_hold_count(serve):
    """Content that is complete stays; one more upload than there is room for is refused, a small one is not."""
    release, begun = threading.Event(), threading.Semaphore(0)

    def handler(request):
        if request.params:
            begun.release()
            release.wait(DEADLINE)
        return str(sum(file.size for file in request.files.values()))

    running = serve(handler, **SETTINGS)
    content = multipart.body(multipart.file("a", "a.bin", CONTENT[:-50_000]))
    form = request_bytes("/?wait=1", "POST", multipart.TYPE, body=content)
    with running.wire() as first, running.wire() as second:
        for wire in (first, second):
            wire.send(form)
            assert begun.acquire(timeout=DEADLINE)
        answer = running.fetch("/", "POST", {}, CONTENT)
        assert (answer.status, bool(answer.header("Retry-After"))) == (503, True)
        assert running.fetch("/", "POST", {}, b"small").status == 200
        release.set()
        assert first.receive_answer().text == second.receive_answer().text == str(len(CONTENT) - 50_000)
    wait_until(lambda: running.fetch("/", "POST", {}, CONTENT).status == 200, "there is room again")
