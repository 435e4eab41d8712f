"""Clients that read slowly, and handlers of every kind whose answers are larger than the buffers of the kernel."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from outside import FilePath, Response
from support.wire import DEADLINE, Wire

SIZE = 16 << 20  # more than the kernel's buffers of both sides hold


def at_once(request):
    return b"x" * SIZE


def pieces(request):
    return Response(200, {}, (b"x" * 65536 for _ in range(SIZE >> 16)))


def crumbs(request):
    return Response(200, {}, (b"x" * 1024 for _ in range(SIZE >> 10)))


async def later(request):
    async def produce():
        for _ in range(SIZE >> 16):
            yield b"x" * 65536

    return Response(200, {}, produce())


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A handler whose file takes no room on the disk."""
    path = tmp_path_factory.mktemp("files") / "sparse"
    with path.open("wb") as sparse:
        sparse.truncate(SIZE)
    return lambda request: Response(200, {}, FilePath(str(path)))


@pytest.fixture
def routes(file):
    return {"/at_once": at_once, "/pieces": pieces, "/crumbs": crumbs, "/later": later, "/file": file}


KINDS = ["at_once", "pieces", "crumbs", "later", "file"]


def for_each_kind(act, kinds=KINDS) -> dict:
    """The result of the act for each kind; all at the same time."""
    with ThreadPoolExecutor(len(kinds)) as pool:
        return dict(zip(kinds, pool.map(act, kinds), strict=True))


def wait_for_log_line(records, target: str, patience: float = DEADLINE):
    """Waits for the log line of the exchange, which comes when it has ended."""

    def line():
        for record in records.records:
            if record.name == "outside.access" and f" {target} " in record.getMessage():
                return record
        return None

    with records.changed:
        found = records.changed.wait_for(line, patience)
    assert found, f"{target} was not logged: {records.texts()}"
    return found


def read_slowly(wire: Wire, rate: int, seconds: float) -> int:
    """Reads so many bytes a second for so long; how many came."""
    began, count, pause = time.monotonic(), 0, threading.Event()
    while (passed := time.monotonic() - began) < seconds:
        if count < passed * rate:
            data = wire.socket.recv(max(1, rate // 20))
            if not data:
                break
            count += len(data)
        else:
            pause.wait(0.02)
    return count


def read_the_rest(wire: Wire) -> tuple[int, bytes]:
    """Reads until the server ends it, by a reset if it lets go; how many bytes came, and the last of them."""
    count, tail = 0, b""
    try:
        while data := wire.socket.recv(1 << 20):
            count, tail = count + len(data), (tail + data)[-5:]
    except ConnectionResetError:
        pass
    return count, tail
